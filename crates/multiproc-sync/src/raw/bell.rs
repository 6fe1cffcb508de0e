//! How a death is heard by those who do not wait for the dead one's lock, and how something is closed for all.
//!
//! The lower 30 bits of the bell are always 0. A thread that takes part in something has the kernel watch the bell; if the
//! thread dies, the kernel finds nobody's number in it and wakes one sleeper. Everybody who sleeps for that thing
//! sleeps on the bell, too. Who is woken by it first wakes all the others, which costs something and happens only
//! when somebody dies, and then does what the dead one would have done. If it dies before, its own death rings.

use multiproc_core::sync::atomic::{AtomicU32, Ordering, Peek, fence};
use multiproc_core::sync::futex::{self, Change, Futex, Wake};
use std::time::Duration;

const CLOSED: u32 = 1 << 31;

/// A word of which the kernel wakes one sleeper if a thread that it watches it for dies.
#[derive(Debug)]
#[repr(C)]
pub struct DeathBell {
    word: AtomicU32,
    reserved: u32,
}

impl DeathBell {
    /// A silent bell.
    #[cfg(not(loom))]
    pub const fn new() -> DeathBell {
        DeathBell { word: AtomicU32::new(0), reserved: 0 }
    }

    /// A silent bell.
    #[cfg(loom)]
    pub fn new() -> DeathBell {
        DeathBell { word: AtomicU32::new(0), reserved: 0 }
    }

    /// The word to watch.
    pub fn futex(&self) -> Futex<'_> {
        (&self.word).into()
    }

    /// Closes it for ever and wakes everybody, in one step: closing two words in two would leave sleepers behind if
    /// the closer dies in between.
    pub fn close(&self) {
        // BELL: SeqCst, partner of the Acquire in `state`: the kernel's store publishes what is before.
        fence(Ordering::SeqCst);
        if futex::wake_op(self.futex(), u32::MAX, Change::OrTop).is_none() {
            // Two steps, where the kernel has no better; the bounded sleep covers a death in between.
            // BELL: Release, as above.
            self.word.fetch_or(CLOSED, Ordering::Release);
            futex::wake(self.futex(), u32::MAX);
        }
    }

    /// Tells whether it was closed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        // BELL: Acquire, partner of the fence in `close`.
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// What a sleeper looks at before it looks whether it must sleep; if it has changed, the sleep does not begin.
    #[inline]
    pub(super) fn state(&self) -> u32 {
        // BELL: Acquire, partner of the fence in `close`.
        self.word.peek(Ordering::Acquire)
    }

    /// Sleeps while a word has the value `expected` and the bell is as it was; `Woken(1)` means that it rang.
    pub(super) fn wait_beside(
        &self,
        word: Futex<'_>,
        expected: u32,
        state: u32,
        bound: Option<Duration>,
    ) -> Wake {
        let wake = futex::wait_any(&[(word, expected), (self.futex(), state)], bound)
            // Where the kernel cannot, the bounded sleep covers a death.
            .unwrap_or_else(|| futex::wait(word, expected, bound));
        if wake == Wake::Woken(1) {
            futex::wake(self.futex(), u32::MAX);
        }
        wake
    }
}

#[cfg(not(any(loom, multiproc_model)))]
impl DeathBell {
    /// Tells of a copy whether it was closed.
    #[must_use]
    pub fn was_closed(bytes: &[u8]) -> bool {
        multiproc_shm::peek::half(bytes, std::mem::offset_of!(DeathBell, word)) & CLOSED != 0
    }
}

impl Default for DeathBell {
    fn default() -> DeathBell {
        DeathBell::new()
    }
}
