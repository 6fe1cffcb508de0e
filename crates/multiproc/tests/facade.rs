//! One use of every re-export, so that a forgotten line fails the build.
#![expect(unused_imports, reason = "the imports are the test")]

use multiproc::{
    AcceptError, AcquireError, Address, AsyncResult, AuthKey, Barrier, BarrierWaitResult, BoundedSemaphore,
    BrokenBarrier, Builder, BytesPool, Condvar, ConnectError, ConnectOptions, Connection, Event, ExitStatus,
    Fd, Func, JoinError, Level, ListenError, Listener, ListenerBuilder, ListenerStats, LockError, LogError,
    Message, Mutex, MutexGuard, PeerCredentials, Permit, PipeReader, PipeWriter, Pool, PoolBuilder,
    PooledBytes, PooledBytesMut, Process, ProcessInfo, ReadError, RecvError, ReentrantLockError,
    ReentrantMutex, ReentrantMutexGuard, ReleaseError, RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore,
    SendError, Shared, SharedBytes, SharedBytesMut, SharedMemory, SharedSlice, ShmError, ShmSafe, SpawnError,
    StartMethod, Stdio, TaskError, ToAddresses, WaitTimeoutResult, WriteError, active_children, connect,
    cpu_count, current_process, default_start_method, init, log_to_stderr, one_way, parent_process, pipe,
    set_default_start_method, set_executable, wait,
};
use multiproc::{
    ArrayProxy, BarrierError, BarrierProxy, BoundedSemaphoreProxy, CallError, ConditionGuard, ConditionProxy,
    DictProxy, EventProxy, ItemsProxy, ListProxy, LockGuard, LockProxy, Manager, ManagerBuilder,
    ManagerError, ManagerStats, NamespaceProxy, ObjectStats, PriorityQueueProxy, Proxy, QueueGetError,
    QueueProxy, QueuePutError, ReentrantLockGuard, ReentrantLockProxy, RemoteManager, SemaphorePermit,
    SemaphoreProxy, ValueProxy,
};

#[test]
fn the_crates_are_modules() {
    let _: fn() -> usize = multiproc::process::cpu_count;
    let _ = multiproc::core::Deadline::NEVER;
    let _ = multiproc::manager::Manager::start;
    let _ = multiproc::pipe::wait;
    let _ = multiproc::pool::Pool::builder();
    let _ = multiproc::shm::Shared::<u32>::new;
    let _ = multiproc::sync::Mutex::<u32>::new;
}

#[derive(ShmSafe)]
#[repr(C)]
struct Counters {
    hits: std::sync::atomic::AtomicU64,
    misses: std::sync::atomic::AtomicU64,
}

#[test]
fn the_derive_works_through_the_facade() {
    use std::sync::atomic::Ordering;
    let counters = Shared::new(Counters { hits: 0.into(), misses: 0.into() }).unwrap();
    Process::builder()
        .daemon(true)
        .spawn(counters.clone(), |counters| {
            counters.hits.fetch_add(3, Ordering::Relaxed);
        })
        .unwrap()
        .join()
        .unwrap();
    assert_eq!((counters.hits.load(Ordering::Relaxed), counters.misses.load(Ordering::Relaxed)), (3, 0));
}

#[derive(ShmSafe)]
#[repr(C)]
struct Stock {
    count: Mutex<u64>,
    arrived: Condvar,
}

#[test]
fn locks_live_in_derived_structs() {
    let stock = Shared::new(Stock { count: Mutex::new(0), arrived: Condvar::new() }).unwrap();
    let child = Process::builder().daemon(true).spawn(stock.clone(), |stock| {
        *stock.count.lock().unwrap() += 1;
        stock.arrived.notify_one();
    });
    let count = stock.count.lock().unwrap();
    let count = stock.arrived.wait_while(count, |count| *count == 0).unwrap();
    assert_eq!(*count, 1);
    drop(count);
    child.unwrap().join().unwrap();
}

#[test]
fn bytes_travel_through_a_pool() {
    let pool = Pool::new(1).unwrap();
    let mut bytes = SharedBytesMut::zeroed(1 << 20).unwrap();
    bytes[7] = 9;
    let bytes = bytes.freeze().unwrap();
    assert_eq!(
        pool.apply(bytes.clone(), |bytes| bytes.iter().map(|b| u64::from(*b)).sum::<u64>()).unwrap(),
        9
    );
    let back = pool.apply(bytes, |bytes| bytes).unwrap();
    assert_eq!(back[7], 9);
}
