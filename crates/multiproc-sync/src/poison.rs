use crate::raw::Acquired;
use multiproc_core::sync::atomic::{GuardedU32, Ordering};

/// What happened to the last owner of what a lock guards; all zeros is nothing.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Poison(GuardedU32);

/// Why what a lock guards may be half-changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Died,
    Panicked,
}

const DIED: u32 = 1;
const PANICKED: u32 = 2;
/// The present owner began while its thread panicked already; then its end says nothing about its work.
const AMID: u32 = 4;

impl Poison {
    pub(crate) const fn new() -> Poison {
        Poison(GuardedU32::new(0))
    }

    /// Notes a death before anything else is done, since the lock tells of it only once.
    ///
    /// Who notes it owns the lock: if it dies before, the lock tells the next one.
    #[inline]
    pub(crate) fn note(&self, acquired: Acquired) {
        if acquired == Acquired::OwnerDied {
            self.mark(Cause::Died);
        }
    }

    // Relaxed, here and below: the lock orders it.
    pub(crate) fn mark(&self, cause: Cause) {
        let value = match cause {
            Cause::Died => DIED,
            Cause::Panicked => PANICKED,
        };
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn cause(&self) -> Option<Cause> {
        match self.0.load(Ordering::Relaxed) & !AMID {
            0 => None,
            PANICKED => Some(Cause::Panicked),
            // Also what another program left there.
            _ => Some(Cause::Died),
        }
    }

    /// What its word in a copy tells a watcher.
    #[cfg(not(any(loom, multiproc_model)))]
    pub(crate) fn seen(word: u32) -> Option<crate::peek::State> {
        match word & !AMID {
            0 => None,
            PANICKED => Some(crate::peek::State::Panicked),
            _ => Some(crate::peek::State::OwnerDied),
        }
    }

    pub(crate) fn heal(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) & AMID, Ordering::Relaxed);
    }

    /// Begins an owner's work, and tells why what it finds may be half-changed.
    ///
    /// For guards of one word: what more there is to know about them stands here.
    #[inline]
    pub(crate) fn begin(&self) -> Option<Cause> {
        if self.0.load(Ordering::Relaxed) == 0 && !std::thread::panicking() {
            None
        } else {
            self.begin_slowly()
        }
    }

    #[cold]
    fn begin_slowly(&self) -> Option<Cause> {
        let amid = if std::thread::panicking() { AMID } else { 0 };
        self.0.store(self.0.load(Ordering::Relaxed) & !AMID | amid, Ordering::Relaxed);
        self.cause()
    }

    /// Ends an owner's work, of which a panic that began since is noted.
    #[inline]
    pub(crate) fn end(&self, is_mine: impl FnOnce() -> bool) {
        if std::thread::panicking() {
            self.end_amid_panic(is_mine());
        }
    }

    #[cold]
    fn end_amid_panic(&self, is_mine: bool) {
        if is_mine && self.0.load(Ordering::Relaxed) & AMID == 0 {
            self.mark(Cause::Panicked);
        }
    }
}

/// Whether a guard was made while its thread panicked already; then its end says nothing about its work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Began {
    panicking: bool,
}

impl Began {
    #[inline]
    pub(crate) fn now() -> Began {
        Began { panicking: std::thread::panicking() }
    }

    /// Tells whether a panic that began since is what ends the guard.
    #[inline]
    pub(crate) fn is_unwound(self) -> bool {
        !self.panicking && std::thread::panicking()
    }
}
