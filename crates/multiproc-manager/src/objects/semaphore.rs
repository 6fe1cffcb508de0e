use super::ready_made;
use crate::operation::{Held, Operation, Reason, Step, Turn};
use crate::proxy::{Proxy, or_expired};
use crate::wire::Id;
use crate::{CallError, RemoteManager};
use multiproc_core::Deadline;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// What a [`SemaphoreProxy`] or [`BoundedSemaphoreProxy`] stands for.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{Manager, SemaphoreProxy, object};
///
/// let manager = Manager::start()?;
/// manager.publish("seats", manager.semaphore(2)?.as_proxy())?;
/// let _seats = SemaphoreProxy::from(manager.get::<object::Semaphore>("seats")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Semaphore {
    free: u32,
    /// More than these there are never.
    bound: Option<u32>,
    /// What the clients have.
    had: HashMap<Id, u32>,
}

impl Held for Semaphore {
    fn client_gone(&mut self, client: Id) {
        self.free = self.free.saturating_add(self.had.remove(&client).unwrap_or(0));
    }
}

ready_made! {
    /// A semaphore in a manager's server, Python's `manager.Semaphore()`.
    ///
    /// A permit is had until it is dropped, and comes back when its process dies. One that is
    /// [forgotten](SemaphorePermit::forget) comes back by [`release`](SemaphoreProxy::release) alone, Python's habit.
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let seats = manager.semaphore(1)?;
    /// let seat = seats.acquire()?;
    /// assert!(seats.try_acquire()?.is_none());
    /// drop(seat);
    /// seats.release()?;
    /// assert_eq!(seats.available()?, 2);
    ///
    /// let bounded = manager.bounded_semaphore(1)?;
    /// assert!(bounded.release().unwrap_err().is_misuse());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    SemaphoreProxy[] of Semaphore
}

/// A semaphore that is never released more often than it was acquired, Python's `manager.BoundedSemaphore()`.
pub type BoundedSemaphoreProxy = SemaphoreProxy;

/// Takes a permit.
#[derive(Debug, Serialize, Deserialize)]
struct Acquire {
    waits: bool,
}

impl Operation<Semaphore> for Acquire {
    type Output = bool;

    fn run(self, semaphore: &mut Semaphore, turn: &mut Turn) -> Step<Self, bool> {
        match semaphore.free.checked_sub(1) {
            _ if turn.reason == Reason::Cancelled => Step::Done(false),
            Some(left) => {
                semaphore.free = left;
                *semaphore.had.entry(turn.client).or_default() += 1;
                turn.holds = true;
                Step::Done(true)
            }
            None if self.waits && turn.reason != Reason::Expired => Step::Wait(self),
            None => Step::Done(false),
        }
    }

    fn class(&self) -> Option<u8> {
        Some(0)
    }
}

/// What is to become of a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum End {
    /// It comes back from who had it.
    Back,
    /// It stays away, and nobody has it.
    Forgotten,
    /// It comes, wherever from.
    Released,
}

impl Operation<Semaphore> for End {
    type Output = bool;

    fn run(self, semaphore: &mut Semaphore, turn: &mut Turn) -> Step<Self, bool> {
        if let Some(had) = semaphore.had.get_mut(&turn.client) {
            *had -= 1;
            if *had == 0 {
                semaphore.had.remove(&turn.client);
            }
        } else if self != End::Released {
            return Step::Done(false);
        }
        if self == End::Forgotten {
            return Step::Done(true);
        }
        let more =
            semaphore.free.checked_add(1).filter(|more| semaphore.bound.is_none_or(|bound| *more <= bound));
        semaphore.free = more.unwrap_or(semaphore.free);
        Step::Done(more.is_some())
    }
}

impl RemoteManager {
    /// Makes a semaphore with so many permits.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn semaphore(&self, permits: u32) -> Result<SemaphoreProxy, CallError> {
        let make = |free| Semaphore { free, bound: None, had: HashMap::new() };
        self.create_lent(permits, make).map(SemaphoreProxy)
    }

    /// Makes a semaphore that never has more permits than these.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn bounded_semaphore(&self, permits: u32) -> Result<BoundedSemaphoreProxy, CallError> {
        let make = |free| Semaphore { free, bound: Some(free), had: HashMap::new() };
        self.create_lent(permits, make).map(SemaphoreProxy)
    }
}

impl SemaphoreProxy {
    /// Waits for a permit.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn acquire(&self) -> Result<SemaphorePermit, CallError> {
        self.take(true, self.0.deadline(None))?.ok_or_else(CallError::expired)
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn try_acquire(&self) -> Result<Option<SemaphorePermit>, CallError> {
        self.take(false, self.0.deadline(None))
    }

    /// Takes a permit if there is one within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<SemaphorePermit>, CallError> {
        self.take(true, Deadline::after(timeout))
    }

    fn take(&self, waits: bool, deadline: Deadline) -> Result<Option<SemaphorePermit>, CallError> {
        let semaphore = self.0.clone();
        let undo = move |taken| {
            if taken {
                // Who wanted it has given up; a server that is gone has no permits.
                let _ = semaphore.operate(End::Back, Deadline::NEVER, None);
            }
        };
        let taken = self.0.operate(Acquire { waits }, deadline, Some(Box::new(undo)));
        let taken = or_expired(taken, || false)?;
        Ok(taken.then(|| SemaphorePermit { semaphore: self.0.clone(), is_forgotten: false }))
    }

    /// Adds a permit: one that was forgotten, by whomever, or a new one.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`]; [`is_misuse`](CallError::is_misuse) where a bounded one has all its permits.
    pub fn release(&self) -> Result<(), CallError> {
        if self.0.operate(End::Released, self.0.deadline(None), None)? {
            Ok(())
        } else {
            Err(CallError::misuse(
                "the semaphore is released more often than it was acquired: release once for each permit",
            ))
        }
    }

    /// Tells how many permits are to be had.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn available(&self) -> Result<u32, CallError> {
        self.0.call((), |semaphore, ()| semaphore.free)
    }
}

/// A permit of a [`SemaphoreProxy`], which comes back when it is dropped.
///
/// # Examples
///
/// ```
/// use multiproc_manager::Manager;
/// use std::time::Duration;
///
/// let manager = Manager::start()?;
/// let seats = manager.semaphore(1)?;
/// let permit = seats.acquire()?;
/// assert!(seats.acquire_timeout(Duration::from_millis(1))?.is_none());
/// drop(permit); // given back
/// seats.acquire()?.forget()?; // Python's way: `release` by hand
/// seats.release()?;
/// assert_eq!(seats.available()?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a permit that is dropped at once is had no longer"]
pub struct SemaphorePermit {
    semaphore: Proxy<Semaphore>,
    is_forgotten: bool,
}

impl SemaphorePermit {
    /// Keeps the permit away, until somebody [releases](SemaphoreProxy::release) one; also after this process' end.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn forget(mut self) -> Result<(), CallError> {
        self.is_forgotten = true;
        self.semaphore.operate(End::Forgotten, Deadline::NEVER, None).map(|_| ())
    }
}

impl Drop for SemaphorePermit {
    fn drop(&mut self) {
        if !self.is_forgotten {
            // A server that is gone has no permits.
            let _ = self.semaphore.operate(End::Back, Deadline::NEVER, None);
        }
    }
}
