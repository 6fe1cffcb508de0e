use crate::CallError;
use std::fmt;

/// Why something was not put; it comes back by [`into_inner`](QueuePutError::into_inner).
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
