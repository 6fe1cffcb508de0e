use crate::frame::{self, Frame};
use crate::{RecvError, SendError};
use multiproc_core::codec::{self, Carried, Message};
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::{Deadline, codec::Encoded};
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a connection's descriptor is called inside a message.
pub(crate) const KIND: u32 = u32::from_be_bytes(*b"conn");

/// The socket of an end, and what its threads share: one writes at a time, one reads at a time.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: Arc<OwnedFd>,
    writing: Mutex<()>,
    reading: Mutex<frame::Reader>,
}

impl Socket {
    pub(crate) fn new(fd: Arc<OwnedFd>) -> Socket {
        Socket { fd, writing: Mutex::new(()), reading: Mutex::new(frame::Reader::new()) }
    }

    pub(crate) fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    pub(crate) fn send<T: Message>(&self, value: T) -> Result<(), SendError<T>> {
        match codec::encode_message(&value) {
            Err(error) => Err(SendError::new(value, error)),
            Ok(Encoded { bytes, fds }) => {
                let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
                self.write(&bytes, &fds).map_err(|error| SendError::new(value, error))
            }
        }
    }

    pub(crate) fn write(&self, body: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let _turn = self.writing.lock();
        frame::write(&self.fd, body, fds, true)
    }

    pub(crate) fn recv<T: Message>(&self, deadline: Deadline) -> Result<T, RecvError> {
        let Frame { body, fds } = self.read(deadline)?;
        codec::decode(&body, fds).map_err(|error| RecvError::decode(error, body))
    }

    pub(crate) fn read(&self, deadline: Deadline) -> Result<Frame, RecvError> {
        let mut reader = match deadline.instant() {
            None => self.reading.lock(),
            Some(at) => match self.reading.try_lock_until(at) {
                Some(reader) => reader,
                None => return Err(frame::FrameError::TimedOut.into()),
            },
        };
        Ok(reader.read(&self.fd, isize::MAX as usize, deadline)?)
    }

    pub(crate) fn poll(&self, timeout: Duration) -> io::Result<bool> {
        if self.reading.try_lock().is_some_and(|reader| reader.is_amid_frame()) {
            return Ok(true);
        }
        fd::poll_one(&self.fd, Interest::Read, Deadline::after(timeout))
    }

    /// Serializes the socket as a handle of this kind.
    pub(crate) fn serialize<const KIND: u32, Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        // Where a thread is receiving just now the lock is taken: what it has read stays with it, and so does the rest.
        if self.reading.try_lock().is_some_and(|reader| reader.is_amid_frame()) {
            return Err(ser::Error::custom(
                "a part of a message has been read from this connection, which whoever gets it would never see: receive the message first, or let no receive time out before it is sent",
            ));
        }
        Carried::<KIND>(Arc::clone(&self.fd)).serialize(serializer)
    }
}

/// One end of a two-way connection: it sends `S` and receives `R`.
///
/// Made by [`pipe`]. It is a message itself, so that it can be given to another process. Threads may share it, also
/// by [`try_clone`](Connection::try_clone): messages do not interleave.
///
/// Processes may not: as in Python, where several hold one end only one of them may send at a time and only one may
/// receive, or their messages get mixed up. A copy that was sent counts as another process's, wherever it arrives.
///
/// A connection cannot be sent while a part of a message has been read from it, as after a receive that timed out
/// in the middle of a long one; receive the message first.
pub struct Connection<S, R> {
    socket: Arc<Socket>,
    types: PhantomData<fn(S) -> R>,
}

/// Makes a connection: what one end sends, the other receives.
///
/// # Errors
///
/// The system's: no descriptor or no memory left.
///
/// # Examples
///
/// ```
/// let (a, b) = multiproc_pipe::pipe::<u32, String>()?;
/// a.send(7).unwrap();
/// assert_eq!(b.recv().unwrap(), 7);
/// b.send("seven".into()).unwrap();
/// assert_eq!(a.recv().unwrap(), "seven");
/// drop(b);
/// assert!(a.recv().unwrap_err().is_eof());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn pipe<A: Message, B: Message>() -> io::Result<(Connection<A, B>, Connection<B, A>)> {
    let (left, right) = fd::with_descriptors(fd::socket_pair)?;
    Ok((Connection::from_fd(left), Connection::from_fd(right)))
}

impl<S, R> Connection<S, R> {
    fn from_fd(fd: OwnedFd) -> Connection<S, R> {
        Connection { socket: Arc::new(Socket::new(Arc::new(fd))), types: PhantomData }
    }

    /// Makes another handle of the same end.
    ///
    /// The other side sees the end of the stream only when all of them are gone. The handles share all there is:
    /// each message goes whole, whichever of them sends, and comes whole, whichever of them receives.
    ///
    /// # Errors
    ///
    /// None today: the handles share their descriptor.
    ///
    /// # Examples
    ///
    /// ```
    /// let (a, b) = multiproc_pipe::pipe::<u32, u32>()?;
    /// let copy = a.try_clone()?;
    /// std::thread::spawn(move || copy.send(1).unwrap());
    /// assert_eq!(b.recv().unwrap(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_clone(&self) -> io::Result<Connection<S, R>> {
        Ok(Connection { socket: Arc::clone(&self.socket), types: PhantomData })
    }

    /// Waits up to `timeout` for something to receive: a message, or the end of the stream.
    ///
    /// The beginning of a message is enough: [`recv`](Connection::recv) then waits for the rest, and
    /// [`recv_timeout`](Connection::recv_timeout) may still time out.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn poll(&self, timeout: Duration) -> io::Result<bool> {
        self.socket.poll(timeout)
    }

    /// Sends bytes as they are, as CPython's `send_bytes`.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` where the other end is gone; the system's.
    pub fn send_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write(bytes, &[])
    }

    /// Receives bytes as they are, as CPython's `recv_bytes`.
    ///
    /// # Errors
    ///
    /// See [`RecvError`].
    pub fn recv_bytes(&self) -> Result<Vec<u8>, RecvError> {
        Ok(self.socket.read(Deadline::NEVER)?.body)
    }
}

impl<S: Message, R: Message> Connection<S, R> {
    /// Sends a message, with whatever handles it holds; waits while the other side is slow to receive.
    ///
    /// # Errors
    ///
    /// The other end is gone, or the message cannot travel; it comes back in the error.
    pub fn send(&self, value: S) -> Result<(), SendError<S>> {
        self.socket.send(value)
    }

    /// Receives a message; waits for it.
    ///
    /// # Errors
    ///
    /// The end of the stream, a torn message, or one of another type.
    pub fn recv(&self) -> Result<R, RecvError> {
        self.socket.recv(Deadline::NEVER)
    }

    /// Receives a message if it is there within `timeout`; the time bounds the whole call.
    ///
    /// # Errors
    ///
    /// As [`recv`](Connection::recv), and the time-out, after which nothing is lost.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<R, RecvError> {
        self.socket.recv(Deadline::after(timeout))
    }

    /// Receives a message if it is there before `deadline`.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Connection::recv_timeout).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<R, RecvError> {
        self.socket.recv(Deadline::at(deadline))
    }

    /// Receives a message if one is there.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Connection::recv_timeout).
    pub fn try_recv(&self) -> Result<R, RecvError> {
        self.socket.recv(Deadline::now())
    }
}

impl<S, R> AsFd for Connection<S, R> {
    /// Readable when there is something to receive.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd().as_fd()
    }
}

impl<S, R> fmt::Debug for Connection<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("fd", &fd::number(self)).finish()
    }
}

impl<S, R> Serialize for Connection<S, R> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        self.socket.serialize::<KIND, Z>(serializer)
    }
}

impl<'de, S, R> Deserialize<'de> for Connection<S, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Connection<S, R>, D::Error> {
        let Carried(fd) = Carried::<KIND>::deserialize(deserializer)?;
        Ok(Connection { socket: Arc::new(Socket::new(fd)), types: PhantomData })
    }
}
