//! The proof that a frame over TCP comes from who has the key, and comes once and in its order.
//!
//! Both ends derive keys from the manager's key and from two fresh nonces, one of each end; each direction has its own
//! key and counts its frames. So what was recorded can neither be played again, nor turned around, nor left out.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// How long a proof is.
pub(crate) const MAC: usize = 16;

/// Makes proofs.
pub(crate) struct Sealer(Chain);

/// Checks proofs.
pub(crate) struct Opener(Chain);

struct Chain {
    keyed: Hmac<Sha256>,
    count: u64,
}

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Client,
    Server,
}

impl Chain {
    fn new(key: &[u8]) -> Chain {
        match Hmac::<Sha256>::new_from_slice(key) {
            Ok(keyed) => Chain { keyed, count: 0 },
            Err(_) => unreachable!("an HMAC takes a key of any length"),
        }
    }

    fn next(&mut self, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        mac.update(&self.count.to_le_bytes());
        mac.update(bytes);
        self.count += 1;
        mac
    }
}

impl Sealer {
    pub(crate) fn seal(&mut self, bytes: &[u8]) -> [u8; MAC] {
        let mut short = [0; MAC];
        short.copy_from_slice(&self.0.next(bytes).finalize().into_bytes()[..MAC]);
        short
    }
}

impl Opener {
    /// Tells whether that is the proof, in a time that does not depend on where they differ.
    pub(crate) fn open(&mut self, mac: &[u8; MAC], bytes: &[u8]) -> bool {
        self.0.next(bytes).verify_truncated_left(mac).is_ok()
    }
}

/// The keys of the first frame of each direction: what guards a [`Hello`](crate::wire::Hello) and its answer.
pub(crate) fn first(key: &[u8], nonce: &[u8], end: End) -> (Sealer, Opener) {
    pair(key, &[b"multiproc manager: hello", nonce], end)
}

/// The keys of all further frames.
pub(crate) fn session(key: &[u8], nonces: [&[u8]; 2], end: End) -> (Sealer, Opener) {
    pair(key, &[b"multiproc manager: session", nonces[0], nonces[1]], end)
}

fn pair(key: &[u8], parts: &[&[u8]], end: End) -> (Sealer, Opener) {
    let derive = |from: &[u8]| {
        let mut mac = Chain::new(key).keyed;
        parts.iter().for_each(|part| mac.update(part));
        mac.update(from);
        let derived: Zeroizing<[u8; 32]> = Zeroizing::new(mac.finalize().into_bytes().into());
        Chain::new(&*derived)
    };
    let (client, server) = (derive(b"client"), derive(b"server"));
    match end {
        End::Client => (Sealer(client), Opener(server)),
        End::Server => (Sealer(server), Opener(client)),
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(keys: [&[u8]; 2]) -> ((Sealer, Opener), (Sealer, Opener)) {
        let nonces: [&[u8]; 2] = [b"one", b"two"];
        (session(keys[0], nonces, End::Client), session(keys[1], nonces, End::Server))
    }

    #[test]
    fn what_was_sealed_opens_once_and_in_order() {
        let ((mut sealer, _), (_, mut opener)) = ends([b"key", b"key"]);
        let (a, b) = (sealer.seal(b"a"), sealer.seal(b"b"));
        assert!(opener.open(&a, b"a"));
        assert!(opener.open(&b, b"b"));
        assert!(!opener.open(&b, b"b"), "played again");
    }

    #[test]
    fn nothing_else_opens() {
        let open = |mac: &[u8; MAC], text: &[u8]| ends([b"key", b"key"]).1.1.open(mac, text);
        let right = ends([b"key", b"key"]).0.0.seal(b"text");
        assert!(open(&right, b"text"));
        assert!(!open(&right, b"texs"));
        assert!(!open(&ends([b"kez", b"key"]).0.0.seal(b"text"), b"text"));
        // Turned around: what the server says is nothing that a client said.
        assert!(!open(&ends([b"key", b"key"]).1.0.seal(b"text"), b"text"));
        let mut skipped = ends([b"key", b"key"]).0.0;
        skipped.seal(b"");
        assert!(!open(&skipped.seal(b"text"), b"text"));
    }
}
