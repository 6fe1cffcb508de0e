//! How a death is heard by those who do not wait for the dead one's lock.
//!
//! The bell is a word that is always 0. A thread that takes part in something has the kernel watch the bell; if the
//! thread dies, the kernel finds nobody's number in it and wakes one sleeper. Everybody who sleeps for that thing
//! sleeps on the bell, too. Who is woken by it first wakes all the others, which costs something and happens only
//! when somebody dies, and then does what the dead one would have done. If it dies before, its own death rings.

use multiproc_core::sync::atomic::AtomicU32;
use multiproc_core::sync::futex::{self, Futex, Wake};
use std::time::Duration;

/// A word that is always 0, and of which the kernel wakes one sleeper if a thread that it watches it for dies.
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

    /// Sleeps while a word has the value `expected` and the bell is silent; `Woken(1)` means that it rang.
    pub(super) fn wait_beside(&self, word: Futex<'_>, expected: u32, bound: Option<Duration>) -> Wake {
        let wake = futex::wait_any(&[(word, expected), (self.futex(), 0)], bound)
            // Where the kernel cannot, the bounded sleep covers a death.
            .unwrap_or_else(|| futex::wait(word, expected, bound));
        if wake == Wake::Woken(1) {
            futex::wake(self.futex(), u32::MAX);
        }
        wake
    }
}

impl Default for DeathBell {
    fn default() -> DeathBell {
        DeathBell::new()
    }
}
