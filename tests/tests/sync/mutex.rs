use crate::{assert_soon, go_on, kill, stay, stop, with_children};
use multiproc::{Mutex, Process, ReentrantMutex, Shared, one_way};
use multiproc_tests::eventually;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Starts a child that takes the lock, changes the value to 7, and stays; returns when it has.
fn holder(mutex: &Shared<Mutex<u64>>) -> Process<()> {
    let (reader, writer) = one_way::<()>().unwrap();
    let child = Process::spawn((mutex.clone(), writer), |(mutex, writer)| -> () {
        let mut guard = mutex.lock().unwrap();
        *guard = 7;
        writer.send(()).unwrap();
        stay()
    });
    reader.recv().unwrap();
    child.unwrap()
}

#[test]
fn no_increment_is_lost() {
    with_children(|| {
        let total = Shared::new([const { Mutex::new(0u64) }; 3]).unwrap();
        let child = |_| {
            Process::spawn(total.clone(), |total| {
                for n in 0..20_000 {
                    *total[n % 3].lock().unwrap() += 1;
                }
            })
        };
        let children: Vec<_> = (0..4).map(child).collect();
        for child in children {
            child.unwrap().join().unwrap();
        }
        let sum: u64 = total.iter().map(|part| *part.lock().unwrap()).sum();
        assert_eq!(sum, 80_000);
    });
}

#[test]
fn an_owner_that_is_killed_is_an_error_and_a_guard() {
    with_children(|| {
        let mutex = Shared::new(Mutex::new(1u64)).unwrap();
        let child = holder(&mutex);
        assert!(mutex.try_lock().unwrap_err().is_would_block());
        assert!(mutex.lock_timeout(Duration::from_millis(5)).unwrap_err().is_timeout());
        kill(child);
        let error = assert_soon("the lock of a dead one", || mutex.lock().unwrap_err());
        assert!(error.is_owner_dead() && !error.is_panicked(), "{error}");
        // Not recovered: the next one is told again, also another process.
        drop(error);
        assert!(mutex.try_lock().unwrap_err().is_owner_dead());
        let told = Process::spawn(mutex.clone(), |mutex| {
            let guard = mutex.lock().unwrap_err().into_guard();
            *guard
        });
        assert_eq!(told.unwrap().join().unwrap(), 7);
        assert_eq!(*mutex.lock().unwrap(), 7);
    });
}

#[test]
fn who_sleeps_is_woken_by_the_owners_death() {
    with_children(|| {
        let mutex = Shared::new(Mutex::new(1u64)).unwrap();
        let child = holder(&mutex);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                Process::spawn(mutex.clone(), |mutex| match mutex.lock() {
                    Ok(mut guard) => {
                        *guard += 1;
                        0
                    }
                    Err(error) => {
                        *error.into_guard() += 1;
                        1
                    }
                })
                .unwrap()
            })
            .collect();
        kill(child);
        let told: u32 =
            assert_soon("all waiters", || waiters.into_iter().map(|waiter| waiter.join().unwrap()).sum());
        assert_eq!((told, *mutex.lock().unwrap()), (1, 10));
    });
}

#[test]
fn all_locks_of_the_dead_are_found() {
    with_children(|| {
        const LOCKS: usize = 20;
        let locks = Shared::new([const { Mutex::new(0u32) }; LOCKS]).unwrap();
        let (reader, writer) = one_way::<()>().unwrap();
        let child = Process::spawn((locks.clone(), writer), |(locks, writer)| -> () {
            let _guards: Vec<_> = locks.iter().map(|lock| lock.lock().unwrap()).collect();
            writer.send(()).unwrap();
            stay()
        });
        reader.recv().unwrap();
        kill(child.unwrap());
        // Half of them by one who waits, half by one who does not.
        for (n, lock) in locks.iter().enumerate() {
            if n % 2 == 0 {
                assert_soon("a lock of the dead", || drop(lock.lock().unwrap_err().into_guard()));
            } else {
                eventually(Duration::from_secs(1), "a lock of the dead is free", || {
                    lock.try_lock().is_err_and(|error| error.is_owner_dead())
                });
            }
        }
    });
}

#[test]
fn locks_are_released_in_any_order() {
    with_children(|| {
        let locks = Shared::new([const { Mutex::new(0u32) }; 3]).unwrap();
        let (reader, writer) = one_way::<()>().unwrap();
        let child = Process::spawn((locks.clone(), writer), |(locks, writer)| -> () {
            let first = locks[0].lock().unwrap();
            let second = locks[1].lock().unwrap();
            let third = locks[2].lock().unwrap();
            drop(first);
            drop(third);
            writer.send(()).unwrap();
            let _second = second;
            stay()
        });
        reader.recv().unwrap();
        assert!(locks[0].try_lock().is_ok() && locks[2].try_lock().is_ok());
        kill(child.unwrap());
        // The kernel knows that this was the last one left.
        assert!(locks[1].try_lock().unwrap_err().is_owner_dead());
    });
}

#[test]
fn a_panic_and_an_exit_with_the_lock_are_told() {
    with_children(|| {
        let mutex = Shared::new(Mutex::new(0u64)).unwrap();
        let child = Process::spawn(mutex.clone(), |mutex| -> () {
            let _guard = mutex.lock().unwrap();
            panic!("with the lock")
        });
        child.unwrap().join().unwrap_err();
        let error = mutex.lock().unwrap_err();
        assert!(error.is_panicked() && error.is_owner_dead());
        drop(error.into_guard());
        let child = Process::spawn(mutex.clone(), |mutex| -> () {
            let _guard = mutex.lock().unwrap();
            std::process::exit(3)
        });
        child.unwrap().join().unwrap_err();
        let error = mutex.lock().unwrap_err();
        assert!(!error.is_panicked() && error.is_owner_dead());
    });
}

#[test]
fn an_owner_that_is_stopped_is_not_dead() {
    with_children(|| {
        let mutex = Shared::new(Mutex::new(0u64)).unwrap();
        let child = holder(&mutex);
        stop(child.id());
        assert!(mutex.lock_timeout(Duration::from_millis(300)).unwrap_err().is_timeout());
        go_on(child.id());
        kill(child);
        assert!(mutex.lock().unwrap_err().is_owner_dead());
    });
}

#[test]
fn a_waiter_that_is_killed_takes_nothing_with_it() {
    with_children(|| {
        const KILLS: u32 = 20;
        let mutex = Shared::new(Mutex::new(0u64)).unwrap();
        for _ in 0..KILLS {
            let guard = mutex.lock().unwrap();
            let waiters =
                [(); 2].map(|()| Process::spawn(mutex.clone(), |mutex| drop(mutex.lock())).unwrap());
            let [first, second] = waiters;
            first.kill().unwrap();
            drop(guard);
            first.wait().unwrap();
            assert_soon("the other waiter", || second.join().unwrap());
            assert_soon("the lock", || drop(mutex.lock().map_err(multiproc::AcquireError::into_guard)));
        }
        println!("figures: {KILLS} kills in waiters of a lock");
    });
}

#[test]
fn reentrant_locks_are_free_when_all_guards_are_gone() {
    with_children(|| {
        let mutex = Shared::new(ReentrantMutex::new(AtomicU64::new(0))).unwrap();
        let try_elsewhere = || {
            let child = Process::spawn(mutex.clone(), |mutex| match mutex.try_lock() {
                Ok(_) => "free".to_owned(),
                Err(error) => format!("{error:?}"),
            });
            child.unwrap().join().unwrap()
        };
        let outer = mutex.lock().unwrap();
        let inner = mutex.try_lock().unwrap();
        // Relaxed: the lock orders it.
        inner.fetch_add(1, Ordering::Relaxed);
        drop(outer);
        assert_eq!(try_elsewhere(), "AcquireError(WouldBlock)");
        drop(inner);
        assert_eq!(try_elsewhere(), "free");

        let (reader, writer) = one_way::<()>().unwrap();
        let child = Process::spawn((mutex.clone(), writer), |(mutex, writer)| -> () {
            let _outer = mutex.lock().unwrap();
            let _inner = mutex.lock().unwrap();
            writer.send(()).unwrap();
            stay()
        });
        reader.recv().unwrap();
        kill(child.unwrap());
        assert_eq!(try_elsewhere(), "AcquireError(OwnerDied)");
        let guard = assert_soon("the lock of a dead one", || mutex.lock().unwrap_err().into_guard());
        drop(mutex.lock().unwrap());
        drop(guard);
        assert_eq!(try_elsewhere(), "free");
    });
}
