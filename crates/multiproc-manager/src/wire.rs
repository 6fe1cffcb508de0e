//! What travels between a client and the server.
//!
//! ```text
//! frame, as in `multiproc_pipe::frame`:   length, i32 big endian | [mac, 16 bytes, over TCP] | packet
//! packet:   length of the head, u32 LE | descriptors, u32 LE | head | body
//! ```
//!
//! A connection begins with a [`Hello`] and a [`Welcome`]. A client has one connection for [`Note`]s, which nobody
//! answers, and as many *lanes* as it has calls under way: a [`Request`], then its answer, then the next.

use crate::seal::{MAC, Opener, Sealer};
use multiproc_core::Message;
use multiproc_core::codec::{self, DecodeError, EncodeError, Encoder};
use multiproc_process::{Panic, Remote};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::sync::Arc;

pub(crate) const MAGIC: u32 = u32::from_be_bytes(*b"mpmg");
pub(crate) const VERSION: u16 = 1;
/// The longest frame before the server knows who it is.
pub(crate) const MAX_HELLO: usize = 4096;
/// Bytes before the head.
const PREFIX: usize = 8;

/// A number that nobody can guess.
pub(crate) type Id = u128;

/// What a connection begins with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) magic: u32,
    pub(crate) version: u16,
    pub(crate) build: Vec<u8>,
    pub(crate) nonce: [u8; 32],
    pub(crate) role: Role,
}

/// What a connection is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Role {
    /// The notes of a new client, a process of that number.
    Client { process: u32 },
    /// One more lane of a client.
    Lane { session: Id },
    /// To be held: as long as it is open, so is the object.
    Token { session: Id, object: Id },
}

/// The server's answer to a [`Hello`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Welcome {
    Come {
        manager: Id,
        session: Id,
        max_message: u64,
        max_calls: u64,
        nonce: [u8; 32],
        address: Option<String>,
    },
    Refused(String),
}

/// What a client tells the server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Note {
    /// It holds one reference less of each of these.
    Release(Vec<Id>),
    /// The descriptor is the other end of a token for this object, or for the server itself.
    Token(Option<Id>),
    /// The descriptor is the other end of a lane.
    Lane,
    /// The owner is done.
    Stop(Id),
}

/// A call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// On what; `None` for what is asked of the server itself.
    pub(crate) object: Option<Id>,
    /// How long it may wait for its turn, in microseconds.
    pub(crate) timeout: Option<u64>,
    pub(crate) remote: Remote,
}

/// The head of an answer; the body is the result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    /// References that are in the result, and now the client's.
    pub(crate) granted: Vec<Id>,
}

/// How a call ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    Panicked(Panic),
    /// The time was up before it began.
    Expired,
    /// There is no such object any more.
    Gone,
    /// The object is of another type.
    OtherType(String),
    NoFunction,
    NotDecoded(String),
    NotEncoded(String),
    /// A limit was reached.
    Limited(String),
    /// A call that waits for itself.
    Deadlock,
}

/// A message in its own buffer, ready to be framed.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fds: Vec<Arc<OwnedFd>>,
}

impl Packet {
    /// Encodes a head and, behind it, a body.
    pub(crate) fn new<H: Message, B: Message>(head: &H, body: &B) -> Result<Packet, EncodeError> {
        let mut encoder = Encoder::default();
        encoder.bytes().reserve(256);
        encoder.bytes().resize(PREFIX, 0);
        encoder.encode(head)?;
        let head_len = encoder.bytes().len() - PREFIX;
        encoder.encode(body)?;
        let fds = encoder.take_fds();
        let bytes = std::mem::take(encoder.bytes());
        Ok(Packet::with_prefix(bytes, head_len, fds))
    }

    /// Puts a head before a body that is encoded already.
    pub(crate) fn of<H: Message>(
        head: &H,
        body: &[u8],
        fds: Vec<Arc<OwnedFd>>,
    ) -> Result<Packet, EncodeError> {
        let mut encoder = Encoder::default();
        encoder.bytes().reserve(64 + body.len());
        encoder.bytes().resize(PREFIX, 0);
        encoder.encode(head)?;
        let head_len = encoder.bytes().len() - PREFIX;
        let mut bytes = std::mem::take(encoder.bytes());
        bytes.extend_from_slice(body);
        Ok(Packet::with_prefix(bytes, head_len, fds))
    }

    fn with_prefix(mut bytes: Vec<u8>, head_len: usize, fds: Vec<Arc<OwnedFd>>) -> Packet {
        bytes[..4].copy_from_slice(&(head_len as u32).to_le_bytes());
        bytes[4..PREFIX].copy_from_slice(&(fds.len() as u32).to_le_bytes());
        Packet { bytes, fds }
    }

    /// Puts the proof before it that it is ours, where the way is not guarded by the kernel.
    pub(crate) fn seal(mut self, sealer: Option<&mut Sealer>) -> Packet {
        if let Some(sealer) = sealer {
            let mac = sealer.seal(&self.bytes);
            self.bytes.splice(..0, mac);
        }
        self
    }
}

/// A message that arrived.
#[derive(Debug)]
pub(crate) struct Arrived {
    bytes: Vec<u8>,
    head: std::ops::Range<usize>,
    fds: Vec<OwnedFd>,
}

/// Bytes that are no message of ours.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error(
    "the peer sent what is no message of this protocol, or is not signed with the key: check address and key"
)]
pub(crate) struct NotOurs;

impl Arrived {
    /// Takes the content of a frame apart: what is behind `start` in `bytes`.
    pub(crate) fn new(
        bytes: Vec<u8>,
        mut start: usize,
        opener: Option<&mut Opener>,
    ) -> Result<Arrived, NotOurs> {
        if let Some(opener) = opener {
            let (mac, rest) = bytes[start..].split_first_chunk::<MAC>().ok_or(NotOurs)?;
            if !opener.open(mac, rest) {
                return Err(NotOurs);
            }
            start += MAC;
        }
        let [a, b, c, d, ..] = *bytes[start..].first_chunk::<PREFIX>().ok_or(NotOurs)?;
        let head = start + PREFIX..(start + PREFIX).saturating_add(u32::from_le_bytes([a, b, c, d]) as usize);
        if head.end > bytes.len() {
            return Err(NotOurs);
        }
        Ok(Arrived { bytes, head, fds: Vec::new() })
    }

    /// How many descriptors belong to it.
    pub(crate) fn fd_count(&self) -> usize {
        let at = self.head.start - 4;
        self.bytes[at..].first_chunk().map_or(0, |count| u32::from_le_bytes(*count) as usize)
    }

    pub(crate) fn set_fds(&mut self, fds: Vec<OwnedFd>) {
        self.fds = fds;
    }

    pub(crate) fn head<H: DeserializeOwned>(&self) -> Result<H, DecodeError> {
        codec::decode(&self.bytes[self.head.clone()], Vec::new())
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[self.head.end..]
    }

    pub(crate) fn take_fds(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.fds)
    }

    /// How much memory it takes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_comes_apart_again() {
        let packet = Packet::new(&Note::Release(vec![7]), &"body".to_owned()).unwrap();
        let arrived = Arrived::new(packet.bytes, 0, None).unwrap();
        assert!(matches!(arrived.head::<Note>().unwrap(), Note::Release(ids) if ids == [7]));
        assert_eq!(codec::decode::<String>(arrived.body(), vec![]).unwrap(), "body");
        assert_eq!(arrived.fd_count(), 0);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let packet = Packet::new(&Note::Lane, &()).unwrap();
        for end in 0..packet.bytes.len() {
            assert!(Arrived::new(packet.bytes[..end].to_vec(), 0, None).is_err(), "{end}");
        }
        assert!(Arrived::new(vec![0xff; 16], 0, None).is_err());
    }
}
