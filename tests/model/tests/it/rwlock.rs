//! Locks for readers and writers, with kills at every step.

use multiproc_core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use multiproc_core::sync::thread;
use multiproc_model::{End, Explorer, Trouble, is_full, shared};
use multiproc_sync::{AcquireError, RwLock};

#[repr(C)]
struct Shared {
    lock: RwLock<u64>,
    /// The number of the one who writes.
    writer: AtomicU64,
    /// Readers at work, one bit each.
    readers: AtomicU32,
}

fn write(trouble: Trouble) {
    let shared: &Shared = shared();
    let locked = shared.lock.write();
    assert!(trouble.kills > 0 || locked.is_ok(), "nobody died, and one was taken for dead");
    let guard = locked.unwrap_or_else(AcquireError::into_guard);
    let before = shared.writer.swap(thread::id(), Ordering::Relaxed);
    assert!(before == 0 || !thread::is_alive(before), "two write");
    let readers = shared.readers.load(Ordering::Relaxed);
    let is_alive = |at: u32| readers & 1 << at != 0 && thread::is_alive(multiproc_model::id(at as usize));
    assert!(!(0..3).any(is_alive), "one reads while another writes");
    shared.writer.store(0, Ordering::Relaxed);
    drop(guard);
}

fn read(trouble: Trouble, process: usize) {
    let shared: &Shared = shared();
    let locked = shared.lock.read();
    assert!(trouble.kills > 0 || locked.is_ok(), "nobody died, and one was taken for dead");
    let guard = locked.unwrap_or_else(AcquireError::into_guard);
    shared.readers.fetch_or(1 << process, Ordering::Relaxed);
    let writer = shared.writer.load(Ordering::Relaxed);
    assert!(writer == 0 || !thread::is_alive(writer), "one writes while another reads");
    shared.readers.fetch_and(!(1 << process), Ordering::Relaxed);
    drop(guard);
}

fn explore(writers: usize, readers: usize, operations: usize, trouble: impl Into<Trouble>) {
    let trouble = trouble.into();
    let explorer = Explorer::new(writers + readers).trouble(trouble);
    // One that hears a death at the end of an operation begins the next one as who comes later.
    let is_strict = operations == 1 || trouble.kills < 2;
    let explorer = if is_strict { explorer.late_time_outs() } else { explorer.time_outs() };
    explorer.prove(
        format_args!("rwlock: {writers} writers, {readers} readers, {operations} operations, {trouble}"),
        move |process| {
            for _ in 0..operations {
                if process < writers { write(trouble) } else { read(trouble, process) }
            }
        },
        End::nobody_sleeps,
    );
}

#[test]
fn one_writes_and_one_reads() {
    explore(1, 1, 1, 0);
    explore(2, 0, 1, 1);
    explore(1, 1, 1, 1);
}

#[test]
fn three_processes() {
    explore(1, 2, 1, 0);
    explore(1, 2, 1, 1);
    explore(2, 1, 1, 1);
    explore(2, 1, 1, 2);
    if is_full() {
        explore(1, 2, 1, 2);
        explore(2, 1, 2, 2);
        explore(1, 2, 2, 2);
    }
}

/// Deaths are seen at once here: what says who is inside asks for that, while the lock goes by the kernel's word.
#[test]
fn nobody_is_taken_for_dead() {
    explore(1, 1, 2, Trouble { pauses: 2, ..0.into() });
    explore(1, 1, 1, Trouble { kills: 1, pauses: 1, slow_deaths: false });
    if is_full() {
        explore(1, 2, 1, Trouble { kills: 1, pauses: 1, slow_deaths: false });
    }
}
