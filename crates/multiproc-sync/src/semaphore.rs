use crate::error::OnThisThread;
#[cfg(not(any(loom, multiproc_model)))]
use crate::peek::{Look, State};
use crate::raw::{Permits, Taken};
use multiproc_core::Deadline;
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

/// A number of permits for threads of any number of processes: Python's `Semaphore`.
///
/// A [`Permit`] is given back when it is dropped, and also when its process dies: whoever waits for one hears the death
/// and takes them back. Python's habit, [`forget`](Permit::forget) and [`release`](Self::release) by hand, is there as
/// well; of such a permit nobody knows who has it, and it does not come back by itself.
///
/// # Examples
///
/// ```
/// use multiproc_shm::Shared;
/// use multiproc_sync::Semaphore;
///
/// let gate = Shared::new(Semaphore::new(2))?;
/// let first = gate.acquire();
/// let second = gate.acquire();
/// assert!(gate.try_acquire().is_none());
/// drop(first);
/// assert_eq!(gate.available(), 1);
/// # drop(second);
/// # std::io::Result::Ok(())
/// ```
///
/// # Caveats
///
/// - The ledger has room for 128 processes that hold permits at the same time; what more of them take comes back
///   when it is dropped, and not when they die.
/// - A process that is stopped, and not dead, keeps its permits.
/// - It takes about two kilobytes.
#[repr(C)]
pub struct Semaphore {
    permits: Permits,
    initial: u32,
    reserved: u32,
}

/// A [`Semaphore`] that cannot be released above its initial number: Python's `BoundedSemaphore`.
///
/// # Examples
///
/// ```
/// use multiproc_sync::BoundedSemaphore;
///
/// let seats = BoundedSemaphore::new(1);
/// let seat = seats.acquire();
/// assert!(seats.release().is_err(), "the seat will come back by itself");
/// seat.forget();
/// assert!(seats.release().is_ok());
/// assert!(seats.release().is_err());
/// ```
#[repr(transparent)]
pub struct BoundedSemaphore {
    semaphore: Semaphore,
}

/// One of a semaphore's permits, given back when this is dropped or when its process dies.
///
/// It stays on the thread that took it.
///
/// # Examples
///
/// ```
/// use multiproc_sync::{BoundedSemaphore, Semaphore};
/// use std::time::{Duration, Instant};
///
/// let seats = Semaphore::new(1);
/// let permit = seats.acquire_timeout(Duration::from_secs(1)).unwrap();
/// assert!(seats.acquire_deadline(Instant::now() + Duration::from_millis(1)).is_none());
/// drop(permit);
/// assert_eq!(seats.available(), 1);
///
/// let seats = BoundedSemaphore::new(1);
/// let permit = seats.acquire_timeout(Duration::from_secs(1)).unwrap();
/// assert!(seats.acquire_deadline(Instant::now() + Duration::from_millis(1)).is_none());
/// permit.forget(); // Python's way: `release` by hand
/// seats.release().unwrap();
/// ```
#[must_use = "the permit is given back when it is dropped"]
#[clippy::has_significant_drop]
pub struct Permit<'a> {
    permits: &'a Permits,
    taken: Taken,
    marker: OnThisThread,
}

/// The error of releasing a [`BoundedSemaphore`] more often than permits were taken and forgotten.
///
/// # Examples
///
/// ```
/// use multiproc_sync::BoundedSemaphore;
///
/// let error = BoundedSemaphore::new(2).release().unwrap_err();
/// assert!(error.to_string().contains("above its initial number of 2"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a bounded semaphore was released above its initial number of {initial}: release once for each permit that was forgotten"
)]
pub struct ReleaseError {
    initial: u32,
}

#[cfg(not(any(loom, multiproc_model)))]
impl Semaphore {
    /// What a watcher sees in a copy; a bounded one is the same.
    pub(crate) fn look(bytes: &[u8]) -> Look {
        use std::mem::offset_of;
        let initial = multiproc_shm::peek::half(bytes, offset_of!(Semaphore, initial));
        Permits::look(bytes.get(offset_of!(Semaphore, permits)..).unwrap_or_default(), |taken| {
            State::Permits(i64::from(initial) - i64::from(taken), initial)
        })
    }
}

impl Semaphore {
    /// The largest number of permits.
    pub const MAX_PERMITS: u32 = i32::MAX as u32;

    /// Makes a semaphore with that many permits.
    ///
    /// # Panics
    ///
    /// They are more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    #[must_use]
    pub const fn new(permits: u32) -> Semaphore {
        assert!(permits <= Semaphore::MAX_PERMITS, "a semaphore has at most 2^31 - 1 permits");
        Semaphore { permits: Permits::new(), initial: permits, reserved: 0 }
    }

    /// Waits for a permit.
    #[inline]
    pub fn acquire(&self) -> Permit<'_> {
        loop {
            // Without a deadline it comes to an end.
            if let Some(permit) = self.acquire_until(Deadline::NEVER) {
                return permit;
            }
        }
    }

    /// Takes a permit if there is one.
    #[must_use]
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.permits.try_acquire(|taken| self.is_available(taken)).map(|taken| self.permit(taken))
    }

    /// Waits for a permit, at most for a time.
    #[must_use]
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<Permit<'_>> {
        self.acquire_until(Deadline::after(timeout))
    }

    /// Waits for a permit, at most until an instant.
    #[must_use]
    pub fn acquire_deadline(&self, deadline: Instant) -> Option<Permit<'_>> {
        self.acquire_until(Deadline::at(deadline))
    }

    /// Adds a permit, as Python programs do; for each that was [forgotten](Permit::forget), or for a new one.
    ///
    /// # Panics
    ///
    /// More than [`MAX_PERMITS`](Self::MAX_PERMITS) are available.
    pub fn release(&self) {
        let initial = i64::from(self.initial);
        let added =
            self.permits.give(|taken, _| initial - i64::from(taken) < i64::from(Semaphore::MAX_PERMITS));
        assert!(added, "a semaphore has at most 2^31 - 1 permits");
    }

    /// How many permits there are to take at this moment; those of the dead are counted once somebody asks for one.
    #[must_use]
    pub fn available(&self) -> u32 {
        let available = i64::from(self.initial) - i64::from(self.permits.taken());
        u32::try_from(available.max(0)).unwrap_or(u32::MAX)
    }

    fn acquire_until(&self, deadline: Deadline) -> Option<Permit<'_>> {
        self.permits.acquire(deadline, |taken| self.is_available(taken)).map(|taken| self.permit(taken))
    }

    fn is_available(&self, taken: i32) -> bool {
        i64::from(taken) < i64::from(self.initial)
    }

    fn permit(&self, taken: Taken) -> Permit<'_> {
        Permit { permits: &self.permits, taken, marker: PhantomData }
    }
}

impl BoundedSemaphore {
    /// Makes a semaphore with that many permits, and never more.
    ///
    /// # Panics
    ///
    /// They are more than [`Semaphore::MAX_PERMITS`].
    #[must_use]
    pub const fn new(permits: u32) -> BoundedSemaphore {
        BoundedSemaphore { semaphore: Semaphore::new(permits) }
    }

    /// Waits for a permit.
    #[inline]
    pub fn acquire(&self) -> Permit<'_> {
        self.semaphore.acquire()
    }

    /// Takes a permit if there is one.
    #[must_use]
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.semaphore.try_acquire()
    }

    /// Waits for a permit, at most for a time.
    #[must_use]
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<Permit<'_>> {
        self.semaphore.acquire_timeout(timeout)
    }

    /// Waits for a permit, at most until an instant.
    #[must_use]
    pub fn acquire_deadline(&self, deadline: Instant) -> Option<Permit<'_>> {
        self.semaphore.acquire_deadline(deadline)
    }

    /// Adds a permit for one that was [forgotten](Permit::forget), as Python programs do.
    ///
    /// # Errors
    ///
    /// All permits are available, or held by somebody who gives them back.
    pub fn release(&self) -> Result<(), ReleaseError> {
        // What is in the ledger will come back: only what is taken and not there can be released.
        let is_due = |taken: i32, listed: u64| i64::from(taken) > i64::try_from(listed).unwrap_or(i64::MAX);
        if self.semaphore.permits.give(is_due) {
            Ok(())
        } else {
            Err(ReleaseError { initial: self.semaphore.initial })
        }
    }

    /// How many permits there are to take at this moment; those of the dead are counted once somebody asks for one.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.semaphore.available()
    }
}

impl Permit<'_> {
    /// Keeps the permit taken until somebody releases one by hand.
    ///
    /// Whoever does it need not be this process; and if nobody does, it does not come back by itself.
    pub fn forget(self) {
        self.permits.forget(&self.taken);
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.permits.give_back(&self.taken);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available()).finish_non_exhaustive()
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedSemaphore")
            .field("available", &self.available())
            .field("initial", &self.semaphore.initial)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
