use super::{AsyncConnection, register};
use crate::address::Address;
use crate::listener::{AcceptError, Listener, ListenerStats};
use multiproc_core::Message;
use multiproc_core::sys::fd;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A [`Listener`] whose clients are awaited, in a tokio runtime.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
/// use multiproc_pipe::{AsyncConnection, AsyncListener, Listener};
///
/// let listener = AsyncListener::new(Listener::bind_private("secret")?)?;
/// let address = listener.address().clone();
/// let (server, client) = tokio::join!(
///     listener.accept::<u32, u32>(),
///     AsyncConnection::<u32, u32>::connect(address, "secret"),
/// );
/// let (server, client) = (server?, client?);
/// client.send(1).await?;
/// assert_eq!(server.recv().await?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AsyncListener {
    /// Dropped first: it takes the descriptor out of the runtime's set.
    ready: AsyncFd<OwnedFd>,
    listener: Listener,
}

impl AsyncListener {
    /// Makes an awaited listener of this one.
    ///
    /// # Errors
    ///
    /// The system's: no descriptor is left.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or in one whose input and output are not enabled.
    pub fn new(listener: Listener) -> io::Result<AsyncListener> {
        let fd = fd::with_descriptors(|| fd::dup_high(&listener))?;
        Ok(AsyncListener { ready: register(fd, Interest::READABLE)?, listener })
    }

    /// Makes an ordinary listener of it again.
    pub fn into_inner(self) -> Listener {
        self.listener
    }

    /// The address; see [`Listener::address`].
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Tells what became of those who came.
    pub fn stats(&self) -> ListenerStats {
        self.listener.stats()
    }

    /// Waits for a client that has the key.
    ///
    /// # Errors
    ///
    /// As [`Listener::accept`].
    ///
    /// # Cancel safety
    ///
    /// Handshakes that have begun go on with the next call, and no client that is through is lost.
    pub async fn accept<S: Message, R: Message>(&self) -> Result<AsyncConnection<S, R>, AcceptError> {
        loop {
            let mut guard = self.ready.readable().await?;
            match self.listener.turn()? {
                Some(connection) => return Ok(AsyncConnection::new(connection)?),
                // Only now is it known that there is nothing to do.
                None => guard.clear_ready(),
            }
        }
    }
}

impl fmt::Debug for AsyncListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncListener").field(&self.listener).finish()
    }
}
