use crate::error::{AcquireError, OnThisThread, Recover, Refused};
#[cfg(not(any(loom, multiproc_model)))]
use crate::peek::{self, Look, State};
use crate::poison::{Began, Cause, Poison};
use crate::raw::{Acquired, Lock};
use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU32, Ordering};
use multiproc_shm::ShmSafe;
#[cfg(not(any(loom, multiproc_model)))]
use multiproc_shm::peek as shm;
use std::fmt;
use std::marker::PhantomData;
#[cfg(not(any(loom, multiproc_model)))]
use std::mem::offset_of;
use std::ops::Deref;
use std::time::{Duration, Instant};

/// A lock that its owner may take again, for threads of any number of processes: Python's `RLock`.
///
/// It is free when every guard of it has been dropped. Since there can be several at once, they give shared access
/// only: put atomics into it. When its owner dies, or panics, the next one is told, as with a
/// [`Mutex`](crate::Mutex).
///
/// # Examples
///
/// ```
/// use multiproc_shm::Shared;
/// use multiproc_sync::ReentrantMutex;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// let total = Shared::new(ReentrantMutex::new(AtomicU64::new(0)))?;
/// let outer = total.lock().unwrap();
/// let inner = total.lock().unwrap();
/// // Relaxed: the lock orders it.
/// inner.fetch_add(1, Ordering::Relaxed);
/// assert_eq!(outer.load(Ordering::Relaxed), 1);
/// # std::io::Result::Ok(())
/// ```
#[repr(C)]
pub struct ReentrantMutex<T> {
    pub(crate) lock: Lock,
    /// How many guards its owner has; it means something only to the owner.
    depth: AtomicU32,
    poison: Poison,
    pub(crate) value: T,
}

/// The error of taking a [`ReentrantMutex`].
pub type ReentrantLockError<'a, T> = AcquireError<ReentrantMutexGuard<'a, T>>;

/// The value of a [`ReentrantMutex`], which is locked until this and its other guards are dropped.
///
/// It stays on the thread that took the lock.
///
/// # Examples
///
/// ```
/// use multiproc_sync::ReentrantMutex;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::time::{Duration, Instant};
///
/// let mut hits = ReentrantMutex::new(AtomicU64::new(0));
/// {
///     let outer = hits.lock().unwrap();
///     let inner = hits.lock_timeout(Duration::from_secs(1)).unwrap();
///     let third = hits.lock_deadline(Instant::now() + Duration::from_secs(1)).unwrap();
///     for guard in [&outer, &inner, &third] {
///         guard.fetch_add(1, Ordering::Relaxed);
///     }
/// } // free when all of them are gone
/// *hits.get_mut() = AtomicU64::new(7);
/// assert_eq!(hits.into_inner().into_inner(), 7);
/// ```
#[must_use = "the lock is released when the guard is dropped"]
#[clippy::has_significant_drop]
pub struct ReentrantMutexGuard<'a, T> {
    mutex: &'a ReentrantMutex<T>,
    began: Began,
    marker: OnThisThread,
}

impl<T: ShmSafe> ReentrantMutex<T> {
    /// Makes a free lock around a value.
    pub const fn new(value: T) -> ReentrantMutex<T> {
        ReentrantMutex { lock: Lock::new(), depth: AtomicU32::new(0), poison: Poison::new(), value }
    }
}

impl<T> ReentrantMutex<T> {
    /// Waits for the lock, or takes it once more.
    ///
    /// # Errors
    ///
    /// The last owner died or panicked, and its guard is in the error.
    ///
    /// # Panics
    ///
    /// The calling thread has 2³² − 1 guards of it.
    #[inline]
    pub fn lock(&self) -> Result<ReentrantMutexGuard<'_, T>, ReentrantLockError<'_, T>> {
        self.lock_until(Deadline::NEVER)
    }

    /// Takes the lock if it is free or the calling thread's own.
    ///
    /// # Errors
    ///
    /// Another has it; or the last owner died or panicked, as with [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<ReentrantMutexGuard<'_, T>, ReentrantLockError<'_, T>> {
        if self.lock.is_mine() {
            return self.once_more();
        }
        match self.lock.try_lock_long() {
            Some(acquired) => self.first(acquired),
            None => Err(AcquireError::refused(Refused::WouldBlock)),
        }
    }

    /// Waits for the lock, at most for a time.
    ///
    /// # Errors
    ///
    /// As of [`lock`](Self::lock), or the time was up.
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<ReentrantMutexGuard<'_, T>, ReentrantLockError<'_, T>> {
        self.lock_until(Deadline::after(timeout))
    }

    /// Waits for the lock, at most until an instant.
    ///
    /// # Errors
    ///
    /// As of [`lock`](Self::lock), or the time was up.
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_deadline(
        &self,
        deadline: Instant,
    ) -> Result<ReentrantMutexGuard<'_, T>, ReentrantLockError<'_, T>> {
        self.lock_until(Deadline::at(deadline))
    }

    /// The value of a lock that nobody else has.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    /// The value, taken out.
    pub fn into_inner(self) -> T {
        self.value
    }

    #[inline]
    fn lock_until(
        &self,
        deadline: Deadline,
    ) -> Result<ReentrantMutexGuard<'_, T>, ReentrantLockError<'_, T>> {
        if self.lock.is_mine() {
            return self.once_more();
        }
        match self.lock.lock_long(deadline) {
            Some(acquired) => self.first(acquired),
            None => Err(AcquireError::refused(Refused::TimedOut)),
        }
    }

    fn first(&self, acquired: Acquired) -> Result<ReentrantMutexGuard<'_, T>, ReentrantLockError<'_, T>> {
        self.poison.note(acquired);
        // Relaxed, here and below: only the owner has anything to do with it.
        self.depth.store(1, Ordering::Relaxed);
        self.guard()
    }

    fn once_more(&self) -> Result<ReentrantMutexGuard<'_, T>, ReentrantLockError<'_, T>> {
        let depth = self.depth.load(Ordering::Relaxed);
        assert!(depth < u32::MAX, "a thread has 2^32 - 1 guards of one reentrant mutex");
        self.depth.store(depth + 1, Ordering::Relaxed);
        self.guard()
    }

    fn guard(&self) -> Result<ReentrantMutexGuard<'_, T>, ReentrantLockError<'_, T>> {
        let guard = ReentrantMutexGuard { mutex: self, began: Began::now(), marker: PhantomData };
        match self.poison.cause() {
            None => Ok(guard),
            Some(cause) => Err(AcquireError::owner_dead(guard, cause)),
        }
    }
}

impl<T> Deref for ReentrantMutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.mutex.value
    }
}

impl<T> Drop for ReentrantMutexGuard<'_, T> {
    fn drop(&mut self) {
        let mutex = self.mutex;
        // A forked child's copy of its parent's guard is none.
        if !mutex.lock.is_mine() {
            return;
        }
        if self.began.is_unwound() {
            mutex.poison.mark(Cause::Panicked);
        }
        let depth = mutex.depth.load(Ordering::Relaxed).saturating_sub(1);
        mutex.depth.store(depth, Ordering::Relaxed);
        if depth == 0 {
            mutex.lock.unlock_long();
        }
    }
}

#[cfg(not(any(loom, multiproc_model)))]
impl<T> ReentrantMutex<T> {
    /// What a watcher sees in a copy.
    pub(crate) fn look(bytes: &[u8]) -> Look {
        let word = shm::word(bytes, offset_of!(Self, lock));
        let depth = shm::half(bytes, offset_of!(Self, depth)).max(1);
        peek::owned(word, shm::half(bytes, offset_of!(Self, poison)), State::Held(depth))
    }
}

impl<T> Recover for ReentrantMutexGuard<'_, T> {
    fn recover(&self) {
        self.mutex.poison.heal();
    }
}

impl<T: ShmSafe + Default> Default for ReentrantMutex<T> {
    fn default() -> ReentrantMutex<T> {
        ReentrantMutex::new(T::default())
    }
}

impl<T: ShmSafe> From<T> for ReentrantMutex<T> {
    fn from(value: T) -> ReentrantMutex<T> {
        ReentrantMutex::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for ReentrantMutex<T> {
    /// Shows the value if it can be had without waiting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ReentrantMutex");
        match self.try_lock() {
            Ok(guard) => shown.field("value", &*guard),
            Err(error) if error.is_owner_dead() => shown.field("value", &format_args!("<owner dead>")),
            Err(_) => shown.field("value", &format_args!("<locked>")),
        };
        shown.finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
