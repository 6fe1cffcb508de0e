use multiproc_sync::{BoundedSemaphore, Semaphore};
use std::time::{Duration, Instant};

#[test]
fn the_four_forms() {
    let gate = Semaphore::new(2);
    let first = gate.acquire();
    let second = gate.try_acquire().unwrap();
    assert_eq!(gate.available(), 0);
    assert!(gate.try_acquire().is_none());
    assert!(gate.acquire_timeout(Duration::from_millis(3)).is_none());
    assert!(gate.acquire_deadline(Instant::now()).is_none());
    drop(first);
    let third = gate.acquire_timeout(Duration::MAX).unwrap();
    drop((second, third));
    assert_eq!(gate.available(), 2);
}

#[test]
fn more_permits_than_a_thread_has_notes_of() {
    let gate = Semaphore::new(100);
    let mut permits: Vec<_> = (0..100).map(|_| gate.acquire()).collect();
    assert!(gate.try_acquire().is_none());
    permits.truncate(40);
    assert_eq!(gate.available(), 60);
    drop(permits);
    assert_eq!(gate.available(), 100);
}

#[test]
fn limits() {
    let none = Semaphore::new(0);
    assert!(none.try_acquire().is_none());
    none.release();
    assert!(none.try_acquire().is_some());
    let most = Semaphore::new(Semaphore::MAX_PERMITS);
    assert_eq!(most.available(), Semaphore::MAX_PERMITS);
    let permit = most.acquire();
    drop(permit);
    assert!(std::panic::catch_unwind(|| most.release()).is_err());
    assert!(most.try_acquire().is_some(), "it is not held by what panicked");
}

#[test]
fn a_bounded_one_counts_what_comes_back_by_itself() {
    let seats = BoundedSemaphore::new(3);
    let held = seats.acquire();
    seats.acquire().forget();
    assert_eq!(seats.available(), 1);
    seats.release().unwrap();
    seats.release().unwrap_err();
    drop(held);
    assert_eq!(seats.available(), 3);
    seats.release().unwrap_err();
}
