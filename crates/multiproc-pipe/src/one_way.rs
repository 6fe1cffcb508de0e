use crate::socket::{Nature, Socket};
use crate::{RecvError, SendError};
use multiproc_core::Deadline;
use multiproc_core::codec::Message;
use multiproc_core::sys::fd;
use multiproc_core::sys::socket::Direction;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

const READER: u32 = u32::from_be_bytes(*b"pipR");
const WRITER: u32 = u32::from_be_bytes(*b"pipW");

/// The receiving end of a one-way pipe, or the half of a [`Connection`](crate::Connection) that receives.
///
/// It is a message itself, but cannot be sent while a part of a message has been read from it, as after a receive
/// that timed out in the middle of a long one; receive the message first.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::one_way;
/// use std::time::{Duration, Instant};
///
/// let (reader, writer) = one_way::<u32>()?;
/// assert!(reader.recv_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
/// writer.send(7).unwrap();
/// assert!(reader.poll(Duration::from_secs(1))?);
/// assert_eq!(reader.recv_deadline(Instant::now() + Duration::from_secs(1)).unwrap(), 7);
/// assert!(reader.recv_bytes_timeout(Duration::from_millis(1)).is_err());
/// # std::io::Result::Ok(())
/// ```
pub struct PipeReader<T> {
    socket: Arc<Socket>,
    types: PhantomData<fn() -> T>,
}

/// The sending end of a one-way pipe, or the half of a [`Connection`](crate::Connection) that sends.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::one_way;
///
/// let (reader, writer) = one_way::<String>()?;
/// writer.send("hello".to_owned()).unwrap();
/// writer.send_bytes(b"as it is")?;
/// drop(writer);
/// assert_eq!(reader.recv().unwrap(), "hello");
/// assert_eq!(reader.recv_bytes().unwrap(), b"as it is");
/// # std::io::Result::Ok(())
/// ```
pub struct PipeWriter<T> {
    socket: Arc<Socket>,
    types: PhantomData<fn(T)>,
}

/// Makes a pipe in one direction: (reader, writer), as Python's `Pipe(duplex=False)`.
///
/// # Errors
///
/// The system's: no descriptor or no memory left.
///
/// # Examples
///
/// ```
/// let (reader, writer) = multiproc_pipe::one_way::<String>()?;
/// writer.send("hello".into()).unwrap();
/// drop(writer);
/// assert_eq!(reader.recv().unwrap(), "hello");
/// assert!(reader.recv().unwrap_err().is_eof());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn one_way<T: Message>() -> io::Result<(PipeReader<T>, PipeWriter<T>)> {
    let (reader, writer) = fd::with_descriptors(fd::socket_pair)?;
    let [reader, writer] = [reader, writer].map(|fd| Arc::new(Socket::new(Arc::new(fd), Nature::FAMILY)));
    Ok((PipeReader::of(reader), PipeWriter::of(writer)))
}

impl<T: Message> PipeReader<T> {
    /// Receives a message; waits for it.
    ///
    /// # Errors
    ///
    /// The end of the stream, a torn message, or one of another type.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.socket.recv(Deadline::NEVER)
    }

    /// Receives a message if it is there within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`recv`](PipeReader::recv), and the time-out, after which nothing is lost.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvError> {
        self.socket.recv(Deadline::after(timeout))
    }

    /// Receives a message if it is there before `deadline`.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](PipeReader::recv_timeout).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvError> {
        self.socket.recv(Deadline::at(deadline))
    }

    /// Receives a message if one is there.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](PipeReader::recv_timeout).
    pub fn try_recv(&self) -> Result<T, RecvError> {
        self.socket.recv(Deadline::now())
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
    /// As [`recv_bytes`](PipeReader::recv_bytes), and the time-out, after which nothing is lost.
    pub fn recv_bytes_timeout(&self, timeout: Duration) -> Result<Vec<u8>, RecvError> {
        Ok(self.socket.read(Deadline::after(timeout))?.body)
    }

    /// Receives bytes into `buf` and tells how many came; see
    /// [`Connection::recv_bytes_into`](crate::Connection::recv_bytes_into).
    ///
    /// # Errors
    ///
    /// As [`recv_bytes`](PipeReader::recv_bytes), and one for a message longer than `buf`.
    pub fn recv_bytes_into(&self, buf: &mut [u8]) -> Result<usize, RecvError> {
        self.socket.read_into(buf)
    }

    /// Ends this direction for every handle and copy of this end: the other side can send no more.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn close(&self) -> io::Result<()> {
        self.socket.close(Direction::Read)
    }

    /// Waits up to `timeout` for something to receive: a message, or the end of the stream.
    ///
    /// The beginning of a message is enough: [`recv`](PipeReader::recv) then waits for the rest, and
    /// [`recv_timeout`](PipeReader::recv_timeout) may still time out.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn poll(&self, timeout: Duration) -> io::Result<bool> {
        self.socket.poll(timeout)
    }
}

impl<T: Message> PipeWriter<T> {
    /// Sends a message, with whatever handles it holds; waits while the other side is slow to receive.
    ///
    /// # Errors
    ///
    /// The reader is gone, or the message cannot travel; it comes back in the error.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.socket.send(value)
    }

    /// Sends bytes as they are, as CPython's `send_bytes`.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` where the other end is gone; the system's.
    pub fn send_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write(bytes, &[])
    }

    /// Ends this direction for every handle and copy of this end: the other side receives what was sent, then the end
    /// of the stream.
    ///
    /// # Errors
    ///
    /// The system's.
    ///
    /// # Examples
    ///
    /// ```
    /// let (a, b) = multiproc_pipe::pipe::<u32, u32>()?;
    /// let (writer, reader) = a.split();
    /// writer.send(1).unwrap();
    /// writer.close()?;
    /// assert_eq!(b.recv().unwrap(), 1);
    /// assert!(b.recv().unwrap_err().is_eof());
    /// b.send(2).unwrap();
    /// assert_eq!(reader.recv().unwrap(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&self) -> io::Result<()> {
        self.socket.close(Direction::Write)
    }
}

macro_rules! end {
    ($name:ident, $kind:expr, $shown:literal) => {
        impl<T> $name<T> {
            pub(crate) fn of(socket: Arc<Socket>) -> $name<T> {
                $name { socket, types: PhantomData }
            }
        }

        impl<T> AsFd for $name<T> {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.fd().as_fd()
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($shown).field("fd", &fd::number(self)).finish()
            }
        }

        impl<T> Serialize for $name<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.socket.serialize::<{ $kind }, S>(serializer)
            }
        }

        impl<'de, T> Deserialize<'de> for $name<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name<T>, D::Error> {
                let socket = Socket::deserialize::<{ $kind }, D>(deserializer)?;
                Ok($name::of(Arc::new(socket)))
            }
        }
    };
}

end!(PipeReader, READER, "PipeReader");
end!(PipeWriter, WRITER, "PipeWriter");
