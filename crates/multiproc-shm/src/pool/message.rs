//! # Safety
//!
//! A message's bytes lie in a segment whose size is sealed, at most as many as it has; nobody writes to them
//! while any copy of the message exists in any process (see [`owner`](super::owner)).
#![expect(unsafe_code, reason = "the bytes are borrowed from a mapping")]

use super::cache::{self, Mapping};
use super::owner::Memory;
use super::token::Token;
use crate::kind;
use multiproc_core::codec::{Carried, is_trusted};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Where a segment comes from; random numbers that tell it from earlier ones with the same inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Origin {
    pub(super) pool: u64,
    pub(super) segment: u64,
}

/// Bytes in a segment of a [`BytesPool`](super::BytesPool), which travel without a copy.
///
/// Cloning it, or sending it in a message, gives another handle to the same bytes. When the last handle is
/// gone, in whatever process, the pool uses the segment again.
///
/// A receiver takes it only from a process of the same program that this family started.
///
/// # Examples
///
/// ```
/// use multiproc_shm::BytesPool;
///
/// let pool = BytesPool::new(4096, 1)?;
/// let mut bytes = pool.take().unwrap();
/// bytes[..5].copy_from_slice(b"hello");
/// let message = bytes.freeze_to(5);
/// let same = message.clone(); // or sent to another process
/// assert_eq!(&*same, b"hello");
/// drop((message, same)); // the pool has its memory again
/// assert!(pool.try_take().is_ok());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct PooledBytes {
    memory: Source,
    token: Token,
    len: usize,
}

/// The mapping that this process has of the segment.
#[derive(Clone)]
enum Source {
    Own(Arc<Memory>),
    Received(Received),
}

/// A mapping in use; whenever a handle to it is dropped, it looks whether the pool is still there.
#[derive(Clone)]
struct Received(Arc<Mapping>);

impl Drop for Received {
    fn drop(&mut self) {
        cache::forget_if_gone(&self.0);
    }
}

impl PooledBytes {
    pub(super) fn own(memory: Arc<Memory>, token: Token, len: usize) -> PooledBytes {
        PooledBytes { memory: Source::Own(memory), token, len }
    }

    fn pointer(&self) -> *const u8 {
        match &self.memory {
            Source::Own(memory) => memory.segment.as_ptr(),
            Source::Received(mapping) => mapping.0.as_ptr(),
        }
    }

    /// What is sent beside the token.
    fn parts(&self) -> (Origin, &Arc<OwnedFd>, &Arc<OwnedFd>) {
        match &self.memory {
            Source::Own(memory) => (memory.origin, memory.segment.fd(), &memory.alive),
            Source::Received(mapping) => (mapping.0.origin, &mapping.0.fd, &mapping.0.alive),
        }
    }
}

impl Deref for PooledBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: valid for reads of `len` bytes, which was checked against the mapping's length, while
        // `memory` lives; the token keeps the owner from lending the segment again, so nobody writes to it.
        unsafe { std::slice::from_raw_parts(self.pointer(), self.len) }
    }
}

impl AsRef<[u8]> for PooledBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for PooledBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBytes").field("len", &self.len).finish_non_exhaustive()
    }
}

type Parts = (
    Origin,
    u64,
    Carried<{ kind::POOL_SEGMENT }>,
    Carried<{ kind::POOL_TOKEN }>,
    Carried<{ kind::POOL_ALIVE }>,
);

/// Sends the handle, not a copy of the bytes; outside of a message this is an error.
impl Serialize for PooledBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (origin, fd, alive) = self.parts();
        let parts: Parts = (
            origin,
            self.len as u64,
            Carried(Arc::clone(fd)),
            Carried(Arc::clone(&self.token.0)),
            Carried(Arc::clone(alive)),
        );
        parts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PooledBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !is_trusted() {
            let text = "bytes of a pool are taken only from processes of the same family, since their sender \
                        could still change them: send `SharedBytes`";
            return Err(de::Error::custom(text));
        }
        let (origin, len, segment, token, alive) = Parts::deserialize(deserializer)?;
        let mapping = cache::map(origin, segment.0, alive.0).map_err(de::Error::custom)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > mapping.len() {
            return Err(de::Error::custom("a message of a pool is longer than its segment"));
        }
        Ok(PooledBytes { memory: Source::Received(Received(mapping)), token: Token(token.0), len })
    }
}
