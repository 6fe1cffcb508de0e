use crate::client::{self, CONNECT, Link, Way};
use crate::error::{CallError, ManagerError, ManagerKind};
use crate::operation::Held;
use crate::proxy::Proxy;
use crate::reference::Reference;
use crate::server;
use crate::service;
use crate::stats::ManagerStats;
use crate::wire::Id;
use multiproc_core::codec::{self, Carried};
use multiproc_core::{Deadline, Message};
use multiproc_pipe::{Address, AuthKey, ToAddresses};
use multiproc_process::{Func, Remote};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const KIND: u32 = u32::from_be_bytes(*b"mngr");

/// A manager's server, as its clients see it: they make objects there and find those that have a name.
///
/// [`Manager`](crate::Manager) is one, for the process that has started the server. Others on the same machine get one as
/// a message, by [`Manager::handle`](crate::Manager::handle); programs anywhere connect by its address and its key.
///
/// # Security
///
/// Whoever has the key may run any of this program's functions in the server. Over TCP each frame is signed with a key
/// that both ends derive from it, so nobody can change, add or repeat one; but what travels is not hidden. Both ends must
/// be the same build of the same program, which is checked before anything is decoded.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{Manager, RemoteManager};
///
/// let manager = Manager::builder().bind(("127.0.0.1", 0)).authkey("secret").start()?;
/// manager.publish("hits", &manager.create((), |()| 0u32)?)?;
///
/// // In another program of the same build:
/// let remote = RemoteManager::connect(manager.address().unwrap(), "secret")?;
/// let hits = remote.get::<u32>("hits")?;
/// hits.call(2, |hits, n| *hits += n)?;
/// assert!(remote.get::<String>("hits").unwrap_err().is_wrong_type());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RemoteManager(At);

#[derive(Debug, Clone)]
enum At {
    /// In the server itself.
    Here,
    There(Arc<Distant>),
}

/// A server elsewhere; the first use connects.
#[derive(Debug)]
struct Distant {
    manager: Id,
    link: OnceLock<Arc<Link>>,
    way: Way,
    /// A way in, where one has come as a message.
    token: Option<Arc<OwnedFd>>,
}

impl Distant {
    fn link(&self) -> Result<&Arc<Link>, CallError> {
        if let Some(link) = self.link.get() {
            return Ok(link);
        }
        let deadline = Deadline::after(CONNECT);
        let connect = || match (&self.way, &self.token) {
            (Way::Inet(address, key), _) => Link::to(address, key, deadline),
            (Way::Local, Some(token)) => Link::through(token, deadline),
            (Way::Local, None) => Err(ManagerKind::Gone.into()),
        };
        let link = Link::find_or(self.manager, connect).map_err(CallError::connect)?;
        Ok(self.link.get_or_init(|| link))
    }
}

impl RemoteManager {
    pub(crate) fn new(link: Arc<Link>) -> RemoteManager {
        link.publish();
        let (manager, way) = (link.manager, link.way.clone());
        RemoteManager(At::There(Arc::new(Distant { manager, link: OnceLock::from(link), way, token: None })))
    }

    /// Connects to a manager that listens at an address; it takes up to 20 seconds.
    ///
    /// # Errors
    ///
    /// Nobody listens there, the key is another, or it is another build of the program.
    pub fn connect(
        address: impl ToAddresses,
        key: impl Into<AuthKey>,
    ) -> Result<RemoteManager, ManagerError> {
        RemoteManager::connect_timeout(address, key, CONNECT)
    }

    /// Connects as [`connect`](RemoteManager::connect) does, within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`connect`](RemoteManager::connect), and the time-out.
    pub fn connect_timeout(
        address: impl ToAddresses,
        key: impl Into<AuthKey>,
        timeout: Duration,
    ) -> Result<RemoteManager, ManagerError> {
        let (key, deadline) = (key.into(), Deadline::after(timeout));
        if key.as_bytes().is_none() {
            return Err(ManagerKind::NoKey.into());
        }
        let mut failure = None;
        for address in address.to_addresses()? {
            match Link::to(&address, &key, deadline) {
                Ok(link) => return Ok(RemoteManager::new(link)),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| ManagerKind::Gone.into()))
    }

    pub(crate) fn address(&self) -> Option<&str> {
        match &self.0 {
            At::Here => None,
            At::There(distant) => distant.link.get()?.address.as_deref(),
        }
    }

    /// Has the server make a value by `f`, and gives a proxy of it.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`]; and [`is_limit`](CallError::is_limit) where this process holds as many objects as it may.
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let primes = manager.create(vec![2, 3, 5], |primes: Vec<u32>| primes)?;
    /// primes.call(7, |primes, next| primes.push(next))?;
    /// assert_eq!(primes.call((), |primes, ()| primes.iter().sum::<u32>())?, 17);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create<A: Message, T: Send + 'static>(
        &self,
        args: A,
        f: fn(A) -> T,
    ) -> Result<Proxy<T>, CallError> {
        Ok(self.ask((Func::new(f), args), service::create::<A, T>)??)
    }

    pub(crate) fn create_lent<A: Message, T: Held>(
        &self,
        args: A,
        f: fn(A) -> T,
    ) -> Result<Proxy<T>, CallError> {
        Ok(self.ask((Func::new(f), args), service::create_lent::<A, T>)??)
    }

    /// Gives an object a name, under which everybody finds it who can connect; the name keeps it.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`]; [`is_name_taken`](CallError::is_name_taken); the object is another manager's.
    pub fn publish<T: 'static>(&self, name: &str, object: &Proxy<T>) -> Result<(), CallError> {
        let (manager, object_manager) = match (&self.0, object.reference()) {
            (At::Here, Reference::Here(entry)) => {
                return Ok(service::publish((name.to_owned(), Reference::Here(Arc::clone(entry))))?);
            }
            (At::There(distant), Reference::There(there)) => (distant.manager, there.manager),
            _ => (0, 1),
        };
        if manager != object_manager {
            return Err(CallError::misuse("the object is another manager's: publish it there"));
        }
        // Its type alone differs.
        let args = (name.to_owned(), object.clone());
        self.ask(args, |(name, object): (String, Proxy<T>)| match object.reference() {
            Reference::Here(entry) => service::publish((name, Reference::Here(Arc::clone(entry)))),
            Reference::There(_) => {
                Err(service::Refusal::OtherType("it is another manager's: publish it there".to_owned()))
            }
        })??;
        Ok(())
    }

    /// Takes a name back; tells whether there was one.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// manager.publish("number", manager.value(7)?.as_proxy())?;
    /// assert!(manager.unpublish("number")?);
    /// assert!(!manager.unpublish("number")?); // there is no such name any more
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unpublish(&self, name: &str) -> Result<bool, CallError> {
        self.ask(name.to_owned(), service::unpublish)
    }

    /// Lists the names.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn names(&self) -> Result<Vec<String>, CallError> {
        self.ask((), service::names)
    }

    /// Gives the object of a name.
    ///
    /// Ready-made objects are found by their kinds: `get::<object::Lock>("gate")?` is a proxy that becomes a
    /// [`LockProxy`](crate::LockProxy) by `.into()`.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`]; [`is_not_found`](CallError::is_not_found), [`is_wrong_type`](CallError::is_wrong_type).
    pub fn get<T: 'static>(&self, name: &str) -> Result<Proxy<T>, CallError> {
        Ok(self.ask(name.to_owned(), service::get::<T>)??)
    }

    /// Tells what the server has done and is at.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`].
    pub fn stats(&self) -> Result<ManagerStats, CallError> {
        self.ask((), service::stats)
    }

    /// Has a function run in the server.
    fn ask<A: Message, R: Message>(&self, args: A, f: fn(A) -> R) -> Result<R, CallError> {
        match &self.0 {
            At::Here => Ok(f(args)),
            At::There(distant) => {
                client::call(distant.link()?, None, Remote::new(f)?, &args, Deadline::NEVER.into(), None)
            }
        }
    }
}

/// A manager on its way to another process of the same machine.
#[derive(Serialize, Deserialize)]
enum Travelling {
    /// To the server itself, or within it.
    Token {
        manager: u128,
        token: Carried<KIND>,
    },
    Address {
        place: server::Place,
        key: Vec<u8>,
        manager: u128,
    },
}

impl Serialize for RemoteManager {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failed = |error: CallError| ser::Error::custom(error);
        let travelling = match &self.0 {
            At::Here => {
                let token = server::server().door().map_err(ser::Error::custom)?;
                Travelling::Token { manager: server::server().id, token: Carried(Arc::new(token)) }
            }
            At::There(distant) => match (&distant.way, &distant.token) {
                (Way::Local, Some(token)) => {
                    Travelling::Token { manager: distant.manager, token: Carried(Arc::clone(token)) }
                }
                (Way::Local, None) => Travelling::Token {
                    manager: distant.manager,
                    token: Carried(Arc::new(
                        distant.link().and_then(|link| link.token(None)).map_err(failed)?,
                    )),
                },
                (Way::Inet(address, key), _) => Travelling::Address {
                    place: server::Place::from(address),
                    key: key.as_bytes().unwrap_or_default().to_vec(),
                    manager: distant.manager,
                },
            },
        };
        travelling.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RemoteManager {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RemoteManager, D::Error> {
        if !codec::is_trusted() {
            return Err(de::Error::custom(
                "a manager from a peer that is not trusted: it travels within one program only",
            ));
        }
        let travelling = Travelling::deserialize(deserializer)?;
        let manager = match &travelling {
            Travelling::Token { manager, .. } | Travelling::Address { manager, .. } => *manager,
        };
        if server::here().is_some_and(|server| server.id == manager) {
            return Ok(RemoteManager(At::Here));
        }
        let (way, token) = match travelling {
            Travelling::Token { token: Carried(token), .. } => (Way::Local, Some(token)),
            Travelling::Address { place, key, .. } => {
                (Way::Inet(Address::from(place), AuthKey::from(key)), None)
            }
        };
        Ok(RemoteManager(At::There(Arc::new(Distant { manager, link: OnceLock::new(), way, token }))))
    }
}
