//! Memory that a queue gives back.
//!
//! A queue that has become long keeps its chunks, to use them again. When it is empty, most of them go back to the
//! system: not of every queue, since getting memory again takes longer than the copying, and not often.
//!
//! Whoever empties it does that, as the owner of the tail's lock: while that is owned an empty queue stays empty, and
//! only the chunk that head and tail are in has a meaning. The words that say which chunks have memory are written
//! before it goes. Killed in between, a chunk is asked for that has memory already.

use super::peers::politely;
use super::{Memory, Position, Ring};
use multiproc_core::sync::atomic::Ordering;
use multiproc_core::sys::clock::coarse_millis;

/// More chunks than these are given back: 64 MiB.
const MANY: u32 = if cfg!(multiproc_model) { 2 } else { 1024 };
/// So many are kept: 16 MiB.
const FEW: u32 = if cfg!(multiproc_model) { 1 } else { 256 };
/// Milliseconds between one time and the next.
const APART: u64 = 1000;

/// The time; in a model, where there is none, one that lets memory be given back once.
fn now() -> u64 {
    if cfg!(multiproc_model) { APART } else { coarse_millis() }
}

impl<M: Memory> Ring<M> {
    /// Tells the owner of the head's lock whether there is much to give back.
    #[inline]
    pub(super) fn is_long(&self) -> bool {
        // Relaxed: a hint, written under the same lock.
        self.memory.control().head.chunks.load(Ordering::Relaxed) > u64::from(MANY)
    }

    /// Gives the memory of most chunks back if nothing is in them.
    #[cold]
    pub(super) fn trim(&self) {
        let control = self.memory.control();
        let tail = &control.tail;
        // Relaxed, here and below: the words belong to the owner of the tail's lock.
        let is_due = || now().wrapping_sub(tail.trimmed.load(Ordering::Relaxed)) >= APART;
        if !is_due() || !self.is_empty() {
            return;
        }
        // It is no matter if it stays.
        let Some(locked) = self.lock_tail(politely()) else { return };
        let at = tail.cell.read_as_writer();
        // In this order: what is not in the queue any more was in the table before it left.
        let is_unused = control.head.cell.read() == at && control.leases.is_empty();
        if is_due() && is_unused && tail.chunks.load(Ordering::Relaxed) > u64::from(MANY) {
            tail.trimmed.store(now(), Ordering::Relaxed);
            tail.backed.store(FEW.into(), Ordering::Relaxed);
            tail.chunks.store(FEW.into(), Ordering::Relaxed);
            tail.cursor.store(0, Ordering::Relaxed);
            self.memory.release(Position::unpack(at).chunk, FEW);
        }
        tail.lock.unlock(locked);
    }
}
