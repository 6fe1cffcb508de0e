//! Python's `multiprocessing`, rebuilt in Rust: processes instead of threads, with types, near the hardware's speed,
//! and with every process free to die at any instruction.
//!
//! # Hello
//!
//! ```
//! use multiproc::Process;
//!
//! let child = Process::spawn((3, 4), |(a, b): (u32, u32)| a * b)?;
//! assert_eq!(child.join()?, 12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```
//! use multiproc::Pool;
//!
//! let pool = Pool::new(2)?;
//! let squares = pool.map(0..5u64, |n| n * n)?;
//! assert_eq!(squares, [0, 1, 4, 9, 16]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```
//! use multiproc::{Process, Queue};
//!
//! let queue = Queue::bounded(100)?;
//! let worker = Process::spawn(queue.clone(), |queue| queue.put("done".to_owned()).unwrap())?;
//! assert_eq!(queue.get()?, "done");
//! worker.join()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What there is
//!
//! | module | for |
//! |---|---|
//! | [`process`] | a function in another process, and how it ended |
//! | [`pool`] | many tasks on a few processes |
//! | [`queue`] | queues and channels in shared memory, of which no kill loses a message |
//! | [`pipe`](mod@pipe) | typed connections that carry whatever handles a message holds; listeners for those who have the key, Python programs too; with the feature `tokio`, awaited |
//! | [`shm`] | typed shared memory, bytes that travel without a copy, blocks that CPython can open |
//! | [`sync`] | locks, semaphores, events, conditions and barriers in shared memory, whose holders may die |
//! | [`manager`] | state in a server process, used through proxies, from other machines too |
//! | `cluster` | with the feature of that name: the pool over several hosts |
//!
//! Every name is here at the root as well, and each crate can be used alone. [`log_to_stderr`] tells what they do.
//!
//! The guide in the repository's folder [`docs`](https://github.com/multiproc/multiproc/tree/main/docs) has a page for
//! those who come from Python, one for those who come from std and rayon, and others on choosing, start methods,
//! deadlines, handles, security, containers, troubleshooting, and every error by its message.
//!
//! # Handles are messages
//!
//! Queues, connections, locks in shared memory, proxies and open files may be an argument, a result, or anywhere inside a
//! message:
//!
//! ```
//! use multiproc::{Mutex, Process, Sender, Shared, channel};
//!
//! fn work((total, done): (Shared<Mutex<u64>>, Sender<u32>)) {
//!     *total.lock().unwrap() += 1;
//!     done.send(std::process::id()).unwrap();
//! }
//!
//! let total = Shared::new(Mutex::new(0))?;
//! let (done, who) = channel(10)?;
//! let workers = [0, 1].map(|_| Process::spawn((total.clone(), done.clone()), work).unwrap());
//! drop(done); // ours, so that the iteration ends with the workers' ones
//! assert_eq!(who.iter().count(), 2);
//! assert_eq!(*total.lock().unwrap(), 2);
//! # workers.map(|worker| worker.join().unwrap());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules that hold everywhere
//!
//! - Data first, function last: `op(args, f)`, where `f` is a `fn` and captures nothing. Several values travel as a tuple.
//! - Messages are any serde types that own their data; `#[serde(flatten)]`, `untagged`, internally tagged enums and
//!   `skip_serializing_if` cannot travel, and say so.
//! - What waits comes as `op`, `try_op`, `op_timeout(Duration)` and `op_deadline(Instant)`, on the monotonic clock; a
//!   time-out bounds the whole call.
//! - Errors are types with predicates, and say what happened, to which object, and what to do. A value that could not be
//!   sent is in the error.
//! - Nothing is to be set up, in `main`, in tests, in benches, or in libraries.
//!
//! # Sharp edges
//!
//! - A process that is *stopped* is not dead: it keeps what it holds, and others wait for it as long as they choose.
//! - A [`Queue`] has no sides, so nobody is told that no producer is left; a [`channel()`] has.
//! - What is in [`Shared`] is shared: another process can write there whatever its type allows, at any moment.
//! - Processes that share memory must be of one PID namespace.
//! - A child that is no daemon is waited for at exit.
//! - Both ends are the same build of the same program; functions of shared libraries are refused.
//!
//! # What happens when a process dies here
//!
//! The others go on: with an error that says so where they depended on it, without noticing where they did not. Nothing
//! is left behind, but for names, which stay until they are unlinked. What exactly becomes of a message, a lock, a
//! permit, a task or a proxy is at the end of each module's page: [`process`], [`pool`], [`queue`],
//! [`pipe`](mod@pipe), [`shm`], [`sync`], [`manager`].
//!
//! ```
//! use multiproc::{JoinError, Pool, Process, TaskError};
//!
//! let child = Process::spawn((), |()| -> () { std::process::abort() })?;
//! assert!(matches!(child.join(), Err(JoinError::Signaled { signal: 6, .. })));
//!
//! let pool = Pool::new(2)?;
//! let lost = pool.apply_async((), |()| -> () { std::process::abort() });
//! let other = pool.apply_async(20, |n| n + 1);
//! assert!(matches!(lost.get(), Err(TaskError::WorkerDied { .. })));
//! assert_eq!(other.get()?, 21);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(doctest)]
mod guide;

#[cfg(feature = "cluster")]
#[doc(inline)]
pub use multiproc_cluster as cluster;
#[doc(inline)]
pub use multiproc_core as core;
#[doc(inline)]
pub use multiproc_manager as manager;
#[doc(inline)]
pub use multiproc_pipe as pipe;
#[doc(inline)]
pub use multiproc_pool as pool;
#[doc(inline)]
pub use multiproc_process as process;
#[doc(inline)]
pub use multiproc_queue as queue;
#[doc(inline)]
pub use multiproc_shm as shm;
#[doc(inline)]
pub use multiproc_sync as sync;

#[doc(inline)]
pub use multiproc_core::Message;
#[doc(inline)]
pub use multiproc_manager::{
    ArrayProxy, BarrierError, BarrierProxy, BoundedSemaphoreProxy, CallError, ConditionGuard, ConditionProxy,
    DictProxy, EventProxy, ItemsProxy, ListProxy, LockGuard, LockProxy, Manager, ManagerBuilder,
    ManagerError, ManagerStats, NamespaceProxy, ObjectStats, PriorityQueueProxy, Proxy, QueueGetError,
    QueueProxy, QueuePutError, ReentrantLockGuard, ReentrantLockProxy, RemoteManager, SemaphorePermit,
    SemaphoreProxy, ValueProxy,
};
#[doc(inline)]
pub use multiproc_pipe::{
    AcceptError, Address, AuthKey, ConnectError, ConnectOptions, Connection, Fd, ListenError, Listener,
    ListenerBuilder, ListenerStats, PeerCredentials, PipeReader, PipeWriter, RecvError, SendError,
    ToAddresses, connect, one_way, pipe, wait,
};
#[cfg(feature = "tokio")]
#[doc(inline)]
pub use multiproc_pipe::{AsyncConnection, AsyncListener, ready};
#[doc(inline)]
pub use multiproc_pool::{
    AsyncResult, Cause, Histogram, Pool, PoolBuilder, PoolStats, TaskError, TaskOptions, WorkerStats,
    WorkerStatus, is_stopping,
};
#[doc(inline)]
pub use multiproc_process::{
    Builder, ExitStatus, Func, FuncWith, JoinError, Level, LogError, Process, ProcessInfo, SpawnError,
    StartMethod, Stdio, active_children, cpu_count, current_process, default_start_method, init,
    log_to_stderr, parent_process, set_default_start_method, set_executable,
};
#[doc(inline)]
pub use multiproc_queue::{
    ChannelRecvError, ChannelSendError, GetError, Lease, PutError, Queue, QueueStats, Receiver, Sender,
    SpscReceiver, SpscSender, channel, spsc,
};
#[doc(inline)]
pub use multiproc_shm::*;
#[doc(inline)]
pub use multiproc_sync::{
    AcquireError, Barrier, BarrierWaitResult, BoundedSemaphore, BrokenBarrier, Condvar, Event, LockError,
    Mutex, MutexGuard, Permit, ReadError, Readiness, ReentrantLockError, ReentrantMutex, ReentrantMutexGuard,
    ReleaseError, RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, WaitTimeoutResult, WriteError,
};

// The trait comes with the glob above; the derive of that name is the one that knows the facade's paths.
///
/// # Examples
///
/// ```
/// use multiproc::{Shared, ShmSafe};
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
#[doc(inline)]
pub use multiproc_derive::ShmSafeFacade as ShmSafe;
