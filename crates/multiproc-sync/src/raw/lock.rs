//! The lock that survives the death of any thread at any instruction.
//!
//! One word. Its lower half is a futex in the kernel's own format: bits 0 to 29 the owner's number, bit 30 DIED, bit
//! 31 SLEEPERS. Its upper half is what tells the owner from others who bear that number before and after it.
//!
//! | lower half | means |
//! |---|---|
//! | 0 | free |
//! | SLEEPERS | free, and somebody may sleep |
//! | DIED, with or without SLEEPERS | free; its last owner died with it |
//! | a number, with or without SLEEPERS | owned |
//!
//! *Before* its first attempt a thread has the kernel watch the word, and *after* its last step it has it watch what
//! it watched before. If the thread dies in between, the kernel finds its number and stores DIED, waking one sleeper
//! if there is any; or it finds the word free, and wakes one sleeper; or it finds another's number, and that owner
//! will see SLEEPERS. So a wake-up that was meant for the dead always reaches another.
//!
//! **Invariant**: if somebody sleeps, SLEEPERS is set. A sleeper sets it, and sleeps only while the word has the
//! value with it. It is cleared by two steps only, each of which wakes everybody who sleeps: none to be woken in
//! the second half of an unlock, which the kernel decides under the lock that guards its own list of sleepers; and
//! an unlock by compare-and-swap, which succeeds only where the bit was not set.
//!
//! Why not the C library's robust mutex: its unlock stores "free" and wakes as two steps. Killed in between, while
//! another takes the free lock, it leaves a sleeper for ever. And it writes through pointers that lie in the shared
//! memory.
//!
//! Where the kernel does not see a death (no list head, a filter, a lock that is not the last one that its thread
//! took), sleepers look for the owner themselves whenever their bounded sleep ends, or a [`DeathBell`] rings. Beside
//! such a bell a lock can be taken in two ways: its sleepers hear the bell (`…_hearing`), and what the kernel watches
//! for its owner is the bell, too (`…_beside`), where there is more than the lock to be found after a death.
//!
//! The model of kills tries this file with kills at every step; `tests/loom.rs` tries its orderings.

use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU64, Ordering, Peek, fence};
use multiproc_core::sync::futex::{self, Change, Futex, Wake};
use multiproc_core::sync::{Patience, thread};

use super::{DeathBell, looks};

const DIED: u64 = 1 << 30;
const SLEEPERS: u64 = 1 << 31;

/// A lock of eight bytes without anything in it; all zeros is a free one.
#[derive(Debug)]
#[repr(transparent)]
pub struct Lock {
    word: AtomicU64,
}

/// How a lock was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Acquired {
    /// Its last owner had released it.
    Clean,
    /// Its last owner died with it: what it guards may be half-changed.
    OwnerDied,
}

/// What the kernel is to watch again after a short hold.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Locked {
    watched: usize,
    /// How the lock was found.
    pub acquired: Acquired,
    /// Somebody died meanwhile: who goes to sleep now looks first for what the dead have left.
    pub has_heard: bool,
}

/// What who takes a lock hears beside it.
#[derive(Clone, Copy)]
enum Beside<'a> {
    Nothing,
    /// A bell, while the kernel watches the lock.
    Hears(&'a DeathBell),
    /// A bell, which is also what the kernel watches.
    Watches(&'a DeathBell),
}

/// How a lock was found, and whether a bell was heard on the way.
#[derive(Clone, Copy)]
struct Found {
    acquired: Acquired,
    has_heard: bool,
}

impl Found {
    fn free() -> Found {
        Found { acquired: Acquired::Clean, has_heard: false }
    }

    fn locked(self, watched: usize) -> Locked {
        let has_heard = self.has_heard || self.acquired == Acquired::OwnerDied;
        Locked { watched, acquired: self.acquired, has_heard }
    }
}

impl Lock {
    /// A free lock.
    #[cfg(not(loom))]
    pub const fn new() -> Lock {
        Lock { word: AtomicU64::new(0) }
    }

    /// A free lock.
    #[cfg(loom)]
    pub fn new() -> Lock {
        Lock { word: AtomicU64::new(0) }
    }

    /// Takes the lock for a few steps without user code: memory and atomics only.
    ///
    /// Gives up at the deadline.
    #[inline]
    pub fn lock(&self, deadline: Deadline) -> Option<Locked> {
        self.lock_among(Beside::Nothing, deadline)
    }

    /// Does the same as [`lock`](Self::lock), and hears the bell of those who take it [`beside`](Self::lock_beside).
    #[inline]
    pub fn lock_hearing(&self, bell: &DeathBell, deadline: Deadline) -> Option<Locked> {
        self.lock_among(Beside::Hears(bell), deadline)
    }

    /// Does the same as [`lock_hearing`](Self::lock_hearing) while the kernel watches the bell and not the lock.
    ///
    /// Who dies with it is found by those who hear the bell.
    #[inline]
    pub fn lock_beside(&self, bell: &DeathBell, deadline: Deadline) -> Option<Locked> {
        self.lock_among(Beside::Watches(bell), deadline)
    }

    #[inline]
    fn lock_among(&self, beside: Beside<'_>, deadline: Deadline) -> Option<Locked> {
        let (me, watched) = thread::begin(match beside {
            Beside::Nothing | Beside::Hears(_) => self.futex(),
            Beside::Watches(bell) => bell.futex(),
        });
        match self.acquire(me, beside, deadline) {
            Some(found) => Some(found.locked(watched)),
            None => {
                thread::watch_again(watched);
                None
            }
        }
    }

    /// Releases what [`lock`](Self::lock) took, or one of its kind.
    #[inline]
    pub fn unlock(&self, locked: Locked) {
        self.release(thread::id());
        thread::watch_again(locked.watched);
    }

    /// Takes the lock for as long as its user likes; several may be held, and released in any order.
    ///
    /// Gives up at the deadline, and at once if the calling thread owns it already.
    #[inline(always)]
    pub fn lock_long(&self, deadline: Deadline) -> Option<Acquired> {
        Some(self.hold(Beside::Nothing, deadline)?.acquired)
    }

    /// Does the same as [`lock_long`](Self::lock_long), and hears a bell.
    #[inline]
    pub fn lock_long_hearing(&self, bell: &DeathBell, deadline: Deadline) -> Option<Locked> {
        self.hold(Beside::Hears(bell), deadline)
    }

    #[inline]
    fn hold(&self, beside: Beside<'_>, deadline: Deadline) -> Option<Locked> {
        let locked = self.lock_among(beside, deadline);
        if locked.is_some() {
            thread::hold(self.futex());
        }
        locked
    }

    /// Takes the lock if it is free, as [`lock_long`](Self::lock_long) does.
    #[inline]
    pub fn try_lock_long(&self) -> Option<Acquired> {
        let (me, watched) = thread::begin(self.futex());
        let mut acquired = self.try_acquire(me);
        // One that its owner died with, and that the kernel did not see, would be refused for ever.
        if acquired.is_none() && looks::is_due() {
            self.release_of_the_dead();
            acquired = self.try_acquire(me);
        }
        match acquired {
            Some(_) => thread::hold(self.futex()),
            None => thread::watch_again(watched),
        }
        acquired
    }

    /// Releases what [`lock_long`](Self::lock_long) took.
    #[inline(always)]
    pub fn unlock_long(&self) {
        self.release(thread::id());
        thread::let_go(self.futex());
    }

    /// Tells whether the calling thread owns it.
    pub fn is_mine(&self) -> bool {
        // Only this thread writes its own number, and the kernel after its death.
        self.word.peek(Ordering::Relaxed) & !SLEEPERS == thread::id()
    }

    /// Tells whether its last owner died with it, and nobody has taken it since.
    #[cfg(not(loom))]
    #[cold]
    pub(crate) fn is_of_the_dead(&self) -> bool {
        self.release_of_the_dead();
        self.word.load(Ordering::Relaxed) & DIED != 0
    }

    fn futex(&self) -> Futex<'_> {
        (&self.word).into()
    }

    #[inline(always)]
    fn acquire(&self, me: u64, beside: Beside<'_>, deadline: Deadline) -> Option<Found> {
        // LOCK: Acquire, partner of the Release in `release`, of the fence there, and of the kernel's store.
        match self.word.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Some(Found::free()),
            Err(_) => self.acquire_slowly(me, beside, deadline),
        }
    }

    #[cold]
    fn acquire_slowly(&self, me: u64, beside: Beside<'_>, deadline: Deadline) -> Option<Found> {
        let mut patience = Patience::until(deadline);
        let mut has_heard = false;
        loop {
            if let Some(acquired) = self.try_acquire(me) {
                return Some(Found { acquired, has_heard });
            }
            // A hint: the exchange and the sleep fail if it has changed.
            let seen = self.word.peek(Ordering::Relaxed);
            if seen & thread::NUMBER == 0 {
                continue;
            }
            if seen & !SLEEPERS == me {
                // It would wait for itself.
                return None;
            }
            let Ok(bound) = patience.next_sleep() else { return None };
            let asleep = seen | SLEEPERS;
            if seen != asleep
                && self.word.compare_exchange(seen, asleep, Ordering::Relaxed, Ordering::Relaxed).is_err()
            {
                continue;
            }
            let word = (self.futex(), asleep as u32);
            let wake = match beside {
                Beside::Nothing => futex::wait(word.0, word.1, bound),
                Beside::Watches(bell) => bell.wait_beside(word.0, word.1, bell.state(), bound),
                Beside::Hears(bell) => {
                    // Who is woken by the bell has woken all others before it has the lock watched again. And if one
                    // dies that was woken for the lock, the bell tells all who sleep for it.
                    thread::watch(bell.futex());
                    let wake = bell.wait_beside(word.0, word.1, bell.state(), bound);
                    thread::watch(word.0);
                    wake
                }
            };
            if wake == Wake::Woken(1) {
                // The bell rings a moment before the dead one is seen to be dead: look again soon.
                patience = Patience::until(deadline);
                has_heard = true;
            }
            if matches!(wake, Wake::TimedOut | Wake::Woken(1)) {
                self.release_of_the_dead();
            }
        }
    }

    /// Takes it if it is free.
    fn try_acquire(&self, me: u64) -> Option<Acquired> {
        let mut seen = self.word.peek(Ordering::Relaxed);
        while seen & thread::NUMBER == 0 {
            // SLEEPERS is carried on, DIED is consumed: who dies before it has recovered sets it again.
            let mine = me | seen & SLEEPERS;
            // LOCK: Acquire, as in `acquire`.
            match self.word.compare_exchange(seen, mine, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if seen & DIED != 0 => return Some(Acquired::OwnerDied),
                Ok(_) => return Some(Acquired::Clean),
                Err(now) => seen = now,
            }
        }
        None
    }

    /// Does what the kernel would have done, if the owner is dead and the kernel did not see it.
    #[cold]
    pub fn release_of_the_dead(&self) {
        let mut seen = self.word.peek(Ordering::Relaxed);
        let owner = seen & !(SLEEPERS | DIED);
        if seen & thread::NUMBER == 0 || thread::is_alive(owner) {
            return;
        }
        // SLEEPERS may come and go; with another owner it is not the dead one's any more.
        while seen & !SLEEPERS == owner {
            // Relaxed: what the dead one wrote was ordered by its death.
            let freed = self.word.compare_exchange(
                seen,
                DIED | seen & SLEEPERS,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match freed {
                Ok(_) => {
                    if seen & SLEEPERS != 0 {
                        // As the kernel does: the caller may not want the lock. One that dies before this has the
                        // lock or a bell watched, which wakes as many.
                        futex::wake(self.futex(), 1);
                    }
                    return;
                }
                Err(now) => seen = now,
            }
        }
    }

    #[inline(always)]
    fn release(&self, me: u64) {
        // LOCK: Release, partner of the Acquire in `acquire` and `try_acquire`.
        match self.word.compare_exchange(me, 0, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => {}
            Err(seen) if seen & !SLEEPERS == me => self.release_to_sleepers(),
            // A forked child has a copy of what says that its parent owns it.
            Err(_) => {}
        }
    }

    #[cold]
    fn release_to_sleepers(&self) {
        // LOCK: Release, partner of the Acquire in `try_acquire`. The kernel's store is the release; nothing says
        // that it is one to memory.
        fence(Ordering::Release);
        match futex::wake_op(self.futex(), 1, Change::SetTop) {
            Some(0) => {
                // Nobody slept: take the bit back, and wake who has come to sleep since, whoever owns it by now.
                futex::wake_op(self.futex(), u32::MAX, Change::ClearTop);
            }
            Some(_) => {}
            None => {
                // Two steps, where the kernel has no better; the bounded sleep covers a death in between.
                // LOCK: Release, as above.
                self.word.swap(0, Ordering::Release);
                futex::wake(self.futex(), u32::MAX);
            }
        }
    }
}

#[cfg(not(any(loom, multiproc_model)))]
impl Lock {
    /// What its word in a copy tells a watcher: the owner, if it has one, and whether somebody may sleep, and whether
    /// the last owner died with it.
    pub(crate) fn seen(word: u64) -> (Option<u64>, bool, bool) {
        let owner = (word & thread::NUMBER != 0).then_some(word & !(SLEEPERS | DIED));
        (owner, word & SLEEPERS != 0, owner.is_none() && word & DIED != 0)
    }
}

impl Default for Lock {
    fn default() -> Lock {
        Lock::new()
    }
}
