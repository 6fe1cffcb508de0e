//! The lock, with kills at every step.
#![cfg(all(multiproc_model, target_arch = "x86_64", target_os = "linux"))]

use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU32, Ordering};
use multiproc_model::{Explorer, shared};
use multiproc_sync::raw::Lock;

#[repr(C)]
struct Shared {
    lock: Lock,
    inside: AtomicU32,
}

fn operate() {
    let shared: &Shared = shared();
    let locked = shared.lock.lock(Deadline::NEVER).unwrap();
    // Whoever died inside is found as that.
    assert!(
        shared.inside.swap(1, Ordering::Relaxed) == 0
            || locked.acquired == multiproc_sync::raw::Acquired::OwnerDied
    );
    shared.inside.store(0, Ordering::Relaxed);
    shared.lock.unlock(locked);
}

fn explore(processes: usize, operations: usize, kills: usize) {
    let figures = Explorer::new(processes)
        .kills(kills)
        .explore(move |_| (0..operations).for_each(|_| operate()), |end| end.nobody_sleeps())
        .unwrap_or_else(|failure| panic!("{failure}"));
    println!("lock: {processes} processes, {operations} operations, {kills} kills: {figures:?}");
    assert!(figures.complete);
}

#[test]
fn two_processes() {
    explore(2, 1, 0);
    explore(2, 2, 1);
}

#[test]
fn three_processes_two_operations_two_kills() {
    explore(3, 2, 2);
}
