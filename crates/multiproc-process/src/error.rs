use multiproc_core::codec::EncodeError;
use std::io;

/// A process that could not be started.
///
/// # Examples
///
/// ```
/// use multiproc_process::Process;
///
/// let error = Process::builder().current_dir("/no/such/place").spawn((), |()| ()).unwrap_err();
/// assert_eq!(error.io_error().unwrap().kind(), std::io::ErrorKind::NotFound);
/// assert!(error.to_string().starts_with("start a process: the directory /no/such/place"));
/// assert!(!error.is_encode() && !error.is_foreign_function() && !error.is_not_ready());
/// ```
#[derive(Debug, thiserror::Error)]
#[error("start a process: {kind}")]
pub struct SpawnError {
    #[source]
    kind: SpawnKind,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnKind {
    #[error("encode its arguments: {0}")]
    Encode(#[from] EncodeError),
    #[error("{0}")]
    Function(#[from] crate::function::ForeignFunction),
    #[error("{0}")]
    NotReady(NotReady),
    #[error("{0}")]
    Io(#[from] io::Error),
}

#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(crate) enum NotReady {
    #[error(
        "the start-up hook has not run: call `multiproc::init()` at the top of `main` (the feature `hook` is off, \
         or this code runs before `main`)"
    )]
    NoHook,
    #[error(
        "this process is itself being started: constructors that run before `main` cannot start processes; do it in `main` or later"
    )]
    Booting,
    #[error(
        "this library was linked as a shared library: link it into the executable, children could not find their functions"
    )]
    SharedLibrary,
}

impl<E: Into<SpawnKind>> From<E> for SpawnError {
    fn from(error: E) -> SpawnError {
        SpawnError { kind: error.into() }
    }
}

impl From<NotReady> for SpawnKind {
    fn from(why: NotReady) -> SpawnKind {
        SpawnKind::NotReady(why)
    }
}

impl SpawnError {
    /// Tells whether the arguments cannot travel.
    pub fn is_encode(&self) -> bool {
        matches!(self.kind, SpawnKind::Encode(_))
    }

    /// Tells whether the function lies in a shared library, where a child would not find it.
    pub fn is_foreign_function(&self) -> bool {
        matches!(self.kind, SpawnKind::Function(_))
    }

    /// Tells whether processes cannot be started here and now: no hook, no `init()`, or a constructor is running.
    pub fn is_not_ready(&self) -> bool {
        matches!(self.kind, SpawnKind::NotReady(_))
    }

    /// The system's error, if it was one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match &self.kind {
            SpawnKind::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<SpawnError> for io::Error {
    fn from(error: SpawnError) -> io::Error {
        let kind = error.io_error().map_or(io::ErrorKind::InvalidInput, io::Error::kind);
        io::Error::new(kind, error)
    }
}

/// Why a process gave no result.
///
/// # Examples
///
/// ```
/// use multiproc_process::{JoinError, Process};
///
/// match Process::spawn((), |()| -> () { panic!("no") })?.join() {
///     Err(JoinError::Panicked { message, location, .. }) => println!("{message} at {location}"),
///     Err(JoinError::Exited { code }) => println!("it left with {code}"),
///     Err(JoinError::Signaled { signal, .. }) => println!("signal {signal} ended it"),
///     other => println!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The function panicked.
    #[error("the process panicked at {location}: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
        /// Where: `file:line:column`.
        location: String,
        /// The stack at that moment, symbolised as far as the build allows.
        backtrace: String,
    },
    /// The process left without a result, by `std::process::exit` for one.
    #[error(
        "the process exited with code {code} before it gave a result: let its function return, or expect the code by `wait`"
    )]
    Exited {
        /// The code that it left with.
        code: i32,
    },
    /// A signal ended the process before it gave a result. A stack overflow is signal 11 here, an abort signal 6.
    #[error("signal {signal} ended the process before it gave a result{}", hint(*signal))]
    Signaled {
        /// The signal's number.
        signal: i32,
        /// Whether it left a core file.
        core_dumped: bool,
    },
    /// The arguments could not be decoded in the child, or the result here; standard error and the log (`tracing`)
    /// say why.
    #[error("the arguments or the result could not be decoded: standard error says why")]
    Decode,
    /// The process gave a result, or said why there is none, and that could not be received here.
    #[error("what the process said last could not be received: {message}")]
    NotReceived {
        /// Why: no descriptor or no memory was left, for one.
        message: String,
    },
    /// The result could not be encoded.
    #[error("the result could not be encoded: {message}")]
    Encode {
        /// Why.
        message: String,
    },
    /// The child came up, but could not begin.
    #[error("the process could not begin: {message}")]
    NotStarted {
        /// Why.
        message: String,
    },
    /// The process has ended, and somebody else took its status.
    #[error(
        "the process ended without a result, and its status was taken by somebody else: let nothing in this program wait for children that are not its own"
    )]
    Lost,
}

/// What to say when a process cannot be made.
pub(crate) fn not_made(what: &str, error: io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::WouldBlock => {
            "; as many processes and threads run as may: raise RLIMIT_NPROC (ulimit -u) or the control group's pids.max"
        }
        io::ErrorKind::OutOfMemory => "; no memory is left for one more: free some",
        _ => "",
    };
    io::Error::new(error.kind(), format!("{what}: {error}{advice}"))
}

fn hint(signal: i32) -> &'static str {
    match signal {
        4 => " (illegal instruction)",
        6 => " (abort: a panic that could not unwind, or memory that ran out)",
        7 => " (bus error)",
        9 => " (killed, by somebody or by the kernel for want of memory)",
        11 => " (invalid memory access: a stack overflow is one)",
        15 => " (terminated)",
        _ => "",
    }
}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> io::Error {
        io::Error::other(error)
    }
}
