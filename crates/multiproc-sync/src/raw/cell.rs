//! A number that is changed, and whose waiters are woken, in one step.
//!
//! Two values and a word. The word counts changes in bits 2 to 31, and the parity of that count says which of the
//! values is valid. A writer prepares the other value and then adds one to the count: by one compare-and-swap if
//! nobody sleeps, by one system call that also wakes everybody if somebody does. So there is no moment at which the
//! change has happened and the wake-up has not, and a writer that is killed has done both or neither.
//!
//! SLEEPERS (bit 1) lies below the count: adding two to a word with SLEEPERS clears the bit and carries into the
//! count. **Only the writer may clear it**: were it cleared by another between the writer's look and its addition,
//! the addition would set the bit instead of counting.
//!
//! **Who sleeps is woken by every change**: it sets SLEEPERS, then looks, then sleeps only while the word has the
//! value of its setting. A change before the setting is seen by the look, since both are changes of the same word;
//! a change after it finds SLEEPERS.
//!
//! The writer owns a lock that belongs to the cell; readers need none.

use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU32, GuardedU64, Ordering, Peek, fence};
use multiproc_core::sync::futex::{self, Change, Futex, Wake};
use multiproc_core::sync::{Patience, thread};

use super::DeathBell;
#[cfg(not(any(loom, multiproc_model)))]
use multiproc_shm::peek;

const SLEEPERS: u32 = 1 << 1;
const ONE: u32 = 1 << 2;

/// A 64-bit number to publish and to wait for; all zeros is a valid one.
#[derive(Debug)]
#[repr(C)]
pub struct WaitCell {
    word: AtomicU32,
    reserved: u32,
    /// Of these the writer writes the one that is not valid, and who reads that one reads again.
    values: [GuardedU64; 2],
}

/// Which of the values a word declares valid.
fn valid(word: u32) -> usize {
    (word / ONE) as usize & 1
}

impl WaitCell {
    /// A cell with this value in it.
    #[cfg(not(loom))]
    pub const fn new(value: u64) -> WaitCell {
        WaitCell {
            word: AtomicU32::new(0),
            reserved: 0,
            values: [GuardedU64::new(value), GuardedU64::new(0)],
        }
    }

    /// A cell with this value in it.
    #[cfg(loom)]
    pub fn new(value: u64) -> WaitCell {
        WaitCell {
            word: AtomicU32::new(0),
            reserved: 0,
            values: [GuardedU64::new(value), GuardedU64::new(0)],
        }
    }

    /// The value, without a lock.
    #[inline]
    pub fn read(&self) -> u64 {
        loop {
            // CELL: Acquire, partner of the Release in `publish`, of its fence, and of the kernel's addition.
            let before = self.word.load(Ordering::Acquire);
            // CELL: Acquire, partner of the Release store in `publish`: the word is loaded after it.
            let value = self.values[valid(before)].load(Ordering::Acquire);
            let after = self.word.peek(Ordering::Relaxed);
            // Without this look it could be one that is being prepared, and whose writer dies.
            if before / ONE == after / ONE {
                return value;
            }
        }
    }

    /// The value, for the writer.
    #[inline]
    pub fn read_as_writer(&self) -> u64 {
        // The lock has ordered the changes of other writers, and there is none beside this one.
        self.values[valid(self.word.peek(Ordering::Relaxed))].load(Ordering::Relaxed)
    }

    /// Changes the value and wakes everybody who waits, in one step.
    ///
    /// The caller owns the cell's lock. Without sleepers it is no system call.
    #[inline]
    pub fn publish(&self, value: u64) {
        let mut word = self.word.peek(Ordering::Relaxed);
        // CELL: Release, partner of the Acquire in `read`: who reads this value too early sees a word that tells.
        self.values[valid(word) ^ 1].store(value, Ordering::Release);
        while word & SLEEPERS == 0 {
            // CELL: Release, partner of the Acquire in `read` and `wait`: the value and all before it is seen.
            match self.word.compare_exchange(
                word,
                word.wrapping_add(ONE),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.publish_to_sleepers();
    }

    #[cold]
    fn publish_to_sleepers(&self) {
        // CELL: SeqCst, partner of the Acquire in `read` and `wait`: the kernel's addition publishes what is before.
        fence(Ordering::SeqCst);
        if futex::wake_op(self.futex(), u32::MAX, Change::Add(SLEEPERS as u16)).is_none() {
            // Two steps, where the kernel has no better; the bounded sleep covers a death in between.
            // CELL: Release, as above.
            self.word.fetch_add(SLEEPERS, Ordering::Release);
            futex::wake(self.futex(), u32::MAX);
        }
    }

    /// Changes the value for others to read, and leaves asleep who waits for another change.
    #[inline]
    pub fn publish_quietly(&self, value: u64) {
        let word = self.word.peek(Ordering::Relaxed);
        // CELL: Release, as in `publish`.
        self.values[valid(word) ^ 1].store(value, Ordering::Release);
        // CELL: Release, as in `publish`. Who is about to sleep fails to, and looks again.
        self.word.fetch_add(ONE, Ordering::Release);
    }

    /// Waits until `ready`, and tells whether it is; `false` means that the deadline passed first.
    ///
    /// `look` is called when a participant may have died, and now and then: it does what the dead would have done.
    /// The caller holds no lock. Whoever publishes, or closes the bell, wakes the caller, which then asks `ready` again.
    pub fn wait(
        &self,
        bell: &DeathBell,
        deadline: Deadline,
        mut ready: impl FnMut() -> bool,
        mut look: impl FnMut(),
    ) -> bool {
        let watched = thread::watch(bell.futex());
        let mut patience = Patience::until(deadline);
        let is_ready = loop {
            // CELL: Acquire, partner of the Release in `publish`: a change before this is seen by `ready`.
            let word = self.word.fetch_or(SLEEPERS, Ordering::Acquire) | SLEEPERS;
            let state = bell.state();
            if ready() {
                break true;
            }
            let Ok(bound) = patience.next_sleep() else { break false };
            let wake = bell.wait_beside(self.futex(), word, state, bound);
            if wake != Wake::TimedOut {
                // The bell rings a moment before the dead one is seen to be dead, and what was published may be
                // for one who is: look again soon.
                patience = Patience::until(deadline);
            }
            if matches!(wake, Wake::Woken(1) | Wake::TimedOut) {
                look();
            }
        };
        thread::watch_again(watched);
        is_ready
    }

    /// Makes a change wake the caller, who then looks, and sleeps while cell and bell have these values.
    ///
    /// For who waits by other means than [`wait`](Self::wait).
    pub fn begin_wait<'a>(&'a self, bell: &'a DeathBell) -> [(Futex<'a>, u32); 2] {
        // CELL: Acquire, as in `wait`.
        let word = self.word.fetch_or(SLEEPERS, Ordering::Acquire) | SLEEPERS;
        [(self.futex(), word), (bell.futex(), bell.state())]
    }

    /// Tells whether somebody has gone to sleep here since the last change; it may have gone on since, its time up.
    pub fn is_waited_for(&self) -> bool {
        self.word.load(Ordering::Relaxed) & SLEEPERS != 0
    }

    fn futex(&self) -> Futex<'_> {
        (&self.word).into()
    }
}

#[cfg(not(any(loom, multiproc_model)))]
impl WaitCell {
    /// What a copy tells a watcher: the number, and whether somebody has gone to sleep since it changed.
    #[must_use]
    pub fn seen(bytes: &[u8]) -> (u64, bool) {
        let word = peek::half(bytes, std::mem::offset_of!(WaitCell, word));
        let value = std::mem::offset_of!(WaitCell, values) + valid(word) * size_of::<u64>();
        (peek::word(bytes, value), word & SLEEPERS != 0)
    }
}

impl Default for WaitCell {
    fn default() -> WaitCell {
        WaitCell::new(0)
    }
}

/// What ARCHITECTURE.md draws.
#[cfg(all(test, not(any(loom, multiproc_model))))]
pub(super) const DRAWN: [super::Drawn; 2] = [
    (std::mem::offset_of!(WaitCell, word), 4, "WaitCell.word"),
    (std::mem::offset_of!(WaitCell, values), 16, "WaitCell.values"),
];
