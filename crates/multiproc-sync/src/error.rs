use crate::poison::Cause;
use std::fmt;
use std::io;

/// The error of taking a lock; it is called [`LockError`](crate::LockError), [`ReadError`](crate::ReadError) and so on.
///
/// Either nothing was taken: [`is_timeout`](Self::is_timeout), [`is_would_block`](Self::is_would_block),
/// [`is_deadlock`](Self::is_deadlock). Or the lock is held, and what it guards may be half-changed, since its last
/// owner died or panicked: [`is_owner_dead`](Self::is_owner_dead). Then [`into_guard`](Self::into_guard) recovers; if
/// the error is dropped instead, the lock is released, and the next one to take it is told again.
///
/// # Examples
///
/// ```
/// use multiproc_sync::Mutex;
///
/// let mutex = Mutex::new(5);
/// let guard = mutex.lock().unwrap();
/// let error = mutex.try_lock().unwrap_err();
/// assert!(error.is_would_block() && !error.is_owner_dead());
/// # drop(guard);
/// ```
#[must_use]
pub struct AcquireError<G> {
    kind: Kind<G>,
}

enum Kind<G> {
    OwnerDead(G, Cause),
    TimedOut,
    WouldBlock,
    Deadlock,
}

/// A guard whose lock can be told that all is well again.
pub trait Recover {
    #[doc(hidden)]
    fn recover(&self);
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    TimedOut,
    WouldBlock,
    Deadlock,
}

impl<G> AcquireError<G> {
    #[cold]
    pub(crate) fn owner_dead(guard: G, cause: Cause) -> AcquireError<G> {
        AcquireError { kind: Kind::OwnerDead(guard, cause) }
    }

    #[cold]
    pub(crate) fn refused(refused: Refused) -> AcquireError<G> {
        let kind = match refused {
            Refused::TimedOut => Kind::TimedOut,
            Refused::WouldBlock => Kind::WouldBlock,
            Refused::Deadlock => Kind::Deadlock,
        };
        AcquireError { kind }
    }

    /// Tells whether the last owner died or panicked with the lock, which this error now holds.
    #[must_use]
    pub fn is_owner_dead(&self) -> bool {
        matches!(self.kind, Kind::OwnerDead(..))
    }

    /// Tells whether the last owner panicked, which also [`is_owner_dead`](Self::is_owner_dead) tells.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_sync::Mutex;
    /// use std::panic::{AssertUnwindSafe, catch_unwind};
    ///
    /// let lock = Mutex::new(0u32);
    /// let _ = catch_unwind(AssertUnwindSafe(|| {
    ///     let _guard = lock.lock();
    ///     panic!("with the lock");
    /// }));
    /// let error = lock.lock().unwrap_err();
    /// assert!(error.is_owner_dead() && error.is_panicked());
    /// ```
    #[must_use]
    pub fn is_panicked(&self) -> bool {
        matches!(self.kind, Kind::OwnerDead(_, Cause::Panicked))
    }

    /// Tells whether the time was up first.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, Kind::TimedOut)
    }

    /// Tells whether it could not be taken without waiting.
    #[must_use]
    pub fn is_would_block(&self) -> bool {
        matches!(self.kind, Kind::WouldBlock)
    }

    /// Tells whether the calling thread holds the lock itself, so that it would have waited for ever.
    #[must_use]
    pub fn is_deadlock(&self) -> bool {
        matches!(self.kind, Kind::Deadlock)
    }
}

impl<G: Recover> AcquireError<G> {
    /// Recovers the guard of a lock whose owner died: the next one to take it is not told any more.
    ///
    /// What the lock guards may be half-changed; make it whole through the guard.
    ///
    /// # Panics
    ///
    /// The error is another one than [`is_owner_dead`](Self::is_owner_dead).
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_sync::Mutex;
    ///
    /// let mutex = Mutex::new(5);
    /// std::thread::scope(|scope| {
    ///     let worker = scope.spawn(|| {
    ///         let _guard = mutex.lock().unwrap();
    ///         panic!("with the lock");
    ///     });
    ///     assert!(worker.join().is_err());
    /// });
    /// let mut guard = mutex.lock().unwrap_err().into_guard();
    /// *guard = 0;
    /// drop(guard);
    /// assert_eq!(*mutex.lock().unwrap(), 0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn into_guard(self) -> G {
        match self.kind {
            Kind::OwnerDead(guard, _) => {
                guard.recover();
                guard
            }
            Kind::TimedOut | Kind::WouldBlock | Kind::Deadlock => {
                panic!("there is no guard in this error, ask `is_owner_dead` first: {self}")
            }
        }
    }
}

impl<G> fmt::Display for AcquireError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::OwnerDead(_, Cause::Died) => {
                "the lock's owner died with it, what it guards may be half-changed: recover it by `into_guard`"
            }
            Kind::OwnerDead(_, Cause::Panicked) => {
                "the lock's owner panicked with it, what it guards may be half-changed: recover it by `into_guard`"
            }
            Kind::TimedOut => "the lock was not released in time: try again, or wait longer",
            Kind::WouldBlock => "the lock is held by another: try again, or wait for it",
            Kind::Deadlock => {
                "the lock is held by this very thread, which would wait for ever: drop its guard first"
            }
        })
    }
}

impl<G> fmt::Debug for AcquireError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::OwnerDead(_, Cause::Died) => "OwnerDied",
            Kind::OwnerDead(_, Cause::Panicked) => "OwnerPanicked",
            Kind::TimedOut => "TimedOut",
            Kind::WouldBlock => "WouldBlock",
            Kind::Deadlock => "Deadlock",
        };
        f.debug_tuple("AcquireError").field(&format_args!("{kind}")).finish()
    }
}

impl<G> std::error::Error for AcquireError<G> {}

impl<G> From<AcquireError<G>> for io::Error {
    /// Releases the lock, if the error held it; the next one to take it is told again.
    fn from(error: AcquireError<G>) -> io::Error {
        let kind = match error.kind {
            Kind::OwnerDead(..) => io::ErrorKind::Other,
            Kind::TimedOut => io::ErrorKind::TimedOut,
            Kind::WouldBlock => io::ErrorKind::WouldBlock,
            Kind::Deadlock => io::ErrorKind::Deadlock,
        };
        io::Error::new(kind, error.to_string())
    }
}

/// What makes a guard stay on the thread that took the lock, and lets others look through it.
pub(crate) type OnThisThread = std::marker::PhantomData<std::sync::MutexGuard<'static, ()>>;
