//! multiproc-shm

extern crate self as multiproc_shm;

mod block;
mod bytes;
mod copy;
mod error;
mod header;
mod kind;
#[doc(hidden)]
pub mod layout;
mod named;
mod pool;
mod segment;
mod shared;
mod shm_safe;
mod slice;

pub use block::SharedMemory;
pub use bytes::{SharedBytes, SharedBytesMut};
pub use error::ShmError;
pub use multiproc_derive::ShmSafe;
pub use named::{sweep, sweep_in};
pub use pool::{BytesPool, PooledBytes, PooledBytesMut, TakeError};
pub use shared::Shared;
pub use shm_safe::ShmSafe;
pub use slice::{Pod, SharedSlice};
