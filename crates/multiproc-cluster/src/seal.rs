//! The seal of each message: an HMAC-SHA256 with the pool's key.
//!
//! The key is bound to the pool and the build, a seal to the kind of message and to where it goes, so that what was sealed
//! for one is worth nothing as another or elsewhere. A message that does not bear the seal is not looked at.

use hmac::{Hmac, KeyInit, Mac};
use multiproc_core::codec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

const LEN: usize = 32;
/// How much of something long is sealed before others have their turn.
const PIECE: usize = 256 << 10;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Sort {
    Task = 1,
    ToAgents = 2,
    ToCaller = 3,
    Letter = 4,
    Who = 5,
    Here = 6,
    Blob = 7,
}

/// A few bytes that tell one key of a pool from another, and nothing of either.
pub(crate) fn mark(key: &[u8], pool: &str) -> [u8; 4] {
    let mut mac = start(key);
    mac.update(b"multiproc cluster 1 name");
    mac.update(pool.as_bytes());
    let [a, b, c, d, ..] = <[u8; LEN]>::from(mac.finalize().into_bytes());
    [a, b, c, d]
}

#[derive(Clone)]
pub(crate) struct Seal(Hmac<Sha256>);

impl Seal {
    /// A seal for one pool and one build; `build` is empty for what all builds understand.
    pub(crate) fn new(key: &[u8], pool: &str, build: &str) -> Seal {
        let mut mac = start(key);
        for part in ["multiproc cluster 1", pool, build] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        Seal(start(&mac.finalize().into_bytes()))
    }

    fn mac(&self, sort: Sort, place: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(&[sort as u8]);
        mac.update(&(place.len() as u64).to_le_bytes());
        mac.update(place.as_bytes());
        mac.update(body);
        mac
    }

    /// Seals bytes that lie behind room for the seal.
    fn close(&self, sort: Sort, place: &str, mut message: Vec<u8>) -> Vec<u8> {
        let mac = self.mac(sort, place, &message[LEN..]).finalize().into_bytes();
        message[..LEN].copy_from_slice(&mac);
        message
    }

    /// Encodes and seals for that place: a subject, or the name of an object.
    pub(crate) fn seal<T: Serialize>(&self, sort: Sort, place: &str, value: &T) -> Vec<u8> {
        // What we send ourselves are plain structs, which encode.
        let body = codec::encode(value).map(|encoded| encoded.bytes).unwrap_or_default();
        let mut message = Vec::with_capacity(LEN + body.len());
        message.extend([0; LEN]);
        message.extend_from_slice(&body);
        self.close(sort, place, message)
    }

    /// Seals something long, behind it: others get their turn meanwhile.
    pub(crate) async fn seal_long(&self, sort: Sort, place: &str, mut body: Vec<u8>) -> Vec<u8> {
        let mac = self.mac_long(sort, place, &body).await.finalize().into_bytes();
        body.extend_from_slice(&mac);
        body
    }

    /// Takes the seal off something long; `None` if it does not bear it.
    pub(crate) async fn open_long(&self, sort: Sort, place: &str, mut message: Vec<u8>) -> Option<Vec<u8>> {
        let seal = message.split_off(message.len().checked_sub(LEN)?);
        self.mac_long(sort, place, &message).await.verify_slice(&seal).ok()?;
        Some(message)
    }

    async fn mac_long(&self, sort: Sort, place: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac(sort, place, &[]);
        for piece in body.chunks(PIECE) {
            mac.update(piece);
            tokio::task::yield_now().await;
        }
        mac
    }

    /// Gives what is under a seal, if that is whole.
    fn open_bytes<'a>(&self, sort: Sort, place: &str, message: &'a [u8]) -> Option<&'a [u8]> {
        let (seal, body) = message.split_at_checked(LEN)?;
        self.mac(sort, place, body).verify_slice(seal).ok()?;
        Some(body)
    }

    /// Gives what was sealed for that place.
    pub(crate) fn open<T: DeserializeOwned>(&self, sort: Sort, place: &str, message: &[u8]) -> Option<T> {
        let opened =
            self.open_bytes(sort, place, message).and_then(|body| codec::decode(body, Vec::new()).ok());
        if opened.is_none() {
            tracing::warn!(target: "multiproc::cluster", ?sort, "a message without the pool's seal is dropped");
        }
        opened
    }
}

fn start(key: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("an HMAC takes a key of any length"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_so_is_opened() {
        let seal = Seal::new(b"key", "pool", "build");
        let message = seal.seal(Sort::Task, "here", &(1u32, "two"));
        assert_eq!(seal.open::<(u32, String)>(Sort::Task, "here", &message), Some((1, "two".to_owned())));
        assert_eq!(seal.open::<(u32, String)>(Sort::ToCaller, "here", &message), None);
        assert_eq!(seal.open::<(u32, String)>(Sort::Task, "there", &message), None);
        for other in [("kez", "pool", "build"), ("key", "poo", "lbuild"), ("key", "pool", "other")] {
            let other = Seal::new(other.0.as_bytes(), other.1, other.2);
            assert_eq!(other.open::<(u32, String)>(Sort::Task, "here", &message), None);
        }
        for at in 0..message.len() {
            let mut bad = message.clone();
            bad[at] ^= 1;
            assert_eq!(seal.open::<(u32, String)>(Sort::Task, "here", &bad), None, "byte {at}");
        }
        assert_eq!(seal.open::<(u32, String)>(Sort::Task, "here", &message[..20]), None);
    }
}
