//! Conditions, with kills at every step: a notification reaches somebody, and a dead one's goes to another.

use multiproc_core::sync::atomic::{GuardedU64, Ordering};
use multiproc_model::{Explorer, Trouble, is_full, shared};
use multiproc_sync::{AcquireError, Condvar, Mutex, MutexGuard};

/// Things that are put, and whoever takes one waits while there is none.
#[repr(C)]
struct Shared {
    mutex: Mutex<u64>,
    arrived: Condvar,
    /// In the hands of who has the mutex, whose own value is no matter of the model.
    count: GuardedU64,
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
    let _guard = recovered(shared.mutex.lock());
    shared.count.fetch_add(count, Ordering::Relaxed);
    shared.arrived.notify_n(count as usize);
}

fn take() {
    let shared: &Shared = shared();
    let mut guard = recovered(shared.mutex.lock());
    while shared.count.load(Ordering::Relaxed) == 0 {
        guard = recovered(shared.arrived.wait(guard));
    }
    shared.count.fetch_sub(1, Ordering::Relaxed);
    drop(guard);
}

fn explore(putters: usize, takers: usize, each: u64, operations: usize, trouble: impl Into<Trouble>) {
    let trouble = trouble.into();
    let mut explorer = Explorer::new(putters + takers).trouble(trouble);
    if trouble.kills > 0 {
        // Who dies while it takes the mutex again, or with it, is found when a sleep ends.
        explorer = explorer.time_outs();
    }
    explorer.prove(
        format_args!("condvar: {putters} put {each}, {takers} take, {operations} operations, {trouble}"),
        move |process| {
            for _ in 0..operations {
                if process < putters { put(each) } else { take() }
            }
        },
        |end| match shared::<Shared>().count.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => end.nobody_sleeps(),
        },
    );
}

#[test]
fn one_puts_and_one_takes() {
    explore(1, 1, 1, 1, 0);
    explore(1, 1, 1, 2, 0);
    explore(1, 1, 1, 1, 1);
}

#[test]
fn three_processes() {
    explore(1, 2, 2, 1, 0);
    explore(2, 1, 1, 1, 0);
    explore(1, 2, 1, 1, 1);
    if is_full() {
        explore(1, 2, 2, 1, 1);
        explore(1, 2, 2, 1, 2);
        explore(2, 1, 1, 2, 2);
        explore(1, 2, 1, 2, 2);
    }
}

#[test]
fn nobody_is_taken_for_dead() {
    explore(1, 1, 1, 2, Trouble { pauses: 2, ..0.into() });
    explore(1, 2, 2, 1, Trouble { pauses: 1, ..0.into() });
    explore(1, 1, 1, 1, Trouble { kills: 1, pauses: 1, slow_deaths: true });
    if is_full() {
        explore(1, 2, 1, 1, Trouble { kills: 1, pauses: 1, slow_deaths: true });
    }
}
