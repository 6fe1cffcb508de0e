use super::lease::Leases;
use multiproc_core::sync::atomic::AtomicU64;
use multiproc_sync::raw::{DeathBell, Lock, WaitCell};

/// What cannot change about a queue; each process has a copy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many records it holds at most, up to 2^31.
    pub capacity: u32,
    /// How many chunks it has at most.
    pub max_chunks: u32,
    /// How many words a chunk has, the links among them.
    pub chunk_words: u32,
}

impl Shape {
    /// How many words of records a chunk has room for.
    pub(super) fn room(&self) -> u32 {
        self.chunk_words - super::memory::LINKS
    }

    /// Makes sure that no computation of positions can overflow.
    pub fn is_valid(&self) -> bool {
        (1..=1 << 31).contains(&self.capacity)
            && (1..=super::Position::CHUNKS).contains(&self.max_chunks)
            && (super::memory::LINKS + 2..=super::Position::WORDS).contains(&self.chunk_words)
    }
}

/// The words that processes work on; all zeros until [`Ring::prepare`](super::Ring::prepare).
///
/// Each side has its own cache lines: what a producer writes a consumer reads only when it has nothing left.
#[derive(Debug, Default)]
#[cfg_attr(not(any(loom, multiproc_model)), derive(multiproc_shm::ShmSafe))]
#[repr(C)]
pub struct Control {
    /// Rung by deaths, and closed with the queue.
    pub bell: DeathBell,
    /// Of each end, how often somebody has let go of it, where that is counted.
    pub(super) departures: [AtomicU64; 2],
    /// Of each end, whose turn it is to use it, where it needs no lock.
    pub(super) owners: [AtomicU64; 2],
    pub(super) reserved: [u64; 11],
    pub(super) tail: Side,
    pub(super) head: Side,
    pub(super) leases: Leases,
}

/// One end of the queue.
#[derive(Debug, Default)]
#[cfg_attr(not(any(loom, multiproc_model)), derive(multiproc_shm::ShmSafe))]
#[repr(C)]
pub(super) struct Side {
    pub(super) lock: Lock,
    pub(super) cell: WaitCell,
    /// What its owner last saw of the other end, which may be further on by now.
    pub(super) other: AtomicU64,
    /// Of the tail: among how many chunks is looked for a free one; of the head: what was seen of that.
    pub(super) chunks: AtomicU64,
    /// Of the tail: where to look for a free chunk first.
    pub(super) cursor: AtomicU64,
    /// Of the tail: the last token of the depot that was given.
    pub(super) token: AtomicU64,
    /// Of the head: how many records wait to be delivered again, after a death more than there are, and whether handles
    /// may be kept for nobody.
    pub(super) returned: AtomicU64,
    /// Of the head: a number that changes whenever a lease ends.
    pub(super) ended: AtomicU64,
    /// Of the tail: how many chunks are sure to have memory.
    pub(super) backed: AtomicU64,
    /// Of the tail: when memory was given back last.
    pub(super) trimmed: AtomicU64,
    pub(super) reserved: [u64; 4],
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Control>() == 384 + super::LEASES * 40);
    assert!(std::mem::offset_of!(Control, tail) == 128);
    assert!(std::mem::offset_of!(Control, head) == 256);
    assert!(std::mem::offset_of!(Control, leases) == 384);
};

#[cfg(all(test, not(any(loom, multiproc_model))))]
mod layout {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn as_it_is_drawn() {
        check(
            "Control words",
            &[
                (offset_of!(Control, bell), size_of::<DeathBell>(), "bell"),
                (offset_of!(Control, departures), 16, "departures"),
                (offset_of!(Control, owners), 16, "owners"),
                (offset_of!(Control, reserved), 88, "reserved"),
                (offset_of!(Control, tail), size_of::<Side>(), "tail"),
                (offset_of!(Control, head), size_of::<Side>(), "head"),
                (offset_of!(Control, leases), size_of::<Leases>(), "leases"),
            ],
        );
        check(
            "One end",
            &[
                (offset_of!(Side, lock), size_of::<Lock>(), "lock"),
                (offset_of!(Side, cell), size_of::<WaitCell>(), "cell"),
                (offset_of!(Side, other), 8, "other"),
                (offset_of!(Side, chunks), 8, "chunks"),
                (offset_of!(Side, cursor), 8, "cursor"),
                (offset_of!(Side, token), 8, "token"),
                (offset_of!(Side, returned), 8, "returned"),
                (offset_of!(Side, ended), 8, "ended"),
                (offset_of!(Side, backed), 8, "backed"),
                (offset_of!(Side, trimmed), 8, "trimmed"),
                (offset_of!(Side, reserved), 32, "reserved"),
            ],
        );
    }

    fn check(heading: &str, drawn: &[(usize, usize, &str)]) {
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ARCHITECTURE.md"));
        let part = page.split("\n### ").find(|part| part.starts_with(heading)).unwrap_or_default();
        for (offset, bytes, what) in drawn {
            let line = format!("\n{offset:>7} {bytes:>6}  {what}\n");
            assert!(part.contains(&line), "ARCHITECTURE.md does not draw {line:?}");
        }
    }
}
