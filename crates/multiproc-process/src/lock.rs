use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// A lock that a plain fork can hold: what it protects is whole in the child, and the child can unlock it.
///
/// `parking_lot` keeps who waits for its locks in tables of its own, which a fork may catch half-changed and locked
/// by a thread that the child does not have. A lock of `std` is one word.
#[derive(Debug)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Lock<T> {
        Lock(Mutex::new(value))
    }

    /// Waits for the lock; a panic of another holder does not matter, since nothing is left half-done by one.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock if nobody has it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
