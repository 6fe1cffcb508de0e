//! The pool over several hosts, on NATS JetStream.
//!
//! # Hello
//!
//! On each host, the same executable as an agent:
//!
//! ```no_run
//! use multiproc_cluster::{AgentOptions, serve};
//!
//! serve("nats://127.0.0.1:4222", AgentOptions::new())?;
//! # Ok::<(), multiproc_cluster::ClusterError>(())
//! ```
//!
//! On one of them, a pool that is like any other:
//!
//! ```no_run
//! use multiproc_cluster::Nats;
//! use multiproc_pool::Pool;
//!
//! let pool = Pool::builder().backend(Nats::connect("nats://127.0.0.1:4222")?).build()?;
//! let lengths = pool.map(["one", "three"].map(String::from), |word| word.len())?;
//! assert_eq!(lengths, [3, 5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Between them is a `nats-server` with JetStream, 2.9.10 or newer.
//!
//! # Who may do what
//!
//! Whoever has the pool's key may run this program's functions on its hosts. On one machine the key is the user's own; to
//! a server beyond it there is no connection without TLS, credentials and a key that was given.
//!
//! Agents and callers of another build never meet: functions travel as places in the executable.
//!
//! # What happens when something dies
//!
//! - *A worker*: as on one machine.
//! - *An agent*, or the way to it: after the [lease](NatsBuilder::lease) its tasks end with
//!   [`TaskError::WorkerDied`](multiproc_pool::TaskError::WorkerDied), whose cause is
//!   [`Cause::HostLost`](multiproc_pool::Cause::HostLost); with [`retries`](multiproc_pool::TaskOptions::retries) they run
//!   elsewhere. What it had taken and not begun ends so, too: nobody can tell.
//! - *The server*: everybody waits for it. Callers keep what has not been answered.
//! - *A caller*: after the lease its tasks are killed.
//!
//! # Differences from a pool on one machine
//!
//! - Handles cannot be in arguments and results; that is an error when a task is handed in.
//! - How many workers there are, and how they are made, the agents say.
//! - Priorities hold for what this caller has not handed out yet.
//! - [`AsyncResult::cancel`](multiproc_pool::AsyncResult::cancel) of what an agent has asks the agent, and its answer may
//!   still be the result.
//!
//! # Caveats
//!
//! A caller has one thread for its connections, an agent the one that calls [`serve`]; the runtime on it is nobody
//! else's business.

mod agent;
mod blobs;
mod caller;
mod error;
mod key;
mod letters;
mod link;
mod names;
mod nats;
mod room;
mod seal;
mod settings;
mod survey;
mod wire;

pub use agent::{AgentOptions, serve};
pub use error::ClusterError;
pub use letters::DeadLetter;
pub use nats::{Nats, NatsBuilder};
pub use settings::Storage;
pub use survey::{AgentInfo, AgentWorker};
