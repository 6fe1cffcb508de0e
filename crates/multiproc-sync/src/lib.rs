//! Locks, semaphores, events, conditions and barriers for shared memory that survive the death of any process.
//!
//! ```
//! use multiproc_shm::Shared;
//! use multiproc_sync::Mutex;
//!
//! let total = Shared::new(Mutex::new(0u64))?; // an `Arc<Mutex<u64>>` across processes
//! *total.lock().unwrap() += 1;
//! # std::io::Result::Ok(())
//! ```
//!
//! | what | in Python | when a process dies |
//! |---|---|---|
//! | [`Mutex<T>`] | `Lock` | the next one to take it is told, and holds it |
//! | [`ReentrantMutex<T>`] | `RLock` | as above |
//! | [`RwLock<T>`] | | as above for a writer; a reader is taken off the list |
//! | [`Semaphore`], [`BoundedSemaphore`] | the same | its permits come back |
//! | [`Event`] | the same | nothing: it is one word |
//! | [`Condvar`] | `Condition` | what was for it goes to another who waits |
//! | [`Barrier`] | the same | breaks, if the dead one waited |
//!
//! They are plain values of a fixed size that live inside a [`Shared`](multiproc_shm::Shared): alone, in arrays, in
//! structs that derive [`ShmSafe`](multiproc_shm::ShmSafe), anonymous or named. Whoever has the handle has the lock;
//! nothing is inherited by accident, and nothing is left behind.
//!
//! ```
//! use multiproc_shm::{Shared, ShmSafe};
//! use multiproc_sync::{Event, Mutex};
//!
//! #[derive(ShmSafe)]
//! #[repr(C)]
//! struct Job {
//!     done: Mutex<[u64; 16]>,
//!     stop: Event,
//!     reserved: u32,
//! }
//!
//! let job = Shared::new(Job { done: Mutex::new([0; 16]), stop: Event::new(), reserved: 0 })?;
//! job.stop.set();
//! # std::io::Result::Ok(())
//! ```
//!
//! # Waiting
//!
//! What waits has four forms: `lock`, `try_lock`, `lock_timeout`, `lock_deadline`, and so for the others. Time is
//! monotonic: setting the clock shortens no wait. Who wakes others (`set`, `notify_all`, a dropped guard) never waits
//! for them. Where nobody waits no operation is a system call.
//!
//! # Caveats
//!
//! - A process that is stopped, and not dead, keeps what it holds. Nothing here takes silence for death.
//! - All processes must be of one PID namespace: threads are known by their numbers.
//! - Guards stay on the thread that took the lock. A forked child's copy of a guard is none: it releases nothing.
//! - `exec` in a process that holds a permit or reads an [`RwLock`] keeps them taken until that process ends.
//!
//! # What happens when a process dies here
//!
//! A process may be killed between any two instructions of any operation here, also while it cleans up after another,
//! and none of the others hangs. The table at the top says what becomes of each. Mostly the kernel tells of a death at
//! once. Where it cannot (a thread that held several locks, a system without robust futexes) those who wait look for
//! themselves, ten times a second or more.
//!
//! What the dead one was changing is half-changed. So the next owner gets an error, and the lock with it:
//!
//! ```
//! use multiproc_shm::Shared;
//! use multiproc_sync::Mutex;
//!
//! let pair = Shared::new(Mutex::new([0u64; 2]))?; // the two are to be equal
//! let same = pair.clone();
//! let failed = std::thread::spawn(move || { // or a process that is killed
//!     let mut pair = same.lock().unwrap();
//!     pair[0] = 1;
//!     panic!("between the two");
//! });
//! assert!(failed.join().is_err());
//!
//! let pair = pair.lock().unwrap_or_else(|error| {
//!     assert!(error.is_owner_dead());
//!     let mut pair = error.into_guard();
//!     pair[1] = pair[0]; // what is to be true again is the program's to know
//!     pair
//! });
//! assert_eq!(*pair, [1, 1]);
//! # std::io::Result::Ok(())
//! ```
//!
//! If the error is dropped instead, the next one is told again.

// loom's atomics are made while the program runs: what is made by constant functions is not for it.
#[doc(hidden)]
pub mod raw;

#[cfg(not(loom))]
mod barrier;
#[cfg(not(loom))]
mod condvar;
#[cfg(not(loom))]
mod error;
mod event;
#[cfg(not(loom))]
mod mutex;
#[cfg(not(any(loom, multiproc_model)))]
#[doc(hidden)]
pub mod peek;
#[cfg(not(loom))]
mod poison;
#[cfg(not(loom))]
mod reentrant;
#[cfg(not(loom))]
mod rwlock;
#[cfg(not(loom))]
mod semaphore;
#[cfg(not(loom))]
mod shm_safe;
// What the models play has no descriptors.
#[cfg(not(any(loom, multiproc_model)))]
#[doc(hidden)]
pub mod watch;

#[cfg(not(loom))]
pub use barrier::{Barrier, BarrierWaitResult, BrokenBarrier};
#[cfg(not(loom))]
pub use condvar::{Condvar, WaitTimeoutResult};
#[cfg(not(loom))]
pub use error::AcquireError;
pub use event::Event;
#[cfg(not(loom))]
pub use mutex::{LockError, Mutex, MutexGuard};
#[cfg(not(loom))]
pub use reentrant::{ReentrantLockError, ReentrantMutex, ReentrantMutexGuard};
#[cfg(not(loom))]
pub use rwlock::{ReadError, RwLock, RwLockReadGuard, RwLockWriteGuard, WriteError};
#[cfg(not(loom))]
pub use semaphore::{BoundedSemaphore, Permit, ReleaseError, Semaphore};
#[cfg(not(any(loom, multiproc_model)))]
pub use watch::Readiness;
