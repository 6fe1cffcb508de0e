use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A random number that tells a segment or a pool from others that had its inode before.
pub(super) fn random() -> u64 {
    // The standard library's seed comes from the kernel, and differs at each call.
    RandomState::new().build_hasher().finish()
}

/// The write end of a pipe: as long as a copy lives anywhere, the segment is in use.
#[derive(Clone, Debug)]
pub(super) struct Token(pub(super) Arc<OwnedFd>);
