//! State that several processes share, kept by a server process and used through proxies.
//!
//! # Hello
//!
//! ```
//! use multiproc_manager::Manager;
//! use multiproc_process::Process;
//!
//! let manager = Manager::start()?;
//! let scores = manager.dict::<String, u32>()?;
//! let player = Process::spawn(scores.clone(), |scores| {
//!     scores.insert("Ada".into(), 10).unwrap();
//! })?;
//! player.join()?;
//! assert_eq!(scores.get("Ada")?, Some(10));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Any state, any function
//!
//! [`create`](RemoteManager::create) makes a value in the server, [`Proxy::call`] sends it a function and an argument. So
//! a call is as much as is to be done at once, with nobody else's between its parts:
//!
//! ```
//! # let manager = multiproc_manager::Manager::start()?;
//! use std::collections::BTreeMap;
//!
//! let votes = manager.create((), |()| BTreeMap::<String, u32>::new())?;
//! votes.call("tea".to_owned(), |votes, what| *votes.entry(what).or_default() += 1)?;
//! let first = votes.call((), |votes, ()| votes.first_key_value().map(|(what, n)| (what.clone(), *n)))?;
//! assert_eq!(first, Some(("tea".to_owned(), 1)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Proxy::call_when`] waits until the function can do its work. Ready-made are
//!
//! | made by | proxy | Python |
//! |---|---|---|
//! | [`dict`](RemoteManager::dict) | [`DictProxy`] | `manager.dict()` |
//! | [`list`](RemoteManager::list) | [`ListProxy`] | `manager.list()` |
//! | [`queue`](RemoteManager::queue), [`priority_queue`](RemoteManager::priority_queue) | [`QueueProxy`], [`PriorityQueueProxy`] | `manager.Queue()`, `manager.JoinableQueue()` |
//! | [`value`](RemoteManager::value), [`array`](RemoteManager::array), [`namespace`](RemoteManager::namespace) | [`ValueProxy`], [`ArrayProxy`], [`NamespaceProxy`] | `manager.Value()`, `manager.Array()`, `manager.Namespace()` |
//! | [`lock`](RemoteManager::lock), [`reentrant_lock`](RemoteManager::reentrant_lock) | [`LockProxy`], [`ReentrantLockProxy`] | `manager.Lock()`, `manager.RLock()` |
//! | [`semaphore`](RemoteManager::semaphore), [`bounded_semaphore`](RemoteManager::bounded_semaphore) | [`SemaphoreProxy`], [`BoundedSemaphoreProxy`] | `manager.Semaphore()`, `manager.BoundedSemaphore()` |
//! | [`condition`](RemoteManager::condition), [`event`](RemoteManager::event), [`barrier`](RemoteManager::barrier) | [`ConditionProxy`], [`EventProxy`], [`BarrierProxy`] | `manager.Condition()`, `manager.Event()`, `manager.Barrier()` |
//!
//! Objects are worked on side by side, each in the order of its calls. Who waits inside a ready-made object, or by
//! `call_when`, takes no thread of the server.
//!
//! # References
//!
//! Proxies are messages: through queues, pipes, arguments and results, inside managed objects, in pool tasks. An object
//! goes with its last proxy. On its way, and in every process but the one that made the object, a proxy *is* a
//! descriptor; the kernel counts them, so that nothing is lost and nothing left however a holder dies.
//!
//! # Other programs
//!
//! `Manager::builder().bind(address).authkey(key).start()` lets those in who have the key, and
//! [`RemoteManager::connect`] is how they come, from other machines as well. Objects are found by the names that
//! [`publish`](RemoteManager::publish) gives them. Both ends must be the same build of the same program. Over TCP every
//! frame is signed, none is hidden, and handles do not travel.
//!
//! # Differences from Python
//!
//! - Functions go to the data; there are no classes to register.
//! - A panic is an error of its call, as an exception is in Python, and poisons nothing. With `panic = "abort"` it ends
//!   the server.
//! - Results are copies, and proxies only where proxies were put in.
//! - A guard, and not only a method, has a lock; a process that dies does not keep it.
//!
//! # What happens when a process dies here
//!
//! - *A client*: within a moment its references are gone, its locks free and its permits back; what it waited for it does
//!   not get. A call of its that runs goes to its end, and its locks are free after that: nothing that it asked for with
//!   a lock in its hand happens behind the back of the next owner.
//! - *The server*: every call errors at once. [`CallError::may_have_run`] tells whether the call may have been made. All
//!   state is lost; a new manager begins anew.
//! - *The process that has started the server*: the server dies with it, whatever it dies of.

mod client;
mod error;
mod input;
mod manager;
mod mode;
mod objects;
mod operation;
mod proxy;
mod reference;
mod remote;
mod seal;
mod server;
mod service;
mod stats;
mod wire;

pub use error::{CallError, ManagerError};
pub use manager::{Manager, ManagerBuilder};
pub use objects::{
    ArrayProxy, BarrierError, BarrierProxy, BoundedSemaphoreProxy, ConditionGuard, ConditionProxy, DictProxy,
    EventProxy, ItemsProxy, ListProxy, LockGuard, LockProxy, NamespaceProxy, PriorityQueueProxy,
    QueueGetError, QueueProxy, QueuePutError, ReentrantLockGuard, ReentrantLockProxy, SemaphorePermit,
    SemaphoreProxy, Store, ValueProxy,
};
pub use proxy::Proxy;
pub use remote::RemoteManager;
pub use stats::{ManagerStats, ObjectStats};

/// What the proxies of ready-made objects stand for, to be named in [`RemoteManager::get`].
pub mod object {
    pub use crate::objects::{
        Array, Barrier, Condition, Event, Fifo, Lock, Namespace, Queue, ReentrantLock, Semaphore, Sorted,
    };
}
