//! Locks for readers and writers, with kills at every step.
#![cfg(all(multiproc_model, target_arch = "x86_64", target_os = "linux"))]
#![cfg_attr(multiproc_model, expect(clippy::print_stdout, reason = "says what was tried"))]

use multiproc_core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use multiproc_core::sync::thread;
use multiproc_model::{Explorer, is_full, shared, unless_full};
use multiproc_sync::{AcquireError, RwLock};

#[repr(C)]
struct Shared {
    lock: RwLock<u64>,
    /// The number of the one who writes.
    writer: AtomicU64,
    /// Readers at work, one bit each.
    readers: AtomicU32,
}

fn write() {
    let shared: &Shared = shared();
    let guard = shared.lock.write().unwrap_or_else(AcquireError::into_guard);
    let before = shared.writer.swap(thread::id(), Ordering::Relaxed);
    assert!(before == 0 || !thread::is_alive(before), "two write");
    let readers = shared.readers.load(Ordering::Relaxed);
    let is_alive = |at: u32| readers & 1 << at != 0 && thread::is_alive(u64::from(at + 1) | 7 << 32);
    assert!(!(0..3).any(is_alive), "one reads while another writes");
    shared.writer.store(0, Ordering::Relaxed);
    drop(guard);
}

fn read(process: usize) {
    let shared: &Shared = shared();
    let guard = shared.lock.read().unwrap_or_else(AcquireError::into_guard);
    shared.readers.fetch_or(1 << process, Ordering::Relaxed);
    let writer = shared.writer.load(Ordering::Relaxed);
    assert!(writer == 0 || !thread::is_alive(writer), "one writes while another reads");
    shared.readers.fetch_and(!(1 << process), Ordering::Relaxed);
    drop(guard);
}

fn explore(writers: usize, readers: usize, operations: usize, kills: usize, limit: usize) {
    let mut explorer = Explorer::new(writers + readers).kills(kills).limit(limit);
    if kills > 0 {
        explorer = explorer.time_outs();
    }
    let figures = explorer
        .explore(
            move |process| {
                for _ in 0..operations {
                    if process < writers { write() } else { read(process) }
                }
            },
            |end| end.nobody_sleeps(),
        )
        .unwrap_or_else(|failure| panic!("{failure}"));
    println!(
        "rwlock: {writers} writers, {readers} readers, {operations} operations, {kills} kills: {figures:?}"
    );
    assert!(figures.complete || limit < usize::MAX);
}

#[test]
fn one_writes_and_one_reads() {
    explore(1, 1, 1, 0, usize::MAX);
    explore(2, 0, 1, 1, usize::MAX);
    explore(1, 1, 1, 1, usize::MAX);
}

#[test]
fn three_processes() {
    explore(1, 2, 1, 0, unless_full(500_000));
    explore(1, 2, 1, 1, unless_full(500_000));
    explore(2, 1, 1, 1, unless_full(500_000));
    if is_full() {
        explore(1, 2, 1, 2, usize::MAX);
        explore(2, 1, 1, 2, usize::MAX);
        explore(2, 1, 2, 2, usize::MAX);
    }
}
