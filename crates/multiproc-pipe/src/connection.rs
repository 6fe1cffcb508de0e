use crate::socket::{Nature, Socket};
use crate::{PipeReader, PipeWriter, RecvError, SendError};
use multiproc_core::codec::Message;
use multiproc_core::sys::socket::{self, Direction};
use multiproc_core::sys::{fd, peer};
use multiproc_core::{Deadline, sys::peer::PeerCredentials};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a connection's descriptor is called inside a message.
pub(crate) const KIND: u32 = u32::from_be_bytes(*b"conn");

/// One end of a two-way connection: it sends `S` and receives `R`.
///
/// Made by [`pipe`], [`connect`](crate::connect()) and [`Listener::accept`](crate::Listener::accept). It is a message
/// itself, so that it can be given to another process. Threads may share it, also by
/// [`try_clone`](Connection::try_clone) and [`split`](Connection::split): messages do not interleave.
///
/// Processes may not: as in Python, where several hold one end only one of them may send at a time and only one may
/// receive, or their messages get mixed up. A copy that was sent counts as another process's, wherever it arrives.
///
/// A connection cannot be sent while a part of a message has been read from it, as after a receive that timed out
/// in the middle of a long one; receive the message first.
///
/// What came by a listener is from somebody who has the key, and no more is known: its messages are decoded as input
/// of a stranger, up to a length that the listener says, and handles that are safe only by protocol are refused. That
/// stays so when the connection is sent on.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::pipe;
/// use std::time::{Duration, Instant};
///
/// let (ours, theirs) = pipe::<u32, String>()?; // what one sends, the other receives
/// ours.send(7)?;
/// assert!(theirs.poll(Duration::from_secs(1))?);
/// assert_eq!(theirs.recv_timeout(Duration::from_secs(1))?, 7);
/// assert!(theirs.recv_deadline(Instant::now()).unwrap_err().is_timeout());
/// assert!(theirs.try_recv_bytes().unwrap_err().is_timeout());
/// ours.send_bytes(b"as it is")?;
/// assert_eq!(theirs.recv_bytes_timeout(Duration::from_secs(1))?, b"as it is");
/// assert!(theirs.recv_bytes_deadline(Instant::now()).is_err());
/// assert!(ours.peer_address().is_none()); // only a TCP peer has one
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
        Connection::of(Socket::new(Arc::new(fd), Nature::FAMILY))
    }

    pub(crate) fn of(socket: Socket) -> Connection<S, R> {
        Connection { socket: Arc::new(socket), types: PhantomData }
    }

    /// Gives the socket, if this is its only handle.
    #[cfg(feature = "tokio")]
    pub(crate) fn into_socket(self) -> Result<Socket, Connection<S, R>> {
        let types = self.types;
        Arc::try_unwrap(self.socket).map_err(|socket| Connection { socket, types })
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
    ///
    /// # Examples
    ///
    /// ```
    /// let (a, b) = multiproc_pipe::pipe::<(), ()>()?;
    /// a.send_bytes(b"as they are")?;
    /// assert_eq!(b.recv_bytes()?, b"as they are");
    /// # Ok::<(), std::io::Error>(())
    /// ```
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

    /// Receives bytes if they are there within `timeout`; the time bounds the whole call.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes`](Connection::recv_bytes), and the time-out, after which nothing is lost.
    pub fn recv_bytes_timeout(&self, timeout: Duration) -> Result<Vec<u8>, RecvError> {
        Ok(self.socket.read(Deadline::after(timeout))?.body)
    }

    /// Receives bytes if they are there before `deadline`.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes_timeout`](Connection::recv_bytes_timeout).
    pub fn recv_bytes_deadline(&self, deadline: Instant) -> Result<Vec<u8>, RecvError> {
        Ok(self.socket.read(Deadline::at(deadline))?.body)
    }

    /// Receives bytes if they are there.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes_timeout`](Connection::recv_bytes_timeout).
    pub fn try_recv_bytes(&self) -> Result<Vec<u8>, RecvError> {
        Ok(self.socket.read(Deadline::now())?.body)
    }

    /// Receives bytes into `buf` and tells how many came, as CPython's `recv_bytes_into`.
    ///
    /// Nothing is allocated and nothing copied twice, which for large messages is most of the cost.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes`](Connection::recv_bytes), and one for a message longer than `buf`
    /// ([`is_too_long`](RecvError::is_too_long)), which gives it by [`into_bytes`](RecvError::into_bytes).
    ///
    /// # Examples
    ///
    /// ```
    /// let (a, b) = multiproc_pipe::pipe::<(), ()>()?;
    /// let mut buf = [0; 8];
    /// a.send_bytes(b"short")?;
    /// assert_eq!(b.recv_bytes_into(&mut buf)?, 5);
    /// a.send_bytes(b"longer than that")?;
    /// let error = b.recv_bytes_into(&mut buf).unwrap_err();
    /// assert_eq!(error.into_bytes().unwrap(), b"longer than that");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv_bytes_into(&self, buf: &mut [u8]) -> Result<usize, RecvError> {
        self.socket.read_into(buf)
    }

    /// Sends an open descriptor by itself, for a peer that calls CPython's `multiprocessing.reduction.recv_handle`.
    ///
    /// Between programs of this library an [`Fd`](crate::Fd) in a message does the same, and more.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` where the other end is gone; the system's: TCP carries none.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::File;
    ///
    /// let (a, b) = multiproc_pipe::pipe::<(), ()>()?;
    /// a.send_handle(File::open("/dev/null")?)?;
    /// assert_eq!(File::from(b.recv_handle()?).metadata()?.len(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_handle(&self, handle: impl AsFd) -> io::Result<()> {
        if self.socket.nature().is_inet {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "descriptors do not travel over TCP: connect by a path on the same machine",
            ));
        }
        self.socket.send_handle(handle.as_fd())
    }

    /// Receives a descriptor that a peer has sent by CPython's `multiprocessing.reduction.send_handle`.
    ///
    /// # Errors
    ///
    /// As [`recv_bytes`](Connection::recv_bytes), and where something else has come; the stream is then of no use any
    /// more.
    pub fn recv_handle(&self) -> Result<OwnedFd, RecvError> {
        self.socket.recv_handle()
    }

    /// Parts the connection into its two directions, for two threads or two owners.
    ///
    /// The other side sees the end of the stream when both are gone, or when the writer is
    /// [closed](PipeWriter::close).
    ///
    /// # Examples
    ///
    /// ```
    /// let (a, b) = multiproc_pipe::pipe::<u32, u32>()?;
    /// let (writer, reader) = a.split();
    /// let answers = std::thread::spawn(move || reader.recv().unwrap());
    /// writer.send(20).unwrap();
    /// b.send(b.recv().unwrap() + 1).unwrap();
    /// assert_eq!(answers.join().unwrap(), 21);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn split(self) -> (PipeWriter<S>, PipeReader<R>) {
        (PipeWriter::of(Arc::clone(&self.socket)), PipeReader::of(self.socket))
    }

    /// Ends the conversation for every handle and copy of this end, in whatever process; dropping them all does it too.
    ///
    /// The other side receives what was sent, then the end of the stream. Whoever is receiving here is told of the end.
    ///
    /// # Errors
    ///
    /// The system's.
    ///
    /// # Examples
    ///
    /// ```
    /// let (a, b) = multiproc_pipe::pipe::<u32, u32>()?;
    /// let copy = a.try_clone()?;
    /// let waiting = std::thread::spawn(move || copy.recv().unwrap_err().is_eof());
    /// a.close()?;
    /// assert!(waiting.join().unwrap());
    /// assert!(b.recv().unwrap_err().is_eof() && b.send(1).unwrap_err().is_closed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&self) -> io::Result<()> {
        self.socket.close(Direction::Both)
    }

    /// Tells who made the other end, by the kernel's word; `None` over TCP.
    ///
    /// It is who connected, listened, or called [`pipe`]: an end may have gone to others since.
    ///
    /// # Errors
    ///
    /// The system's.
    ///
    /// # Examples
    ///
    /// ```
    /// let (a, _b) = multiproc_pipe::pipe::<u32, u32>()?;
    /// assert_eq!(a.peer_credentials()?.unwrap().process, Some(std::process::id()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_credentials(&self) -> io::Result<Option<PeerCredentials>> {
        if self.socket.nature().is_inet {
            return Ok(None);
        }
        peer::peer_credentials(self.socket.fd()).map(Some)
    }

    /// Tells the address of the other end where it is a TCP port, as of a [`Listener`](crate::Listener)'s client.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.socket.nature().is_inet.then(|| socket::remote_address(self.socket.fd()).ok()).flatten()
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
        Socket::deserialize::<KIND, D>(deserializer).map(Connection::of)
    }
}
