use multiproc_core::sys::child::End;
use std::fmt;

/// How a process ended.
///
/// ```
/// use multiproc_process::Process;
///
/// let child = Process::spawn(3, |code: i32| -> () { std::process::exit(code) })?;
/// let status = child.wait()?;
/// assert_eq!((status.code(), status.signal(), status.success()), (Some(3), None, false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus(End);

impl ExitStatus {
    #[doc(hidden)]
    pub fn new(end: End) -> ExitStatus {
        ExitStatus(end)
    }

    /// The status of a process that has ended, nobody knows how.
    pub fn unknown() -> ExitStatus {
        ExitStatus(End::Unknown)
    }

    /// The code that it left with, 0 to 255; `None` if a signal ended it or nobody knows.
    pub fn code(&self) -> Option<i32> {
        match self.0 {
            End::Exited(code) => Some(code),
            End::Signaled { .. } | End::Unknown => None,
        }
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        match self.0 {
            End::Signaled { signal, .. } => Some(signal),
            End::Exited(_) | End::Unknown => None,
        }
    }

    /// Tells whether a signal ended it and it left a core file.
    pub fn core_dumped(&self) -> bool {
        matches!(self.0, End::Signaled { core_dumped: true, .. })
    }

    /// Tells whether it left with code 0.
    pub fn success(&self) -> bool {
        self.0 == End::Exited(0)
    }

    /// Tells whether somebody else took the status: the process has ended, how is not known.
    ///
    /// That takes another part of the program that waits for every child there is (`wait(-1)`) or ignores SIGCHLD,
    /// and a kernel before 6.15, which does not tell again.
    pub fn is_unknown(&self) -> bool {
        self.0 == End::Unknown
    }

    /// The code in Python's signs: `n` for an exit code, `-n` for signal `n`, `None` if nobody knows.
    pub fn signed(&self) -> Option<i32> {
        self.code().or_else(|| self.signal().map(|signal| -signal))
    }
}

impl fmt::Debug for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExitStatus({self})")
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            End::Exited(code) => write!(f, "exit code {code}"),
            End::Signaled { signal, core_dumped } => {
                write!(f, "signal {signal}{}", if core_dumped { " (core dumped)" } else { "" })
            }
            End::Unknown => f.write_str("unknown status"),
        }
    }
}
