use super::hold::{Hold, Holds, Release, Taken, acquire, give_back, thread};
use super::ready_made;
use crate::operation::Held;
use crate::proxy::Proxy;
use crate::wire::Id;
use crate::{CallError, RemoteManager};
use multiproc_core::Deadline;
use std::marker::PhantomData;
use std::time::Duration;

/// What a [`ReentrantLockProxy`] stands for.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{Manager, ReentrantLockProxy, object};
///
/// let manager = Manager::start()?;
/// manager.publish("gate", manager.reentrant_lock()?.as_proxy())?;
/// let _gate = ReentrantLockProxy::from(manager.get::<object::ReentrantLock>("gate")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct ReentrantLock(Hold);

impl Holds for ReentrantLock {
    const IS_REENTRANT: bool = true;

    fn hold(&mut self) -> &mut Hold {
        &mut self.0
    }
}

impl Held for ReentrantLock {
    fn client_gone(&mut self, client: Id) {
        self.0.client_gone(client);
    }
}

ready_made! {
    /// A lock that its owner may take again, in a manager's server; Python's `manager.RLock()`.
    ///
    /// Its owner is a thread of a process, which alone can release it. When the process dies it is free.
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let lock = manager.reentrant_lock()?;
    /// let outer = lock.lock()?;
    /// let inner = lock.lock()?;
    /// drop((outer, inner));
    /// assert!(lock.release().unwrap_err().is_misuse());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ReentrantLockProxy[] of ReentrantLock
}

impl RemoteManager {
    /// Makes a lock that its owner may take again.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn reentrant_lock(&self) -> Result<ReentrantLockProxy, CallError> {
        self.create_lent((), |()| ReentrantLock::default()).map(ReentrantLockProxy)
    }
}

impl ReentrantLockProxy {
    /// Waits for the lock, and has it until the guard is dropped.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn lock(&self) -> Result<ReentrantLockGuard, CallError> {
        self.take(true, self.0.deadline(None))?.ok_or_else(CallError::expired)
    }

    /// Takes the lock if nobody else has it.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn try_lock(&self) -> Result<Option<ReentrantLockGuard>, CallError> {
        self.take(false, self.0.deadline(None))
    }

    /// Takes the lock if nobody else has it within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<ReentrantLockGuard>, CallError> {
        self.take(true, Deadline::after(timeout))
    }

    fn take(&self, waits: bool, deadline: Deadline) -> Result<Option<ReentrantLockGuard>, CallError> {
        let taken = self.acquire_before(waits, deadline)?;
        let guard = || ReentrantLockGuard {
            lock: self.0.clone(),
            thread: thread(),
            inherited: taken == Taken::FromTheDead,
            of_the_thread: PhantomData,
        };
        Ok((taken != Taken::No).then(guard))
    }

    fn acquire_before(&self, waits: bool, deadline: Deadline) -> Result<Taken, CallError> {
        acquire(&self.0, thread(), waits, deadline)
    }

    /// Waits for the lock, and has it once more, until it is [released](ReentrantLockProxy::release) as often.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn acquire(&self) -> Result<bool, CallError> {
        Ok(self.acquire_before(true, self.0.deadline(None))? != Taken::No)
    }

    /// Takes the lock as [`acquire`](ReentrantLockProxy::acquire) does, if it is to be had within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<bool, CallError> {
        Ok(self.acquire_before(true, Deadline::after(timeout))? != Taken::No)
    }

    /// Gives the lock back once.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`]; [`is_misuse`](CallError::is_misuse) where this thread does not have it.
    pub fn release(&self) -> Result<(), CallError> {
        if self.0.operate(Release { thread: thread() }, self.0.deadline(None), None)? {
            Ok(())
        } else {
            Err(CallError::misuse(
                "the lock is released by a thread that does not have it: release it where it was taken",
            ))
        }
    }
}

/// Has a [`ReentrantLockProxy`]'s lock until it is dropped, on the thread that took it.
///
/// # Examples
///
/// ```
/// use multiproc_manager::Manager;
/// use std::time::Duration;
///
/// let manager = Manager::start()?;
/// let gate = manager.reentrant_lock()?;
/// let outer = gate.lock()?;
/// let inner = gate.lock_timeout(Duration::from_secs(1))?.unwrap(); // the same thread
/// assert!(!outer.is_inherited());
/// drop((inner, outer));
/// assert!(gate.acquire_timeout(Duration::from_secs(1))?); // Python's way: `release` by hand
/// gate.release()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a guard that is dropped at once has the lock no longer"]
pub struct ReentrantLockGuard {
    lock: Proxy<ReentrantLock>,
    thread: u64,
    inherited: bool,
    of_the_thread: PhantomData<*const ()>,
}

impl ReentrantLockGuard {
    /// Tells whether who had the lock before died with it: what it guards may be half done.
    pub fn is_inherited(&self) -> bool {
        self.inherited
    }
}

impl Drop for ReentrantLockGuard {
    fn drop(&mut self) {
        give_back(&self.lock, self.thread);
    }
}
