use multiproc_shm::Shared;
use multiproc_sync::{Mutex, ReentrantMutex, RwLock};
use multiproc_threads::{Plain, together};
use std::time::Duration;

const THREADS: usize = 4;
const ROUNDS: u64 = 2_000;

#[test]
fn a_mutex() {
    let (mutex, count) = (Shared::new(Mutex::new([0u64; 4])).unwrap(), Plain::new(0));
    together(THREADS, |number| {
        let mutex = mutex.clone();
        for round in 0..ROUNDS {
            let mut guard = match (number as u64 + round) % 3 {
                0 => mutex.lock().unwrap(),
                1 => mutex.lock_timeout(Duration::MAX).unwrap(),
                _ => loop {
                    match mutex.try_lock() {
                        Ok(guard) => break guard,
                        Err(error) => assert!(error.is_would_block(), "{error}"),
                    }
                    std::thread::yield_now();
                },
            };
            guard.iter_mut().for_each(|value| *value += 1);
            count.add(1);
        }
    });
    assert_eq!(
        (*mutex.lock().unwrap(), count.get()),
        ([THREADS as u64 * ROUNDS; 4], THREADS as u64 * ROUNDS)
    );
}

#[test]
fn several_at_once_in_any_order() {
    let locks = Shared::new([const { Mutex::new(0u64) }; 3]).unwrap();
    let counts = [const { Plain::new(0) }; 3];
    together(THREADS, |_| {
        for round in 0..ROUNDS as usize {
            let (first, second) = ([0, 0, 1][round % 3], [1, 2, 2][round % 3]);
            let mut lower = locks[first].lock().unwrap();
            let mut upper = locks[second].lock().unwrap();
            *lower += 1;
            counts[first].add(1);
            drop(lower);
            *upper += 1;
            counts[second].add(1);
        }
    });
    for (lock, count) in locks.iter().zip(&counts) {
        assert_eq!(*lock.lock().unwrap(), count.get());
    }
}

#[test]
fn one_that_its_owner_takes_again() {
    let (mutex, count) = (Shared::new(ReentrantMutex::new(7u64)).unwrap(), Plain::new(0));
    together(THREADS, |_| {
        for _ in 0..ROUNDS {
            let outer = mutex.lock().unwrap();
            let inner = mutex.lock().unwrap();
            assert_eq!(*inner, 7);
            count.add(1);
            drop(outer);
            count.add(1);
        }
    });
    assert_eq!(count.get(), 2 * THREADS as u64 * ROUNDS);
}

#[test]
fn readers_and_writers() {
    let (lock, beside) = (Shared::new(RwLock::new([0u64; 8])).unwrap(), Plain::new(0));
    together(THREADS, |number| {
        for round in 0..ROUNDS {
            if (number as u64 + round).is_multiple_of(4) {
                let mut guard = lock.write().unwrap();
                guard.iter_mut().for_each(|value| *value += 1);
                beside.add(1);
            } else {
                let guard = match lock.try_read() {
                    Ok(guard) => guard,
                    Err(_) => lock.read().unwrap(),
                };
                assert!(guard.iter().all(|value| *value == beside.get()));
            }
        }
    });
    assert_eq!(lock.read().unwrap()[0], THREADS as u64 * ROUNDS / 4);
}

#[test]
fn who_finds_that_its_owner_died_sees_what_it_wrote() {
    for round in 1..=200 {
        let mutex = Shared::new(Mutex::new(0u64)).unwrap();
        // The thread's end is what the kernel acts on, and it is joined before the lock is taken again.
        together(1, |_| {
            let mut guard = mutex.lock().unwrap();
            *guard = round;
            std::mem::forget(guard);
        });
        let guard = mutex.lock().unwrap_err().into_guard();
        assert_eq!(*guard, round);
    }
}
