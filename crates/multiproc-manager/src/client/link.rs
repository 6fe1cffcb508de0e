//! What a process knows of a manager: its connection for notes, and its lanes.

use super::lane::{Lane, Slots};
use crate::error::{CallError, ManagerError, ManagerKind};
use crate::input::Input;
use crate::seal::{self, End, Opener, Sealer};
use crate::wire::{Arrived, Hello, Id, MAGIC, MAX_HELLO, Note, Packet, Role, VERSION, Welcome};
use multiproc_core::Deadline;
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::sys::image::image;
use multiproc_core::sys::random::fill_random;
use multiproc_core::sys::thread;
use multiproc_pipe::frame::Outgoing;
use multiproc_pipe::{Address, AuthKey, ConnectOptions, Connection};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long a manager may take to let somebody in.
pub(crate) const CONNECT: Duration = Duration::from_secs(20);
/// How long a note may find no room, before the server counts as lost.
const NOTE: Duration = Duration::from_secs(10);

/// The way to a manager, shared by all its proxies in the process.
pub(crate) struct Link {
    pub(crate) manager: Id,
    session: Id,
    /// Whose it is: a fork has a copy, and must not use it.
    process: u64,
    pub(crate) max_message: usize,
    slots: Slots,
    pub(crate) address: Option<String>,
    pub(crate) way: Way,
    notes: Mutex<Notes>,
    free: Mutex<Vec<Lane>>,
    /// Lanes whose callers have given up; their answers may give references.
    late: Mutex<Vec<Lane>>,
}

/// How further connections are made.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// By a descriptor sent along with a note.
    Local,
    Inet(Address, AuthKey),
}

struct Notes {
    fd: OwnedFd,
    sealer: Option<Sealer>,
    /// References given up while there was no room to say so.
    released: Vec<Id>,
    is_broken: bool,
}

/// A connection that the server has welcomed.
struct Welcomed {
    fd: OwnedFd,
    manager: Id,
    session: Id,
    max_message: usize,
    max_calls: usize,
    address: Option<String>,
    sealer: Option<Sealer>,
    opener: Option<Opener>,
}

static LINKS: Mutex<Option<HashMap<Id, Weak<Link>>>> = Mutex::new(None);

impl Link {
    /// Finds the process' link to a manager, or makes it.
    pub(crate) fn find_or(
        manager: Id,
        make: impl FnOnce() -> Result<Arc<Link>, ManagerError>,
    ) -> Result<Arc<Link>, ManagerError> {
        if let Some(link) = Link::find(manager) {
            return Ok(link);
        }
        let link = make()?;
        if link.manager != manager {
            return Err(ManagerKind::NotOurs.into());
        }
        let mut links = LINKS.lock();
        let place = links.get_or_insert_default().entry(manager).or_default();
        // Another thread may have been faster; one link is as good as the other.
        match place.upgrade().filter(|link| link.is_own()) {
            Some(first) => Ok(first),
            None => {
                *place = Arc::downgrade(&link);
                Ok(link)
            }
        }
    }

    fn find(manager: Id) -> Option<Arc<Link>> {
        let links = LINKS.lock();
        links.as_ref()?.get(&manager)?.upgrade().filter(|link| link.is_own())
    }

    /// Connects through a token: it hands the server the other end of a socket pair.
    pub(crate) fn through(token: &OwnedFd, deadline: Deadline) -> Result<Arc<Link>, ManagerError> {
        let (ours, theirs) = fd::with_descriptors(fd::socket_pair)?;
        match fd::send(token, &[IoSlice::new(b"+")], &[theirs.as_fd()], true) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(ManagerKind::Gone.into()),
            other => other?,
        };
        drop(theirs);
        Link::of(hello(ours, Role::Client { process: std::process::id() }, None, deadline)?, Way::Local)
    }

    /// Connects to an address.
    pub(crate) fn to(
        address: &Address,
        key: &AuthKey,
        deadline: Deadline,
    ) -> Result<Arc<Link>, ManagerError> {
        let role = Role::Client { process: std::process::id() };
        let welcomed = connect(address, key, role, deadline)?;
        let way = match address {
            Address::Tcp(_) => Way::Inet(address.clone(), key.clone()),
            _ => Way::Local,
        };
        Link::of(welcomed, way)
    }

    fn of(welcomed: Welcomed, way: Way) -> Result<Arc<Link>, ManagerError> {
        let Welcomed { fd, manager, session, max_message, max_calls, address, sealer, opener: _ } = welcomed;
        let notes = Notes { fd, sealer, released: Vec::new(), is_broken: false };
        Ok(Arc::new(Link {
            manager,
            session,
            process: thread::process_id(),
            max_message,
            slots: Slots::new(max_calls),
            address,
            way,
            notes: Mutex::new(notes),
            free: Mutex::default(),
            late: Mutex::default(),
        }))
    }

    /// Makes this link the one that proxies find, if there is none yet.
    pub(crate) fn publish(self: &Arc<Self>) {
        let mut links = LINKS.lock();
        let links = links.get_or_insert_default();
        links.retain(|_, link| link.strong_count() > 0);
        links.insert(self.manager, Arc::downgrade(self));
    }

    /// Tells whether it was made by this process, and not by one that this is a fork of.
    pub(crate) fn is_own(&self) -> bool {
        self.process == thread::process_id()
    }

    /// Gives a lane that nobody uses, or makes one.
    pub(crate) fn lane(&self, deadline: Deadline) -> Result<Lane, CallError> {
        if !self.is_own() {
            return Err(CallError::forked());
        }
        if let Some(lane) = self.free.lock().pop() {
            return Ok(lane);
        }
        if let Some(lane) = self.reclaim() {
            return Ok(lane);
        }
        let slot = self.slots.take()?;
        match &self.way {
            Way::Local => {
                let (ours, theirs) = fd::with_descriptors(fd::socket_pair).map_err(CallError::io)?;
                self.note(&Note::Lane, &[theirs.as_fd()]).map_err(|_| CallError::not_sent())?;
                Ok(Lane::new(ours, Input::new(self.max_frame()), None, slot))
            }
            Way::Inet(address, key) => {
                let soonest = Deadline::after(CONNECT);
                let deadline = match deadline.instant() {
                    Some(at) if deadline.remaining() < Some(CONNECT) => Deadline::at(at),
                    _ => soonest,
                };
                let role = Role::Lane { session: self.session };
                let welcomed = connect(address, key, role, deadline).map_err(CallError::connect)?;
                let mut input = Input::new(self.max_frame());
                input.opener = welcomed.opener;
                Ok(Lane::new(welcomed.fd, input, welcomed.sealer, slot))
            }
        }
    }

    fn max_frame(&self) -> usize {
        self.max_message.saturating_add(1 << 20).min(i32::MAX as usize)
    }

    /// Gives a lane back.
    pub(crate) fn give_back(&self, lane: Lane) {
        self.free.lock().push(lane);
    }

    /// Keeps a lane whose caller has given up until its answer comes.
    pub(crate) fn give_up(&self, lane: Lane) {
        self.late.lock().push(lane);
    }

    /// Looks for late answers; gives a lane that is free again.
    fn reclaim(&self) -> Option<Lane> {
        let mut late = self.late.lock();
        let mut found = None;
        let mut place = 0;
        while place < late.len() {
            match late[place].late_answer() {
                Ok(None) => place += 1,
                Ok(Some(granted)) => {
                    let lane = late.swap_remove(place);
                    granted.into_iter().for_each(|id| self.release(id));
                    match found {
                        None => found = Some(lane),
                        Some(_) => self.give_back(lane),
                    }
                }
                Err(_) => drop(late.swap_remove(place)),
            }
        }
        found
    }

    /// Makes a token for an object; for the server itself where there is none.
    pub(crate) fn token(&self, object: Option<Id>) -> Result<OwnedFd, CallError> {
        if !self.is_own() {
            return Err(CallError::forked());
        }
        match (&self.way, object) {
            (Way::Local, object) => {
                let (ours, theirs) = fd::with_descriptors(fd::packet_pair).map_err(CallError::io)?;
                self.note(&Note::Token(object), &[theirs.as_fd()]).map_err(|_| CallError::not_sent())?;
                Ok(ours)
            }
            (Way::Inet(address, key), Some(object)) => {
                let role = Role::Token { session: self.session, object };
                let welcomed = connect(address, key, role, Deadline::after(CONNECT));
                Ok(welcomed.map_err(CallError::connect)?.fd)
            }
            (Way::Inet(..), None) => Err(CallError::misuse(
                "a remote manager is connected to by its address: use `RemoteManager::connect`",
            )),
        }
    }

    /// Gives a reference back; if there is no room to say so, with the next note.
    pub(crate) fn release(&self, id: Id) {
        if !self.is_own() {
            return;
        }
        let mut notes = self.notes.lock();
        notes.released.push(id);
        // A server that is gone has nothing to be released.
        let _ = notes.flush_released(Deadline::now());
    }

    /// Tells the server something.
    pub(crate) fn note(&self, note: &Note, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut notes = self.notes.lock();
        let deadline = Deadline::after(NOTE);
        notes.flush_released(deadline)?;
        notes.send(note, fds, deadline)
    }
}

impl Notes {
    fn flush_released(&mut self, deadline: Deadline) -> io::Result<()> {
        if self.released.is_empty() {
            return Ok(());
        }
        let note = Note::Release(std::mem::take(&mut self.released));
        let result = self.send(&note, &[], deadline);
        if let (Err(error), Note::Release(ids)) = (&result, note)
            && error.kind() == io::ErrorKind::WouldBlock
        {
            self.released = ids;
        }
        result
    }

    /// Writes a note; where there is no room before the deadline nothing of it goes.
    fn send(&mut self, note: &Note, fds: &[BorrowedFd<'_>], deadline: Deadline) -> io::Result<()> {
        if self.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut packet = Packet::new(note, &()).map_err(io::Error::other)?;
        // Its own descriptors are borrowed, so the packet does not have them.
        packet.bytes[4..8].copy_from_slice(&(fds.len() as u32).to_le_bytes());
        let would_seal = self.sealer.is_some();
        let packet = packet.seal(self.sealer.as_mut());
        let mut outgoing = Outgoing::new(packet.bytes.len(), fds.len())?;
        loop {
            match outgoing.advance(&self.fd, &packet.bytes, fds, false) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // What has begun must go to its end, or the next note would be taken for its rest; and what has a
                    // number must not be left out.
                    let bound = outgoing.has_begun() || would_seal;
                    let deadline = if bound { Deadline::after(NOTE) } else { deadline };
                    if deadline.has_passed() || !fd::poll_one(&self.fd, Interest::Write, deadline)? {
                        self.is_broken = bound;
                        return Err(error);
                    }
                }
                Err(error) => {
                    self.is_broken = true;
                    return Err(error);
                }
            }
        }
    }
}

/// Connects to an address where the key opens, and says what for.
fn connect(
    address: &Address,
    key: &AuthKey,
    role: Role,
    deadline: Deadline,
) -> Result<Welcomed, ManagerError> {
    let timeout = deadline.remaining().unwrap_or(CONNECT);
    let connection: Connection<(), ()> = ConnectOptions::new().timeout(timeout).connect(address, key)?;
    let fd = fd::with_descriptors(|| connection.as_fd().try_clone_to_owned())?;
    let key = matches!(address, Address::Tcp(_)).then_some(key);
    hello(fd, role, key, deadline)
}

/// Introduces this process.
fn hello(
    fd: OwnedFd,
    role: Role,
    key: Option<&AuthKey>,
    deadline: Deadline,
) -> Result<Welcomed, ManagerError> {
    let mut nonce = [0; 32];
    fill_random(&mut nonce)?;
    let key = key.map(|key| key.as_bytes().unwrap_or_default());
    let build = image()?.build_id().as_bytes().to_vec();
    let hello = Hello { magic: MAGIC, version: VERSION, build, nonce, role };
    let packet = Packet::new(&hello, &()).map_err(io::Error::other)?;
    let packet = packet.seal(key.map(|key| seal::first(key, b"", End::Client).0).as_mut());
    let mut input = Input::new(MAX_HELLO);
    input.opener = key.map(|key| seal::first(key, &nonce, End::Client).1);
    let arrived =
        multiproc_pipe::frame::write(&fd, &packet.bytes, &[], true).and_then(|()| input.wait(&fd, deadline));
    let arrived: Arrived = match arrived {
        Ok(Some(arrived)) => arrived,
        Ok(None) => return Err(ManagerKind::Gone.into()),
        Err(error) => {
            return Err(match error.kind() {
                io::ErrorKind::TimedOut => ManagerKind::TimedOut,
                io::ErrorKind::InvalidData => ManagerKind::NotOurs,
                io::ErrorKind::BrokenPipe => ManagerKind::Gone,
                _ => ManagerKind::Io(error),
            }
            .into());
        }
    };
    match arrived.head::<Welcome>() {
        Ok(Welcome::Come { manager, session, max_message, max_calls, nonce: theirs, address }) => {
            let seals = key.map(|key| seal::session(key, [&nonce, &theirs], End::Client));
            let (sealer, opener) =
                seals.map_or((None, None), |(sealer, opener)| (Some(sealer), Some(opener)));
            let [max_message, max_calls] =
                [max_message, max_calls].map(|most| usize::try_from(most).unwrap_or(usize::MAX));
            Ok(Welcomed { fd, manager, session, max_message, max_calls, address, sealer, opener })
        }
        Ok(Welcome::Refused(why)) => Err(ManagerKind::Refused(why).into()),
        Err(_) => Err(ManagerKind::NotOurs.into()),
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("way", &self.way).finish_non_exhaustive()
    }
}
