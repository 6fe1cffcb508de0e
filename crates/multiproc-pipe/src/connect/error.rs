use crate::address::Address;
use crate::auth::{Refusal, ShakeError};
use multiproc_core::sys::socket;
use std::io;

/// Why there is no connection to a listener.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::{ConnectOptions, Listener, connect};
///
/// let listener = Listener::bind_private("secret")?;
/// let address = listener.address().clone();
/// let wrong = std::thread::spawn(move || connect::<(), ()>(address, "another").unwrap_err());
/// assert!(listener.accept_timeout::<(), ()>(std::time::Duration::from_millis(500)).is_err());
/// let error = wrong.join().unwrap();
/// assert!(error.is_refused() && error.to_string().contains("key"));
/// assert!(!error.is_md5() && !error.is_relayed() && !error.is_stranger());
///
/// let options = ConnectOptions::new().allow_relay(true).allow_user(0).allow_any_user();
/// assert!(options.connect::<(), ()>("/nobody/here", "secret").unwrap_err().is_not_found());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ConnectError(Kind);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error(
        "connect: the key is empty or all zeros, which protects nothing: give it bytes that nobody can guess"
    )]
    EmptyKey,
    #[error("connect: the name of the host means no address: correct it")]
    Nowhere,
    #[error("connect: {0}")]
    Unknown(#[source] io::Error),
    #[error(
        "connect to {address}: timed out: the listener accepts nobody just now, or speaks another protocol: check the address, or try again"
    )]
    Timeout { address: Address },
    #[error(
        "connect to {address}: user {user} listens there: allow that user if you trust in what they do with your answer"
    )]
    Stranger { address: Address, user: u32 },
    #[error("connect to {address}: {refusal}")]
    Refused { address: Address, refusal: Refusal },
    #[error("connect to {address}: {source}")]
    Io { address: Address, source: io::Error },
    #[error(
        "connect to {address}: the listener closed the connection before the end of the handshake: it turned this end away, or is gone: look at what it says, or try again"
    )]
    Closed { address: Address },
    #[error("connect to {address}: a socket's path has at most 107 bytes: have it listen at a shorter one")]
    TooLong { address: Address },
}

impl ConnectError {
    pub(crate) fn empty_key() -> ConnectError {
        ConnectError(Kind::EmptyKey)
    }

    pub(crate) fn nowhere() -> ConnectError {
        ConnectError(Kind::Nowhere)
    }

    pub(crate) fn unknown(error: io::Error) -> ConnectError {
        ConnectError(Kind::Unknown(error))
    }

    pub(crate) fn timeout(address: &Address) -> ConnectError {
        ConnectError(Kind::Timeout { address: address.clone() })
    }

    pub(crate) fn stranger(address: &Address, user: u32) -> ConnectError {
        ConnectError(Kind::Stranger { address: address.clone(), user })
    }

    pub(crate) fn io(address: &Address, source: io::Error) -> ConnectError {
        let address = address.clone();
        if socket::is_path_too_long(&source) {
            return ConnectError(Kind::TooLong { address });
        }
        ConnectError(Kind::Io { address, source })
    }

    pub(crate) fn handshake(address: &Address, error: ShakeError) -> ConnectError {
        match error {
            ShakeError::Refused(refusal) => ConnectError(Kind::Refused { address: address.clone(), refusal }),
            ShakeError::Io(source) => match source.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    ConnectError(Kind::Closed { address: address.clone() })
                }
                _ => ConnectError::io(address, source),
            },
        }
    }

    /// Tells whether nobody listens there.
    pub fn is_not_found(&self) -> bool {
        let kinds = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        matches!(&self.0, Kind::Io { source, .. } if kinds.contains(&source.kind()))
    }

    /// Tells whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(&self.0, Kind::Timeout { .. })
            || matches!(&self.0, Kind::Io { source, .. } if source.kind() == io::ErrorKind::TimedOut)
    }

    /// Tells whether one end did not convince the other that it has the key.
    pub fn is_refused(&self) -> bool {
        matches!(self.0, Kind::Refused { .. })
    }

    /// Tells whether the listener knows no better digest than MD5, and that is not allowed.
    pub fn is_md5(&self) -> bool {
        matches!(self.0, Kind::Refused { refusal: Refusal::Md5, .. })
    }

    /// Tells whether the listener turned out to be reached through somebody in between, and that is not allowed.
    pub fn is_relayed(&self) -> bool {
        matches!(self.0, Kind::Refused { refusal: Refusal::Relayed, .. })
    }

    /// Tells whether another user listens there, and is not allowed to.
    pub fn is_stranger(&self) -> bool {
        matches!(self.0, Kind::Stranger { .. })
    }

    /// Tells whether the listener closed the connection in the middle of the handshake.
    pub fn is_closed(&self) -> bool {
        matches!(self.0, Kind::Closed { .. })
    }
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> io::Error {
        let kind = match &error.0 {
            Kind::Io { source, .. } | Kind::Unknown(source) => source.kind(),
            Kind::Timeout { .. } => io::ErrorKind::TimedOut,
            Kind::Stranger { .. } | Kind::Refused { .. } => io::ErrorKind::PermissionDenied,
            Kind::Closed { .. } => io::ErrorKind::ConnectionAborted,
            Kind::EmptyKey | Kind::Nowhere | Kind::TooLong { .. } => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}
