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
//! | [`Pool::imap`] | for the next result | as given | may be infinite |
//! | [`Pool::imap_unordered`] | for the next result | as they come | may be infinite |
//!
//! Arguments and results are messages, as for [`multiproc_process::Process`]: handles may be anywhere inside them. A
//! closure may not capture; pass what it needs with each item.
//!
//! # Errors
//!
//! Each task ends exactly once, in its result or a [`TaskError`]. A panic is one, with its place and its backtrace;
//! the worker goes on to the next task.
//!
//! # What happens when a process dies here
//!
//! - *A worker*: the task that it had begun ends with [`TaskError::WorkerDied`], which tells how; those that waited
//!   behind it run elsewhere; a replacement is started, with growing pauses if workers die before they do anything.
//! - *The process that owns the pool*: the workers die with it, whatever it dies of.
//! - *A child that a task leaves behind*: it ends with its worker when that is killed. A worker that leaves in order
//!   waits for it, as any process does.
//!
//! A task that one worker has, and has not begun, is given to another that has nothing to do; so no task waits behind
//! a long one while there is somebody free.

mod arrivals;
mod backend;
mod block;
mod builder;
mod death;
mod engine;
mod error;
mod gather;
mod inbox;
mod interrupt;
mod options;
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
pub use stats::{Histogram, PoolStats, WorkerStats};
pub use stream::Results;
pub use view::With;
pub use worker::is_stopping;
