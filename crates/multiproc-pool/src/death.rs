//! How a worker ended, and why.

use multiproc_process::ExitStatus;
use std::fmt;
use std::ops::Deref;

/// How a worker process ended: its [`ExitStatus`], and what is known of the cause.
///
/// ```
/// use multiproc_pool::{Cause, Pool, TaskError};
///
/// let pool = Pool::new(1)?;
/// let Err(TaskError::WorkerDied { status }) = pool.apply((), |()| -> () { std::process::exit(3) }) else {
///     panic!("it should have left")
/// };
/// assert_eq!(status.code(), Some(3));
/// assert_eq!(status.cause(), Cause::Exit);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerStatus {
    status: ExitStatus,
    cause: Cause,
    peak: Option<u64>,
}

/// Why a worker ended, as far as can be told from outside.
///
/// # Examples
///
/// ```
/// use multiproc_pool::{Cause, Pool, TaskError};
///
/// let pool = Pool::new(1)?;
/// let Err(TaskError::WorkerDied { status }) = pool.apply((), |()| -> () { std::process::exit(3) }) else { unreachable!() };
/// assert_eq!((status.cause(), status.status().code()), (Cause::Exit, Some(3)));
/// assert!(status.peak_memory().is_none_or(|bytes| bytes > 0));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The task called `exit`, or the like.
    Exit,
    /// The task crashed: a signal that its own doing causes (`SIGSEGV`, `SIGABRT`, …).
    Crash,
    /// It wanted more memory than the pool's [`memory_limit`](crate::PoolBuilder::memory_limit) allows; or it aborted
    /// for another reason under such a limit, which cannot be told apart.
    MemoryLimit,
    /// The kernel killed it because the machine, or its control group, had no memory left.
    OutOfMemory,
    /// Somebody else killed it.
    Killed,
    /// The pool ended it: the task's time was up, it was cancelled, or the pool was terminated.
    Ended,
    /// The host that had the task has not been heard of for too long: it crashed, or cannot be reached.
    HostLost,
    /// The pool ended it because it wrote over what it shares with the pool.
    Corrupt,
}

impl WorkerStatus {
    #[doc(hidden)]
    pub fn new(status: ExitStatus, cause: Cause, peak: Option<u64>) -> WorkerStatus {
        WorkerStatus { status, cause, peak }
    }

    /// Tells why it ended.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The most bytes that it had in memory at one time, where the system tells.
    pub fn peak_memory(&self) -> Option<u64> {
        self.peak
    }

    /// Tells how it ended.
    pub fn status(&self) -> ExitStatus {
        self.status
    }
}

impl Deref for WorkerStatus {
    type Target = ExitStatus;

    fn deref(&self) -> &ExitStatus {
        &self.status
    }
}

impl fmt::Display for WorkerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        match self.cause {
            Cause::Exit | Cause::Killed => {}
            Cause::Crash => f.write_str(", it crashed")?,
            Cause::MemoryLimit => f.write_str(", probably for want of memory below its limit")?,
            Cause::OutOfMemory => f.write_str(", the kernel had no memory left")?,
            Cause::HostLost => f.write_str(", the host that had the task is lost")?,
            Cause::Ended => f.write_str(", the pool ended it")?,
            Cause::Corrupt => {
                f.write_str(", the pool ended it: it wrote over what it shares with the pool")?
            }
        }
        match self.peak {
            Some(peak) => write!(f, "; it had up to {} MiB in memory", peak >> 20),
            None => Ok(()),
        }
    }
}
