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
//! - [`process`]: start a function in another process, and learn how it ended.
//! - [`shm`]: typed shared memory, zero-copy bytes, blocks that CPython can open.
//! - [`sync`]: locks, semaphores, events, conditions and barriers in shared memory, whose holders may die.
//! - [`queue`]: queues and channels in shared memory, of which no kill loses a message.
//! - [`pipe`](mod@pipe): typed connections that carry whatever handles a message holds; listeners for those who have the
//!   key, Python programs too; with the feature `tokio`, awaited.
//! - [`pool`]: many tasks on a few processes.
//! - [`manager`]: state in a server process, used through proxies, from other machines too.
//!
//! Every name is here at the root as well, and each crate can be used alone. [`log_to_stderr`] tells what they do.

#[cfg(doctest)]
mod guide;

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
#[doc(inline)]
pub use multiproc_derive::ShmSafeFacade as ShmSafe;
