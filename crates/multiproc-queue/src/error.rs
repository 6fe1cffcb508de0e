use crate::ring::Fault;
use multiproc_core::codec::{DecodeError, EncodeError};
use std::{fmt, io};

/// Why a message was not put; [`into_inner`](PutError::into_inner) gives it back.
///
/// # Examples
///
/// ```
/// use multiproc_queue::Queue;
///
/// let queue = Queue::bounded(1)?;
/// queue.put(1).unwrap();
/// let error = queue.try_put(2).unwrap_err();
/// assert!(error.is_full() && !error.is_timeout() && !error.is_full_of_handles());
/// assert_eq!(error.into_inner(), 2); // the message comes back
/// queue.close();
/// let error = queue.put_many([3, 4]).unwrap_err();
/// assert!(error.is_closed() && !error.is_too_large() && !error.is_encode() && !error.is_handles());
/// assert!(!error.is_out_of_memory() && !error.is_corrupt());
/// assert_eq!(error.into_rest(), [3, 4]);
/// # std::io::Result::Ok(())
/// ```
#[derive(thiserror::Error)]
#[error("put a message: {kind}")]
pub struct PutError<T> {
    values: Vec<T>,
    kind: Kind,
}

/// Why no message was got.
///
/// # Examples
///
/// ```
/// use multiproc_queue::Queue;
/// use std::time::{Duration, Instant};
///
/// let queue = Queue::<u32>::bounded(1)?;
/// assert!(queue.try_get().unwrap_err().is_empty());
/// assert!(queue.get_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
/// let error = queue.get_deadline(Instant::now()).unwrap_err();
/// assert!(!error.is_decode() && !error.is_handles() && !error.is_corrupt());
/// assert!(error.into_bytes().is_none()); // what could not be decoded
/// queue.close();
/// assert!(queue.get().unwrap_err().is_closed());
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("get a message: {0}")]
pub struct GetError(Kind);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("the queue is full: get something from it, or wait longer")]
    Full,
    #[error("the queue is empty: put something into it, or wait longer")]
    Empty,
    #[error("the time is up: try again, or wait longer")]
    TimedOut,
    #[error("the queue is closed: make another for what is still to come")]
    Closed,
    #[error(
        "nobody is left at the other end: all of its handles were dropped, or their processes have ended"
    )]
    Disconnected,
    #[error("this end was sent away: use the one that has arrived")]
    Elsewhere,
    #[error(
        "it has {len} bytes, more than the {max} that this queue takes: create it with a larger `max_bytes`"
    )]
    TooLarge { len: usize, max: u64 },
    #[error("{0}")]
    Encode(#[from] EncodeError),
    #[error("it holds handles, which a named queue cannot carry: send them through one without a name")]
    NamedHandles,
    #[error("as many messages with handles are on their way as there can be: have some received first")]
    DepotFull,
    #[error("its handles cannot travel: {0}")]
    Handles(io::Error),
    #[error("its handles: {error}")]
    HandlesLost { error: io::Error, bytes: Box<[u8]> },
    #[error("{0}")]
    OutOfMemory(io::Error),
    #[error("its shared memory was overwritten ({0}): something else wrote there, make another queue")]
    Corrupt(&'static str),
    #[error("{error}")]
    Decode { error: DecodeError, bytes: Box<[u8]> },
}

/// What a passed deadline means to the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Late {
    Full,
    Empty,
    TimedOut,
}

impl From<Late> for Kind {
    fn from(late: Late) -> Kind {
        match late {
            Late::Full => Kind::Full,
            Late::Empty => Kind::Empty,
            Late::TimedOut => Kind::TimedOut,
        }
    }
}

impl<T> PutError<T> {
    pub(crate) fn new(values: Vec<T>, kind: Kind) -> PutError<T> {
        PutError { values, kind }
    }

    pub(crate) fn into_parts(self) -> (Vec<T>, Kind) {
        (self.values, self.kind)
    }

    /// Gives back the message; of several that were put together, the first that was not put.
    ///
    /// # Panics
    ///
    /// Never, but for an error that `put_many` returned when no message had failed, of which there is none.
    #[expect(clippy::expect_used, reason = "an error is made of at least one message")]
    pub fn into_inner(self) -> T {
        self.values.into_iter().next().expect("an error holds the message that was not put")
    }

    /// Gives back all messages that were not put, in their order; those before them were.
    pub fn into_rest(self) -> Vec<T> {
        self.values
    }

    /// Tells whether there was no room, now or until the deadline.
    pub fn is_full(&self) -> bool {
        matches!(self.kind, Kind::Full | Kind::DepotFull | Kind::TimedOut)
    }

    /// Tells whether as many messages with handles were waiting as there can be: a few hundred, whatever the capacity.
    ///
    /// One without handles may still be put.
    pub fn is_full_of_handles(&self) -> bool {
        matches!(self.kind, Kind::DepotFull)
    }

    /// Tells whether it is the handles in the message that cannot travel: through a named queue, or for want of
    /// descriptors.
    pub fn is_handles(&self) -> bool {
        matches!(self.kind, Kind::NamedHandles | Kind::Handles(_))
    }

    /// Tells whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, Kind::TimedOut)
    }

    /// Tells whether the queue is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.kind, Kind::Closed)
    }

    /// Tells whether the message is larger than what this queue takes.
    pub fn is_too_large(&self) -> bool {
        matches!(self.kind, Kind::TooLarge { .. })
    }

    /// Tells whether the message cannot travel at all.
    pub fn is_encode(&self) -> bool {
        matches!(self.kind, Kind::Encode(_))
    }

    /// Tells whether there is no memory for it.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self.kind, Kind::OutOfMemory(_))
    }

    /// Tells whether the queue's memory was overwritten.
    pub fn is_corrupt(&self) -> bool {
        matches!(self.kind, Kind::Corrupt(_))
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl GetError {
    pub(crate) fn new(kind: Kind) -> GetError {
        GetError(kind)
    }

    pub(crate) fn into_kind(self) -> Kind {
        self.0
    }

    /// Tells whether there was no message, now or until the deadline.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Kind::Empty | Kind::TimedOut)
    }

    /// Tells whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Kind::TimedOut)
    }

    /// Tells whether the queue is closed and everything in it was got.
    pub fn is_closed(&self) -> bool {
        matches!(self.0, Kind::Closed)
    }

    /// Tells whether the message that was got is none of this type; [`into_bytes`](Self::into_bytes) has it.
    pub fn is_decode(&self) -> bool {
        matches!(self.0, Kind::Decode { .. })
    }

    /// Tells whether the message's handles were lost, since this process can have no more descriptors.
    ///
    /// [`into_bytes`](Self::into_bytes) has the rest.
    pub fn is_handles(&self) -> bool {
        matches!(self.0, Kind::HandlesLost { .. } | Kind::Handles(_))
    }

    /// Tells whether the queue's memory was overwritten.
    pub fn is_corrupt(&self) -> bool {
        matches!(self.0, Kind::Corrupt(_))
    }

    /// Gives the bytes of a message that could not be decoded.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self.0 {
            Kind::Decode { bytes, .. } | Kind::HandlesLost { bytes, .. } => Some(bytes.into_vec()),
            _ => None,
        }
    }
}

impl Kind {
    /// What went wrong with messages of which the longest has `len` bytes; `late` says what the deadline means.
    #[cold]
    pub(crate) fn of(fault: Fault, late: Late, len: usize, max: u64) -> Kind {
        match fault {
            Fault::TimedOut => late.into(),
            Fault::Closed => Kind::Closed,
            Fault::TooLarge => Kind::TooLarge { len, max },
            Fault::OutOfMemory(error) => Kind::OutOfMemory(error.0),
            Fault::DepotFull if matches!(late, Late::Full) => Kind::DepotFull,
            Fault::DepotFull => late.into(),
            Fault::Handles(error) => Kind::Handles(error),
            Fault::Broken(broken) => Kind::Corrupt(broken.0),
        }
    }
}

impl<T> From<PutError<T>> for io::Error {
    fn from(error: PutError<T>) -> io::Error {
        error.kind.into()
    }
}

impl From<GetError> for io::Error {
    fn from(error: GetError) -> io::Error {
        error.0.into()
    }
}

impl From<Kind> for io::Error {
    fn from(kind: Kind) -> io::Error {
        let io_kind = match &kind {
            Kind::Full | Kind::DepotFull | Kind::Empty => io::ErrorKind::WouldBlock,
            Kind::TimedOut => io::ErrorKind::TimedOut,
            Kind::Closed | Kind::Disconnected => io::ErrorKind::BrokenPipe,
            Kind::TooLarge { .. } | Kind::Encode(_) | Kind::NamedHandles | Kind::Elsewhere => {
                io::ErrorKind::InvalidInput
            }
            Kind::Handles(error) | Kind::HandlesLost { error, .. } => error.kind(),
            Kind::OutOfMemory(_) => io::ErrorKind::OutOfMemory,
            Kind::Corrupt(_) | Kind::Decode { .. } => io::ErrorKind::InvalidData,
        };
        io::Error::new(io_kind, kind)
    }
}
