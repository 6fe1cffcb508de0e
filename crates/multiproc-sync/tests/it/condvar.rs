use multiproc_sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn as_many_go_as_are_notified() {
    const WAITERS: u64 = 8;
    // How many wait, and how many have gone.
    let (state, changed) = (Mutex::new([0u64; 2]), Condvar::new());
    let gone = |least: u64| {
        let end = Instant::now() + Duration::from_secs(10);
        while state.lock().unwrap()[1] < least {
            assert!(Instant::now() < end, "{least} have not gone");
            thread::yield_now();
        }
        state.lock().unwrap()[1]
    };
    thread::scope(|scope| {
        for _ in 0..WAITERS {
            scope.spawn(|| {
                let mut guard = state.lock().unwrap();
                guard[0] += 1;
                guard = changed.wait(guard).unwrap();
                guard[1] += 1;
            });
        }
        while state.lock().unwrap()[0] < WAITERS {
            thread::yield_now();
        }
        changed.notify_n(0);
        changed.notify_one();
        assert_eq!(gone(1), 1);
        changed.notify_n(3);
        assert_eq!(gone(4), 4);
        changed.notify_all();
        assert_eq!(gone(8), 8);
    });
    // Nobody waits: it is not kept.
    changed.notify_one();
    let (_, result) = changed.wait_timeout(state.lock().unwrap(), Duration::from_millis(3)).unwrap();
    assert!(result.timed_out());
}

#[test]
fn more_waiters_than_places() {
    const WAITERS: u32 = 80;
    let (state, changed) = (Mutex::new([0u32; 2]), Condvar::new());
    thread::scope(|scope| {
        for _ in 0..WAITERS {
            scope.spawn(|| {
                let mut guard = state.lock().unwrap();
                guard[0] += 1;
                guard = changed.wait_while(guard, |state| state[1] == 0).unwrap();
                guard[1] -= 1;
            });
        }
        while state.lock().unwrap()[0] < WAITERS {
            thread::yield_now();
        }
        for _ in 0..WAITERS {
            state.lock().unwrap()[1] += 1;
            changed.notify_one();
        }
    });
    assert_eq!(state.into_inner()[1], 0);
}

#[test]
fn time_limits() {
    let (state, changed) = (Mutex::new(0u32), Condvar::new());
    let begin = Instant::now();
    let guard = state.lock().unwrap();
    let (guard, result) = changed.wait_deadline(guard, begin).unwrap();
    assert!(result.timed_out());
    let (guard, result) =
        changed.wait_timeout_while(guard, Duration::from_millis(3), |value| *value == 0).unwrap();
    assert!(result.timed_out() && begin.elapsed() >= Duration::from_millis(3));
    let (guard, result) = changed.wait_timeout_while(guard, Duration::ZERO, |value| *value == 1).unwrap();
    assert!(!result.timed_out());
    drop(guard);
}
