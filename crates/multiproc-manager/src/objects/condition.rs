use super::hold::{Hold, Holds, Owner, Taken, acquire, give_back, thread};
use super::ready_made;
use crate::operation::{Held, Operation, Reason, Step, Turn};
use crate::proxy::{Proxy, or_expired};
use crate::wire::Id;
use crate::{CallError, RemoteManager};
use multiproc_core::Deadline;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;

/// What a [`ConditionProxy`] stands for.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{ConditionProxy, Manager, object};
///
/// let manager = Manager::start()?;
/// manager.publish("changed", manager.condition()?.as_proxy())?;
/// let _changed = ConditionProxy::from(manager.get::<object::Condition>("changed")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Condition {
    hold: Hold,
    /// Who waits for a notification, in their order.
    tickets: VecDeque<u64>,
    last: u64,
}

impl Condition {
    /// Notifies so many of those who wait.
    fn notify(&mut self, count: usize) -> usize {
        self.tickets.drain(..count.min(self.tickets.len())).count()
    }
}

impl Holds for Condition {
    const IS_REENTRANT: bool = true;

    fn hold(&mut self) -> &mut Hold {
        &mut self.hold
    }
}

impl Held for Condition {
    fn client_gone(&mut self, client: Id) {
        self.hold.client_gone(client);
    }
}

ready_made! {
    /// A condition and its lock, in a manager's server; Python's `manager.Condition()`.
    ///
    /// The lock is reentrant, as Python's. When its owner dies it is free, and a notification that was for a process that
    /// died before it could go on goes to another.
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let (stock, changed) = (manager.value(0u32)?, manager.condition()?);
    /// let (seen, notified) = (stock.clone(), changed.clone());
    /// let waiter = std::thread::spawn(move || {
    ///     let mut guard = notified.lock().unwrap();
    ///     while seen.get().unwrap() == 0 {
    ///         guard.wait().unwrap();
    ///     }
    /// });
    /// let guard = changed.lock()?;
    /// stock.set(1)?;
    /// guard.notify_all()?;
    /// drop(guard);
    /// waiter.join().unwrap();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ConditionProxy[] of Condition
}

/// Gives the lock back, waits to be notified, and takes the lock again.
#[derive(Debug, Serialize, Deserialize)]
struct Wait {
    thread: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    New,
    /// Waits to be notified; had the lock so often.
    Waiting {
        ticket: u64,
        depth: u32,
    },
    /// Waits for the lock.
    Returning {
        notified: bool,
        depth: u32,
    },
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Ended {
    Notified,
    TimedOut,
    /// Who waits must have the lock.
    NotOwned,
}

impl Operation<Condition> for Wait {
    type Output = Ended;

    fn run(mut self, condition: &mut Condition, turn: &mut Turn) -> Step<Self, Ended> {
        let owner = Owner { client: turn.client, thread: self.thread };
        if self.state == State::New {
            let Some(depth) = condition.hold.give_all(owner) else { return Step::Done(Ended::NotOwned) };
            condition.last += 1;
            condition.tickets.push_back(condition.last);
            self.state = State::Waiting { ticket: condition.last, depth };
            return Step::Wait(self);
        }
        if let State::Waiting { ticket, depth } = self.state {
            let place = condition.tickets.iter().position(|other| *other == ticket);
            let is_over = matches!(turn.reason, Reason::Expired | Reason::Cancelled);
            match place {
                Some(_) if !is_over => return Step::Wait(self),
                Some(place) => {
                    condition.tickets.remove(place);
                }
                None => {}
            }
            self.state = State::Returning { notified: place.is_none(), depth };
        }
        let State::Returning { notified, depth } = self.state else { return Step::Wait(self) };
        if turn.reason == Reason::Cancelled {
            // Somebody else shall have what this one did not live to see.
            condition.notify(usize::from(notified));
            return Step::Done(Ended::TimedOut);
        }
        if !condition.hold.take_all(owner, depth) {
            return Step::Wait(self);
        }
        turn.holds = true;
        Step::Done(if notified { Ended::Notified } else { Ended::TimedOut })
    }
}

impl RemoteManager {
    /// Makes a condition, with its lock.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn condition(&self) -> Result<ConditionProxy, CallError> {
        self.create_lent((), |()| Condition::default()).map(ConditionProxy)
    }
}

impl ConditionProxy {
    /// Waits for the lock, and has it until the guard is dropped.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn lock(&self) -> Result<ConditionGuard, CallError> {
        self.take(true, self.0.deadline(None))?.ok_or_else(CallError::expired)
    }

    /// Takes the lock if nobody else has it.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn try_lock(&self) -> Result<Option<ConditionGuard>, CallError> {
        self.take(false, self.0.deadline(None))
    }

    /// Takes the lock if nobody else has it within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<ConditionGuard>, CallError> {
        self.take(true, Deadline::after(timeout))
    }

    fn take(&self, waits: bool, deadline: Deadline) -> Result<Option<ConditionGuard>, CallError> {
        let thread = thread();
        let taken = acquire(&self.0, thread, waits, deadline)?;
        let guard = || ConditionGuard {
            condition: self.0.clone(),
            thread,
            inherited: taken == Taken::FromTheDead,
            of_the_thread: PhantomData,
        };
        Ok((taken != Taken::No).then(guard))
    }

    /// Has one of those who wait go on; it need not have the lock.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn notify_one(&self) -> Result<(), CallError> {
        self.notify_n(1)
    }

    /// Has so many of those who wait go on.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn notify_n(&self, count: usize) -> Result<(), CallError> {
        self.0.call(count, |condition, count| condition.notify(count)).map(|_| ())
    }

    /// Has all who wait go on.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn notify_all(&self) -> Result<(), CallError> {
        self.notify_n(usize::MAX)
    }
}

/// Has a [`ConditionProxy`]'s lock until it is dropped, on the thread that took it.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{CallError, Manager};
/// use std::time::Duration;
///
/// let manager = Manager::start()?;
/// let changed = manager.condition()?;
/// let mut guard = changed.lock_timeout(Duration::from_secs(1))?.unwrap();
/// assert!(!guard.is_inherited()); // nobody died with it
/// assert!(!guard.wait_timeout(Duration::from_millis(1))?);
/// guard.wait_until(|| Ok::<bool, CallError>(true))?;
/// guard.notify_one()?;
/// drop(guard);
/// let _guard = changed.lock()?; // who notifies has the lock
/// changed.notify_one()?;
/// changed.notify_n(2)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a guard that is dropped at once has the lock no longer"]
pub struct ConditionGuard {
    condition: Proxy<Condition>,
    thread: u64,
    inherited: bool,
    of_the_thread: PhantomData<*const ()>,
}

impl ConditionGuard {
    /// Tells whether who had the lock before died with it: what it guards may be half done.
    pub fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Sets the lock free, waits to be notified, and has the lock again.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn wait(&mut self) -> Result<(), CallError> {
        self.wait_before(self.condition.deadline(None)).map(|_| ())
    }

    /// Waits as [`wait`](ConditionGuard::wait) does, up to `timeout`, and then for the lock; tells whether it was
    /// notified.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<bool, CallError> {
        self.wait_before(Deadline::after(timeout))
    }

    /// Waits until `condition` holds, which it asks again after each notification.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`], and whatever `condition` gives.
    pub fn wait_until<E: From<CallError>>(
        &mut self,
        mut condition: impl FnMut() -> Result<bool, E>,
    ) -> Result<(), E> {
        while !condition()? {
            self.wait()?;
        }
        Ok(())
    }

    fn wait_before(&mut self, deadline: Deadline) -> Result<bool, CallError> {
        let wait = Wait { thread: self.thread, state: State::New };
        // The time is the wait's own: it ends with the lock, however long that takes.
        let limit = deadline.remaining();
        let ended = match limit {
            None => self.condition.operate(wait, Deadline::NEVER, None)?,
            // Where it has not begun in time, the lock was never let go of.
            Some(limit) => or_expired(self.condition.operate_for(wait, limit), || Ended::TimedOut)?,
        };
        match ended {
            Ended::Notified => Ok(true),
            Ended::TimedOut => Ok(false),
            Ended::NotOwned => {
                Err(CallError::misuse("who waits for a condition must have its lock: take it first"))
            }
        }
    }

    /// Has one of those who wait go on.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn notify_one(&self) -> Result<(), CallError> {
        self.condition.call(1, |condition, count| condition.notify(count)).map(|_| ())
    }

    /// Has all who wait go on.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn notify_all(&self) -> Result<(), CallError> {
        self.condition.call(usize::MAX, |condition, count| condition.notify(count)).map(|_| ())
    }
}

impl Drop for ConditionGuard {
    fn drop(&mut self) {
        give_back(&self.condition, self.thread);
    }
}
