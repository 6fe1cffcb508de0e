//! Recycled segments for messages: a [`BytesPool`].
//!
//! A fresh memfd costs the kernel a zeroed page and two faults for each 4 KiB. A pool makes its segments once
//! and uses them again, so that only the copy remains.
//!
//! ```text
//! owner                                        receiver
//!   take      a segment, and a new pipe: the
//!             owner keeps the read end
//!   fill in
//!   freeze    no unique access any more
//!   send  ─── segment, write end of the pipe,  ─→  maps the segment, or finds the mapping of last time
//!             read end of the pool's own pipe      by (device, inode, random number)
//!   drop      its copy of the write end            read; drop: its copy of the write end
//!             └──────── the last copy gone, in whatever process or in flight: ────────┘
//!   the read end hangs up, so the segment is free
//! ```
//!
//! The pool itself holds the write end of one more pipe; when its read end hangs up, the pool is gone and a
//! receiver forgets its mappings.

mod cache;
mod message;
mod owner;
mod token;

pub use message::PooledBytes;
pub use owner::{BytesPool, PooledBytesMut, TakeError};
