//! The server process: objects, and the clients that hold them.

pub(crate) mod entry;
pub(crate) mod exec;
mod fresh;
mod lane;
pub(crate) mod reply;
mod serve;
mod session;
mod timers;
mod workers;

pub(crate) use entry::Entry;
pub(crate) use serve::{Limits, Place, Start, places, serve};
pub(crate) use session::Session;

use crate::wire::Id;
use fresh::Fresh;
use lane::Lane;
use multiproc_core::sys::epoll::Poller;
use multiproc_core::sys::fd;
use multiproc_core::sys::random::fill_random;
use multiproc_process::Remote;
use parking_lot::{Mutex, RwLock};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use timers::Timers;
use workers::Workers;
use zeroize::Zeroizing;

/// What the thing that stops everybody is called.
const STOP: u64 = 0;
/// How long a connection may say nothing, and how many of those there may be.
const FRESH: (Duration, usize) = (Duration::from_secs(5), 256);
/// Objects are found in one of so many maps.
const SHARDS: usize = 16;

/// A manager's server; there is one in a process.
pub(crate) struct Server {
    pub(crate) id: Id,
    owner: Id,
    key: Zeroizing<Vec<u8>>,
    pub(crate) limits: Limits,
    pub(crate) address: Mutex<Option<String>>,
    poller: Poller,
    stop: OwnedFd,
    is_stopping: AtomicBool,
    sources: RwLock<HashMap<u64, Source>>,
    last: AtomicU64,
    objects: [RwLock<HashMap<Id, Weak<Entry>>>; SHARDS],
    pub(crate) names: Mutex<BTreeMap<String, Arc<Entry>>>,
    pub(crate) sessions: Mutex<HashMap<Id, Arc<Session>>>,
    fresh: Mutex<BTreeMap<u64, Instant>>,
    timers: Timers,
    workers: Workers,
    pub(crate) counters: Counters,
    again: Remote,
    client_gone: Remote,
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) calls: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) clients: AtomicU64,
}

/// What a descriptor of the set belongs to.
#[derive(Clone)]
pub(crate) enum Source {
    Fresh(Arc<Fresh>),
    Session(Arc<Session>),
    Lane(Arc<Lane>),
    Token(Arc<Token>),
}

/// The server's end of a token: as long as anybody has the other end, the object stays.
pub(crate) struct Token {
    fd: OwnedFd,
    number: u64,
    /// `None` for a token of the server itself.
    _entry: Option<Arc<Entry>>,
}

static SERVER: OnceLock<Arc<Server>> = OnceLock::new();

/// The server of this process.
pub(crate) fn server() -> &'static Server {
    match SERVER.get() {
        Some(server) => server,
        None => unreachable!("only the server's own threads ask for it"),
    }
}

/// The server of this process, where there is one.
pub(crate) fn here() -> Option<&'static Server> {
    SERVER.get().map(|server| &**server)
}

/// Makes a number that nobody can guess.
pub(crate) fn random_id() -> io::Result<Id> {
    let mut bytes = [0; 16];
    fill_random(&mut bytes)?;
    // 0 stands for the server itself.
    Ok(Id::from_le_bytes(bytes).max(1))
}

/// Takes an object that is being dropped off the list.
fn forget(id: Id) {
    if let Some(server) = here() {
        server.shard(id).write().remove(&id);
    }
}

thread_local! {
    /// Lanes that this thread is to look at when it is done with what it is at.
    static PUT_OFF: RefCell<Vec<Arc<Lane>>> = const { RefCell::new(Vec::new()) };
}

impl Server {
    fn shard(&self, id: Id) -> &RwLock<HashMap<Id, Weak<Entry>>> {
        &self.objects[(id % SHARDS as Id) as usize]
    }

    /// Finds an object that is still there.
    pub(crate) fn find(&self, id: Id) -> Option<Arc<Entry>> {
        self.shard(id).read().get(&id)?.upgrade()
    }

    /// Keeps a value as an object, for as long as the entry has owners.
    pub(crate) fn insert(&self, make: impl FnOnce(Id) -> Entry) -> io::Result<Arc<Entry>> {
        let id = random_id()?;
        let entry = Arc::new(make(id));
        self.shard(id).write().insert(id, Arc::downgrade(&entry));
        Ok(entry)
    }

    /// All objects.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        let of = |shard: &RwLock<HashMap<Id, Weak<Entry>>>| -> Vec<_> {
            shard.read().values().filter_map(Weak::upgrade).collect()
        };
        self.objects.iter().flat_map(of).collect()
    }

    /// How many threads there are.
    pub(crate) fn threads(&self) -> usize {
        self.workers.total()
    }

    /// A number that was not given before.
    pub(crate) fn number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    /// Has a descriptor waited for; false where the system has no room for it.
    fn add_source(&self, token: u64, source: Source) -> bool {
        // First into the map: the event may come at once.
        self.sources.write().insert(token, source.clone());
        let added = match &source {
            Source::Fresh(fresh) => self.poller.add_edge(fresh.fd(), token),
            Source::Session(session) => self.poller.add_edge(session.fd(), token),
            Source::Lane(lane) => self.poller.add_edge(&lane.fd, token),
            Source::Token(end) => self.poller.add_edge(&end.fd, token),
        };
        if let Err(error) = added {
            tracing::warn!(target: "multiproc::manager", %error, "connection refused");
            self.sources.write().remove(&token);
            return false;
        }
        true
    }

    fn remove_source(&self, token: u64, fd: &OwnedFd) {
        let removed = self.sources.write().remove(&token);
        if removed.is_some() {
            // It may have been refused from the beginning.
            let _ = self.poller.remove(fd);
        }
    }

    /// Does what is to be done; false where the server is to stop.
    fn ready(self: &Arc<Self>, token: u64) -> bool {
        if token == STOP {
            return false;
        }
        let source = self.sources.read().get(&token).cloned();
        match source {
            Some(Source::Lane(lane)) => {
                lane.ready(self);
                if self.can_spare_one() {
                    lane.follow(self);
                }
            }
            Some(Source::Session(session)) => session.ready(self),
            Some(Source::Fresh(fresh)) => fresh.ready(self),
            Some(Source::Token(end)) => self.token_ready(&end),
            // Gone since.
            None => {}
        }
        !self.is_stopping()
    }

    /// Takes the server's end of a token.
    pub(crate) fn add_token(&self, fd: OwnedFd, entry: Option<Arc<Entry>>) {
        let number = self.number();
        self.add_source(number, Source::Token(Arc::new(Token { fd, number, _entry: entry })));
    }

    /// Makes a way in: a token of the server itself.
    pub(crate) fn door(&self) -> io::Result<OwnedFd> {
        let (ours, theirs) = fd::with_descriptors(fd::packet_pair)?;
        self.add_token(theirs, None);
        Ok(ours)
    }

    /// Somebody connects through a token, or nobody has it any more.
    fn token_ready(&self, end: &Arc<Token>) {
        loop {
            let (mut byte, mut fds) = ([0; 16], Vec::new());
            match fd::recv_part(&end.fd, &mut byte, &mut fds, false) {
                Ok(part) if part.bytes > 0 => {
                    if let Some(fd) = fds.pop() {
                        self.add_fresh(fd, false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => return self.remove_source(end.number, &end.fd),
            }
        }
    }

    /// Takes a new connection; those that have said nothing for too long have to go.
    fn add_fresh(&self, fd: OwnedFd, is_inet: bool) {
        let token = self.number();
        {
            let mut fresh = self.fresh.lock();
            while let Some(oldest) = fresh.first_entry() {
                let is_late = oldest.get().elapsed() > FRESH.0;
                if !is_late && fresh.len() < FRESH.1 {
                    break;
                }
                let Some((old, _)) = fresh.pop_first() else { break };
                if let Some(Source::Fresh(old)) = self.sources.write().remove(&old) {
                    let _ = self.poller.remove(old.fd());
                }
            }
            fresh.insert(token, Instant::now());
        }
        if !self.add_source(token, Source::Fresh(Arc::new(Fresh::new(self, fd, token, is_inet)))) {
            self.fresh.lock().remove(&token);
        }
    }

    /// Has this thread look at a lane when it is done with what it is at: not within it, or a client that sends many
    /// calls at once would have them lie on one stack.
    fn run_later(&self, lane: &Arc<Lane>) {
        PUT_OFF.with(|lanes| lanes.borrow_mut().push(Arc::clone(lane)));
    }

    /// A thread has done something, and is there for more.
    fn turn(&self) {
        self.workers.turn();
    }

    fn can_spare_one(&self) -> bool {
        self.workers.can_spare_one()
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    fn run_what_was_put_off(&self) {
        while let Some(lane) = PUT_OFF.with(|lanes| lanes.borrow_mut().pop()) {
            lane.ready(self);
        }
    }

    /// Ends the server: calls that run are not waited for.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        fd::eventfd_signal(&self.stop);
    }
}
