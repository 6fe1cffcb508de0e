use super::{attempt, register};
use crate::address::ToAddresses;
use crate::auth::AuthKey;
use crate::connect::{self, ConnectError, ConnectOptions, Met};
use crate::frame::Frame;
use crate::socket::{Leaving, Progress, Socket};
use crate::{Connection, RecvError, SendError};
use multiproc_core::Message;
use multiproc_core::codec::Encoded;
use multiproc_core::sys::socket::Direction;
use multiproc_core::sys::socket::{self as sys, Connecting};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A [`Connection`] whose messages are awaited, in a tokio runtime.
///
/// It is made of a connection, and can become one again. Tasks may share it by reference: messages do not interleave.
///
/// # Cancel safety
///
/// [`recv`](AsyncConnection::recv) and [`ready`](AsyncConnection::ready) lose nothing when they are dropped before
/// their end, as by `select!`: what has come of a message is kept for the next call. A [`send`](AsyncConnection::send)
/// that is dropped has sent its message either not at all or in part; in the latter case the rest goes before anything
/// else that is sent, or by [`flush`](AsyncConnection::flush). A connection that is dropped with such a rest, for which
/// there is no room, is torn for the other side.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
/// use multiproc_pipe::{AsyncConnection, pipe};
///
/// let (a, b) = pipe::<u32, String>()?;
/// let (a, b) = (AsyncConnection::new(a)?, AsyncConnection::new(b)?);
/// a.send(7).await?;
/// assert_eq!(b.recv().await?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AsyncConnection<S, R> {
    /// Dropped first: it takes the descriptor out of the runtime's set.
    ready: AsyncFd<Arc<OwnedFd>>,
    socket: Open,
    types: PhantomData<fn(S) -> R>,
}

/// A socket that leaves no message half written behind.
#[derive(Debug)]
struct Open(Option<Socket>);

impl Open {
    fn get(&self) -> &Socket {
        match &self.0 {
            Some(socket) => socket,
            None => unreachable!("it is taken by whoever consumes it"),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            socket.abandon();
        }
    }
}

impl<S, R> AsyncConnection<S, R> {
    /// Makes an awaited connection of this one.
    ///
    /// # Errors
    ///
    /// There are other handles of the same end, made by `try_clone`; the system's.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or in one whose input and output are not enabled.
    pub fn new(connection: Connection<S, R>) -> io::Result<AsyncConnection<S, R>> {
        let socket = connection.into_socket().map_err(|_| {
            let text = "other handles of this end wait in their own way: drop them, or await it alone";
            io::Error::new(io::ErrorKind::ResourceBusy, text)
        })?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let ready = register(Arc::clone(socket.fd()), interest)?;
        Ok(AsyncConnection { ready, socket: Open(Some(socket)), types: PhantomData })
    }

    /// Makes an ordinary connection of it again.
    ///
    /// # Errors
    ///
    /// A part of a message has been sent, by a `send` that was dropped: [`flush`](AsyncConnection::flush) it first.
    pub fn into_inner(mut self) -> io::Result<Connection<S, R>> {
        if !self.socket.get().try_finish(None)? {
            let text = "a part of a message has been sent, and there is no room for the rest: flush it first";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
        }
        match self.socket.0.take() {
            Some(socket) => Ok(Connection::of(socket)),
            None => unreachable!("it is taken by whoever consumes it"),
        }
    }

    /// Waits until there is something to receive: a message, its beginning, or the end of the stream.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn ready(&self) -> io::Result<()> {
        let socket = self.socket.get();
        attempt(&self.ready, Interest::READABLE, || match socket.poll(Duration::ZERO)? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })
        .await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` where the other end is gone; the system's.
    pub async fn send_bytes(&self, bytes: Vec<u8>) -> io::Result<()> {
        self.write(Encoded { bytes, fds: Vec::new() }).await
    }

    /// Receives bytes as they are.
    ///
    /// # Errors
    ///
    /// See [`RecvError`].
    pub async fn recv_bytes(&self) -> Result<Vec<u8>, RecvError> {
        Ok(self.read().await?.body)
    }

    /// Writes the rest of a message whose `send` was dropped; does nothing where there is none.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` where the other end is gone; the system's.
    pub async fn flush(&self) -> io::Result<()> {
        self.finish(None).await
    }

    /// Ends the conversation for every copy of this end, in whatever process; see [`Connection::close`].
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn close(&self) -> io::Result<()> {
        self.socket.get().close(Direction::Both)
    }

    async fn write(&self, message: Encoded) -> io::Result<()> {
        let socket = self.socket.get();
        let mut leaving = Some(Leaving::new(message)?);
        let ticket = attempt(&self.ready, Interest::WRITABLE, || match leaving.take() {
            None => Ok(None),
            Some(message) => match socket.try_write(message)? {
                Progress::Done => Ok(None),
                Progress::Begun(ticket) => Ok(Some(ticket)),
                Progress::Kept(message) => {
                    leaving = Some(message);
                    Err(io::ErrorKind::WouldBlock.into())
                }
            },
        })
        .await?;
        match ticket {
            Some(ticket) => self.finish(Some(ticket)).await,
            None => Ok(()),
        }
    }

    async fn finish(&self, ticket: Option<u64>) -> io::Result<()> {
        let socket = self.socket.get();
        attempt(&self.ready, Interest::WRITABLE, || match socket.try_finish(ticket)? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })
        .await
    }

    async fn read(&self) -> Result<Frame, RecvError> {
        let socket = self.socket.get();
        let found = attempt(&self.ready, Interest::READABLE, || match socket.try_read() {
            Err(error) if error.is_timeout() => Err(io::ErrorKind::WouldBlock.into()),
            result => Ok(result),
        })
        .await;
        found.map_err(RecvError::io)?
    }
}

impl<S: Message, R: Message> AsyncConnection<S, R> {
    /// Connects to a listener as [`connect`](crate::connect()) does.
    ///
    /// There is no limit of time here: put it into `tokio::time::timeout`. A host's name is looked up in the way that
    /// waits.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or the key is another; see [`ConnectError`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or in one whose input and output are not enabled.
    pub async fn connect(
        address: impl ToAddresses,
        key: impl Into<AuthKey>,
    ) -> Result<AsyncConnection<S, R>, ConnectError> {
        AsyncConnection::connect_with(&ConnectOptions::new(), address, key).await
    }

    /// Connects as [`connect`](AsyncConnection::connect) does, with those options but their time-out.
    ///
    /// # Errors
    ///
    /// As [`connect`](AsyncConnection::connect).
    ///
    /// # Panics
    ///
    /// As [`connect`](AsyncConnection::connect).
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
    /// use multiproc_pipe::{AsyncConnection, AsyncListener, ConnectOptions, Listener};
    ///
    /// let listener = AsyncListener::new(Listener::bind_private("secret")?)?;
    /// let (options, address) = (ConnectOptions::new(), listener.address().clone());
    /// let (client, server) = tokio::join!(
    ///     AsyncConnection::<u32, u32>::connect_with(&options, address, "secret"),
    ///     listener.accept::<u32, u32>(),
    /// );
    /// client?.send(7).await?;
    /// let server = server?;
    /// assert_eq!(server.recv().await?, 7);
    /// server.flush().await?; // the rest of a `send` that was dropped, if there is one
    /// assert_eq!(listener.stats().accepted, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn connect_with(
        options: &ConnectOptions,
        address: impl ToAddresses,
        key: impl Into<AuthKey>,
    ) -> Result<AsyncConnection<S, R>, ConnectError> {
        let key = connect::check_key(key)?;
        let mut failure = None;
        for address in connect::resolve(address)? {
            let failed = |error| ConnectError::io(&address, error);
            let attempt = async {
                let socket = match sys::connect(address.name()).map_err(failed)? {
                    Connecting::Done(socket) => socket,
                    Connecting::Pending(socket) => {
                        let socket = register(socket, Interest::WRITABLE).map_err(failed)?;
                        socket.writable().await.map_err(failed)?.retain_ready();
                        sys::finish_connecting(socket.into_inner()).map_err(failed)?
                    }
                };
                let mut shaking = match options.meet(socket, &address, &key)? {
                    Met::Open(socket) => return Ok(options.connection(socket, &address)),
                    Met::Shaking(shaking) => shaking,
                };
                while !shaking.advance().map_err(|error| ConnectError::handshake(&address, error))? {
                    super::ready(shaking.socket()).await.map_err(failed)?;
                }
                Ok(options.connection(shaking.into_socket(), &address))
            };
            match attempt.await {
                Ok(connection) => return AsyncConnection::new(connection).map_err(failed),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(ConnectError::nowhere))
    }

    /// Sends a message, with whatever handles it holds; waits while the other side is slow to receive.
    ///
    /// # Errors
    ///
    /// The other end is gone, or the message cannot travel; it comes back in the error.
    pub async fn send(&self, value: S) -> Result<(), SendError<S>> {
        match self.socket.get().encode(&value) {
            Err(error) => Err(SendError::new(value, error)),
            Ok(message) => self.write(message).await.map_err(|error| SendError::new(value, error)),
        }
    }

    /// Receives a message; waits for it.
    ///
    /// # Errors
    ///
    /// The end of the stream, a torn message, or one of another type.
    pub async fn recv(&self) -> Result<R, RecvError> {
        let frame = self.read().await?;
        self.socket.get().decode(frame)
    }
}

impl<S, R> AsFd for AsyncConnection<S, R> {
    /// Readable when there is something to receive.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get().fd().as_fd()
    }
}

impl<S, R> fmt::Debug for AsyncConnection<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncConnection").field("socket", &self.socket.get().fd()).finish()
    }
}
