//! A lane: a client's connection for one call at a time.

use super::entry::{Call, Job};
use super::reply::Origin;
use super::{Entry, Server, Session, exec};
use crate::input::{Filled, Input};
use crate::seal::Sealer;
use crate::wire::{Answer, Arrived, Packet, Reply, Request};
use multiproc_core::codec::Encoded;
use multiproc_core::sys::socket;
use multiproc_pipe::frame::Outgoing;
use parking_lot::Mutex;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How much of what a client sends before its call is answered is looked at.
const AHEAD: usize = 64 << 10;

/// After so many calls that came at most so long one after the other, a thread stays with their lane.
const STREAK: (u32, Duration) = (4, Duration::from_micros(500));
/// How long it stays when no further call comes.
const STAY: Duration = Duration::from_millis(2);

/// A lane. Whoever is told that something has come reads it; whoever ends a call answers.
pub(crate) struct Lane {
    pub(crate) fd: OwnedFd,
    pub(crate) session: Arc<Session>,
    pub(crate) token: u64,
    state: Mutex<State>,
}

struct State {
    input: Input,
    sealer: Option<Sealer>,
    /// A call is under way, or its answer is.
    busy: bool,
    /// How many bytes of the call are counted as the client's.
    counted: usize,
    call: Option<(Weak<Entry>, u64)>,
    /// An answer for which there was no room.
    leaving: Option<(Outgoing, Packet)>,
    /// More has come than was looked at.
    is_behind: bool,
    gone: bool,
    /// When the last call came, and how many came soon after one another.
    last: Instant,
    streak: u32,
    /// A thread waits for it alone, and it is not in the set that the others wait for.
    is_followed: bool,
}

impl Lane {
    pub(crate) fn new(
        fd: OwnedFd,
        session: Arc<Session>,
        token: u64,
        input: Input,
        sealer: Option<Sealer>,
    ) -> Lane {
        let state = State {
            input,
            sealer,
            busy: false,
            counted: 0,
            call: None,
            leaving: None,
            is_behind: false,
            gone: false,
            last: Instant::now(),
            streak: 0,
            is_followed: false,
        };
        Lane { fd, session, token, state: Mutex::new(state) }
    }

    /// Does what can be done now that something has come, or that there is room.
    pub(crate) fn ready(self: &Arc<Self>, server: &Server) {
        let mut state = self.state.lock();
        if state.leaving.is_some() && !self.flush(server, &mut state) {
            drop(state);
            return self.end(server);
        }
        loop {
            if state.gone {
                return;
            }
            if !state.busy {
                match state.input.next() {
                    Ok(Some(message)) => {
                        state.busy = true;
                        let now = Instant::now();
                        let is_soon = now.duration_since(state.last) < STREAK.1;
                        state.streak = if is_soon { state.streak.saturating_add(1) } else { 0 };
                        state.last = now;
                        drop(state);
                        self.begin(server, message);
                        state = self.state.lock();
                        if state.busy || !(state.input.has_message() || state.is_behind) {
                            return;
                        }
                        continue;
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(target: "multiproc::manager", %error, "client turned out");
                        drop(state);
                        return self.session.end(server);
                    }
                }
            }
            if state.busy && state.input.len() >= AHEAD {
                state.is_behind = true;
                return;
            }
            state.is_behind = false;
            match state.input.fill(&self.fd, false) {
                Ok(Filled::More) => {}
                Ok(Filled::Drained) if state.busy => return,
                Ok(Filled::Drained) if state.input.has_message() => {}
                Ok(Filled::Drained | Filled::Nothing) => return,
                Ok(Filled::End) | Err(_) => {
                    drop(state);
                    return self.end(server);
                }
            }
        }
    }

    /// Stays with a client that makes one call after the other, as long as they come: waiting for one socket takes less
    /// than waiting for a set of them, at both ends.
    pub(crate) fn follow(self: &Arc<Self>, server: &Server) {
        {
            let mut state = self.state.lock();
            if state.streak < STREAK.0 || state.busy || state.gone || !state.input.is_empty() {
                return;
            }
            let timeout = socket::set_receive_timeout(&self.fd, STAY);
            if timeout.is_err() || server.poller.remove(&self.fd).is_err() {
                return;
            }
            (state.is_followed, state.streak) = (true, 0);
        }
        loop {
            server.turn();
            let mut state = self.state.lock();
            // Where the call waits for something, whoever waits for the set is to see its client's end.
            // And where no thread is left to wait for the set, this one has to.
            if state.gone || state.busy || server.is_stopping() || !server.can_spare_one() {
                break;
            }
            match state.input.fill(&self.fd, true) {
                Ok(Filled::More | Filled::Drained) => {}
                Ok(Filled::Nothing) => break,
                Ok(Filled::End) | Err(_) => {
                    drop(state);
                    return self.end(server);
                }
            }
            drop(state);
            self.ready(server);
            server.run_what_was_put_off();
        }
        let mut state = self.state.lock();
        state.is_followed = false;
        if state.gone {
            return;
        }
        // What has come since is told of at once.
        let added = server.poller.add_edge(&self.fd, self.token);
        let is_leaving = state.leaving.is_some();
        let added = added.and_then(|()| match is_leaving {
            true => server.poller.set_edge(&self.fd, self.token, true),
            false => Ok(()),
        });
        drop(state);
        if added.is_err() {
            self.end(server);
        }
    }

    /// Begins a call.
    fn begin(self: &Arc<Self>, server: &Server, mut message: Arrived) {
        let request: Request = match message.head() {
            Ok(request) => request,
            Err(error) => return self.refuse(server, Answer::NotDecoded(error.to_string())),
        };
        if !self.session.count_bytes(server, message.len()) {
            let text = format!(
                "the calls that this client has under way would take more than {} bytes",
                server.limits.bytes
            );
            return self.refuse(server, Answer::Limited(text));
        }
        server.counters.calls.fetch_add(1, Ordering::Relaxed);
        server.counters.bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
        let Some(under_way) = self.session.begin() else { return };
        let Some(id) = request.object else {
            self.state.lock().counted = message.len();
            let fds = message.take_fds();
            let session = Some(Arc::clone(&self.session));
            let (answer, encoded, granted) =
                exec::serve(session, || request.remote.call(message.body(), fds));
            return self.answer(server, answer, encoded, granted);
        };
        let Some(entry) = server.find(id) else {
            self.session.discount_bytes(message.len());
            return self.refuse(server, Answer::Gone);
        };
        let number = server.number();
        {
            let mut state = self.state.lock();
            if state.gone {
                drop(state);
                return self.session.discount_bytes(message.len());
            }
            state.counted = message.len();
            state.call = Some((Arc::downgrade(&entry), number));
        }
        let deadline =
            request.timeout.and_then(|micros| Instant::now().checked_add(Duration::from_micros(micros)));
        let origin = Origin::Lane(Arc::clone(self), under_way);
        let call = Call { number, remote: request.remote, message, origin, deadline };
        entry.submit(server, Job::Call(call));
        if self.state.lock().gone {
            // Whoever ended it may have come before the call.
            entry.submit(server, Job::Cancel(number));
        }
    }

    fn refuse(self: &Arc<Self>, server: &Server, answer: Answer) {
        self.answer(server, answer, Encoded::default(), Vec::new());
    }

    /// Answers the call under way.
    pub(crate) fn answer(
        self: &Arc<Self>,
        server: &Server,
        answer: Answer,
        encoded: Encoded,
        granted: Vec<Arc<Entry>>,
    ) {
        if let Answer::Panicked(_) = answer {
            server.counters.panics.fetch_add(1, Ordering::Relaxed);
        }
        let mut ids = self.session.grant(&granted);
        // What is dropped here may drop objects.
        drop(granted);
        let too_long = encoded.bytes.len() > server.limits.message;
        let carried = self.session.is_inet && !encoded.fds.is_empty();
        let packet = if too_long || carried {
            let text = if too_long {
                format!(
                    "the result has {} bytes, more than the limit of {}",
                    encoded.bytes.len(),
                    server.limits.message
                )
            } else {
                "handles do not travel over TCP: send what they hold".to_owned()
            };
            self.session.release(&std::mem::take(&mut ids));
            Packet::new(&Reply { answer: Answer::NotEncoded(text), granted: Vec::new() }, &())
        } else {
            Packet::of(&Reply { answer, granted: ids.clone() }, &encoded.bytes, encoded.fds)
        };
        let mut state = self.state.lock();
        state.call = None;
        self.session.discount_bytes(std::mem::take(&mut state.counted));
        let Ok(packet) = packet else {
            drop(state);
            return self.session.end(server);
        };
        if state.gone {
            drop(state);
            return self.session.release(&ids);
        }
        let packet = packet.seal(state.sealer.as_mut());
        let Ok(outgoing) = Outgoing::new(packet.bytes.len(), packet.fds.len()) else {
            drop(state);
            return self.session.end(server);
        };
        state.leaving = Some((outgoing, packet));
        if !self.flush(server, &mut state) {
            drop(state);
            self.session.release(&ids);
            return self.end(server);
        }
        // Whoever sends its next call before this answer is served by who has time for it.
        if !state.busy && (state.input.has_message() || state.is_behind) {
            drop(state);
            server.run_later(self);
        }
    }

    /// Writes what there is room for; false where the client is gone.
    fn flush(&self, server: &Server, state: &mut State) -> bool {
        let Some((outgoing, packet)) = &mut state.leaving else { return true };
        let had_begun = outgoing.has_begun();
        let fds: Vec<BorrowedFd<'_>> = packet.fds.iter().map(|fd| fd.as_fd()).collect();
        match outgoing.advance(&self.fd, &packet.bytes, &fds, false) {
            Ok(()) => {
                if had_begun && !state.is_followed {
                    // It was asked for.
                    let _ = server.poller.set_edge(&self.fd, self.token, false);
                }
                state.leaving = None;
                state.busy = false;
                true
            }
            // Who follows it asks when it goes.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && state.is_followed => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                server.poller.set_edge(&self.fd, self.token, true).is_ok()
            }
            Err(_) => false,
        }
    }

    /// The client has given the lane up, or is gone.
    pub(crate) fn end(self: &Arc<Self>, server: &Server) {
        let call = {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.gone, true) {
                return;
            }
            state.leaving = None;
            state.call.take()
        };
        server.remove_source(self.token, &self.fd);
        self.session.forget_lane(self.token);
        if let Some((entry, number)) = call
            && let Some(entry) = entry.upgrade()
        {
            entry.submit(server, Job::Cancel(number));
        }
    }
}
