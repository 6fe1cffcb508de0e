//! Connecting to a listener.

mod error;

pub use error::ConnectError;

use crate::address::{Address, ToAddresses};
use crate::auth::{AuthKey, Handshake, Policy, Role, Shaking};
use crate::connection::Connection;
use crate::socket::{Nature, Socket};
use multiproc_core::codec::Limits;
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::sys::peer::{effective_user, peer_credentials};
use multiproc_core::sys::socket::{self, Connecting};
use multiproc_core::{Deadline, Message};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How long all of it may take, unless another time is asked for.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long to wait before another attempt where a listener has too many waiting: at first, and at most.
const RETRY: [Duration; 2] = [Duration::from_micros(200), Duration::from_millis(20)];

/// Connects to a [`Listener`](crate::Listener), or to one of CPython's, that has the same key.
///
/// It takes up to 20 seconds; [`ConnectOptions`] knows of other times, and of other users.
///
/// # Errors
///
/// Nobody listens there, the key is another, the time is up; see [`ConnectError`].
///
/// # Examples
///
/// ```
/// use multiproc_pipe::{Connection, Listener, connect};
///
/// let listener = Listener::bind(("127.0.0.1", 0), "secret")?;
/// let address = listener.address().clone();
/// std::thread::spawn(move || {
///     let connection: Connection<u32, u32> = listener.accept().unwrap();
///     connection.send(connection.recv().unwrap() + 1).unwrap();
/// });
/// let connection: Connection<u32, u32> = connect(address, "secret")?;
/// connection.send(1).unwrap();
/// assert_eq!(connection.recv()?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn connect<S: Message, R: Message>(
    address: impl ToAddresses,
    key: impl Into<AuthKey>,
) -> Result<Connection<S, R>, ConnectError> {
    ConnectOptions::new().connect(address, key)
}

/// Says how to connect where [`connect`] does not do.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::{ConnectOptions, Connection};
/// use std::time::Duration;
///
/// let options = ConnectOptions::new().timeout(Duration::from_secs(1)).allow_md5(true);
/// let error = options.connect::<(), ()>("/nobody/listens/here", "secret").unwrap_err();
/// assert!(error.is_not_found());
/// ```
#[derive(Debug, Clone)]
#[must_use = "options connect nothing by themselves"]
pub struct ConnectOptions {
    timeout: Duration,
    policy: Policy,
    /// Whose listeners are trusted beside the user's of this process; `None` for everybody's.
    users: Option<Vec<u32>>,
    max_message: usize,
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions::new()
    }
}

impl ConnectOptions {
    /// Makes the options that [`connect`] uses.
    pub fn new() -> ConnectOptions {
        ConnectOptions {
            timeout: TIMEOUT,
            policy: Policy::default(),
            users: Some(Vec::new()),
            max_message: Limits::untrusted().max_bytes,
        }
    }

    /// Says how long all of it may take, the handshake included; 20 seconds unless told otherwise.
    pub fn timeout(mut self, timeout: Duration) -> ConnectOptions {
        self.timeout = timeout;
        self
    }

    /// Answers listeners that know no better digest than MD5: CPython before 3.12.
    ///
    /// HMAC-MD5 is not known to be broken, but nothing new should rely on it.
    pub fn allow_md5(mut self, allow: bool) -> ConnectOptions {
        self.policy.md5 = allow;
        self
    }

    /// Answers a listener that takes itself to be at another TCP address, as behind a tunnel or a forwarded port.
    ///
    /// Otherwise that is an error: somebody could pass on to the true listener what this end answers, and get in.
    pub fn allow_relay(mut self, allow: bool) -> ConnectOptions {
        self.policy.relay = allow;
        self
    }

    /// Trusts Unix sockets of another user, beside those of one's own.
    pub fn allow_user(mut self, user: u32) -> ConnectOptions {
        self.users.get_or_insert_default().push(user);
        self
    }

    /// Trusts Unix sockets of any user: whoever listens there gets an answer that proves the key.
    pub fn allow_any_user(mut self) -> ConnectOptions {
        self.users = None;
        self
    }

    /// Says how long a message of the listener may be, in bytes; 64 MiB unless told otherwise.
    pub fn max_message(mut self, bytes: usize) -> ConnectOptions {
        self.max_message = bytes.min(isize::MAX as usize);
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens there, the key is another, the time is up; see [`ConnectError`].
    pub fn connect<S: Message, R: Message>(
        &self,
        address: impl ToAddresses,
        key: impl Into<AuthKey>,
    ) -> Result<Connection<S, R>, ConnectError> {
        let deadline = Deadline::after(self.timeout);
        let key = check_key(key)?;
        let mut failure = None;
        for address in resolve(address)? {
            match self.connect_one(&address, &key, deadline) {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(ConnectError::nowhere))
    }

    fn connect_one<S: Message, R: Message>(
        &self,
        address: &Address,
        key: &AuthKey,
        deadline: Deadline,
    ) -> Result<Connection<S, R>, ConnectError> {
        let mut shaking = match self.meet(reach(address, deadline)?, address, key)? {
            Met::Open(socket) => return Ok(self.connection(socket, address)),
            Met::Shaking(shaking) => shaking,
        };
        while !shaking.advance().map_err(|error| ConnectError::handshake(address, error))? {
            wait(shaking.socket(), Interest::Read, deadline, address)?;
        }
        Ok(self.connection(shaking.into_socket(), address))
    }

    /// Looks who is at the other end, and begins the handshake if there is one.
    pub(crate) fn meet(
        &self,
        socket: OwnedFd,
        address: &Address,
        key: &AuthKey,
    ) -> Result<Met, ConnectError> {
        let failed = |error| ConnectError::io(address, error);
        let listener = match address {
            Address::Tcp(_) => {
                socket::tune_inet(&socket).map_err(failed)?;
                Some(socket::remote_address(&socket).map_err(failed)?)
            }
            // Before anything is answered: who listens there could pass the answer on.
            _ => {
                let user = peer_credentials(&socket).map_err(failed)?.user;
                let is_trusted =
                    self.users.as_ref().is_none_or(|users| user == effective_user() || users.contains(&user));
                if !is_trusted {
                    return Err(ConnectError::stranger(address, user));
                }
                None
            }
        };
        if key.as_bytes().is_none() {
            return Ok(Met::Open(socket));
        }
        let handshake = Handshake::begin(Role::Client, key, self.policy, listener).map_err(failed)?;
        let shaking = Shaking::begin(socket, handshake);
        shaking
            .map(|shaking| Met::Shaking(Box::new(shaking)))
            .map_err(|error| ConnectError::handshake(address, error))
    }

    pub(crate) fn connection<S, R>(&self, socket: OwnedFd, address: &Address) -> Connection<S, R> {
        let is_inet = matches!(address, Address::Tcp(_));
        let nature = Nature { is_inet, foreign: Some(self.max_message) };
        Connection::of(Socket::new(Arc::new(socket), nature))
    }
}

/// What comes of a first look at a listener.
#[derive(Debug)]
pub(crate) enum Met {
    /// No key, no handshake.
    Open(OwnedFd),
    Shaking(Box<Shaking>),
}

pub(crate) fn check_key(key: impl Into<AuthKey>) -> Result<AuthKey, ConnectError> {
    let key = key.into();
    if key.is_empty() { Err(ConnectError::empty_key()) } else { Ok(key) }
}

pub(crate) fn resolve(address: impl ToAddresses) -> Result<Vec<Address>, ConnectError> {
    address.to_addresses().map_err(ConnectError::unknown)
}

/// Makes the connection itself.
fn reach(address: &Address, deadline: Deadline) -> Result<OwnedFd, ConnectError> {
    let failed = |error| ConnectError::io(address, error);
    let [mut pause, longest] = RETRY;
    loop {
        match socket::connect(address.name()) {
            Ok(Connecting::Done(socket)) => return Ok(socket),
            Ok(Connecting::Pending(socket)) => {
                wait(&socket, Interest::Write, deadline, address)?;
                return socket::finish_connecting(socket).map_err(failed);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The kernel tells nobody when there is room in a listener's queue.
                let left = deadline.remaining().unwrap_or(longest);
                if left.is_zero() {
                    return Err(ConnectError::timeout(address));
                }
                thread::sleep(pause.min(left));
                pause = (pause * 2).min(longest);
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

fn wait(
    socket: &OwnedFd,
    interest: Interest,
    deadline: Deadline,
    address: &Address,
) -> Result<(), ConnectError> {
    match fd::poll_one(socket, interest, deadline) {
        Ok(true) => Ok(()),
        Ok(false) => Err(ConnectError::timeout(address)),
        Err(error) => Err(ConnectError::io(address, error)),
    }
}
