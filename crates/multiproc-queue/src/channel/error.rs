use crate::error::Kind;
use crate::{GetError, PutError};
use std::{fmt, io};

/// A message that could not be sent through a channel; [`into_inner`](Self::into_inner) gives it back.
///
/// # Examples
///
/// ```
/// use multiproc_queue::channel;
/// use std::time::{Duration, Instant};
///
/// let (sender, receiver) = channel(1)?;
/// sender.send(1).unwrap();
/// assert!(sender.try_send(2).unwrap_err().is_full());
/// assert!(sender.send_timeout(2, Duration::from_millis(1)).unwrap_err().is_timeout());
/// assert!(sender.send_deadline(2, Instant::now()).unwrap_err().is_full());
/// drop(receiver);
/// let error = sender.send_many([2, 3]).unwrap_err();
/// assert!(error.is_disconnected() && !error.is_encode() && !error.is_out_of_memory());
/// assert!(!error.is_elsewhere() && !error.is_corrupt());
/// assert_eq!(error.into_rest(), [2, 3]);
/// # std::io::Result::Ok(())
/// ```
#[derive(thiserror::Error)]
#[error("send a message: {kind}")]
pub struct ChannelSendError<T> {
    values: Vec<T>,
    kind: Kind,
}

/// Why no message was received from a channel.
///
/// # Examples
///
/// ```
/// use multiproc_queue::channel;
/// use std::time::{Duration, Instant};
///
/// let (sender, receiver) = channel::<u32>(1)?;
/// assert!(receiver.try_recv().unwrap_err().is_empty());
/// assert!(receiver.recv_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
/// assert!(receiver.recv_deadline(Instant::now()).is_err());
/// drop(sender);
/// let error = receiver.recv().unwrap_err();
/// assert!(error.is_disconnected() && !error.is_decode() && !error.is_elsewhere() && !error.is_corrupt());
/// assert!(error.into_bytes().is_none());
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("receive a message: {0}")]
pub struct ChannelRecvError(Kind);

impl<T> ChannelSendError<T> {
    pub(crate) fn new(values: Vec<T>, kind: Kind) -> ChannelSendError<T> {
        // Nobody closes a channel but who leaves it.
        let kind = if matches!(kind, Kind::Closed) { Kind::Disconnected } else { kind };
        ChannelSendError { values, kind }
    }

    /// Gives back the message; of several that were sent together, the first that was not.
    ///
    /// # Panics
    ///
    /// Never, but for an error that `send_many` returned when no message had failed, of which there is none.
    #[expect(clippy::expect_used, reason = "an error is made of at least one message")]
    pub fn into_inner(self) -> T {
        self.values.into_iter().next().expect("an error holds the message that was not sent")
    }

    /// Gives back all messages that were not sent, in their order; those before them were.
    pub fn into_rest(self) -> Vec<T> {
        self.values
    }

    /// Tells whether there was no room, now or until the deadline.
    pub fn is_full(&self) -> bool {
        matches!(self.kind, Kind::Full | Kind::TimedOut)
    }

    /// Tells whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, Kind::TimedOut)
    }

    /// Tells whether no receiver is left, in any process or on its way to one.
    pub fn is_disconnected(&self) -> bool {
        matches!(self.kind, Kind::Disconnected)
    }

    /// Tells whether the message cannot travel at all.
    pub fn is_encode(&self) -> bool {
        matches!(self.kind, Kind::Encode(_))
    }

    /// Tells whether there is no memory for it.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self.kind, Kind::OutOfMemory(_))
    }

    /// Tells whether this end, of which there is one at a time, was sent away.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self.kind, Kind::Elsewhere)
    }

    /// Tells whether the channel's memory was overwritten.
    pub fn is_corrupt(&self) -> bool {
        matches!(self.kind, Kind::Corrupt(_))
    }
}

impl<T> fmt::Debug for ChannelSendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelSendError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<T> From<PutError<T>> for ChannelSendError<T> {
    fn from(error: PutError<T>) -> ChannelSendError<T> {
        let (values, kind) = error.into_parts();
        ChannelSendError::new(values, kind)
    }
}

impl<T> From<ChannelSendError<T>> for io::Error {
    fn from(error: ChannelSendError<T>) -> io::Error {
        error.kind.into()
    }
}

impl ChannelRecvError {
    pub(crate) fn new(kind: Kind) -> ChannelRecvError {
        // As for senders.
        ChannelRecvError(if matches!(kind, Kind::Closed) { Kind::Disconnected } else { kind })
    }

    /// Tells whether there was no message, now or until the deadline.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Kind::Empty | Kind::TimedOut)
    }

    /// Tells whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Kind::TimedOut)
    }

    /// Tells whether no sender is left, in any process or on its way to one, and everything was received.
    pub fn is_disconnected(&self) -> bool {
        matches!(self.0, Kind::Disconnected)
    }

    /// Tells whether the message that was received is none of this type; [`into_bytes`](Self::into_bytes) has it.
    pub fn is_decode(&self) -> bool {
        matches!(self.0, Kind::Decode { .. })
    }

    /// Tells whether this end, of which there is one at a time, was sent away.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self.0, Kind::Elsewhere)
    }

    /// Tells whether the channel's memory was overwritten.
    pub fn is_corrupt(&self) -> bool {
        matches!(self.0, Kind::Corrupt(_))
    }

    /// Gives the bytes of a message that could not be decoded.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self.0 {
            Kind::Decode { bytes, .. } => Some(bytes.into_vec()),
            _ => None,
        }
    }
}

impl From<GetError> for ChannelRecvError {
    fn from(error: GetError) -> ChannelRecvError {
        ChannelRecvError::new(error.into_kind())
    }
}

impl From<ChannelRecvError> for io::Error {
    fn from(error: ChannelRecvError) -> io::Error {
        error.0.into()
    }
}
