use super::ready_made;
use crate::operation::{Operation, Reason, Step, Turn};
use crate::proxy::or_expired;
use crate::{CallError, RemoteManager};
use multiproc_core::Deadline;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What an [`EventProxy`] stands for.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{EventProxy, Manager, object};
/// use std::time::Duration;
///
/// let manager = Manager::start()?;
/// let go = manager.event()?;
/// manager.publish("go", go.as_proxy())?;
/// let _same = EventProxy::from(manager.get::<object::Event>("go")?);
/// assert!(!go.wait_timeout(Duration::from_millis(1))?);
/// go.set()?;
/// assert!(go.is_set()?);
/// go.clear()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Event {
    is_set: bool,
}

ready_made! {
    /// A flag that can be waited for, in a manager's server; Python's `manager.Event()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let ready = manager.event()?;
    /// let waiting = ready.clone();
    /// let waiter = std::thread::spawn(move || waiting.wait());
    /// ready.set()?;
    /// waiter.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    EventProxy[] of Event
}

/// Waits for the flag.
#[derive(Debug, Serialize, Deserialize)]
struct Wait;

impl Operation<Event> for Wait {
    type Output = bool;

    fn run(self, event: &mut Event, turn: &mut Turn) -> Step<Self, bool> {
        let waits = matches!(turn.reason, Reason::First | Reason::Again);
        if event.is_set || !waits { Step::Done(event.is_set) } else { Step::Wait(self) }
    }

    fn class(&self) -> Option<u8> {
        Some(0)
    }
}

impl RemoteManager {
    /// Makes an event that is not set.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn event(&self) -> Result<EventProxy, CallError> {
        self.create((), |()| Event::default()).map(EventProxy)
    }
}

impl EventProxy {
    /// Sets it: all who wait go on.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn set(&self) -> Result<(), CallError> {
        self.0.call((), |event, ()| event.is_set = true)
    }

    /// Takes it back.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn clear(&self) -> Result<(), CallError> {
        self.0.call((), |event, ()| event.is_set = false)
    }

    /// Tells whether it is set.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn is_set(&self) -> Result<bool, CallError> {
        self.0.call((), |event, ()| event.is_set)
    }

    /// Waits until it is set.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn wait(&self) -> Result<(), CallError> {
        match self.0.operate(Wait, self.0.deadline(None), None)? {
            true => Ok(()),
            false => Err(CallError::expired()),
        }
    }

    /// Waits up to `timeout` until it is set; tells whether it was.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, CallError> {
        or_expired(self.0.operate(Wait, Deadline::after(timeout), None), || false)
    }
}
