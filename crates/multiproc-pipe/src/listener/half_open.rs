use super::ListenerStats;
use super::settings::Settings;
use crate::auth::{Handshake, Role, Shaking};
use multiproc_core::sys::epoll::Poller;
use multiproc_core::sys::socket::{self, Family};
use multiproc_core::sys::{fd, peer};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// What the listening socket is called in the poller; clients get the numbers above it.
const LISTENER: u64 = 0;
/// How long a client has at least, whoever else is waiting.
const GRACE: Duration = Duration::from_millis(50);
/// How many clients are looked at before those are who have begun already.
const BATCH: usize = 64;

/// The clients in the middle of their handshakes, oldest first.
#[derive(Debug)]
pub(super) struct HalfOpen {
    clients: BTreeMap<u64, Client>,
    last: u64,
    /// Whether new clients are looked at; not while all there is room for are young.
    is_listening: bool,
    stats: ListenerStats,
}

#[derive(Debug)]
struct Client {
    shaking: Shaking,
    since: Instant,
}

/// What became of a client that has just come.
enum Arrival {
    /// It is in, or was turned away.
    Settled(Option<OwnedFd>),
    /// There was none.
    Nobody,
}

/// Accepts, if need be with the limit of descriptors raised.
fn accept(listener: &OwnedFd) -> io::Result<OwnedFd> {
    match socket::accept(listener) {
        Err(error) if fd::is_out_of_descriptors(&error) && fd::raise_descriptor_limit() => {
            socket::accept(listener)
        }
        result => result,
    }
}

impl HalfOpen {
    pub(super) fn new(poller: &Poller, listener: &OwnedFd) -> io::Result<HalfOpen> {
        poller.add(listener, LISTENER)?;
        let stats = ListenerStats::default();
        Ok(HalfOpen { clients: BTreeMap::new(), last: LISTENER, is_listening: true, stats })
    }

    pub(super) fn stats(&self) -> ListenerStats {
        ListenerStats { half_open: self.clients.len(), ..self.stats }
    }

    /// Does what can be done without waiting, up to the first client that is through.
    ///
    /// Whatever was not looked at is still ready afterwards, so that nothing is forgotten.
    pub(super) fn turn(
        &mut self,
        poller: &Poller,
        listener: &OwnedFd,
        settings: &Settings,
    ) -> io::Result<Option<OwnedFd>> {
        loop {
            let ready = poller.ready()?;
            // Those who have begun come first: many that come at once must not keep them from their end.
            for token in ready.tokens.iter().filter(|token| **token != LISTENER) {
                if let Some(socket) = self.advance(poller, *token)? {
                    self.set_timer(poller, settings)?;
                    return Ok(Some(socket));
                }
            }
            self.expire(poller, settings);
            if ready.tokens.contains(&LISTENER) && self.is_listening {
                for _ in 0..BATCH {
                    match self.arrival(poller, listener, settings)? {
                        Arrival::Settled(None) => {}
                        Arrival::Settled(Some(socket)) => return Ok(Some(socket)),
                        Arrival::Nobody => break,
                    }
                }
            }
            if !self.is_listening && self.has_room(settings) {
                poller.add(listener, LISTENER)?;
                self.is_listening = true;
            }
            self.set_timer(poller, settings)?;
            if ready.tokens.is_empty() && !ready.timer {
                return Ok(None);
            }
        }
    }

    /// Goes on with a client's handshake; gives its socket when it is through.
    fn advance(&mut self, poller: &Poller, token: u64) -> io::Result<Option<OwnedFd>> {
        let Some(client) = self.clients.get_mut(&token) else { return Ok(None) };
        match client.shaking.advance() {
            Ok(false) => Ok(None),
            outcome => {
                let Some(client) = self.clients.remove(&token) else { return Ok(None) };
                // The socket may have copies, so that closing it would not take it out.
                poller.remove(client.shaking.socket())?;
                if outcome.is_err() {
                    self.stats.refused += 1;
                    return Ok(None);
                }
                self.stats.accepted += 1;
                Ok(Some(client.shaking.into_socket()))
            }
        }
    }

    /// Looks at the next client in the queue.
    fn arrival(&mut self, poller: &Poller, listener: &OwnedFd, settings: &Settings) -> io::Result<Arrival> {
        if !self.make_room(poller, listener, settings)? {
            return Ok(Arrival::Nobody);
        }
        let socket = match accept(listener) {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Arrival::Nobody),
            // Those who are not in yet give their descriptors.
            Err(error) if fd::is_out_of_descriptors(&error) && self.evict(poller) => {
                return Ok(Arrival::Settled(None));
            }
            Err(error) => return Err(error),
        };
        Ok(Arrival::Settled(self.welcome(poller, socket, settings)?))
    }

    /// Begins the handshake with a client; gives the socket where there is nothing to ask.
    fn welcome(
        &mut self,
        poller: &Poller,
        socket: OwnedFd,
        settings: &Settings,
    ) -> io::Result<Option<OwnedFd>> {
        let Ok(listener) = Self::know(&socket, settings) else {
            self.stats.strangers += 1;
            return Ok(None);
        };
        if settings.key.as_bytes().is_none() {
            self.stats.accepted += 1;
            return Ok(Some(socket));
        }
        let handshake = Handshake::begin(Role::Listener, &settings.key, settings.policy, listener)?;
        let Ok(shaking) = Shaking::begin(socket, handshake) else {
            self.stats.refused += 1;
            return Ok(None);
        };
        self.last += 1;
        poller.add(shaking.socket(), self.last)?;
        self.clients.insert(self.last, Client { shaking, since: Instant::now() });
        Ok(None)
    }

    /// Looks at who has come; gives the address that a TCP client has come to.
    fn know(socket: &OwnedFd, settings: &Settings) -> io::Result<Option<SocketAddr>> {
        if socket::family(socket)? == Family::Inet {
            socket::tune_inet(socket)?;
            return socket::local_address(socket).map(Some);
        }
        let user = peer::peer_credentials(socket)?.user;
        if settings.lets_in(user) { Ok(None) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    /// Makes room for one more, or stops looking at those who come for the moment.
    fn make_room(&mut self, poller: &Poller, listener: &OwnedFd, settings: &Settings) -> io::Result<bool> {
        if !self.has_room(settings) {
            poller.remove(listener)?;
            self.is_listening = false;
            return Ok(false);
        }
        if self.clients.len() >= settings.half_open {
            self.evict(poller);
        }
        Ok(true)
    }

    /// Whether there is room for one more, or somebody who has had time enough.
    fn has_room(&self, settings: &Settings) -> bool {
        self.clients.len() < settings.half_open
            || self.clients.first_key_value().is_none_or(|(_, oldest)| oldest.since.elapsed() >= GRACE)
    }

    /// Turns the oldest away; tells whether there was one.
    fn evict(&mut self, poller: &Poller) -> bool {
        let Some((_, oldest)) = self.clients.pop_first() else { return false };
        // The socket may have copies, so that closing it would not take it out.
        let _ = poller.remove(oldest.shaking.socket());
        self.stats.evicted += 1;
        true
    }

    /// Turns away who took too long.
    fn expire(&mut self, poller: &Poller, settings: &Settings) {
        while let Some(oldest) = self.clients.first_entry() {
            if oldest.get().since.elapsed() < settings.handshake {
                break;
            }
            let client = oldest.remove();
            let _ = poller.remove(client.shaking.socket());
            self.stats.timed_out += 1;
        }
    }

    /// Has the poller tell when the next one has had its time.
    fn set_timer(&self, poller: &Poller, settings: &Settings) -> io::Result<()> {
        let time = if self.is_listening { settings.handshake } else { GRACE.min(settings.handshake) };
        let oldest = self.clients.first_key_value();
        poller.set_timer(oldest.map(|(_, oldest)| time.saturating_sub(oldest.since.elapsed())))
    }
}
