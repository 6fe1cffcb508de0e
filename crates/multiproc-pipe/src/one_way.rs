use crate::connection::Socket;
use crate::{RecvError, SendError};
use multiproc_core::Deadline;
use multiproc_core::codec::{Carried, Message};
use multiproc_core::sys::fd;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

const READER: u32 = u32::from_be_bytes(*b"pipR");
const WRITER: u32 = u32::from_be_bytes(*b"pipW");

/// The receiving end of a one-way pipe.
///
/// It is a message itself, but cannot be sent while a part of a message has been read from it, as after a receive
/// that timed out in the middle of a long one; receive the message first.
pub struct PipeReader<T> {
    socket: Socket,
    types: PhantomData<fn() -> T>,
}

/// The sending end of a one-way pipe.
pub struct PipeWriter<T> {
    socket: Socket,
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
    Ok((
        PipeReader { socket: Socket::new(Arc::new(reader)), types: PhantomData },
        PipeWriter { socket: Socket::new(Arc::new(writer)), types: PhantomData },
    ))
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
}

macro_rules! end {
    ($name:ident, $kind:expr, $shown:literal) => {
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
                let Carried(fd) = Carried::<{ $kind }>::deserialize(deserializer)?;
                Ok($name { socket: Socket::new(fd), types: PhantomData })
            }
        }
    };
}

end!(PipeReader, READER, "PipeReader");
end!(PipeWriter, WRITER, "PipeWriter");
