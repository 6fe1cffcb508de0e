//! Listeners: whoever finds the address and has the key is let in.

mod claim;
mod error;
mod half_open;
mod settings;

pub use error::{AcceptError, ListenError};
pub use settings::ListenerBuilder;

use crate::address::{Address, ToAddresses};
use crate::auth::AuthKey;
use crate::connection::Connection;
use crate::socket::{Nature, Socket};
use claim::Claim;
use half_open::HalfOpen;
use multiproc_core::sys::epoll::Poller;
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::{Deadline, Message};
use parking_lot::Mutex;
use settings::Settings;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Waits for others to connect, and lets those in who have the key.
///
/// The frames and the handshake are those of CPython's `multiprocessing.connection`: a
/// `multiprocessing.connection.Client` of Python 3.12 and later can connect, older ones where MD5 is
/// [allowed](ListenerBuilder::allow_md5).
///
/// Handshakes go on side by side while somebody waits for a client, without a thread: who is silent keeps nobody else
/// waiting. Each has some seconds, and there are only so many at a time; when others wait, the oldest has to go. Who
/// is refused is counted ([`stats`](Listener::stats)), and is no error of [`accept`](Listener::accept).
///
/// At a path, or by an abstract name, only processes of the same user are let in, unless
/// [others](ListenerBuilder::allow_user) are named. **Over TCP the key is all that guards**: who has it is let in from
/// everywhere, and what is sent afterwards is neither secret nor signed. Bind to loopback, or go through a tunnel.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::{AuthKey, Connection, Listener, connect};
///
/// let key = AuthKey::random()?;
/// let listener = Listener::bind_private(&key)?;
/// let address = listener.address().clone();
/// let client = std::thread::spawn(move || {
///     let connection: Connection<String, usize> = connect(address, key).unwrap();
///     connection.send("how long?".into()).unwrap();
///     connection.recv().unwrap()
/// });
/// let connection: Connection<usize, String> = listener.accept()?;
/// connection.send(connection.recv()?.len()).unwrap();
/// assert_eq!(client.join().unwrap(), 9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Caveats
///
/// - A socket file is removed when its listener is dropped. That of one that was killed stays, until somebody listens
///   there again: a file whose owner is gone is replaced, one that somebody answers at never.
/// - A fork of the process must not drop the listener, or go on with it.
pub struct Listener {
    socket: OwnedFd,
    poller: Poller,
    half_open: Mutex<HalfOpen>,
    settings: Settings,
    address: Address,
    /// Removes the file; after the socket is closed nobody can be fooled by it.
    _claim: Option<Claim>,
}

/// What became of those who came.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::{Connection, Listener, connect};
///
/// let listener = Listener::bind_private("secret")?;
/// let address = listener.address().clone();
/// let client = std::thread::spawn(move || connect::<(), ()>(address, "secret").unwrap());
/// let _ours: Connection<(), ()> = listener.accept()?;
/// client.join().unwrap();
/// let stats = listener.stats();
/// assert_eq!((stats.accepted, stats.refused, stats.half_open), (1, 0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerStats {
    /// Were let in.
    pub accepted: u64,
    /// Had another key, spoke another protocol, or went away before the end of the handshake.
    pub refused: u64,
    /// Were another user's.
    pub strangers: u64,
    /// Took too long.
    pub timed_out: u64,
    /// Had to go because others waited.
    pub evicted: u64,
    /// Are in the middle of their handshake.
    pub half_open: usize,
}

impl Listener {
    /// Listens at an address: a path, a TCP address, or an [`Address`].
    ///
    /// # Errors
    ///
    /// The address is in use, or guarded too badly to be used; see [`ListenError`].
    pub fn bind(address: impl ToAddresses, key: impl Into<AuthKey>) -> Result<Listener, ListenError> {
        ListenerBuilder::new().bind(address, key)
    }

    /// Listens at a path of its own, in a directory that only this user can enter and that goes with the listener.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn bind_private(key: impl Into<AuthKey>) -> Result<Listener, ListenError> {
        ListenerBuilder::new().bind_private(key)
    }

    /// Begins the description of a listener: how long a handshake may take, who is let in, and so on.
    pub fn builder() -> ListenerBuilder {
        ListenerBuilder::new()
    }

    fn new(
        socket: OwnedFd,
        address: Address,
        claim: Option<Claim>,
        settings: Settings,
    ) -> io::Result<Listener> {
        let poller = Poller::new()?;
        let half_open = Mutex::new(HalfOpen::new(&poller, &socket)?);
        Ok(Listener { socket, poller, half_open, settings, address, _claim: claim })
    }

    /// The address, with the port that the system chose where 0 was asked for.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for a client that has the key.
    ///
    /// # Errors
    ///
    /// The system's: no descriptor is left. A client that is refused is none.
    pub fn accept<S: Message, R: Message>(&self) -> Result<Connection<S, R>, AcceptError> {
        self.accept_before(Deadline::NEVER)
    }

    /// Gives a client that has the key, if there is one now.
    ///
    /// # Errors
    ///
    /// As [`accept_timeout`](Listener::accept_timeout).
    pub fn try_accept<S: Message, R: Message>(&self) -> Result<Connection<S, R>, AcceptError> {
        self.accept_before(Deadline::now())
    }

    /// Waits for a client that has the key, up to `timeout`.
    ///
    /// # Errors
    ///
    /// As [`accept`](Listener::accept), and the time-out. Handshakes that have begun go on with the next call.
    pub fn accept_timeout<S: Message, R: Message>(
        &self,
        timeout: Duration,
    ) -> Result<Connection<S, R>, AcceptError> {
        self.accept_before(Deadline::after(timeout))
    }

    /// Waits for a client that has the key, until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`accept_timeout`](Listener::accept_timeout).
    pub fn accept_deadline<S: Message, R: Message>(
        &self,
        deadline: Instant,
    ) -> Result<Connection<S, R>, AcceptError> {
        self.accept_before(Deadline::at(deadline))
    }

    fn accept_before<S: Message, R: Message>(
        &self,
        deadline: Deadline,
    ) -> Result<Connection<S, R>, AcceptError> {
        let mut half_open = match deadline.instant() {
            None => self.half_open.lock(),
            Some(at) => self.half_open.try_lock_until(at).ok_or_else(AcceptError::timeout)?,
        };
        loop {
            if let Some(socket) = half_open.turn(&self.poller, &self.socket, &self.settings)? {
                return Ok(self.connection(socket));
            }
            if !fd::poll_one(&self.poller, Interest::Read, deadline)? {
                return Err(AcceptError::timeout());
            }
        }
    }

    /// Does what can be done without waiting.
    #[cfg(feature = "tokio")]
    pub(crate) fn turn<S: Message, R: Message>(&self) -> Result<Option<Connection<S, R>>, AcceptError> {
        let socket = self.half_open.lock().turn(&self.poller, &self.socket, &self.settings)?;
        Ok(socket.map(|socket| self.connection(socket)))
    }

    fn connection<S, R>(&self, socket: OwnedFd) -> Connection<S, R> {
        let is_inet = matches!(self.address, Address::Tcp(_));
        let nature = Nature { is_inet, foreign: Some(self.settings.max_message) };
        Connection::of(Socket::new(Arc::new(socket), nature))
    }

    /// Tells what became of those who came.
    pub fn stats(&self) -> ListenerStats {
        self.half_open.lock().stats()
    }
}

impl AsFd for Listener {
    /// Readable when there is something to do: a client has come, or goes on with its handshake.
    ///
    /// So [`try_accept`](Listener::try_accept) after [`wait`](crate::wait()) may find that nobody is through yet.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}
