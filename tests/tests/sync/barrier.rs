use crate::{assert_soon, kill, with_children};
use multiproc::{Barrier, Process, Shared};
use multiproc_tests::eventually;
use std::time::Duration;

/// Starts a child that waits; returns when it is counted.
fn party(barrier: &Shared<Barrier>) -> Process<bool> {
    let before = barrier.waiting();
    let child = Process::spawn(barrier.clone(), |barrier| barrier.wait().is_ok()).unwrap();
    eventually(Duration::from_secs(10), "it waits", || barrier.waiting() > before);
    child
}

#[test]
fn everybody_meets_again_and_again() {
    with_children(|| {
        let barrier = Shared::new(Barrier::new(3)).unwrap();
        let children = [(); 3].map(|()| {
            Process::spawn(barrier.clone(), |barrier| {
                (0..1_000).fold((0, 0), |(leads, indices), _| {
                    let met = barrier.wait().unwrap();
                    (leads + u32::from(met.is_leader()), indices + met.index())
                })
            })
            .unwrap()
        });
        let results = children.map(|child| child.join().unwrap());
        let sum = results.iter().fold((0, 0), |sum, result| (sum.0 + result.0, sum.1 + result.1));
        assert_eq!(sum, (1_000, 3_000));
    });
}

#[test]
fn a_party_that_dies_while_it_waits_breaks_it_for_all() {
    with_children(|| {
        const KILLS: u32 = 10;
        for _ in 0..KILLS {
            let barrier = Shared::new(Barrier::new(4)).unwrap();
            let others = [party(&barrier), party(&barrier)];
            let dead = party(&barrier);
            kill(dead);
            assert_soon("the others", || {
                for other in others {
                    assert!(!other.join().unwrap());
                }
            });
            assert!(barrier.is_broken() && barrier.wait().is_err());
            barrier.reset();
            assert!(!barrier.is_broken());
        }
        println!("figures: {KILLS} kills in parties of a barrier");
    });
}

#[test]
fn a_party_that_died_before_the_others_came_breaks_it_too() {
    with_children(|| {
        let barrier = Shared::new(Barrier::new(3)).unwrap();
        kill(party(&barrier));
        assert_eq!(barrier.waiting(), 1);
        let error = assert_soon("waiting beside a dead one", || barrier.wait().unwrap_err());
        assert!(!error.is_timeout());
    });
}

#[test]
fn one_gives_up_aborts_or_resets() {
    with_children(|| {
        let barrier = Shared::new(Barrier::new(3)).unwrap();
        let other = party(&barrier);
        assert!(barrier.wait_timeout(Duration::from_millis(5)).unwrap_err().is_timeout());
        assert!(!other.join().unwrap() && barrier.is_broken());
        barrier.reset();

        let other = party(&barrier);
        barrier.abort();
        assert!(!other.join().unwrap() && barrier.is_broken());
        barrier.reset();

        let other = party(&barrier);
        barrier.reset();
        assert!(!other.join().unwrap() && !barrier.is_broken());
        let others = [party(&barrier), party(&barrier)];
        assert!(barrier.wait().unwrap().is_leader());
        assert!(others.map(|other| other.join().unwrap()) == [true, true]);
    });
}
