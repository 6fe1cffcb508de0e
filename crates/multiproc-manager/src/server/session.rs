//! A client, as the server knows it: what it holds, and what it has under way.

use super::entry::Job;
use super::lane::Lane;
use super::{Entry, Server};
use crate::input::{Filled, Input};
use crate::seal::Sealer;
use crate::wire::{Id, Note};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// A client: a process, or a program on another machine. It ends with its connection for notes.
pub(crate) struct Session {
    pub(crate) id: Id,
    pub(crate) process: u32,
    pub(crate) is_inet: bool,
    fd: OwnedFd,
    token: u64,
    input: Mutex<Input>,
    holdings: Mutex<Holdings>,
    bytes: AtomicUsize,
}

#[derive(Default)]
struct Holdings {
    /// The references that it holds, and how many of each.
    objects: HashMap<Id, (Arc<Entry>, u32)>,
    /// Objects of which it holds something, such as a lock.
    held: HashMap<Id, Weak<Entry>>,
    lanes: HashMap<u64, Weak<Lane>>,
    /// How many of its calls have been read and have not ended.
    under_way: usize,
    ended: bool,
}

/// A call of a client, from when it was read to its end. What a client has is given back when it is gone and all of these
/// are: what it had asked for with a lock in its hand is not done behind the back of who has the lock next.
pub(crate) struct UnderWay(Arc<Session>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let held = {
            let mut holdings = self.0.holdings.lock();
            holdings.under_way -= 1;
            if !holdings.ended || holdings.under_way > 0 {
                return;
            }
            std::mem::take(&mut holdings.held)
        };
        let Some(server) = super::here() else { return };
        for entry in held.into_values().filter_map(|entry| entry.upgrade()) {
            entry.submit(server, Job::ClientGone(self.0.id));
        }
        // Last of all: who sees that it is gone finds free what it had.
        server.sessions.lock().remove(&self.0.id);
    }
}

impl Session {
    pub(crate) fn new(id: Id, process: u32, is_inet: bool, fd: OwnedFd, token: u64, input: Input) -> Session {
        Session {
            id,
            process,
            is_inet,
            fd,
            token,
            input: Mutex::new(input),
            holdings: Mutex::default(),
            bytes: AtomicUsize::new(0),
        }
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Reads the client's notes.
    pub(crate) fn ready(self: &Arc<Self>, server: &Server) {
        let mut input = self.input.lock();
        loop {
            match input.next() {
                Ok(Some(mut arrived)) => {
                    let fds = arrived.take_fds();
                    let Ok(note) = arrived.head() else { break };
                    if !self.note(server, note, fds) {
                        break;
                    }
                    continue;
                }
                Ok(None) => {}
                Err(_) => break,
            }
            match input.fill(&self.fd, false) {
                Ok(Filled::More) => {}
                Ok(Filled::Drained) if input.has_message() => {}
                Ok(Filled::Drained | Filled::Nothing) => return,
                Ok(Filled::End) | Err(_) => break,
            }
        }
        drop(input);
        self.end(server);
    }

    /// Does what a note says; false where it makes no sense.
    fn note(self: &Arc<Self>, server: &Server, note: Note, mut fds: Vec<OwnedFd>) -> bool {
        match (note, fds.pop()) {
            (Note::Release(ids), None) => self.release(&ids),
            (Note::Token(None), Some(fd)) if !self.is_inet => server.add_token(fd, None),
            (Note::Token(Some(id)), Some(fd)) if !self.is_inet => {
                // Of an object that is gone there is no token: its other end finds that out.
                if let Some(entry) = server.find(id) {
                    server.add_token(fd, Some(entry));
                }
            }
            (Note::Lane, Some(fd)) if !self.is_inet => {
                return self.add_lane(server, fd, Input::new(server.limits.frame()), None, server.number());
            }
            (Note::Stop(owner), None) => {
                if owner == server.owner {
                    server.stop();
                }
            }
            _ => return false,
        }
        true
    }

    /// Takes a lane, unless there are too many: then its other end finds out.
    pub(crate) fn add_lane(
        self: &Arc<Self>,
        server: &Server,
        fd: OwnedFd,
        input: Input,
        sealer: Option<Sealer>,
        token: u64,
    ) -> bool {
        let lane = {
            let mut holdings = self.holdings.lock();
            if holdings.ended || holdings.lanes.len() >= server.limits.calls {
                return true;
            }
            let lane = Arc::new(Lane::new(fd, Arc::clone(self), token, input, sealer));
            holdings.lanes.insert(token, Arc::downgrade(&lane));
            lane
        };
        server.add_source(token, super::Source::Lane(lane))
    }

    pub(crate) fn forget_lane(&self, token: u64) {
        self.holdings.lock().lanes.remove(&token);
    }

    /// Begins a call; `None` where the client is gone, and nobody is to have it any more.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<UnderWay> {
        let mut holdings = self.holdings.lock();
        if holdings.ended {
            return None;
        }
        holdings.under_way += 1;
        Some(UnderWay(Arc::clone(self)))
    }

    /// Counts references that the client gets; gives their numbers, none where it is gone.
    pub(crate) fn grant(&self, granted: &[Arc<Entry>]) -> Vec<Id> {
        if granted.is_empty() {
            return Vec::new();
        }
        let mut holdings = self.holdings.lock();
        if holdings.ended {
            return Vec::new();
        }
        let count = |entry: &Arc<Entry>| {
            holdings.objects.entry(entry.id).or_insert_with(|| (Arc::clone(entry), 0)).1 += 1;
            entry.id
        };
        granted.iter().map(count).collect()
    }

    /// Takes references back.
    pub(crate) fn release(&self, ids: &[Id]) {
        let mut dropped = Vec::new();
        {
            let mut holdings = self.holdings.lock();
            for id in ids {
                if let Some((_, count)) = holdings.objects.get_mut(id) {
                    *count -= 1;
                    if *count == 0 {
                        dropped.extend(holdings.objects.remove(id));
                    }
                }
            }
        }
        // Not with the lock: objects may go now, and with them more references.
        drop(dropped);
    }

    /// How many objects it holds references of.
    pub(crate) fn objects(&self) -> usize {
        self.holdings.lock().objects.len()
    }

    pub(crate) fn lanes(&self) -> usize {
        self.holdings.lock().lanes.len()
    }

    /// Takes note that it holds something of an object; false where it is gone already.
    pub(crate) fn note_held(&self, entry: &Arc<Entry>) -> bool {
        let mut holdings = self.holdings.lock();
        if !holdings.ended {
            holdings.held.insert(entry.id, Arc::downgrade(entry));
        }
        !holdings.ended
    }

    /// Counts the bytes of a call; false where they are too many.
    pub(crate) fn count_bytes(&self, server: &Server, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= server.limits.bytes;
        if !fits {
            self.discount_bytes(bytes);
        }
        fits
    }

    pub(crate) fn discount_bytes(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The client is gone, or is turned out: takes back all that it has.
    pub(crate) fn end(self: &Arc<Self>, server: &Server) {
        let (lanes, objects, end) = {
            let mut holdings = self.holdings.lock();
            if std::mem::replace(&mut holdings.ended, true) {
                return;
            }
            holdings.under_way += 1;
            let lanes = std::mem::take(&mut holdings.lanes);
            (lanes, std::mem::take(&mut holdings.objects), UnderWay(Arc::clone(self)))
        };
        server.remove_source(self.token, &self.fd);
        // First what it waits for, then what it has.
        for lane in lanes.into_values().filter_map(|lane| lane.upgrade()) {
            lane.end(server);
        }
        drop(objects);
        drop(end);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("process", &self.process).finish_non_exhaustive()
    }
}
