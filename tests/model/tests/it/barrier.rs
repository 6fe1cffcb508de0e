//! Barriers, with kills at every step: everybody meets, or everybody learns that somebody died.

use multiproc_model::{Explorer, Trouble, is_full, shared};
use multiproc_sync::Barrier;

fn explore(parties: usize, operations: usize, trouble: impl Into<Trouble>) {
    let trouble = trouble.into();
    let begin = move || shared::<Barrier>().set_parties(parties as u32);
    let explorer = Explorer::new(parties).begin(begin).trouble(trouble);
    // One that hears a death at the end of an operation begins the next one as who comes later.
    let is_strict = operations == 1 || trouble.kills < 2;
    let explorer = if is_strict { explorer.late_time_outs() } else { explorer.time_outs() };
    explorer.prove(
        format_args!("barrier: {parties} parties, {operations} operations, {trouble}"),
        move |_| {
            let barrier: &Barrier = shared();
            for _ in 0..operations {
                let met = barrier.wait();
                assert!(trouble.kills > 0 || met.is_ok(), "nobody died, and it broke");
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
    );
}

#[test]
fn two_parties() {
    explore(2, 1, 0);
    explore(2, 2, 0);
    explore(2, 1, 1);
    explore(2, 2, 1);
}

#[test]
fn three_parties() {
    explore(3, 1, 0);
    explore(3, 1, 1);
    if is_full() {
        explore(3, 2, 0);
        explore(3, 1, 2);
        explore(3, 2, 2);
    }
}

#[test]
fn nobody_is_taken_for_dead() {
    explore(2, 2, Trouble { pauses: 2, ..0.into() });
    explore(3, 1, Trouble { pauses: 1, ..0.into() });
    explore(2, 1, Trouble { kills: 1, pauses: 1, slow_deaths: true });
    if is_full() {
        explore(3, 1, Trouble { kills: 1, pauses: 1, slow_deaths: true });
    }
}
