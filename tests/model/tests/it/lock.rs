//! The lock, with kills at every step.

use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU32, Ordering};
use multiproc_model::{End, Explorer, Trouble, is_full, shared};
use multiproc_sync::raw::{Acquired, Lock};

#[repr(C)]
struct Shared {
    lock: Lock,
    inside: AtomicU32,
}

fn operate(trouble: Trouble) {
    let shared: &Shared = shared();
    let locked = shared.lock.lock(Deadline::NEVER).unwrap();
    assert!(
        trouble.kills > 0 || locked.acquired == Acquired::Clean,
        "nobody died, and one was taken for dead"
    );
    // Whoever died inside is found as that.
    assert!(
        shared.inside.swap(1, Ordering::Relaxed) == 0 || locked.acquired == Acquired::OwnerDied,
        "two are inside"
    );
    shared.inside.store(0, Ordering::Relaxed);
    shared.lock.unlock(locked);
}

fn explore(processes: usize, operations: usize, trouble: impl Into<Trouble>) {
    let trouble = trouble.into();
    Explorer::new(processes).trouble(trouble).prove(
        format_args!("lock: {processes} processes, {operations} operations, {trouble}"),
        move |_| (0..operations).for_each(|_| operate(trouble)),
        End::nobody_sleeps,
    );
}

#[test]
fn two_processes() {
    explore(2, 1, 0);
    explore(2, 2, 1);
}

#[test]
fn three_processes_two_operations_two_kills() {
    explore(3, 2, 2);
    explore(3, 3, 2);
    explore(4, 1, 3);
    if is_full() {
        explore(4, 2, 2);
    }
}

/// Bounded sleeps end at any time, and deaths are seen late.
#[test]
fn nobody_is_taken_for_dead() {
    explore(3, 2, Trouble { pauses: 2, ..0.into() });
    explore(3, 2, Trouble { kills: 1, pauses: 1, slow_deaths: true });
}
