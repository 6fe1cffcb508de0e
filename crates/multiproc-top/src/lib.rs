//! Sees what programs that use multiproc are at, from outside.
//!
//! ```
//! use multiproc_queue::Queue;
//! use multiproc_top::Watcher;
//!
//! let queue = Queue::bounded(10)?;
//! queue.put("job".to_owned()).unwrap();
//! let seen = Watcher::new().look(); // from any process of this user
//! let own = seen.queues.iter().find(|seen| seen.used_by.contains(&std::process::id())).unwrap();
//! assert_eq!((own.len, own.capacity, own.message.as_str()), (1, Some(10), "alloc::string::String"));
//! # std::io::Result::Ok(())
//! ```
//!
//! The program `multiproc-top` shows this on a terminal, or prints it as JSON. It needs no registry and nothing that
//! the others would have to do: what they share is memory without a name, which the kernel lists under
//! `/proc/PID/fd`, and every segment begins with words that say what it is.
//!
//! # What it does to those it watches
//!
//! It opens their memory for reading, copies some words, and closes it; nothing is mapped, written or locked, and
//! nothing is kept alive. Of the processes it reads what `/proc` tells everybody of the same user.
//!
//! With the feature `cluster` the program has a subcommand of that name, which asks the agents of a pool over several
//! hosts how they stand; from a program that is `multiproc_cluster::Nats::agents`.
//!
//! # Caveats
//!
//! - Whatever a process says of itself is believed as far as it can be true, and no further.
//! - Where the system does not let processes of one user look at each other (`yama`), how many wait is not known, and
//!   shown as whether somebody may.
//! - Processes of other PID namespaces have other numbers: of their locks no holder is named.

mod cli;
#[cfg(feature = "cluster")]
mod cluster;
mod names;
mod objects;
mod proc;
mod screen;
mod sleepers;
mod snapshot;
mod terminal;
mod watcher;

pub use cli::run;
pub use names::{NamedObject, named_objects};
pub use snapshot::{Holder, Lock, Other, Pool, Process, Queue, Snapshot, Worker};
pub use watcher::Watcher;
