//! Queues in shared memory that lose nothing when a process is killed.
//!
//! ```
//! use multiproc_queue::Queue;
//!
//! let queue = Queue::bounded(100)?; // many producers, many consumers, any message
//! queue.put(("answer".to_owned(), 42)).unwrap();
//! let same = queue.clone(); // or given to another process
//! assert_eq!(same.get().unwrap(), ("answer".to_owned(), 42));
//! # std::io::Result::Ok(())
//! ```
//!
//! A put that has returned has put its message into shared memory: the producer may die the next instant. A process
//! may be killed between any two instructions, in the middle of a put or a get, and the others go on at once: what it
//! had not finished did not happen.
//!
//! Messages have any size. What is large or many takes further chunks of memory, which are used again.
//!
//! # Differences from Python
//!
//! - `put` encodes in the caller: what cannot be encoded fails there, and no feeder thread can lose it at exit.
//! - `len`, `is_empty` and `is_full` tell the truth, at every moment.
//! - A closed queue is closed for everybody, and is drained first.
//!
//! # Caveats
//!
//! - A consumer that is killed takes the messages with it that its last call had taken.
//! - All processes must be of one PID namespace.

#[cfg(not(any(loom, multiproc_model)))]
mod arena;
#[cfg(not(any(loom, multiproc_model)))]
mod builder;
#[cfg(not(any(loom, multiproc_model)))]
mod channel;
#[cfg(not(any(loom, multiproc_model)))]
mod depot;
#[cfg(not(any(loom, multiproc_model)))]
mod error;
#[cfg(not(any(loom, multiproc_model)))]
mod lease;
#[cfg(not(any(loom, multiproc_model)))]
mod message;
#[cfg(not(any(loom, multiproc_model)))]
mod queue;
#[doc(hidden)]
pub mod ring;
#[cfg(not(any(loom, multiproc_model)))]
mod spsc;

#[cfg(not(any(loom, multiproc_model)))]
pub use builder::Builder;
#[cfg(not(any(loom, multiproc_model)))]
pub use channel::{ChannelRecvError, ChannelSendError, IntoMessages, Messages, Receiver, Sender, channel};
#[cfg(not(any(loom, multiproc_model)))]
pub use error::{GetError, PutError};
#[cfg(not(any(loom, multiproc_model)))]
pub use lease::Lease;
#[cfg(not(any(loom, multiproc_model)))]
pub use queue::{Iter, Queue};
#[cfg(not(any(loom, multiproc_model)))]
pub use spsc::{SpscMessages, SpscReceiver, SpscSender, spsc};
