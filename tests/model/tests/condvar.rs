//! Conditions, with kills at every step: a notification reaches somebody, and a dead one's goes to another.
#![cfg(all(multiproc_model, target_arch = "x86_64", target_os = "linux"))]
#![cfg_attr(multiproc_model, expect(clippy::print_stdout, reason = "says what was tried"))]

use multiproc_model::{Explorer, is_full, shared, unless_full};
use multiproc_sync::{AcquireError, Condvar, Mutex, MutexGuard};

/// Things that are put, and whoever takes one waits while there is none.
#[repr(C)]
struct Shared {
    count: Mutex<u64>,
    arrived: Condvar,
}

type Guarded<'a> = Result<MutexGuard<'a, u64>, AcquireError<MutexGuard<'a, u64>>>;

fn recovered(result: Guarded<'_>) -> MutexGuard<'_, u64> {
    result.unwrap_or_else(|error| {
        // The dead one may have been notified, and not have taken what there was.
        shared::<Shared>().arrived.notify_all();
        error.into_guard()
    })
}

fn put(count: u64) {
    let shared: &Shared = shared();
    let mut guard = recovered(shared.count.lock());
    *guard += count;
    shared.arrived.notify_n(count as usize);
}

fn take() {
    let shared: &Shared = shared();
    let mut guard = recovered(shared.count.lock());
    while *guard == 0 {
        guard = recovered(shared.arrived.wait(guard));
    }
    *guard -= 1;
}

fn explore(putters: usize, takers: usize, each: u64, operations: usize, kills: usize, limit: usize) {
    let mut explorer = Explorer::new(putters + takers).kills(kills).limit(limit);
    if kills > 0 {
        explorer = explorer.time_outs();
    }
    let figures = explorer
        .explore(
            move |process| {
                for _ in 0..operations {
                    if process < putters { put(each) } else { take() }
                }
            },
            |end| {
                let mutex: &Mutex<u64> = &shared::<Shared>().count;
                // The value follows the words of the lock, and the check is no process that could take it.
                match count_of(mutex) {
                    0 => Ok(()),
                    _ => end.nobody_sleeps(),
                }
            },
        )
        .unwrap_or_else(|failure| panic!("{failure}"));
    println!(
        "condvar: {putters} put {each}, {takers} take, {operations} operations, {kills} kills: {figures:?}"
    );
    assert!(figures.complete || limit < usize::MAX);
}

fn count_of(_: &Mutex<u64>) -> u64 {
    use multiproc_core::sync::atomic::{AtomicU64, Ordering};
    let words: &[AtomicU64; 3] = shared();
    words[2].load(Ordering::Relaxed)
}

#[test]
fn one_puts_and_one_takes() {
    explore(1, 1, 1, 1, 0, usize::MAX);
    explore(1, 1, 1, 2, 0, usize::MAX);
    explore(1, 1, 1, 1, 1, usize::MAX);
}

#[test]
fn three_processes() {
    explore(1, 2, 2, 1, 0, unless_full(500_000));
    explore(2, 1, 1, 1, 0, unless_full(500_000));
    explore(1, 2, 1, 1, 1, unless_full(500_000));
    if is_full() {
        explore(1, 2, 2, 1, 1, usize::MAX);
        explore(1, 2, 1, 2, 2, usize::MAX);
        explore(2, 1, 1, 2, 2, usize::MAX);
    }
}
