use crate::address::Address;
use multiproc_core::sys::{fd, socket};
use std::io;
use std::path::{Path, PathBuf};

/// Why nobody listens at an address.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::Listener;
///
/// let listener = Listener::bind_private("secret")?;
/// let error = Listener::bind(listener.address().clone(), "secret").unwrap_err();
/// assert!(error.is_in_use() && !error.is_unsafe_place());
/// assert!(Listener::bind("/tmp/socket", "").unwrap_err().to_string().contains("key is empty"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ListenError(Kind);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error(
        "listen: the key is empty or all zeros, which protects nothing: give it bytes that nobody can guess"
    )]
    EmptyKey,
    #[error("listen: the name of the host means no address: correct it")]
    Nowhere,
    #[error("listen: {0}")]
    Unknown(#[source] io::Error),
    #[error("listen at {address}: {source}")]
    Io { address: Address, source: io::Error },
    #[error(
        "listen at {}: a socket's path has at most 107 bytes: choose a shorter one, or let one be chosen by bind_private",
        path.display()
    )]
    TooLong { path: PathBuf },
    #[error("listen at {}: somebody listens there: choose another path, or end that process", path.display())]
    InUse { path: PathBuf },
    #[error("listen at {}: there is a file that is no socket: remove it, or choose another path", path.display())]
    NoSocket { path: PathBuf },
    #[error("listen at {}: user {owner} has a socket there: choose another path", path.display())]
    Squatted { path: PathBuf, owner: u32 },
    #[error(
        "listen in {}: the directory is user {owner}'s, who could replace the socket: choose one of your own",
        path.display()
    )]
    ForeignDirectory { path: PathBuf, owner: u32 },
    #[error(
        "listen in {}: the directory has mode {mode:04o}, so that others could replace the socket: make it 0700",
        path.display()
    )]
    OpenDirectory { path: PathBuf, mode: u32 },
}

impl ListenError {
    pub(super) fn empty_key() -> ListenError {
        ListenError(Kind::EmptyKey)
    }

    pub(super) fn nowhere() -> ListenError {
        ListenError(Kind::Nowhere)
    }

    pub(super) fn unknown(error: io::Error) -> ListenError {
        ListenError(Kind::Unknown(error))
    }

    pub(super) fn io(address: &Address, source: io::Error) -> ListenError {
        ListenError(Kind::Io { address: address.clone(), source })
    }

    pub(super) fn path(path: &Path, error: io::Error) -> ListenError {
        if socket::is_path_too_long(&error) {
            return ListenError(Kind::TooLong { path: path.to_owned() });
        }
        ListenError(Kind::Io { address: Address::Path(path.to_owned()), source: error })
    }

    pub(super) fn in_use(path: &Path) -> ListenError {
        ListenError(Kind::InUse { path: path.to_owned() })
    }

    pub(super) fn no_socket(path: &Path) -> ListenError {
        ListenError(Kind::NoSocket { path: path.to_owned() })
    }

    pub(super) fn squatted(path: &Path, owner: u32) -> ListenError {
        ListenError(Kind::Squatted { path: path.to_owned(), owner })
    }

    pub(super) fn foreign_directory(path: &Path, owner: u32) -> ListenError {
        ListenError(Kind::ForeignDirectory { path: path.to_owned(), owner })
    }

    pub(super) fn open_directory(path: &Path, mode: u32) -> ListenError {
        ListenError(Kind::OpenDirectory { path: path.to_owned(), mode })
    }

    /// Tells whether somebody listens at the address already.
    pub fn is_in_use(&self) -> bool {
        match &self.0 {
            Kind::InUse { .. } | Kind::Squatted { .. } => true,
            Kind::Io { source, .. } => socket::is_address_in_use(source),
            _ => false,
        }
    }

    /// Tells whether others could get into the way there: by their file, or by the rights to the directory.
    pub fn is_unsafe_place(&self) -> bool {
        matches!(
            self.0,
            Kind::NoSocket { .. }
                | Kind::Squatted { .. }
                | Kind::ForeignDirectory { .. }
                | Kind::OpenDirectory { .. }
        )
    }
}

impl From<ListenError> for io::Error {
    fn from(error: ListenError) -> io::Error {
        let kind = match &error.0 {
            Kind::Io { source, .. } | Kind::Unknown(source) => source.kind(),
            Kind::InUse { .. } | Kind::Squatted { .. } | Kind::NoSocket { .. } => io::ErrorKind::AddrInUse,
            Kind::ForeignDirectory { .. } | Kind::OpenDirectory { .. } => io::ErrorKind::PermissionDenied,
            Kind::EmptyKey | Kind::Nowhere | Kind::TooLong { .. } => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}

/// Why no client was accepted.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::Listener;
/// use std::time::{Duration, Instant};
///
/// let listener = Listener::builder().max_half_open(10).allow_user(0).allow_any_user().bind_private("secret")?;
/// let error = listener.accept_timeout::<(), ()>(Duration::from_millis(1)).unwrap_err();
/// assert!(error.is_timeout() && !error.is_out_of_descriptors());
/// assert!(listener.accept_deadline::<(), ()>(Instant::now()).unwrap_err().is_timeout());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("accept a client: {0}")]
pub struct AcceptError(AcceptKind);

#[derive(Debug, thiserror::Error)]
enum AcceptKind {
    #[error("timed out: nobody came, accept again or wait longer")]
    Timeout,
    #[error(
        "no descriptor left ({0}): keep fewer objects open, or raise the limit (RLIMIT_NOFILE, ulimit -n)"
    )]
    Descriptors(#[source] io::Error),
    #[error("{0}")]
    Io(#[source] io::Error),
}

impl AcceptError {
    pub(super) fn timeout() -> AcceptError {
        AcceptError(AcceptKind::Timeout)
    }

    /// Tells whether the time was up; what has begun goes on with the next call.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, AcceptKind::Timeout)
    }

    /// Tells whether this process can have no more descriptors; who waits stays in the queue.
    pub fn is_out_of_descriptors(&self) -> bool {
        matches!(self.0, AcceptKind::Descriptors(_))
    }
}

impl From<io::Error> for AcceptError {
    fn from(error: io::Error) -> AcceptError {
        if fd::is_out_of_descriptors(&error) {
            return AcceptError(AcceptKind::Descriptors(error));
        }
        AcceptError(AcceptKind::Io(error))
    }
}

impl From<AcceptError> for io::Error {
    fn from(error: AcceptError) -> io::Error {
        let kind = match &error.0 {
            AcceptKind::Timeout => io::ErrorKind::TimedOut,
            AcceptKind::Descriptors(error) | AcceptKind::Io(error) => error.kind(),
        };
        io::Error::new(kind, error)
    }
}
