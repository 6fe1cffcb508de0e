//! A reference to an object: what a proxy holds, and how it travels.

use crate::client::{CONNECT, Link, Way};
use crate::error::{CallError, ManagerError};
use crate::mode::{self, Mode};
use crate::server::{self, Entry, Place};
use crate::wire::Id;
use multiproc_core::Deadline;
use multiproc_core::codec::{self, Carried};
use multiproc_core::sys::fd;
use multiproc_pipe::{Address, AuthKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

/// What a token's descriptor is called inside a message.
const KIND: u32 = u32::from_be_bytes(*b"prox");

/// A token of an object, as it travels.
type Token = Carried<KIND>;

/// A reference. As long as it lives the object does.
#[derive(Debug)]
pub(crate) enum Reference {
    /// In the server itself.
    Here(Arc<Entry>),
    There(There),
}

/// One in a client.
#[derive(Debug)]
pub(crate) struct There {
    pub(crate) manager: Id,
    pub(crate) object: Id,
    link: OnceLock<Arc<Link>>,
    way: Way,
    /// Counted for this process by the server; otherwise the token counts, and the kernel does it.
    is_granted: bool,
    /// As long as any process, or any message, has one open, so lives the object.
    token: OnceLock<Arc<OwnedFd>>,
}

/// A reference on its way.
#[derive(Serialize, Deserialize)]
enum Travelling {
    /// Between a client and the object's server.
    Number(Id),
    Token {
        manager: Id,
        object: Id,
        token: Token,
        /// Where to connect, and with which key, if the token is no way in itself.
        way: Option<(Place, Vec<u8>)>,
    },
}

impl There {
    fn granted(link: &Arc<Link>, object: Id) -> There {
        There {
            manager: link.manager,
            object,
            link: OnceLock::from(Arc::clone(link)),
            way: link.way.clone(),
            is_granted: true,
            token: OnceLock::new(),
        }
    }

    /// The way to the server; the first call makes it where the process has none yet.
    pub(crate) fn link(&self, deadline: Deadline) -> Result<&Arc<Link>, CallError> {
        if let Some(link) = self.link.get() {
            return Ok(link);
        }
        let deadline = match deadline.remaining() {
            Some(left) if left < CONNECT => deadline,
            _ => Deadline::after(CONNECT),
        };
        let connect = || match (&self.way, self.token.get()) {
            (Way::Inet(address, key), _) => Link::to(address, key, deadline),
            (Way::Local, Some(token)) => Link::through(token, deadline),
            (Way::Local, None) => {
                Err(ManagerError::from(std::io::Error::from(std::io::ErrorKind::NotConnected)))
            }
        };
        let link = Link::find_or(self.manager, connect).map_err(CallError::connect)?;
        Ok(self.link.get_or_init(|| link))
    }

    /// A token of the object, made once.
    fn token(&self) -> Result<Arc<OwnedFd>, CallError> {
        if let Some(token) = self.token.get() {
            return Ok(Arc::clone(token));
        }
        let token = Arc::new(self.link(Deadline::NEVER)?.token(Some(self.object))?);
        Ok(Arc::clone(self.token.get_or_init(|| token)))
    }
}

impl Drop for There {
    fn drop(&mut self) {
        if self.is_granted
            && let Some(link) = self.link.get()
        {
            link.release(self.object);
        }
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let by_number = mode::with(|mode| match (self, mode) {
            (Reference::Here(entry), Mode::Granting(granted)) => {
                granted.push(Arc::clone(entry));
                Some(entry.id)
            }
            (Reference::There(there), Mode::Asking(link)) if link.manager == there.manager => {
                Some(there.object)
            }
            _ => None,
        });
        if let Some(id) = by_number {
            return Travelling::Number(id).serialize(serializer);
        }
        let travelling = match self {
            Reference::Here(entry) => {
                let server = server::server();
                let (ours, theirs) = fd::with_descriptors(fd::packet_pair).map_err(ser::Error::custom)?;
                server.add_token(theirs, Some(Arc::clone(entry)));
                Travelling::Token {
                    manager: server.id,
                    object: entry.id,
                    token: Carried(Arc::new(ours)),
                    way: None,
                }
            }
            Reference::There(there) => Travelling::Token {
                manager: there.manager,
                object: there.object,
                token: Carried(there.token().map_err(ser::Error::custom)?),
                way: match &there.way {
                    Way::Local => None,
                    Way::Inet(address, key) => {
                        Some((Place::from(address), key.as_bytes().unwrap_or_default().to_vec()))
                    }
                },
            },
        };
        travelling.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
        if !codec::is_trusted() {
            return Err(de::Error::custom(
                "a proxy from a peer that is not trusted: proxies travel within one program only",
            ));
        }
        match Travelling::deserialize(deserializer)? {
            Travelling::Number(id) => mode::with(|mode| match mode {
                Mode::Serving(_) => {
                    let entry = server::server().find(id);
                    entry.map(Reference::Here).ok_or_else(|| {
                        de::Error::custom("an object that is gone: keep a proxy as long as it is needed")
                    })
                }
                Mode::Answered(link, granted) => {
                    let place = granted.iter().position(|granted| *granted == id);
                    let place = place.ok_or_else(|| de::Error::custom("an object that was not granted"))?;
                    granted.swap_remove(place);
                    Ok(Reference::There(There::granted(link, id)))
                }
                _ => Err(de::Error::custom("a proxy that was encoded for a manager's server")),
            }),
            Travelling::Token { manager, object, token: Carried(token), way } => {
                if let Some(server) = server::here().filter(|server| server.id == manager) {
                    let entry = server.find(object);
                    return entry.map(Reference::Here).ok_or_else(|| {
                        de::Error::custom("an object that is gone: keep a proxy as long as it is needed")
                    });
                }
                let way = way
                    .map_or(Way::Local, |(place, key)| Way::Inet(Address::from(place), AuthKey::from(key)));
                Ok(Reference::There(There {
                    manager,
                    object,
                    link: OnceLock::new(),
                    way,
                    is_granted: false,
                    token: OnceLock::from(token),
                }))
            }
        }
    }
}
