//! Shared memory: memfd, seals, named files, and what is free.
//!
//! Nothing here maps memory for writing and nothing is `unsafe`: a segment is a descriptor that is really
//! allocated, so that touching it later can neither raise SIGBUS nor bring the out-of-memory killer.

mod free;
mod memfd;
mod sealed;

pub use free::{MemoryShort, check_free};
pub use memfd::{FileInfo, Seals, add_seals, allocate, create_memfd, file_info, seals};
pub use sealed::{SealedMap, map_sealed, seal_read_only, sealed_copy};
