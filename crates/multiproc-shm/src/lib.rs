//! Shared memory: typed values, immutable bytes, arrays and raw blocks, anonymous or named.
//!
//! ```
//! use multiproc_shm::{Shared, SharedBytes, SharedSlice};
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! let hits = Shared::new(AtomicU64::new(0))?; // an `Arc` across processes
//! hits.fetch_add(1, Ordering::Relaxed);
//!
//! let image = SharedBytes::copy_from(&[7; 1 << 20])?; // immutable, travels in O(1)
//! let table = SharedSlice::<f64>::new(1000)?; // written by index from everywhere
//! table.set(3, f64::from(image[0]));
//! # std::io::Result::Ok(())
//! ```
//!
//! | what | for | who may write |
//! |---|---|---|
//! | [`Shared<T>`] | one value of a [`ShmSafe`] type | whoever has it, through atomics and locks in it |
//! | [`SharedBytes`] | large data, built once by [`SharedBytesMut`] | nobody: sealed by the kernel |
//! | [`PooledBytes`] | large data at a high rate, from a [`BytesPool`] | nobody: by protocol |
//! | [`SharedSlice<T>`] | an array of [`Pod`] elements | whoever has it, element by element |
//! | [`SharedMemory`] | the same block as in a Python program | whoever can open the name |
//!
//! All of them are messages: as an argument, a result or inside a queue's message they give the receiver a
//! handle to the same memory. Serializing one outside such a transfer is an error that says so.
//!
//! # What stays behind
//!
//! Nothing, for what has no name: the kernel frees it with the last handle, however its holders end. A name
//! stays until [`unlink`](Shared::unlink); [`sweep`] removes this user's names that nobody holds. Unlike
//! Python there is no resource tracker that unlinks behind one's back.
//!
//! # Memory that is not there
//!
//! Every page is allocated when an object is created, after a look at what the machine and the control groups
//! around this process have free. So too much is an error at creation, and neither SIGBUS nor the
//! out-of-memory killer later.
//!
//! # Caveats
//!
//! - A process that is killed leaves values half-written; [`ShmSafe`] makes sure that these are values still.
//! - After a fork without exec both processes have the same memory, as with any handle.
//! - A holder of a [`Shared`] or a [`SharedSlice`] can write anything there, as a thread could. Named objects
//!   and [`PooledBytes`] are received only from processes of the same family; the others from anybody.
//!
//! # What happens when a process dies here
//!
//! - *A holder of something without a name*: nothing, as long as there is another; the last one takes the memory with it.
//! - *A holder of something with a name*: nothing. The name stays, with what was written.
//! - *Whoever was writing*: what was written so far stays, and is a value. To know whether it is whole, put a lock around it
//!   (`Shared<Mutex<T>>` of `multiproc-sync`), which tells of an owner that died.
//! - *Whoever was creating a name*: there is no such name; it appears complete or not at all.
//! - *A reader of [`PooledBytes`]*: its segment goes back to the pool. *The pool's owner*: what was handed out stays readable.

// The derive names the crate by this path, also here.
extern crate self as multiproc_shm;

#[doc(hidden)]
pub mod arena;
mod block;
mod bytes;
mod error;
mod header;
mod kind;
#[doc(hidden)]
pub mod layout;
mod named;
#[doc(hidden)]
pub mod peek;
mod pool;
mod segment;
mod shared;
mod shm_safe;
mod slice;

pub use block::SharedMemory;
pub use bytes::{SharedBytes, SharedBytesMut};
pub use error::ShmError;
///
/// # Examples
///
/// ```
/// use multiproc_shm::{Shared, ShmSafe};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(ShmSafe)]
/// #[repr(C)]
/// struct Counters {
///     hits: AtomicU64,
///     misses: AtomicU64,
/// }
///
/// let counters = Shared::new(Counters { hits: AtomicU64::new(0), misses: AtomicU64::new(0) })?;
/// counters.hits.fetch_add(1, Ordering::Relaxed);
/// # std::io::Result::Ok(())
/// ```
pub use multiproc_derive::ShmSafe;
pub use named::{sweep, sweep_in};
pub use pool::{BytesPool, PooledBytes, PooledBytesMut, TakeError};
pub use shared::Shared;
pub use shm_safe::ShmSafe;
pub use slice::{Pod, SharedSlice};
