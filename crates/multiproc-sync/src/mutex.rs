//! # Safety
//!
//! The value lies in an `UnsafeCell`. It is reached through a guard, which exists only while the lock is owned by the
//! thread that made it; so there is one guard at a time among all threads of all processes, and it gives out a
//! shared or an exclusive reference as it is borrowed itself. The lock orders what one owner wrote before what the
//! next one reads. An owner that was killed has no references any more; the next one gets its guard, and every bit
//! pattern that was left is a value (`ShmSafe`).
#![expect(unsafe_code, reason = "the value is behind a lock that the compiler does not know")]

use crate::error::{AcquireError, OnThisThread, Recover, Refused};
#[cfg(not(any(loom, multiproc_model)))]
use crate::peek::{self, Look, State};
use crate::poison::Poison;
use crate::raw::Lock;
use multiproc_core::Deadline;
use multiproc_shm::ShmSafe;
#[cfg(not(any(loom, multiproc_model)))]
use multiproc_shm::peek as shm;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
#[cfg(not(any(loom, multiproc_model)))]
use std::mem::offset_of;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

/// A lock around a value, for threads of any number of processes.
///
/// It is `std`'s mutex for [`Shared`](multiproc_shm::Shared) memory. In one thing there is more to it: its owner may
/// die at any instruction. Then the next one to take it gets an error that says so and holds the lock, as `std`'s does
/// after a panic; see [`LockError`].
///
/// Unlike Python's `Lock` it can only be released by who took it. Like `std`'s it is not fair.
///
/// # Examples
///
/// ```
/// use multiproc_shm::Shared;
/// use multiproc_sync::Mutex;
///
/// let hits = Shared::new(Mutex::new(0u64))?;
/// *hits.lock().unwrap() += 1;
/// assert_eq!(*hits.lock().unwrap(), 1);
/// # std::io::Result::Ok(())
/// ```
///
/// # Caveats
///
/// - An owner that is stopped, and not dead, keeps the lock: nothing may take it away.
/// - A guard that is forgotten keeps it until its thread ends; the next one is then told of a death.
#[repr(C)]
pub struct Mutex<T> {
    pub(crate) lock: Lock,
    pub(crate) poison: Poison,
    reserved: u32,
    pub(crate) value: UnsafeCell<T>,
}

/// The error of taking a [`Mutex`].
pub type LockError<'a, T> = AcquireError<MutexGuard<'a, T>>;

/// The value of a [`Mutex`], which is locked until this is dropped.
///
/// It stays on the thread that took the lock.
///
/// # Examples
///
/// ```
/// use multiproc_sync::{Mutex, MutexGuard};
/// use std::time::{Duration, Instant};
///
/// fn raise(mut hits: MutexGuard<'_, u64>) {
///     *hits += 1;
/// } // released here
///
/// let mut hits = Mutex::new(0u64);
/// raise(hits.lock().unwrap());
/// raise(hits.lock_timeout(Duration::from_secs(1)).unwrap());
/// raise(hits.lock_deadline(Instant::now() + Duration::from_secs(1)).unwrap());
/// *hits.get_mut() += 1; // nobody else has it
/// assert_eq!(hits.into_inner(), 4);
/// ```
#[must_use = "the lock is released when the guard is dropped"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    marker: OnThisThread,
}

// SAFETY: a shared mutex gives access to its value to one thread at a time, so that the value is as good as sent there.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T: ShmSafe> Mutex<T> {
    /// Makes a free lock around a value.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { lock: Lock::new(), poison: Poison::new(), reserved: 0, value: UnsafeCell::new(value) }
    }
}

impl<T> Mutex<T> {
    /// Waits for the lock.
    ///
    /// # Errors
    ///
    /// The last owner died or panicked, and its guard is in the error; or the calling thread owns the lock already.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_sync::Mutex;
    ///
    /// let mutex = Mutex::new([0u32; 4]);
    /// let mut guard = mutex.lock().unwrap();
    /// guard[3] = 7;
    /// assert!(mutex.lock().unwrap_err().is_deadlock());
    /// ```
    // Always, here and below it: a call costs as much as the rest, and in larger programs it would be one.
    #[inline(always)]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        self.lock_until(Deadline::NEVER)
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    ///
    /// Another has it; or the last owner died or panicked, as with [`lock`](Self::lock).
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        match self.lock.try_lock_long() {
            Some(acquired) => {
                self.poison.note(acquired);
                self.guard()
            }
            None => Err(AcquireError::refused(Refused::WouldBlock)),
        }
    }

    /// Waits for the lock, at most for a time.
    ///
    /// # Errors
    ///
    /// As of [`lock`](Self::lock), or the time was up.
    pub fn lock_timeout(&self, timeout: Duration) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        self.lock_until(Deadline::after(timeout))
    }

    /// Waits for the lock, at most until an instant.
    ///
    /// # Errors
    ///
    /// As of [`lock`](Self::lock), or the time was up.
    pub fn lock_deadline(&self, deadline: Instant) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        self.lock_until(Deadline::at(deadline))
    }

    /// The value of a mutex that nobody else has.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value, taken out.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    #[inline(always)]
    pub(crate) fn lock_until(&self, deadline: Deadline) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        match self.lock.lock_long(deadline) {
            Some(acquired) => {
                self.poison.note(acquired);
                self.guard()
            }
            None => Err(AcquireError::refused(self.why_not())),
        }
    }

    #[inline(always)]
    fn guard(&self) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        let guard = MutexGuard { mutex: self, marker: PhantomData };
        match self.poison.begin() {
            None => Ok(guard),
            Some(cause) => Err(AcquireError::owner_dead(guard, cause)),
        }
    }

    #[cold]
    fn why_not(&self) -> Refused {
        if self.lock.is_mine() { Refused::Deadlock } else { Refused::TimedOut }
    }
}

impl<'a, T> MutexGuard<'a, T> {
    /// The mutex that it guards.
    pub(crate) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so this thread owns the lock, and the guard is borrowed at least as long.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard exists, so this thread owns the lock, and the guard is borrowed exclusively as long.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // A forked child's copy of its parent's guard is none.
        self.mutex.poison.end(|| self.mutex.lock.is_mine());
        self.mutex.lock.unlock_long();
    }
}

#[cfg(not(any(loom, multiproc_model)))]
impl<T> Mutex<T> {
    /// What a watcher sees in a copy.
    pub(crate) fn look(bytes: &[u8]) -> Look {
        let word = shm::word(bytes, offset_of!(Self, lock));
        peek::owned(word, shm::half(bytes, offset_of!(Self, poison)), State::Held(1))
    }
}

impl<T> Recover for MutexGuard<'_, T> {
    fn recover(&self) {
        self.mutex.poison.heal();
    }
}

impl<T: ShmSafe + Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T: ShmSafe> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    /// Shows the value if it can be had without waiting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => shown.field("value", &*guard),
            Err(error) if error.is_owner_dead() => shown.field("value", &format_args!("<owner dead>")),
            Err(_) => shown.field("value", &format_args!("<locked>")),
        };
        shown.finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(all(test, not(any(loom, multiproc_model))))]
mod layout {
    use super::*;

    #[test]
    fn as_it_is_drawn() {
        let page = include_str!("../../../ARCHITECTURE.md");
        let lines = [
            format!("\n{:>7} {:>6}  Mutex.lock\n", offset_of!(Mutex<u64>, lock), size_of::<Lock>()),
            format!("\n{:>7} {:>6}  Mutex.poison\n", offset_of!(Mutex<u64>, poison), size_of::<Poison>()),
            format!("\n{:>7} {:>6}  Mutex.value\n", offset_of!(Mutex<u64>, value), ""),
        ];
        for line in lines {
            assert!(page.contains(&line), "ARCHITECTURE.md does not draw {line:?}");
        }
    }
}
