//! The server's life: from its start to its end.

use super::workers::{self, Workers};
use super::{Counters, STOP, Server};
use crate::operation;
use crate::wire::Id;
use multiproc_core::sys::epoll::Poller;
use multiproc_core::sys::fd;
use multiproc_core::sys::process::block_terminal_signals;
use multiproc_pipe::{Address, AuthKey, Connection, Fd, Listener, ToAddresses};
use multiproc_process::Remote;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::Duration;
use zeroize::Zeroizing;

/// What a client may have at most.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) clients: usize,
    pub(crate) objects: usize,
    pub(crate) calls: usize,
    pub(crate) message: usize,
    pub(crate) bytes: usize,
    pub(crate) threads: usize,
}

impl Limits {
    /// The longest frame: a message, and what goes before it.
    pub(crate) fn frame(&self) -> usize {
        self.message.saturating_add(4096).min(i32::MAX as usize)
    }
}

/// An address, as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Place {
    Path(Vec<u8>),
    Abstract(Vec<u8>),
    Tcp(SocketAddr),
}

impl From<&Address> for Place {
    fn from(address: &Address) -> Place {
        match address {
            Address::Path(path) => Place::Path(path.as_os_str().as_bytes().to_vec()),
            Address::Abstract(name) => Place::Abstract(name.clone()),
            Address::Tcp(address) => Place::Tcp(*address),
            _ => unreachable!("there are three kinds of addresses"),
        }
    }
}

impl From<Place> for Address {
    fn from(place: Place) -> Address {
        match place {
            Place::Path(path) => Address::Path(PathBuf::from(OsString::from_vec(path))),
            Place::Abstract(name) => Address::Abstract(name),
            Place::Tcp(address) => Address::Tcp(address),
        }
    }
}

/// What the server is started with.
#[derive(Serialize, Deserialize)]
pub(crate) struct Start {
    /// Through it the owner connects.
    pub(crate) door: Fd<OwnedFd>,
    pub(crate) id: Id,
    pub(crate) owner: Id,
    pub(crate) places: Vec<Place>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) limits: Limits,
}

/// The server's whole life; an error is one of its start.
pub(crate) fn serve(start: Start) -> Result<(), String> {
    // Control and C is for the owner, who stops the server when it has done what it does then.
    block_terminal_signals();
    let Start { door, id, owner, places, key, limits } = start;
    let listener = listen(&places, key.as_deref())?;
    let server = new(id, owner, key.unwrap_or_default(), limits).map_err(|error| error.to_string())?;
    *server.address.lock() = listener.as_ref().map(|listener| listener.address().to_string());
    if super::SERVER.set(Arc::clone(&server)).is_err() {
        return Err("there is a server in this process already".to_owned());
    }
    let background = |name: &str, run: Box<dyn FnOnce() + Send>| {
        let started = thread::Builder::new().name(name.to_owned()).spawn(run);
        started.map_err(|error| format!("its threads cannot be started: {error}"))
    };
    let watched = Arc::clone(&server);
    background("manager-watch", Box::new(move || Workers::watch(&watched)))?;
    let welcoming = match listener {
        Some(listener) => {
            let welcoming = Arc::clone(&server);
            Some(background("manager-listen", Box::new(move || welcome(&welcoming, &listener)))?)
        }
        None => None,
    };
    server.add_token(door.into_inner(), None);
    tracing::info!(target: "multiproc::manager", "manager's server serving");
    workers::work(&server);
    if let Some(welcoming) = welcoming {
        // It removes its socket file.
        let _ = welcoming.join();
    }
    end(&server);
    Ok(())
}

fn new(id: Id, owner: Id, key: Vec<u8>, limits: Limits) -> io::Result<Arc<Server>> {
    let remote = |function| Remote::new(function).map_err(io::Error::other);
    let poller = Poller::new()?;
    let stop = fd::with_descriptors(fd::eventfd)?;
    poller.add(&stop, STOP)?;
    Ok(Arc::new(Server {
        id,
        owner,
        key: Zeroizing::new(key),
        workers: Workers::new(limits.threads),
        limits,
        address: Mutex::default(),
        poller,
        stop,
        is_stopping: AtomicBool::new(false),
        sources: RwLock::default(),
        last: AtomicU64::new(STOP),
        objects: std::array::from_fn(|_| RwLock::new(HashMap::new())),
        names: Mutex::default(),
        sessions: Mutex::default(),
        fresh: Mutex::default(),
        timers: super::Timers::default(),
        counters: Counters::default(),
        again: remote(operation::again as fn(()))?,
        client_gone: remote(operation::client_gone as fn(()))?,
    }))
}

fn listen(places: &[Place], key: Option<&[u8]>) -> Result<Option<Listener>, String> {
    let Some(key) = key.filter(|_| !places.is_empty()) else { return Ok(None) };
    let addresses: Vec<Address> = places.iter().cloned().map(Address::from).collect();
    let mut failure = String::new();
    for address in addresses {
        match Listener::bind(address, AuthKey::from(key)) {
            Ok(listener) => return Ok(Some(listener)),
            Err(error) => failure = error.to_string(),
        }
    }
    Err(failure)
}

/// Lets in those who have the key, until the server stops.
fn welcome(server: &Server, listener: &Listener) {
    let is_inet = matches!(listener.address(), Address::Tcp(_));
    loop {
        let ready = multiproc_pipe::wait(&[&server.stop, listener], None);
        if ready.is_ok_and(|ready| ready.contains(&0)) {
            return;
        }
        let connection: Connection<(), ()> = match listener.try_accept() {
            Ok(connection) => connection,
            Err(error) if error.is_timeout() => continue,
            Err(error) => {
                tracing::warn!(target: "multiproc::manager", %error, "nobody can be let in");
                // Descriptors are short: others have to go first.
                thread::sleep(Duration::from_millis(20));
                continue;
            }
        };
        if let Ok(fd) = connection.as_fd().try_clone_to_owned() {
            server.add_fresh(fd, is_inet);
        }
    }
}

/// Drops what is left, so that destructors have run before the process ends.
fn end(server: &Server) {
    let sessions: Vec<_> = std::mem::take(&mut *server.sessions.lock()).into_values().collect();
    sessions.iter().for_each(|session| session.end(server));
    drop(std::mem::take(&mut *server.names.lock()));
    // What it holds drops objects, which look into the map.
    let sources = std::mem::take(&mut *server.sources.write());
    drop(sources);
}

/// For a builder: where to listen.
pub(crate) fn places(address: impl ToAddresses) -> io::Result<Vec<Place>> {
    Ok(address.to_addresses()?.iter().map(Place::from).collect())
}
