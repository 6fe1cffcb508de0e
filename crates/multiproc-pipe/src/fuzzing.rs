//! What fuzz targets reach that no user does: the handshake without its socket.

use crate::AuthKey;
use crate::auth::{self, Refusal};
use std::io;
use std::net::SocketAddr;

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that challenges first.
    Listener,
    /// The other one.
    Client,
}

/// What is let through.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The MD5 of CPython before 3.12.
    pub md5: bool,
    /// A listener that believes to be at another address.
    pub relay: bool,
}

/// What is to be done after a frame.
#[derive(Debug)]
pub struct Step {
    /// Frames to be sent, in their order.
    pub send: Vec<Vec<u8>>,
    /// Both ends have the key.
    pub is_done: bool,
}

/// Why it came to nothing, and what is still to be sent.
#[derive(Debug)]
pub struct Refused {
    /// In words.
    pub why: String,
    /// Whether it says that the peer sent this end's own challenge back.
    pub is_reflection: bool,
    /// Frames to be sent, in their order.
    pub send: Vec<Vec<u8>>,
}

/// One end's part in a handshake.
#[derive(Debug)]
pub struct Handshake(auth::Handshake);

impl Handshake {
    /// Begins a handshake; the frames are to be sent at once.
    ///
    /// # Errors
    ///
    /// The system's, when it gives no random bytes.
    pub fn begin(
        role: Role,
        key: &AuthKey,
        policy: Policy,
        listener: Option<SocketAddr>,
    ) -> io::Result<(Handshake, Vec<Vec<u8>>)> {
        let role = match role {
            Role::Listener => auth::Role::Listener,
            Role::Client => auth::Role::Client,
        };
        let policy = auth::Policy { md5: policy.md5, relay: policy.relay };
        let (handshake, first) = auth::Handshake::begin(role, key, policy, listener)?;
        Ok((Handshake(handshake), first))
    }

    /// Takes a frame of the peer's.
    ///
    /// # Errors
    ///
    /// The peer is refused.
    pub fn take(&mut self, frame: &[u8]) -> Result<Step, Refused> {
        match self.0.take(frame) {
            Ok(step) => Ok(Step { send: step.send, is_done: step.is_done }),
            Err((refusal, send)) => Err(Refused {
                why: refusal.to_string(),
                is_reflection: matches!(refusal, Refusal::Reflected),
                send,
            }),
        }
    }
}
