//! Pools of worker processes that survive the death of any worker.
//!
//! # Hello
//!
//! ```
//! use multiproc_pool::Pool;
//!
//! let pool = Pool::new(2)?;
//! let lengths = pool.map(vec!["one".to_string(), "three".to_string()], |word| word.len())?;
//! assert_eq!(lengths, [3, 5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which method
//!
//! | | waits | order | input |
//! |---|---|---|---|
//! | [`Pool::apply`] | for the result | | one |
//! | [`Pool::apply_async`] | never | | one |
//! | [`Pool::map`] | for all results | as given | finite |
//! | [`Pool::map_async`] | never | as given | finite, taken at once |
//! | [`Pool::imap`] | for the next result | as given | may be infinite |
//! | [`Pool::imap_unordered`] | for the next result | as they come | may be infinite |
//!
//! Each has a form whose name ends in `_with`, for functions that work on a state which each worker makes once, by
//! [`PoolBuilder::init`]. [`Pool::with`] gives all of them with [`TaskOptions`]: deadlines, retries, priorities,
//! progress.
//!
//! Arguments and results are messages, as for [`multiproc_process::Process`]: handles may be anywhere inside them. A
//! closure may not capture; pass what it needs with each item.
//!
//! # Results
//!
//! An [`AsyncResult`] is waited for, asked, awaited in any runtime, or handed to a callback; and cancelled.
//!
//! ```
//! use multiproc_pool::{Pool, TaskError};
//!
//! let pool = Pool::new(2)?;
//! let endless = pool.apply_async((), |()| -> () { loop { std::thread::park() } });
//! assert!(endless.cancel());
//! assert_eq!(endless.get(), Err(TaskError::Cancelled));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Errors
//!
//! Each task ends exactly once, in its result or a [`TaskError`]. A panic is one, with its place and its backtrace;
//! the worker goes on to the next task.
//!
//! Tasks travel to workers together, as many as make some hundred microseconds of work. Nobody sees that: each has its
//! own result, deadline, retry and error, and those that one worker has, and has not begun, are given to another that
//! has nothing to do. So no task waits behind a long one while there is somebody free.
//!
//! # What waiting costs
//!
//! Who waits for a result does the pool's own work meanwhile, and looks for a moment before it sleeps. While workers
//! and callers are busy, nothing here is a system call.
//!
//! # Differences from Python
//!
//! - A worker that is killed, however it is killed, is an error of one task and never a hang.
//! - `imap` pulls its input as results are taken.
//! - Dropping a pool lets it finish; [`Pool::terminate`] does not.
//! - Workers do not get a terminal's ctrl-C: without [`PoolBuilder::handle_interrupt`] they end with their pool's process.
//!
//! # Caveats
//!
//! - A task that closes descriptors that are not its own may cost its worker.
//! - A function runs in whatever worker is free: what it leaves in statics is there for the next one.
//! - Callbacks are called on one thread, one after the other.
//!
//! # What happens when a process dies here
//!
//! - *A worker*: the task that it had begun ends with [`TaskError::WorkerDied`], which tells how and, as far as can be
//!   told, [why](Cause); those that waited behind it run elsewhere; what it had done is not lost; a replacement is
//!   started, with growing pauses if workers die before they can begin.
//! - *The process that owns the pool*: the workers die with it, whatever it dies of.
//! - *What a task has started*: each worker leads a process group, which is killed when the worker ends.

// With `--cfg loom` only `tests/loom.rs` and what it includes are compiled: those below have no links then.
#![cfg(not(loom))]

mod arrivals;
#[doc(hidden)]
pub mod backend;
mod block;
mod board;
mod builder;
mod death;
mod engine;
mod error;
mod feed;
mod gather;
mod inbox;
mod interrupt;
mod options;
#[doc(hidden)]
pub mod peek;
mod pool;
mod progress;
mod result;
mod stats;
mod stream;
mod view;
mod worker;

pub use builder::PoolBuilder;
pub use death::{Cause, WorkerStatus};
pub use error::TaskError;
pub use options::TaskOptions;
pub use pool::Pool;
pub use result::AsyncResult;
pub use stats::{Histogram, PoolStats, WorkerStats, WorkerTimes};
pub use stream::Results;
pub use view::With;
pub use worker::is_stopping;
