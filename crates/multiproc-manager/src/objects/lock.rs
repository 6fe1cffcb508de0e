use super::hold::{Hold, Holds, Taken, acquire, give_back, thread};
use super::ready_made;
use crate::operation::Held;
use crate::proxy::Proxy;
use crate::wire::Id;
use crate::{CallError, RemoteManager};
use multiproc_core::Deadline;
use std::time::Duration;

/// What a [`LockProxy`] stands for.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{LockProxy, Manager, object};
///
/// let manager = Manager::start()?;
/// manager.publish("gate", manager.lock()?.as_proxy())?;
/// let _gate = LockProxy::from(manager.get::<object::Lock>("gate")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Lock(Hold);

impl Holds for Lock {
    const IS_REENTRANT: bool = false;

    fn hold(&mut self) -> &mut Hold {
        &mut self.0
    }
}

impl Held for Lock {
    fn client_gone(&mut self, client: Id) {
        self.0.client_gone(client);
    }
}

ready_made! {
    /// A lock in a manager's server, Python's `manager.Lock()`.
    ///
    /// It is had by a guard, or, in Python's way, until somebody releases it. It belongs to the process that has taken it:
    /// when that dies it is free within a moment, and the next owner is [told](LockGuard::is_inherited).
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let lock = manager.lock()?;
    /// {
    ///     let _guard = lock.lock()?;
    ///     assert!(lock.try_lock()?.is_none());
    /// }
    /// assert!(lock.acquire()?);
    /// lock.release()?;
    /// assert!(lock.release().unwrap_err().is_misuse());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    LockProxy[] of Lock
}

impl RemoteManager {
    /// Makes a lock.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn lock(&self) -> Result<LockProxy, CallError> {
        self.create_lent((), |()| Lock::default()).map(LockProxy)
    }
}

impl LockProxy {
    /// Waits for the lock, and has it until the guard is dropped.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn lock(&self) -> Result<LockGuard, CallError> {
        self.take(true, self.0.deadline(None))?.ok_or_else(CallError::expired)
    }

    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn try_lock(&self) -> Result<Option<LockGuard>, CallError> {
        self.take(false, self.0.deadline(None))
    }

    /// Takes the lock if it is free within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<LockGuard>, CallError> {
        self.take(true, Deadline::after(timeout))
    }

    fn take(&self, waits: bool, deadline: Deadline) -> Result<Option<LockGuard>, CallError> {
        let taken = self.acquire_before(waits, deadline)?;
        let inherited = taken == Taken::FromTheDead;
        Ok((taken != Taken::No).then(|| LockGuard { lock: self.0.clone(), inherited }))
    }

    fn acquire_before(&self, waits: bool, deadline: Deadline) -> Result<Taken, CallError> {
        acquire(&self.0, thread(), waits, deadline)
    }

    /// Waits for the lock, and has it until it is [released](LockProxy::release), by whomever; true if it has it.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn acquire(&self) -> Result<bool, CallError> {
        Ok(self.acquire_before(true, self.0.deadline(None))? != Taken::No)
    }

    /// Takes the lock as [`acquire`](LockProxy::acquire) does, if nobody has it.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn try_acquire(&self) -> Result<bool, CallError> {
        Ok(self.acquire_before(false, self.0.deadline(None))? != Taken::No)
    }

    /// Takes the lock as [`acquire`](LockProxy::acquire) does, if it is free within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<bool, CallError> {
        Ok(self.acquire_before(true, Deadline::after(timeout))? != Taken::No)
    }

    /// Sets the lock free, whoever has it.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`]; [`is_misuse`](CallError::is_misuse) where nobody has it.
    pub fn release(&self) -> Result<(), CallError> {
        if self.0.call((), |lock, ()| lock.0.give(None))? {
            Ok(())
        } else {
            Err(CallError::misuse(
                "the lock is released, and nobody has it: release it once for each time it was taken",
            ))
        }
    }

    /// Tells whether somebody has it.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn is_locked(&self) -> Result<bool, CallError> {
        self.0.call((), |lock, ()| lock.0.is_held())
    }
}

/// Has a [`LockProxy`]'s lock until it is dropped.
///
/// # Examples
///
/// ```
/// use multiproc_manager::Manager;
/// use std::time::Duration;
///
/// let manager = Manager::start()?;
/// let gate = manager.lock()?;
/// let guard = gate.lock_timeout(Duration::from_secs(1))?.unwrap();
/// assert!(!guard.is_inherited() && gate.is_locked()?);
/// drop(guard);
/// assert!(gate.acquire_timeout(Duration::from_secs(1))?); // Python's way: `release` by hand
/// gate.release()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a guard that is dropped at once has the lock no longer"]
pub struct LockGuard {
    lock: Proxy<Lock>,
    inherited: bool,
}

impl LockGuard {
    /// Tells whether who had the lock before died with it: what it guards may be half done.
    pub fn is_inherited(&self) -> bool {
        self.inherited
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        give_back(&self.lock, thread());
    }
}
