//! The wait cell and the monitor, with kills at every step.
#![cfg(all(multiproc_model, target_arch = "x86_64", target_os = "linux"))]

use multiproc_core::Deadline;
use multiproc_model::{Explorer, shared};
use multiproc_sync::raw::Monitor;

/// Processes 1 and above each take one of what process 0 puts there; who takes it off waits while there is none.
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

fn explore(putters: usize, takers: usize, operations: usize, kills: usize) {
    let figures = Explorer::new(putters + takers)
        .kills(kills)
        .time_outs()
        .explore(
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
        )
        .unwrap_or_else(|failure| panic!("{failure}"));
    println!("monitor: {putters} + {takers}, {operations} operations, {kills} kills: {figures:?}");
    assert!(figures.complete);
}

#[test]
fn nobody_waits_beside_what_was_put() {
    explore(1, 1, 1, 0);
    explore(1, 1, 2, 0);
    explore(1, 1, 1, 1);
    explore(2, 1, 1, 0);
    explore(1, 2, 1, 1);
}
