//! # Safety
//!
//! The value lies in an `UnsafeCell`. A write guard exists only while its thread owns the gate and has seen, with
//! `writer` announced under the lock of the readers' ledger, that no reader is left; a read guard only while its
//! reader is counted there, which no reader is while a writer is announced. So there is one write guard and no read
//! guard, or no write guard, among all threads of all processes. The dead have no references any more; and every bit
//! pattern that they left is a value (`ShmSafe`).
#![expect(unsafe_code, reason = "the value is behind a lock that the compiler does not know")]

use crate::error::{AcquireError, OnThisThread, Recover, Refused};
#[cfg(not(any(loom, multiproc_model)))]
use crate::peek::{self, Look, State};
use crate::poison::{Began, Cause, Poison};
use crate::raw::{Acquired, Lock, Permits, Taken, looks};
use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU32, Ordering};
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

/// Nobody is announced; a reader may come in.
const NONE: u32 = 0;
/// The owner of the gate waits for the readers to leave; nothing is changed yet.
const WAITING: u32 = 1;
/// The owner of the gate has the value for itself.
const WRITING: u32 = 2;

/// A lock for many readers or one writer, for threads of any number of processes.
///
/// It is `std`'s for [`Shared`](multiproc_shm::Shared) memory; Python has none. A writer that waits goes before the
/// readers that come after it. When a writer dies, or panics, whoever comes next is told, as with a
/// [`Mutex`](crate::Mutex). A reader that dies leaves nothing half-changed: it is taken off the list, and that is all.
///
/// # Examples
///
/// ```
/// use multiproc_shm::Shared;
/// use multiproc_sync::RwLock;
///
/// let table = Shared::new(RwLock::new([0u32; 8]))?;
/// table.write().unwrap()[3] = 7;
/// let one = table.read().unwrap();
/// let other = table.read().unwrap();
/// assert_eq!(one[3], other[3]);
/// assert!(table.try_write().unwrap_err().is_would_block());
/// # std::io::Result::Ok(())
/// ```
///
/// # Caveats
///
/// - A thread that reads and reads again waits for itself if a writer came in between; one that reads and writes
///   waits for itself at once.
/// - The readers of 128 processes at a time are on the list; those of further ones keep writers out if they die.
/// - It takes about two kilobytes beside the value.
#[repr(C)]
pub struct RwLock<T> {
    /// A writer owns it from before it is announced until after it has written. Readers pass through it if a writer
    /// is announced, so that the kernel tells them of its death; while it waits for the readers to leave, their bell
    /// does, which who sleeps at the gate hears too.
    gate: Lock,
    /// What the owner of the gate does; it becomes other than `NONE` under the lock of `readers`.
    writer: AtomicU32,
    poison: Poison,
    readers: Permits,
    pub(crate) value: UnsafeCell<T>,
}

/// The error of taking an [`RwLock`] to read.
pub type ReadError<'a, T> = AcquireError<RwLockReadGuard<'a, T>>;

/// The error of taking an [`RwLock`] to write.
pub type WriteError<'a, T> = AcquireError<RwLockWriteGuard<'a, T>>;

/// The value of an [`RwLock`], which nobody changes until this is dropped.
///
/// It stays on the thread that took the lock.
///
/// # Examples
///
/// ```
/// use multiproc_sync::RwLock;
/// use std::time::{Duration, Instant};
///
/// let table = RwLock::new([1u32, 2]);
/// let first = table.read().unwrap();
/// let second = table.try_read().unwrap(); // readers share
/// let third = table.read_timeout(Duration::from_secs(1)).unwrap();
/// let fourth = table.read_deadline(Instant::now() + Duration::from_secs(1)).unwrap();
/// assert_eq!(first[0] + second[1] + third[0] + fourth[1], 6);
/// assert!(table.try_write().unwrap_err().is_would_block());
/// ```
#[must_use = "the lock is released when the guard is dropped"]
#[clippy::has_significant_drop]
pub struct RwLockReadGuard<'a, T> {
    lock: &'a RwLock<T>,
    taken: Taken,
    marker: OnThisThread,
}

/// The value of an [`RwLock`], which nobody else sees until this is dropped.
///
/// It stays on the thread that took the lock.
///
/// # Examples
///
/// ```
/// use multiproc_sync::RwLock;
/// use std::time::{Duration, Instant};
///
/// let mut table = RwLock::new([1u32, 2]);
/// table.write().unwrap()[0] = 3;
/// table.write_timeout(Duration::from_secs(1)).unwrap()[1] = 4;
/// assert_eq!(*table.write_deadline(Instant::now() + Duration::from_secs(1)).unwrap(), [3, 4]);
/// table.get_mut()[0] = 5; // nobody else has it
/// assert_eq!(table.into_inner(), [5, 4]);
/// ```
#[must_use = "the lock is released when the guard is dropped"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'a, T> {
    lock: &'a RwLock<T>,
    began: Began,
    marker: OnThisThread,
}

// SAFETY: a shared lock gives out shared references to several threads at once, and exclusive ones to one at a time.
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

impl<T: ShmSafe> RwLock<T> {
    /// Makes a free lock around a value.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock {
            gate: Lock::new(),
            writer: AtomicU32::new(NONE),
            poison: Poison::new(),
            readers: Permits::new(),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T> RwLock<T> {
    /// Waits until no writer has the lock, and takes it to read.
    ///
    /// # Errors
    ///
    /// The last writer died or panicked, and the guard is in the error; or the calling thread writes itself.
    #[inline]
    pub fn read(&self) -> Result<RwLockReadGuard<'_, T>, ReadError<'_, T>> {
        self.read_until(Deadline::NEVER)
    }

    /// Takes the lock to read if no writer has it or waits for it.
    ///
    /// # Errors
    ///
    /// A writer has it or waits for it; or the last one died or panicked, as with [`read`](Self::read).
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, ReadError<'_, T>> {
        if let Ok(taken) = self.readers.take(looks::without_waiting(), |_| self.is_open()) {
            return self.read_guard(taken);
        }
        // It may be one that is dead.
        match self.gate.try_lock_long() {
            Some(acquired) => self.pass(acquired, looks::without_waiting(), Refused::WouldBlock),
            None => Err(AcquireError::refused(Refused::WouldBlock)),
        }
    }

    /// Waits until no writer has the lock, at most for a time, and takes it to read.
    ///
    /// # Errors
    ///
    /// As of [`read`](Self::read), or the time was up.
    pub fn read_timeout(&self, timeout: Duration) -> Result<RwLockReadGuard<'_, T>, ReadError<'_, T>> {
        self.read_until(Deadline::after(timeout))
    }

    /// Waits until no writer has the lock, at most until an instant, and takes it to read.
    ///
    /// # Errors
    ///
    /// As of [`read`](Self::read), or the time was up.
    pub fn read_deadline(&self, deadline: Instant) -> Result<RwLockReadGuard<'_, T>, ReadError<'_, T>> {
        self.read_until(Deadline::at(deadline))
    }

    /// Waits until nobody has the lock, and takes it to write.
    ///
    /// # Errors
    ///
    /// The last writer died or panicked, and the guard is in the error; or the calling thread writes already.
    #[inline]
    pub fn write(&self) -> Result<RwLockWriteGuard<'_, T>, WriteError<'_, T>> {
        self.write_until(Deadline::NEVER)
    }

    /// Takes the lock to write if nobody has it.
    ///
    /// # Errors
    ///
    /// Somebody has it; or the last writer died or panicked, as with [`write`](Self::write).
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, WriteError<'_, T>> {
        let Some(acquired) = self.gate.try_lock_long() else {
            return Err(AcquireError::refused(Refused::WouldBlock));
        };
        self.note(acquired);
        // Where there are readers, none is kept out for a writer that does not come.
        let deadline = looks::without_waiting();
        let mut is_alone = self.announce(deadline, false) == Some(true);
        if !is_alone && looks::is_due() && !deadline.has_passed() {
            self.readers.take_back_from_the_dead();
            is_alone = self.announce(deadline, false) == Some(true);
        }
        if is_alone {
            return self.write_guard();
        }
        self.leave();
        Err(AcquireError::refused(Refused::WouldBlock))
    }

    /// Waits until nobody has the lock, at most for a time, and takes it to write.
    ///
    /// # Errors
    ///
    /// As of [`write`](Self::write), or the time was up.
    pub fn write_timeout(&self, timeout: Duration) -> Result<RwLockWriteGuard<'_, T>, WriteError<'_, T>> {
        self.write_until(Deadline::after(timeout))
    }

    /// Waits until nobody has the lock, at most until an instant, and takes it to write.
    ///
    /// # Errors
    ///
    /// As of [`write`](Self::write), or the time was up.
    pub fn write_deadline(&self, deadline: Instant) -> Result<RwLockWriteGuard<'_, T>, WriteError<'_, T>> {
        self.write_until(Deadline::at(deadline))
    }

    /// The value of a lock that nobody else has.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value, taken out.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    #[inline]
    fn read_until(&self, deadline: Deadline) -> Result<RwLockReadGuard<'_, T>, ReadError<'_, T>> {
        match self.readers.take(deadline, |_| self.is_open()) {
            Ok(taken) => return self.read_guard(taken),
            // The dead one may have been a writer.
            Err(not) if not.has_heard => self.gate.release_of_the_dead(),
            Err(_) => {}
        }
        match self.lock_gate(deadline) {
            Some(acquired) => self.pass(acquired, deadline, Refused::TimedOut),
            None => Err(AcquireError::refused(self.why_not())),
        }
    }

    fn lock_gate(&self, deadline: Deadline) -> Option<Acquired> {
        let locked = self.gate.lock_long_hearing(self.readers.bell(), deadline)?;
        if locked.has_heard {
            // A death that will not be heard again.
            self.readers.take_back_from_the_dead();
        }
        Some(locked.acquired)
    }

    /// Asked under the lock of `readers`.
    fn is_open(&self) -> bool {
        // RWLOCK: Acquire, partner of the Release in `leave`: what the writer wrote is seen.
        self.writer.load(Ordering::Acquire) == NONE
    }

    /// Counts a reader who owns the gate, so that no writer is at work, and gives the gate back.
    fn pass(
        &self,
        acquired: Acquired,
        deadline: Deadline,
        refused: Refused,
    ) -> Result<RwLockReadGuard<'_, T>, ReadError<'_, T>> {
        self.note(acquired);
        // What a dead writer left there.
        // RWLOCK: Release, as in `leave`: the lock of the gate has told this thread of what the writer wrote.
        self.writer.store(NONE, Ordering::Release);
        let taken = self.readers.take_under(deadline, |_| true);
        self.gate.unlock_long();
        match taken {
            Some(taken) => self.read_guard(taken),
            // Somebody is stopped at the ledger, or there are 2³¹ readers.
            None => Err(AcquireError::refused(refused)),
        }
    }

    fn write_until(&self, deadline: Deadline) -> Result<RwLockWriteGuard<'_, T>, WriteError<'_, T>> {
        let Some(acquired) = self.lock_gate(deadline) else {
            return Err(AcquireError::refused(self.why_not()));
        };
        self.note(acquired);
        // Not alone: only who is announced may wait for the readers to leave, since no others come then.
        let is_alone = self.announce(deadline, true);
        if is_alone == Some(true) || is_alone.is_some() && self.readers.wait(deadline, |taken| taken <= 0) {
            return self.write_guard();
        }
        self.leave();
        Err(AcquireError::refused(Refused::TimedOut))
    }

    /// Looks at what the last owner of the gate was doing, if it died with it.
    fn note(&self, acquired: Acquired) {
        // Relaxed: only the owner of the gate changes it.
        if self.writer.load(Ordering::Relaxed) == WRITING {
            self.poison.note(acquired);
        }
    }

    /// Tells whether there are no readers, or nothing if somebody is stopped at the ledger until the deadline.
    ///
    /// Keeps further readers out if there are none, or if the caller waits for them to leave.
    fn announce(&self, deadline: Deadline, waits: bool) -> Option<bool> {
        self.readers.while_none_is_taken(deadline, |taken| {
            if waits || taken <= 0 {
                // Relaxed: readers look under the same lock.
                self.writer.store(WAITING, Ordering::Relaxed);
            }
            taken <= 0
        })
    }

    /// Lets readers in again, and then whoever waits at the gate.
    fn leave(&self) {
        // RWLOCK: Release, partner of the Acquire in `is_open`.
        self.writer.store(NONE, Ordering::Release);
        self.gate.unlock_long();
    }

    fn read_guard(&self, taken: Taken) -> Result<RwLockReadGuard<'_, T>, ReadError<'_, T>> {
        let guard = RwLockReadGuard { lock: self, taken, marker: PhantomData };
        match self.poison.cause() {
            None => Ok(guard),
            Some(cause) => Err(AcquireError::owner_dead(guard, cause)),
        }
    }

    fn write_guard(&self) -> Result<RwLockWriteGuard<'_, T>, WriteError<'_, T>> {
        // Relaxed: only the owner of the gate, and the one after it, has to do with the difference.
        self.writer.store(WRITING, Ordering::Relaxed);
        let guard = RwLockWriteGuard { lock: self, began: Began::now(), marker: PhantomData };
        match self.poison.cause() {
            None => Ok(guard),
            Some(cause) => Err(AcquireError::owner_dead(guard, cause)),
        }
    }

    #[cold]
    fn why_not(&self) -> Refused {
        if self.gate.is_mine() { Refused::Deadlock } else { Refused::TimedOut }
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so there is no write guard, and it is borrowed at least as long.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so there is no other, and it is borrowed at least as long.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard exists, so there is no other, and it is borrowed exclusively as long.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.readers.give_back(&self.taken);
    }
}

impl<T> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        // A forked child's copy of its parent's guard is none.
        if !self.lock.gate.is_mine() {
            return;
        }
        if self.began.is_unwound() {
            self.lock.poison.mark(Cause::Panicked);
        }
        self.lock.leave();
    }
}

#[cfg(not(any(loom, multiproc_model)))]
impl<T> RwLock<T> {
    /// What a watcher sees in a copy.
    pub(crate) fn look(bytes: &[u8]) -> Look {
        let gate = peek::owned(
            shm::word(bytes, offset_of!(Self, gate)),
            shm::half(bytes, offset_of!(Self, poison)),
            State::Writing,
        );
        let writer = shm::half(bytes, offset_of!(Self, writer));
        let readers = Permits::look(bytes.get(offset_of!(Self, readers)..).unwrap_or_default(), |taken| {
            let count = taken.max(0).unsigned_abs();
            if writer == WAITING { State::Draining(count) } else { State::Reading(count) }
        });
        let is_waited_for = gate.is_waited_for || readers.is_waited_for;
        let is_read = !matches!(readers.state, State::Reading(0) | State::Draining(_));
        if writer == WAITING || writer != WRITING && is_read {
            Look { is_waited_for, ..readers }
        } else if writer == WRITING || gate.state != State::Writing {
            Look { is_waited_for, ..gate }
        } else {
            // Somebody is between two of its steps.
            Look { is_waited_for, ..Look::new(State::Free) }
        }
    }
}

impl<T> Recover for RwLockReadGuard<'_, T> {
    fn recover(&self) {
        self.lock.poison.heal();
    }
}

impl<T> Recover for RwLockWriteGuard<'_, T> {
    fn recover(&self) {
        self.lock.poison.heal();
    }
}

impl<T: ShmSafe + Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T: ShmSafe> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLock<T> {
    /// Shows the value if it can be had without waiting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => shown.field("value", &*guard),
            Err(error) if error.is_owner_dead() => shown.field("value", &format_args!("<owner dead>")),
            Err(_) => shown.field("value", &format_args!("<locked>")),
        };
        shown.finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
