use super::ready_made;
use crate::operation::{Held, Operation, Reason, Step, Turn};
use crate::wire::Id;
use crate::{CallError, RemoteManager};
use multiproc_core::Deadline;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a [`BarrierProxy`] stands for.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{BarrierProxy, Manager, object};
///
/// let manager = Manager::start()?;
/// manager.publish("line", manager.barrier(2)?.as_proxy())?;
/// let _line = BarrierProxy::from(manager.get::<object::Barrier>("line")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Barrier {
    parties: usize,
    waiting: usize,
    /// How often it has opened, or was broken or reset.
    round: u64,
    broken: bool,
}

impl Barrier {
    /// Sends those who wait away.
    fn part(&mut self) {
        self.waiting = 0;
        self.round += 1;
    }
}

impl Held for Barrier {
    /// Who waits here is told by its wait's end.
    fn client_gone(&mut self, _client: Id) {}
}

ready_made! {
    /// A point at which so many must have arrived before they go on, in a manager's server; Python's
    /// `manager.Barrier()`.
    ///
    /// When one that waits gives up, or dies, the barrier is broken for all, until it is reset.
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let start = manager.barrier(2)?;
    /// let other = start.clone();
    /// let runner = std::thread::spawn(move || other.wait());
    /// let (mine, theirs) = (start.wait()?, runner.join().unwrap()?);
    /// assert_eq!(mine + theirs, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    BarrierProxy[] of Barrier
}

/// Waits for the others.
#[derive(Debug, Serialize, Deserialize)]
struct Wait {
    /// The round and the place in it, once arrived.
    arrived: Option<(u64, usize)>,
}

impl Operation<Barrier> for Wait {
    /// The place of the one who waited, `None` where the barrier is broken.
    type Output = Option<usize>;

    fn run(mut self, barrier: &mut Barrier, turn: &mut Turn) -> Step<Self, Option<usize>> {
        let Some((round, place)) = self.arrived else {
            if barrier.broken {
                return Step::Done(None);
            }
            let place = barrier.waiting;
            barrier.waiting += 1;
            if barrier.waiting == barrier.parties {
                barrier.part();
                return Step::Done(Some(place));
            }
            self.arrived = Some((barrier.round, place));
            return Step::Wait(self);
        };
        // Whatever ended the round, those in it have their turn before anybody else can do something.
        match turn.reason {
            _ if barrier.round != round => Step::Done((!barrier.broken).then_some(place)),
            Reason::Expired | Reason::Cancelled => {
                barrier.broken = true;
                barrier.part();
                Step::Done(None)
            }
            Reason::First | Reason::Again => Step::Wait(self),
        }
    }
}

impl RemoteManager {
    /// Makes a barrier for so many; at least one.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn barrier(&self, parties: usize) -> Result<BarrierProxy, CallError> {
        let make = |parties: usize| Barrier { parties: parties.max(1), waiting: 0, round: 0, broken: false };
        self.create_lent(parties, make).map(BarrierProxy)
    }
}

impl BarrierProxy {
    /// Waits for the others; gives a number from 0 on that each has another.
    ///
    /// # Errors
    ///
    /// The barrier is [broken](BarrierError::is_broken), or as [`Proxy::call`](crate::Proxy::call).
    pub fn wait(&self) -> Result<usize, BarrierError> {
        self.wait_before(self.0.deadline(None))
    }

    /// Waits for the others up to `timeout`; after that it is broken.
    ///
    /// # Errors
    ///
    /// As [`wait`](BarrierProxy::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<usize, BarrierError> {
        self.wait_before(Deadline::after(timeout))
    }

    fn wait_before(&self, deadline: Deadline) -> Result<usize, BarrierError> {
        match self.0.operate(Wait { arrived: None }, deadline, None) {
            Ok(Some(place)) => Ok(place),
            Ok(None) => Err(BarrierError(Kind::Broken)),
            // Who was to arrive in time, and has not, is not waited for.
            Err(error) if error.is_timeout() && !error.may_have_run() && self.abort().is_ok() => {
                Err(BarrierError(Kind::Broken))
            }
            Err(error) => Err(BarrierError(Kind::Call(error))),
        }
    }

    /// Breaks it: all who wait are told.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn abort(&self) -> Result<(), CallError> {
        self.0.call((), |barrier, ()| {
            barrier.broken = true;
            barrier.part();
        })
    }

    /// Makes it as new. Those who wait are told that it is broken.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn reset(&self) -> Result<(), CallError> {
        self.abort()?;
        self.0.call((), |barrier, ()| barrier.broken = false)
    }

    /// Tells whether it is broken.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn is_broken(&self) -> Result<bool, CallError> {
        self.0.call((), |barrier, ()| barrier.broken)
    }

    /// Tells how many wait.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn waiting(&self) -> Result<usize, CallError> {
        self.0.call((), |barrier, ()| barrier.waiting)
    }

    /// Tells for how many it is.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn parties(&self) -> Result<usize, CallError> {
        self.0.call((), |barrier, ()| barrier.parties)
    }
}

/// Why nobody was waited for.
///
/// # Examples
///
/// ```
/// use multiproc_manager::Manager;
/// use std::time::Duration;
///
/// let manager = Manager::start()?;
/// let line = manager.barrier(2)?;
/// let error = line.wait_timeout(Duration::from_millis(1)).unwrap_err();
/// assert!(error.is_broken() && error.call_error().is_none());
/// assert!(line.is_broken()?);
/// line.reset()?;
/// assert_eq!((line.parties()?, line.waiting()?), (2, 0));
/// line.abort()?;
/// assert!(line.wait().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BarrierError(Kind);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("the barrier is broken: somebody gave up, died or broke it; reset it before it is used again")]
    Broken,
    #[error(transparent)]
    Call(CallError),
}

impl BarrierError {
    /// Tells whether the barrier is broken.
    pub fn is_broken(&self) -> bool {
        matches!(self.0, Kind::Broken)
    }

    /// The error of the call, if it was one.
    pub fn call_error(&self) -> Option<&CallError> {
        match &self.0 {
            Kind::Call(error) => Some(error),
            Kind::Broken => None,
        }
    }
}
