use crate::frame::FrameError;
use multiproc_core::codec::{DecodeError, EncodeError};
use std::{fmt, io};

/// A message that could not be sent; it comes back by [`into_inner`](SendError::into_inner).
///
/// # Examples
///
/// ```
/// use multiproc_pipe::one_way;
///
/// let (reader, writer) = one_way::<String>()?;
/// drop(reader);
/// let error = writer.send("nobody hears".to_owned()).unwrap_err();
/// assert!(error.is_closed() && !error.is_encode());
/// assert_eq!(error.into_inner(), "nobody hears"); // the message comes back
/// # std::io::Result::Ok(())
/// ```
#[derive(thiserror::Error)]
#[error("send a message: {kind}")]
pub struct SendError<T> {
    value: T,
    kind: SendKind,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SendKind {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl<T> SendError<T> {
    pub(crate) fn new(value: T, kind: impl Into<SendKind>) -> SendError<T> {
        SendError { value, kind: kind.into() }
    }

    /// Gives the message back.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Tells whether the other end is gone.
    pub fn is_closed(&self) -> bool {
        matches!(&self.kind, SendKind::Io(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset))
    }

    /// Tells whether the message cannot travel at all.
    pub fn is_encode(&self) -> bool {
        matches!(self.kind, SendKind::Encode(_))
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<T> From<SendError<T>> for io::Error {
    fn from(error: SendError<T>) -> io::Error {
        match error.kind {
            SendKind::Io(error) => error,
            SendKind::Encode(error) => io::Error::new(io::ErrorKind::InvalidInput, error),
        }
    }
}

/// Why no message was received.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::pipe;
///
/// let (ours, theirs) = pipe::<u8, u64>()?;
/// assert!(theirs.try_recv().unwrap_err().is_timeout());
/// theirs.send_bytes(b"too short for a text")?;
/// let error = ours.recv().unwrap_err();
/// assert!(error.is_decode() && !error.is_torn() && !error.is_too_long() && !error.is_out_of_descriptors());
/// assert_eq!(error.into_bytes().unwrap(), b"too short for a text");
/// drop(theirs);
/// assert!(ours.recv().unwrap_err().is_eof());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("receive a message: {0}")]
pub struct RecvError(RecvKind);

#[derive(Debug, thiserror::Error)]
enum RecvKind {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{error}")]
    Decode { error: DecodeError, bytes: Vec<u8> },
    #[error(
        "the message of {} bytes does not fit into the {room} that it was to be received into: take it out of this error, and make more room",
        bytes.len()
    )]
    NoRoom { room: usize, bytes: Vec<u8> },
}

impl RecvError {
    pub(crate) fn decode(error: DecodeError, bytes: Vec<u8>) -> RecvError {
        RecvError(RecvKind::Decode { error, bytes })
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn io(error: io::Error) -> RecvError {
        RecvError(RecvKind::Frame(FrameError::Io(error)))
    }

    pub(crate) fn too_long(room: usize, bytes: Vec<u8>) -> RecvError {
        RecvError(RecvKind::NoRoom { room, bytes })
    }

    /// Tells whether every copy of the other end is closed and all that was sent has been received.
    pub fn is_eof(&self) -> bool {
        matches!(self.0, RecvKind::Frame(FrameError::Eof))
    }

    /// Tells whether the other end was closed in the middle of a message.
    pub fn is_torn(&self) -> bool {
        matches!(self.0, RecvKind::Frame(FrameError::Torn { .. }))
    }

    /// Tells whether the time was up; nothing was consumed.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, RecvKind::Frame(FrameError::TimedOut))
    }

    /// Tells whether a message came without its descriptors, since this process can have no more open.
    ///
    /// That message is gone; the next one can be received. The soft limit of open files has been raised as far as
    /// the hard one allows; beyond that, keep fewer objects open or raise `RLIMIT_NOFILE`.
    pub fn is_out_of_descriptors(&self) -> bool {
        matches!(self.0, RecvKind::Frame(FrameError::DescriptorsLost { .. }))
    }

    /// Tells whether a message came that is none of the expected type.
    pub fn is_decode(&self) -> bool {
        matches!(self.0, RecvKind::Decode { .. })
    }

    /// Tells whether a message is longer than there is room for.
    ///
    /// One that was to be received into a buffer is in this error ([`into_bytes`](RecvError::into_bytes)), and the
    /// next one can be received. One that is longer than is taken from the peer at all was not received, and nothing
    /// more can be.
    pub fn is_too_long(&self) -> bool {
        matches!(self.0, RecvKind::NoRoom { .. } | RecvKind::Frame(FrameError::TooLong { .. }))
    }

    /// Gives the bytes of a message that could not be decoded or did not fit, `None` for any other error.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self.0 {
            RecvKind::Decode { bytes, .. } | RecvKind::NoRoom { bytes, .. } => Some(bytes),
            RecvKind::Frame(_) => None,
        }
    }
}

impl From<FrameError> for RecvError {
    fn from(error: FrameError) -> RecvError {
        RecvError(RecvKind::Frame(error))
    }
}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> io::Error {
        let kind = match &error.0 {
            RecvKind::Frame(FrameError::Io(error)) => error.kind(),
            RecvKind::Frame(FrameError::Eof | FrameError::Torn { .. }) => io::ErrorKind::UnexpectedEof,
            RecvKind::Frame(FrameError::TimedOut) => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}
