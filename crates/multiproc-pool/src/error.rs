use crate::death::WorkerStatus;
use multiproc_core::codec::EncodeError;
use std::io;

/// Why a task gave no result.
///
/// # Examples
///
/// ```
/// use multiproc_pool::{Pool, TaskError};
///
/// let pool = Pool::new(1)?;
/// match pool.apply((), |()| -> u32 { panic!("no") }) {
///     Err(TaskError::Panicked { message, location, .. }) => println!("{message} at {location}"),
///     other => println!("{other:?}"),
/// }
/// let error = pool.apply((), |()| -> () { std::process::abort() }).unwrap_err();
/// assert!(error.is_worker_death() && !error.is_timeout() && !error.is_cancelled());
/// pool.close();
/// assert!(pool.apply((), |()| ()).unwrap_err().is_closed());
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The function panicked.
    #[error("the task panicked at {location}: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
        /// Where: `file:line:column`.
        location: String,
        /// The stack at that moment, symbolised as far as the build allows.
        backtrace: String,
    },
    /// The worker ended while it ran the task: it was killed, crashed, or the task called `exit`.
    #[error(
        "the worker process ended while it ran the task ({status}): look for the cause, or let it be run again (`TaskOptions::retries`)"
    )]
    WorkerDied {
        /// How the worker ended.
        status: WorkerStatus,
    },
    /// The task's own time was up.
    #[error("the task ran out of time: raise its `timeout`, or give it less to do")]
    TimedOut,
    /// The task was cancelled, or the pool was terminated.
    #[error(
        "the task was cancelled, by `cancel` or by the pool's `terminate`: give it again if it is wanted still"
    )]
    Cancelled,
    /// The arguments or the result could not be encoded or handed over; the log (`tracing`) says why.
    #[error(
        "the arguments or the result of the task cannot travel: a type that does not encode, or no memory or descriptors left; the log says which"
    )]
    Encode,
    /// The arguments could not be decoded by the worker, or the result here; the log (`tracing`) says why.
    #[error(
        "the arguments or the result of the task could not be decoded: a type whose Deserialize does not read what its Serialize wrote; the log says which"
    )]
    Decode,
    /// The pool was closed or terminated before the task was given to it.
    #[error("the pool is closed: give it tasks before `close`, `join` or `terminate`")]
    Closed,
    /// The result is not there yet; ask again.
    #[error("the task has no result yet: ask again, or wait by `get`")]
    NotReady,
    /// The result was given already.
    #[error("the result of the task was taken before: it is given once, keep it")]
    Taken,
    /// The function lies in a shared library.
    #[error("the function cannot travel: {message}")]
    ForeignFunction {
        /// What keeps it.
        message: String,
    },
    /// What runs the pool's tasks cannot run this one.
    #[error("the task cannot be run by this pool: {message}")]
    Unsupported {
        /// Why not.
        message: String,
    },
    /// No worker could begin the task.
    #[error("no worker could begin the task: {message}")]
    NoWorker {
        /// Why.
        message: String,
    },
}

impl TaskError {
    /// Tells whether time was up: the task's, or the caller's who waited for its result.
    pub fn is_timeout(&self) -> bool {
        matches!(self, TaskError::TimedOut | TaskError::NotReady)
    }

    /// Tells whether the pool takes no more tasks.
    pub fn is_closed(&self) -> bool {
        matches!(self, TaskError::Closed)
    }

    /// Tells whether the task was cancelled, by `cancel` or by the pool's `terminate`: give it again if it is wanted still.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, TaskError::Cancelled)
    }

    /// Tells whether the worker that ran the task died.
    pub fn is_worker_death(&self) -> bool {
        matches!(self, TaskError::WorkerDied { .. })
    }

    pub(crate) fn foreign(error: &EncodeError) -> TaskError {
        TaskError::ForeignFunction { message: error.to_string() }
    }

    pub(crate) fn encode(error: &EncodeError) -> TaskError {
        tracing::error!(target: "multiproc::pool", %error, "cannot encode the arguments of a task");
        TaskError::Encode
    }
}

impl From<TaskError> for io::Error {
    fn from(error: TaskError) -> io::Error {
        io::Error::other(error)
    }
}
