use super::claim::Claim;
use super::{ListenError, Listener};
use crate::address::{Address, PrivateDirectory, ToAddresses};
use crate::auth::{AuthKey, Policy};
use multiproc_core::codec::Limits;
use multiproc_core::sys::peer::effective_user;
use multiproc_core::sys::socket;
use std::time::Duration;

/// How long a handshake may take, unless another time is asked for.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How many may be under way, unless another number is asked for.
const HALF_OPEN: usize = 256;
/// How many may wait in the kernel to be looked at.
const BACKLOG: u16 = 4096;

/// What a listener was told.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) key: AuthKey,
    pub(super) policy: Policy,
    pub(super) handshake: Duration,
    pub(super) half_open: usize,
    pub(super) max_message: usize,
    /// Who is let in beside the user of this process; `None` for everybody.
    pub(super) users: Option<Vec<u32>>,
}

impl Settings {
    pub(super) fn lets_in(&self, user: u32) -> bool {
        self.users.as_ref().is_none_or(|users| user == effective_user() || users.contains(&user))
    }
}

/// Describes a listener; made by [`Listener::builder`].
///
/// # Examples
///
/// ```
/// use multiproc_pipe::Listener;
/// use std::time::Duration;
///
/// let listener = Listener::builder()
///     .handshake_timeout(Duration::from_secs(1))
///     .max_message(1 << 20)
///     .bind(("127.0.0.1", 0), "secret")?;
/// assert!(listener.try_accept::<(), ()>().unwrap_err().is_timeout());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a listener is there when it is bound"]
pub struct ListenerBuilder {
    settings: Settings,
}

impl ListenerBuilder {
    pub(super) fn new() -> ListenerBuilder {
        let settings = Settings {
            key: AuthKey::none(),
            policy: Policy::default(),
            handshake: HANDSHAKE,
            half_open: HALF_OPEN,
            max_message: Limits::untrusted().max_bytes,
            users: Some(Vec::new()),
        };
        ListenerBuilder { settings }
    }

    /// Says how long a handshake may take; 5 seconds unless told otherwise.
    pub fn handshake_timeout(mut self, timeout: Duration) -> ListenerBuilder {
        self.settings.handshake = timeout;
        self
    }

    /// Says how many handshakes may be under way, at least one; 256 unless told otherwise.
    ///
    /// Each has a descriptor. Where more come, the oldest has to go once it had a twentieth of a second.
    pub fn max_half_open(mut self, count: usize) -> ListenerBuilder {
        self.settings.half_open = count.max(1);
        self
    }

    /// Says how long a message of a client may be, in bytes; 64 MiB unless told otherwise.
    pub fn max_message(mut self, bytes: usize) -> ListenerBuilder {
        self.settings.max_message = bytes.min(isize::MAX as usize);
        self
    }

    /// Lets in peers that know no better digest than MD5: CPython before 3.12.
    ///
    /// HMAC-MD5 is not known to be broken, but nothing new should rely on it.
    pub fn allow_md5(mut self, allow: bool) -> ListenerBuilder {
        self.settings.policy.md5 = allow;
        self
    }

    /// Lets in processes of another user, who must have the key as well; for Unix sockets.
    ///
    /// A socket file is made for its owner alone: give the others a way to it, too.
    pub fn allow_user(mut self, user: u32) -> ListenerBuilder {
        self.settings.users.get_or_insert_default().push(user);
        self
    }

    /// Lets in processes of any user, who must have the key; for Unix sockets.
    pub fn allow_any_user(mut self) -> ListenerBuilder {
        self.settings.users = None;
        self
    }

    /// Listens at an address: a path, a TCP address, or an [`Address`].
    ///
    /// # Errors
    ///
    /// The address is in use, or guarded too badly to be used; see [`ListenError`].
    pub fn bind(self, address: impl ToAddresses, key: impl Into<AuthKey>) -> Result<Listener, ListenError> {
        let settings = self.with_key(key)?;
        let mut error = None;
        for address in address.to_addresses().map_err(ListenError::unknown)? {
            match bind_one(address, &settings) {
                Ok(listener) => return Ok(listener),
                Err(why) => error = Some(why),
            }
        }
        Err(error.unwrap_or_else(ListenError::nowhere))
    }

    /// Listens at a path of its own, in a directory that only this user can enter and that goes with the listener.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn bind_private(self, key: impl Into<AuthKey>) -> Result<Listener, ListenError> {
        let settings = self.with_key(key)?;
        let directory = PrivateDirectory::create().map_err(ListenError::unknown)?;
        let path = directory.path().join("listener");
        let (socket, claim) = Claim::of(&path, BACKLOG)?;
        let address = Address::Path(path);
        Listener::new(socket, address.clone(), Some(claim.with(directory)), settings)
            .map_err(|error| ListenError::io(&address, error))
    }

    fn with_key(mut self, key: impl Into<AuthKey>) -> Result<Settings, ListenError> {
        self.settings.key = key.into();
        if self.settings.key.is_empty() { Err(ListenError::empty_key()) } else { Ok(self.settings) }
    }
}

fn bind_one(address: Address, settings: &Settings) -> Result<Listener, ListenError> {
    let failed = |error| ListenError::io(&address, error);
    let (socket, bound, claim) = match &address {
        Address::Path(path) => {
            let (socket, claim) = Claim::of(path, BACKLOG)?;
            (socket, address.clone(), Some(claim))
        }
        Address::Abstract(_) => {
            (socket::listen(address.name(), BACKLOG).map_err(failed)?, address.clone(), None)
        }
        Address::Tcp(_) => {
            let socket = socket::listen(address.name(), BACKLOG).map_err(failed)?;
            let bound = Address::Tcp(socket::local_address(&socket).map_err(failed)?);
            (socket, bound, None)
        }
    };
    Listener::new(socket, bound, claim, settings.clone()).map_err(failed)
}
