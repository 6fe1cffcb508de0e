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
//! Messages have any size. What is large or many takes further chunks of memory, which are used again. They may hold
//! handles of every kind, which outlive who put them: a few hundred such messages can be on their way at one time.
//!
//! # Work that must not be lost
//!
//! A message that is got goes with the process that got it. One that is [leased](Queue::lease) is delivered again, if
//! that process dies before it says that it is done:
//!
//! ```
//! # let jobs = multiproc_queue::Queue::bounded(10)?;
//! # jobs.put("job".to_owned()).unwrap();
//! let job = jobs.lease().unwrap();
//! println!("{}{}", *job, if job.is_redelivered() { ", once more" } else { "" });
//! job.done();
//! jobs.join(); // until everything that was put is done
//! # std::io::Result::Ok(())
//! ```
//!
//! # Peers that may die
//!
//! A queue has no sides: who waits for a process that died waits on. A channel, made by `channel`, has senders and
//! receivers in any number, and who waits learns it when nobody is left at the other end, whether dropped or killed.
//! `spsc` makes one with a single sender and a single receiver, which need no lock.
//!
//! # Waiting for several things, and in async code
//!
//! `readiness` of a queue or of a receiving end is a descriptor that is readable while there is something to get, so
//! that one `wait` covers it and connections, processes and sockets. `get_async`, `put_async`, `recv_async` and
//! `send_async` are awaited, in whatever runtime. One thread per process sleeps on behalf of all that wait in these
//! ways, while there are any; nobody else pays for it.
//!
//! # What waiting costs
//!
//! Who finds nothing looks again for a moment before it sleeps, since the other one may be about to answer on another
//! core; then it offers its core to others, since the other one may be waiting for that. Each process learns for each
//! queue how long that pays, down to next to nothing: a consumer of an idle queue sleeps, and takes no time. Where
//! nobody sleeps, no operation is a system call.
//!
//! # Differences from Python
//!
//! - `put` encodes in the caller: what cannot be encoded fails there, and no feeder thread can lose it at exit.
//! - `len`, `is_empty` and `is_full` tell the truth, at every moment.
//! - A closed queue is closed for everybody, and is drained first.
//!
//! # Caveats
//!
//! - A consumer that is killed takes the messages with it that its last call had taken, unless it leased them.
//! - A leased message stays in its chunk of 64 KiB, which is not used again meanwhile.
//! - Named queues carry no handles.
//! - All processes must be of one PID namespace.
//!
//! # What happens when a process dies here
//!
//! - *A producer, in a put*: before the one step that commits, nothing was put; after it, all of it. Who waits for the lock
//!   that it held has it at once.
//! - *A producer, after a put*: the message stays. So do the handles in it.
//! - *A consumer, in a get*: the message is there still, or it was got.
//! - *A consumer, after a get*: the message went with it, unless it was a [lease](Queue::lease): then the next one gets it,
//!   and `is_redelivered` says so.
//! - *The last sender or receiver of a channel*: who waits at the other end is told, within a tenth of a second; the messages
//!   that are there are received first.
//! - *All of them*: the kernel frees the memory. A named queue stays, with what is in it, until it is
//!   [unlinked](Queue::unlink).

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
mod kept;
#[cfg(not(any(loom, multiproc_model)))]
mod lease;
#[cfg(not(any(loom, multiproc_model)))]
#[doc(hidden)]
pub mod link;
#[cfg(not(any(loom, multiproc_model)))]
mod message;
#[cfg(not(any(loom, multiproc_model)))]
#[doc(hidden)]
pub mod peek;
#[cfg(not(any(loom, multiproc_model)))]
mod queue;
#[doc(hidden)]
pub mod ring;
#[cfg(not(any(loom, multiproc_model)))]
mod spsc;
#[cfg(not(any(loom, multiproc_model)))]
mod stats;
#[cfg(not(any(loom, multiproc_model)))]
mod watched;

#[cfg(not(any(loom, multiproc_model)))]
pub use builder::Builder;
#[cfg(not(any(loom, multiproc_model)))]
pub use channel::{ChannelRecvError, ChannelSendError, IntoMessages, Messages, Receiver, Sender, channel};
#[cfg(not(any(loom, multiproc_model)))]
pub use error::{GetError, PutError};
#[cfg(not(any(loom, multiproc_model)))]
pub use lease::Lease;
#[cfg(not(any(loom, multiproc_model)))]
pub use multiproc_sync::Readiness;
#[cfg(not(any(loom, multiproc_model)))]
pub use queue::{Iter, Queue};
#[cfg(not(any(loom, multiproc_model)))]
pub use spsc::{SpscMessages, SpscReceiver, SpscSender, spsc};
#[cfg(not(any(loom, multiproc_model)))]
pub use stats::QueueStats;
