//! Barriers, with kills at every step: everybody meets, or everybody learns that somebody died.
#![cfg(all(multiproc_model, target_arch = "x86_64", target_os = "linux"))]
#![cfg_attr(multiproc_model, expect(clippy::print_stdout, reason = "says what was tried"))]

use multiproc_model::{Explorer, is_full, shared};
use multiproc_sync::Barrier;

fn explore(parties: usize, operations: usize, kills: usize, limit: usize) {
    let mut explorer = Explorer::new(parties)
        .begin(move || {
            let barrier: &Barrier = shared();
            barrier.set_parties(parties as u32);
        })
        .kills(kills)
        .limit(limit);
    if kills > 0 {
        explorer = explorer.time_outs();
    }
    let figures = explorer
        .explore(
            move |_| {
                let barrier: &Barrier = shared();
                for _ in 0..operations {
                    let met = barrier.wait();
                    assert!(kills > 0 || met.is_ok(), "nobody died, and it broke");
                }
            },
            |end| {
                let waiting = shared::<Barrier>().waiting() as usize;
                let asleep = end.asleep.iter().filter(|asleep| **asleep).count();
                // Who sleeps waits for one that died before it came; one that died after it came breaks it.
                if asleep > 0 && (waiting != asleep || !end.dead.contains(&true)) {
                    return Err(format!("hang: {waiting} wait, {end:?}"));
                }
                Ok(())
            },
        )
        .unwrap_or_else(|failure| panic!("{failure}"));
    println!("barrier: {parties} parties, {operations} operations, {kills} kills: {figures:?}");
    assert!(figures.complete || limit < usize::MAX);
}

#[test]
fn two_parties() {
    explore(2, 1, 0, usize::MAX);
    explore(2, 2, 0, usize::MAX);
    explore(2, 1, 1, usize::MAX);
    explore(2, 2, 1, usize::MAX);
}

#[test]
fn three_parties() {
    explore(3, 1, 0, usize::MAX);
    explore(3, 1, 1, 500_000);
    if is_full() {
        explore(3, 2, 0, usize::MAX);
        explore(3, 1, 2, usize::MAX);
        explore(3, 2, 2, usize::MAX);
    }
}
