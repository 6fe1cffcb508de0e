use multiproc_sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn one_is_enough_for_one_and_for_none() {
    for parties in [0, 1] {
        let barrier = Barrier::new(parties);
        for _ in 0..3 {
            let met = barrier.wait().unwrap();
            assert_eq!((met.index(), met.is_leader(), barrier.waiting()), (0, true, 0));
        }
    }
}

#[test]
fn everybody_meets_many_times() {
    const PARTIES: u32 = 5;
    let barrier = Barrier::new(PARTIES);
    thread::scope(|scope| {
        let threads = [(); PARTIES as usize].map(|()| {
            scope.spawn(|| {
                (0..2_000).fold((0, 0), |(leads, indices), _| {
                    let met = barrier.wait().unwrap();
                    (leads + u32::from(met.is_leader()), indices + met.index())
                })
            })
        });
        let results = threads.map(|thread| thread.join().unwrap());
        let sum = results.iter().fold((0, 0), |sum, result| (sum.0 + result.0, sum.1 + result.1));
        assert_eq!(sum, (2_000, 20_000));
    });
    assert_eq!((barrier.waiting(), barrier.parties(), barrier.is_broken()), (0, PARTIES, false));
}

#[test]
fn more_parties_than_places() {
    const PARTIES: u32 = 140;
    let barrier = Barrier::new(PARTIES);
    thread::scope(|scope| {
        for _ in 0..PARTIES {
            scope.spawn(|| assert!((0..3).all(|_| barrier.wait().is_ok())));
        }
    });
}

#[test]
fn it_breaks_and_is_reset() {
    let barrier = Barrier::new(2);
    let waiting = |parties| {
        while barrier.waiting() != parties {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| barrier.wait());
        waiting(1);
        barrier.abort();
        assert!(!other.join().unwrap().unwrap_err().is_timeout());
        assert!(barrier.is_broken() && barrier.wait_timeout(Duration::MAX).is_err());

        barrier.reset();
        let other = scope.spawn(|| barrier.wait());
        waiting(1);
        barrier.reset();
        assert!(other.join().unwrap().is_err() && !barrier.is_broken());

        let error = barrier.wait_deadline(Instant::now()).unwrap_err();
        assert!(error.is_timeout() && error.to_string().contains("reset"), "{error}");
        barrier.reset();
        let other = scope.spawn(|| barrier.wait());
        assert!(barrier.wait().is_ok() && other.join().unwrap().is_ok());
    });
}

#[test]
fn who_looks_late_learns_how_its_own_meeting_ended() {
    // The first party looks only after the barrier was met and broken again: it was met, for it.
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        for _ in 0..200 {
            let other = scope.spawn(|| barrier.wait());
            assert!(barrier.wait().is_ok());
            barrier.abort();
            assert!(other.join().unwrap().is_ok());
            barrier.reset();
        }
    });
}
