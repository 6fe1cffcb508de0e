//! A connection that has just come, until it has said what it is for.

use super::session::Session;
use super::{Server, Source};
use crate::input::{Filled, Input};
use crate::seal::{self, End, Sealer};
use crate::wire::{Arrived, Hello, Id, MAGIC, MAX_HELLO, Packet, Role, VERSION, Welcome};
use multiproc_core::sys::image::image;
use multiproc_core::sys::random::fill_random;
use multiproc_pipe::frame;
use parking_lot::Mutex;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A connection of which nothing is known yet.
#[derive(Debug)]
pub(crate) struct Fresh {
    fd: OwnedFd,
    token: u64,
    is_inet: bool,
    input: Mutex<Option<Input>>,
}

impl Fresh {
    pub(crate) fn new(server: &Server, fd: OwnedFd, token: u64, is_inet: bool) -> Fresh {
        let mut input = Input::new(MAX_HELLO);
        if is_inet {
            input.opener = Some(seal::first(server.key(), b"", End::Server).1);
        }
        Fresh { fd, token, is_inet, input: Mutex::new(Some(input)) }
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Reads what it says of itself.
    pub(crate) fn ready(self: &Arc<Self>, server: &Server) {
        let mut place = self.input.lock();
        let Some(input) = place.as_mut() else { return };
        let arrived = loop {
            match input.next() {
                Ok(Some(arrived)) => break Some(arrived),
                Ok(None) => {}
                Err(_) => break None,
            }
            match input.fill(&self.fd, false) {
                Ok(Filled::More) => {}
                Ok(Filled::Drained) if input.has_message() => {}
                Ok(Filled::Drained | Filled::Nothing) => return,
                Ok(Filled::End) | Err(_) => break None,
            }
        };
        let input = place.take();
        drop(place);
        server.remove_source(self.token, &self.fd);
        server.fresh.lock().remove(&self.token);
        if let (Some(arrived), Some(input)) = (arrived, input) {
            self.admit(server, &arrived, input);
        }
    }

    /// Makes of it what it is for, or says why not.
    fn admit(&self, server: &Server, arrived: &Arrived, mut input: Input) {
        let mut sealer = None;
        let hello: Hello = match arrived.head() {
            Ok(hello) => hello,
            Err(error) => return self.refuse(error.to_string(), None),
        };
        if self.is_inet {
            sealer = Some(seal::first(server.key(), &hello.nonce, End::Server).0);
        }
        if let Err(why) = check(&hello) {
            return self.refuse(why, sealer);
        }
        let mut nonce = [0; 32];
        // What comes before it has been asked for would not be checked by the right key.
        let (Ok(fd), Ok(()), true) = (self.fd.try_clone(), fill_random(&mut nonce), input.is_empty()) else {
            return self
                .refuse("the server has no descriptor left: raise its limit (ulimit -n)".to_owned(), sealer);
        };
        input.set_max(server.limits.frame());
        let session_seal = self.is_inet.then(|| {
            let (sealer, opener) = seal::session(server.key(), [&hello.nonce, &nonce], End::Server);
            input.opener = Some(opener);
            sealer
        });
        match hello.role {
            Role::Client { process } => {
                let (Ok(id), true) =
                    (super::random_id(), server.sessions.lock().len() < server.limits.clients)
                else {
                    let most = server.limits.clients;
                    return self.refuse(
                        format!("it has {most} clients already, the most it takes: raise `max_clients`"),
                        sealer,
                    );
                };
                let token = server.number();
                let session = Arc::new(Session::new(id, process, self.is_inet, fd, token, input));
                server.sessions.lock().insert(id, Arc::clone(&session));
                server.counters.clients.fetch_add(1, Ordering::Relaxed);
                if self.welcome(server, id, nonce, sealer).is_err()
                    || !server.add_source(token, Source::Session(Arc::clone(&session)))
                {
                    session.end(server);
                }
            }
            Role::Lane { session } if self.is_inet => {
                let found = server.sessions.lock().get(&session).cloned();
                let Some(session) = found.filter(|session| session.lanes() < server.limits.calls) else {
                    let most = server.limits.calls;
                    return self.refuse(
                        format!("the client is gone, or has {most} calls under way: raise `max_calls`"),
                        sealer,
                    );
                };
                if self.welcome(server, session.id, nonce, sealer).is_ok() {
                    session.add_lane(server, fd, input, session_seal, server.number());
                }
            }
            Role::Token { session, object } if self.is_inet => {
                let known = server.sessions.lock().contains_key(&session);
                let Some(entry) = server.find(object).filter(|_| known) else {
                    return self.refuse(
                        "the object is gone: keep a proxy as long as it is needed".to_owned(),
                        sealer,
                    );
                };
                if self.welcome(server, session, nonce, sealer).is_ok() {
                    server.add_token(fd, Some(entry));
                }
            }
            _ => self.refuse("it makes no sense here".to_owned(), sealer),
        }
    }

    fn welcome(
        &self,
        server: &Server,
        session: Id,
        nonce: [u8; 32],
        sealer: Option<Sealer>,
    ) -> io::Result<()> {
        let (max_message, max_calls) = (server.limits.message as u64, server.limits.calls as u64);
        let address = server.address.lock().clone();
        let manager = server.id;
        self.send(&Welcome::Come { manager, session, max_message, max_calls, nonce, address }, sealer)
    }

    fn refuse(&self, why: String, sealer: Option<Sealer>) {
        tracing::warn!(target: "multiproc::manager", why, "client refused");
        // Whether it hears or not, this is the end.
        let _ = self.send(&Welcome::Refused(why), sealer);
    }

    fn send(&self, welcome: &Welcome, mut sealer: Option<Sealer>) -> io::Result<()> {
        let packet = Packet::new(welcome, &()).map_err(io::Error::other)?.seal(sealer.as_mut());
        frame::write(&self.fd, &packet.bytes, &[], false)
    }
}

fn check(hello: &Hello) -> Result<(), String> {
    if hello.magic != MAGIC || hello.version != VERSION {
        return Err("it speaks another protocol".to_owned());
    }
    let own = image().map_err(|error| error.to_string())?.build_id();
    if hello.build != own.as_bytes() {
        let theirs: String = hello.build.iter().map(|byte| format!("{byte:02x}")).collect();
        return Err(format!(
            "the client is build {theirs} of the program, the server is build {own}: functions are the same only \
             within one build, so start both from the same file"
        ));
    }
    Ok(())
}
