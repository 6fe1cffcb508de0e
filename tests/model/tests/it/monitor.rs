//! The wait cell and the monitor, with kills at every step.

use multiproc_core::Deadline;
use multiproc_model::{Explorer, Trouble, is_full, shared};
use multiproc_sync::raw::Monitor;

/// The first processes each add to a number; the others each take one off, and wait while there is none.
fn put() {
    let monitor: &Monitor = shared();
    let entered = monitor.enter();
    entered.publish(entered.value() + 1);
}

fn take() {
    let monitor: &Monitor = shared();
    loop {
        let entered = monitor.enter();
        if entered.value() > 0 {
            entered.publish_quietly(entered.value() - 1);
            return;
        }
        drop(entered);
        monitor.wait(Deadline::NEVER, |value| value > 0, || ());
    }
}

fn explore(putters: usize, takers: usize, operations: usize, trouble: impl Into<Trouble>) {
    let trouble = trouble.into();
    Explorer::new(putters + takers).trouble(trouble).late_time_outs().prove(
        format_args!("wait word: {putters} put, {takers} take, {operations} operations, {trouble}"),
        move |process| {
            for _ in 0..operations {
                if process < putters { put() } else { take() }
            }
        },
        // Who was killed may not have put, or taken: who waits for what is not there does so rightly.
        |end| match shared::<Monitor>().value() {
            0 => Ok(()),
            _ => end.nobody_sleeps(),
        },
    );
}

#[test]
fn nobody_waits_beside_what_was_put() {
    explore(1, 1, 1, 0);
    explore(1, 1, 2, 0);
    explore(1, 1, 1, 1);
    explore(2, 1, 1, 0);
    explore(1, 2, 1, 1);
}

#[test]
fn three_processes_two_operations_two_kills() {
    explore(2, 1, 2, 2);
    if is_full() {
        explore(1, 2, 2, 2);
    }
}

#[test]
fn nobody_is_taken_for_dead() {
    explore(1, 2, 1, Trouble { pauses: 2, ..0.into() });
    explore(1, 2, 1, Trouble { kills: 1, pauses: 1, slow_deaths: true });
}
