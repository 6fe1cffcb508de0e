//! Who has the key: the handshake of CPython's `multiprocessing.connection`, digests as in 3.12 and later.
//!
//! ```text
//! challenger -> answerer   #CHALLENGE# M      M = {sha256} and 40 bytes (3.12 and later), or 20 bytes (before)
//! answerer -> challenger   {sha256} HMAC-SHA-256(key, M), or 16 bytes of HMAC-MD5(key, M)
//! challenger -> answerer   #WELCOME#, or #FAILURE# and the end
//! ```
//!
//! First the listener challenges, then the client. All are frames of at most 256 bytes, and whatever else comes is the
//! end. Of the 40 bytes 24 are random; the others tell our own kind who challenges and where:
//!
//! ```text
//! who, 8 bytes | SHA-256 of the listener's TCP address as it sees itself, 8 bytes, or zeros | random, 24 bytes
//! ```
//!
//! To CPython they are all the same. We refuse to answer a challenge of our own side (that is our own one, reflected)
//! and, where the address is another than the one that we are connected to, one that was relayed. CPython's challenges
//! say neither, and are answered.

mod handshake;
mod key;
mod mac;
mod shaking;

pub(crate) use handshake::{Handshake, Policy, Refusal, Role};
pub use key::AuthKey;
pub(crate) use shaking::{ShakeError, Shaking};
