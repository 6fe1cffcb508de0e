use crate::CallError;
use std::fmt;

/// Why something was not put; it comes back by [`into_inner`](QueuePutError::into_inner).
///
/// # Examples
///
/// ```
/// use multiproc_manager::Manager;
/// use std::time::Duration;
///
/// let manager = Manager::start()?;
/// let jobs = manager.queue(1)?;
/// jobs.try_put(1)?;
/// assert!(jobs.is_full()?);
/// let error = jobs.put_timeout(2, Duration::from_millis(1)).unwrap_err();
/// assert!(error.is_full() && error.call_error().is_none());
/// assert_eq!(error.into_inner(), 2); // the item comes back
/// jobs.close()?;
/// assert!(jobs.put(3).unwrap_err().is_closed());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(thiserror::Error)]
#[error("put into a manager's queue: {why}")]
pub struct QueuePutError<T> {
    pub(super) value: T,
    pub(super) why: Why,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Why {
    #[error("it is full: take something out, or wait by `put`")]
    Full,
    #[error("it is closed: nothing more goes in, make another")]
    Closed,
    #[error(transparent)]
    Call(CallError),
}

impl<T> QueuePutError<T> {
    /// Gives back what was not put. After an error that [may have run](CallError::may_have_run) it may be in the
    /// queue all the same.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Tells whether there was no room, in time or at all.
    pub fn is_full(&self) -> bool {
        matches!(self.why, Why::Full)
    }

    /// Tells whether the queue is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.why, Why::Closed)
    }

    /// The error of the call, if it was one.
    pub fn call_error(&self) -> Option<&CallError> {
        match &self.why {
            Why::Call(error) => Some(error),
            _ => None,
        }
    }
}

impl<T> fmt::Debug for QueuePutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuePutError").field("why", &self.why).finish_non_exhaustive()
    }
}

/// Why nothing was taken.
///
/// # Examples
///
/// ```
/// use multiproc_manager::Manager;
/// use std::time::Duration;
///
/// let manager = Manager::start()?;
/// let jobs = manager.queue::<u32>(10)?;
/// assert!(jobs.try_get().unwrap_err().is_empty());
/// jobs.put_many([1, 2])?;
/// assert_eq!(jobs.get_many(10)?, [1, 2]);
/// assert!(!jobs.join_timeout(Duration::from_millis(1))?); // nobody said `task_done`
/// jobs.close()?;
/// let error = jobs.get().unwrap_err();
/// assert!(error.is_closed() && error.call_error().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("take from a manager's queue: {0}")]
pub struct QueueGetError(pub(super) NotGot);

#[derive(Debug, thiserror::Error)]
pub(super) enum NotGot {
    #[error("it is empty: wait by `get`, or ask again")]
    Empty,
    #[error("it is closed and empty: nothing more will come")]
    Closed,
    #[error(transparent)]
    Call(CallError),
}

impl QueueGetError {
    /// Tells whether there was nothing, in time or at all.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, NotGot::Empty)
    }

    /// Tells whether the queue is closed, and nothing is left.
    pub fn is_closed(&self) -> bool {
        matches!(self.0, NotGot::Closed)
    }

    /// The error of the call, if it was one.
    pub fn call_error(&self) -> Option<&CallError> {
        match &self.0 {
            NotGot::Call(error) => Some(error),
            _ => None,
        }
    }
}
