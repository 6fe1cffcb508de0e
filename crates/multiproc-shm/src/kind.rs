//! What a carried descriptor is, and what a segment's header says it holds.

/// A [`Shared`](crate::Shared) value.
pub(crate) const SHARED: u32 = u32::from_le_bytes(*b"shrd");
/// Sealed [`SharedBytes`](crate::SharedBytes).
pub(crate) const BYTES: u32 = u32::from_le_bytes(*b"byte");
/// A [`SharedSlice`](crate::SharedSlice).
pub(crate) const SLICE: u32 = u32::from_le_bytes(*b"slic");
/// A raw [`SharedMemory`](crate::SharedMemory) block.
pub(crate) const BLOCK: u32 = u32::from_le_bytes(*b"blck");
/// The memory of a segment of a [`BytesPool`](crate::BytesPool).
pub(crate) const POOL_SEGMENT: u32 = u32::from_le_bytes(*b"pseg");
/// The write end that counts the readers of a pooled message.
pub(crate) const POOL_TOKEN: u32 = u32::from_le_bytes(*b"ptok");
/// The read end that hangs up when a pool is gone.
pub(crate) const POOL_ALIVE: u32 = u32::from_le_bytes(*b"pliv");
/// An [`Arena`](crate::arena::Arena).
pub(crate) const ARENA: u32 = u32::from_le_bytes(*b"arna");
