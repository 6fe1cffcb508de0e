use crate::TaskError;
use crate::backend::{Outcome, Payload};
use crate::supervisor::{Handle, JobId};
use multiproc_core::{Deadline, Message};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// How a task ended, before its type is known.
pub(crate) type Finished = Result<Payload, TaskError>;

/// Where results are put by the supervisor and taken by the callers: (place, result).
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    results: Mutex<VecDeque<(u64, Finished)>>,
    came: Condvar,
}

impl Inbox {
    pub(crate) fn put(&self, place: u64, result: Finished) {
        self.results.lock().push_back((place, result));
        self.came.notify_one();
    }

    /// Takes the next result; `None` where there is none before the deadline.
    pub(crate) fn take(&self, deadline: Deadline) -> Option<(u64, Finished)> {
        let mut results = self.results.lock();
        loop {
            if let Some(result) = results.pop_front() {
                return Some(result);
            }
            match deadline.instant() {
                None => self.came.wait(&mut results),
                Some(at) => {
                    if self.came.wait_until(&mut results, at).timed_out() && results.is_empty() {
                        return None;
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.results.lock().is_empty()
    }
}

/// The obligation to put exactly one result into an inbox; one that is dropped puts [`TaskError::Closed`].
#[derive(Debug)]
pub(crate) struct Promise {
    inbox: Option<Arc<Inbox>>,
    place: u64,
}

impl Promise {
    pub(crate) fn new(inbox: &Arc<Inbox>, place: u64) -> Promise {
        Promise { inbox: Some(Arc::clone(inbox)), place }
    }

    pub(crate) fn keep(mut self, result: Finished) {
        if let Some(inbox) = self.inbox.take() {
            inbox.put(self.place, result);
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            inbox.put(self.place, Err(TaskError::Closed));
        }
    }
}

pub(crate) fn finished(outcome: Outcome) -> Finished {
    let logged =
        |what: &str, why: &str| tracing::error!(target: "multiproc::pool", why, "cannot {what} of a task");
    Err(match outcome {
        Outcome::Returned(payload) => return Ok(payload),
        Outcome::Panicked(panic) => TaskError::Panicked {
            message: panic.message,
            location: panic.location,
            backtrace: panic.backtrace,
        },
        Outcome::WorkerDied(status) => TaskError::WorkerDied { status },
        Outcome::NoWorker(message) => TaskError::NoWorker { message },
        Outcome::NotDecoded(why) => {
            logged("decode the arguments", &why);
            TaskError::Decode
        }
        Outcome::NotEncoded(why) => {
            logged("encode the result", &why);
            TaskError::Encode
        }
        Outcome::NotSent(why) => {
            logged("hand over the arguments", &why);
            TaskError::Encode
        }
        Outcome::NotReceived(why) => {
            logged("receive the result", &why);
            TaskError::Decode
        }
    })
}

pub(crate) fn decode<R: Message>(result: Finished) -> Result<R, TaskError> {
    result?.decode().map_err(|error| {
        tracing::error!(target: "multiproc::pool", %error, "cannot decode the result of a task");
        TaskError::Decode
    })
}

/// The result of a task that is under way; made by [`Pool::apply_async`](crate::Pool::apply_async).
///
/// Dropping it does not stop the task.
///
/// ```
/// use multiproc_pool::Pool;
///
/// let pool = Pool::new(2)?;
/// let results: Vec<_> = (0..4u64).map(|n| pool.apply_async(n, |n| n * n)).collect();
/// let squares: Result<Vec<_>, _> = results.into_iter().map(|result| result.get()).collect();
/// assert_eq!(squares?, [0, 1, 4, 9]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the result says whether the task failed"]
pub struct AsyncResult<R> {
    inbox: Arc<Inbox>,
    pool: Handle,
    job: JobId,
    taken: Mutex<bool>,
    result: PhantomData<fn() -> R>,
}

impl<R: Message> AsyncResult<R> {
    pub(crate) fn new(inbox: Arc<Inbox>, pool: Handle, job: JobId) -> AsyncResult<R> {
        AsyncResult { inbox, pool, job, taken: Mutex::new(false), result: PhantomData }
    }

    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// The task failed; see [`TaskError`].
    pub fn get(self) -> Result<R, TaskError> {
        self.take(Deadline::NEVER)
    }

    /// Waits up to `timeout` for the result; it is given once.
    ///
    /// # Errors
    ///
    /// [`TaskError::NotReady`] if it is not there yet, after which one may ask again; or the task failed.
    pub fn get_timeout(&self, timeout: Duration) -> Result<R, TaskError> {
        self.take(Deadline::after(timeout))
    }

    fn take(&self, deadline: Deadline) -> Result<R, TaskError> {
        // Another thread may be waiting for the same result.
        let taken = match deadline.instant() {
            None => Some(self.taken.lock()),
            Some(at) => self.taken.try_lock_until(at),
        };
        let mut taken = taken.ok_or(TaskError::NotReady)?;
        if *taken {
            return Err(TaskError::Taken);
        }
        let (_, result) = self.inbox.take(deadline).ok_or(TaskError::NotReady)?;
        *taken = true;
        decode(result)
    }

    /// Tells whether the task has ended, in a result or an error.
    pub fn is_ready(&self) -> bool {
        !self.inbox.is_empty() || self.taken.try_lock().is_some_and(|taken| *taken)
    }

    /// Takes the task back if no worker has begun it; tells whether it did. Its result is then
    /// [`TaskError::Cancelled`].
    pub fn cancel(&self) -> bool {
        self.pool.cancel(self.job)
    }
}

impl<R> fmt::Debug for AsyncResult<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncResult").field("ready", &!self.inbox.is_empty()).finish_non_exhaustive()
    }
}
