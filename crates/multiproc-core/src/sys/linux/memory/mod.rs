//! Shared memory: memfd, seals, named files, and what is free.
//!
//! Nothing here maps memory for writing and nothing is `unsafe`: a segment is a descriptor that is really
//! allocated, so that touching it later can neither raise SIGBUS nor bring the out-of-memory killer.

mod directory;
mod free;
mod hangup;
mod memfd;
mod posix;
mod sealed;

pub use directory::{Directory, DirectoryError, lock_shared, try_lock_exclusive, user_id};
pub use free::{MemoryShort, check_free};
pub use hangup::{count_pipe, hung_up};
pub use memfd::{
    FileInfo, Seals, add_seals, allocate, allocate_part, create_memfd, file_info, open_to_read,
    read_exact_at, seals, write_all_at,
};
pub use posix::{shm_create, shm_exists, shm_link, shm_nameless, shm_open, shm_unlink};
pub use sealed::{SealedMap, map_sealed, seal_read_only, sealed_copy};
