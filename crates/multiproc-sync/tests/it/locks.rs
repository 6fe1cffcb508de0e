use multiproc_shm::{Shared, ShmSafe};
use multiproc_sync::{Event, Mutex, ReentrantMutex, RwLock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(3);

/// One that has the lock for as long as the other side of the events says.
fn held_elsewhere<'a>(hold: impl FnOnce(&dyn Fn()) + Send + 'a, meanwhile: impl FnOnce()) {
    let (taken, release) = (Event::new(), Event::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            hold(&|| {
                taken.set();
                release.wait();
            });
        });
        taken.wait();
        meanwhile();
        release.set();
    });
}

#[test]
fn sizes_and_layouts() {
    assert_eq!((size_of::<Mutex<u64>>(), size_of::<Event>(), size_of::<Mutex<u8>>()), (24, 4, 24));
    assert_ne!(Mutex::<u32>::LAYOUT, Mutex::<i32>::LAYOUT);
    assert_ne!(Mutex::<u32>::LAYOUT, ReentrantMutex::<u32>::LAYOUT);
    let nested = Shared::new([const { Mutex::new([0u16; 3]) }; 5]).unwrap();
    nested[4].lock().unwrap()[2] = 9;
    assert_eq!(*nested[4].lock().unwrap(), [0, 0, 9]);
    let mut mutex = Mutex::from(3u32);
    *mutex.get_mut() += 1;
    assert_eq!(mutex.into_inner(), 4);
}

#[test]
fn the_four_forms() {
    let mutex = Mutex::new(1u32);
    held_elsewhere(
        |stay| {
            let _guard = mutex.lock().unwrap();
            stay();
        },
        || {
            assert!(mutex.try_lock().unwrap_err().is_would_block());
            let begin = Instant::now();
            assert!(mutex.lock_timeout(SHORT).unwrap_err().is_timeout());
            assert!(mutex.lock_deadline(begin).unwrap_err().is_timeout());
            assert!(begin.elapsed() >= SHORT);
            assert_eq!(format!("{mutex:?}"), "Mutex { value: <locked> }");
        },
    );
    assert!(mutex.try_lock().is_ok() && mutex.lock_timeout(Duration::MAX).is_ok());
    assert_eq!(format!("{mutex:?}"), "Mutex { value: 1 }");

    let reentrant = ReentrantMutex::new(1u32);
    held_elsewhere(
        |stay| {
            let _guard = reentrant.lock().unwrap();
            stay();
        },
        || {
            assert!(reentrant.try_lock().unwrap_err().is_would_block());
            assert!(reentrant.lock_timeout(SHORT).unwrap_err().is_timeout());
            assert!(reentrant.lock_deadline(Instant::now()).unwrap_err().is_timeout());
        },
    );

    let table = RwLock::new(1u32);
    held_elsewhere(
        |stay| {
            let _guard = table.read().unwrap();
            stay();
        },
        || {
            assert!(table.try_read().is_ok() && table.read_timeout(SHORT).is_ok());
            assert!(table.try_write().unwrap_err().is_would_block());
            assert!(table.write_timeout(SHORT).unwrap_err().is_timeout());
            assert!(table.write_deadline(Instant::now()).unwrap_err().is_timeout());
            assert!(table.try_read().is_ok(), "the writers have given up");
        },
    );
    held_elsewhere(
        |stay| {
            let _guard = table.write().unwrap();
            stay();
        },
        || {
            assert!(table.try_read().unwrap_err().is_would_block());
            assert!(table.read_timeout(SHORT).unwrap_err().is_timeout());
            assert!(table.read_deadline(Instant::now()).unwrap_err().is_timeout());
            assert!(table.try_write().unwrap_err().is_would_block());
        },
    );
}

#[test]
fn who_has_it_is_told_of_the_deadlock() {
    let mutex = Mutex::new(1u32);
    let guard = mutex.lock().unwrap();
    assert!(mutex.lock().unwrap_err().is_deadlock());
    assert!(mutex.lock_timeout(Duration::MAX).unwrap_err().is_deadlock());
    drop(guard);
    let table = RwLock::new(1u32);
    let guard = table.write().unwrap();
    assert!(table.write().unwrap_err().is_deadlock() && table.read().unwrap_err().is_deadlock());
    drop(guard);
    assert!(table.read().is_ok() && table.write().is_ok());
}

#[test]
fn a_guard_that_began_amid_a_panic_tells_of_none() {
    struct Count<'a>(&'a Mutex<u32>);

    impl Drop for Count<'_> {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }

    let mutex = Mutex::new(0);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _count = Count(&mutex);
        panic!("what is counted while it unwinds is whole");
    }));
    assert!(panicked.is_err());
    assert_eq!(*mutex.lock().unwrap(), 1);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex.lock().unwrap();
        panic!("this one is not");
    }));
    assert!(panicked.is_err());
    assert!(mutex.lock().unwrap_err().is_panicked());
}

#[test]
fn a_panic_is_told_until_it_is_recovered() {
    let mutex = Mutex::new(1u32);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex.lock().unwrap();
        panic!("with the lock");
    }));
    assert!(panicked.is_err());
    let error = mutex.lock().unwrap_err();
    assert!(error.is_panicked() && error.to_string().contains("panicked"), "{error}");
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::Other);
    assert_eq!(format!("{mutex:?}"), "Mutex { value: <owner dead> }");
    drop(mutex.lock().unwrap_err().into_guard());
    assert!(mutex.lock().is_ok());

    let table = RwLock::new(1u32);
    let reader = catch_unwind(AssertUnwindSafe(|| {
        let _guard = table.read().unwrap();
        panic!("a reader changes nothing");
    }));
    assert!(reader.is_err() && table.write().is_ok());
    let writer = catch_unwind(AssertUnwindSafe(|| {
        let _guard = table.write().unwrap();
        panic!("with the lock");
    }));
    assert!(writer.is_err() && table.read().unwrap_err().is_panicked());
    drop(table.write().unwrap_err().into_guard());
    assert!(table.read().is_ok());
}

#[test]
#[should_panic(expected = "ask `is_owner_dead` first")]
fn there_is_no_guard_in_a_time_out() {
    let mutex = Mutex::new(1u32);
    let _guard = mutex.lock().unwrap();
    let _ = mutex.try_lock().unwrap_err().into_guard();
}

#[test]
fn a_thread_that_ends_with_the_lock_is_dead() {
    let mutex = Mutex::new(1u32);
    thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(mutex.lock().unwrap()));
    });
    assert!(mutex.lock().unwrap_err().is_owner_dead());
}

#[test]
fn many_threads() {
    let total = Mutex::new(0u64);
    let table = RwLock::new([0u64; 4]);
    let reentrant = ReentrantMutex::new(AtomicU64::new(0));
    thread::scope(|scope| {
        for n in 0..4 {
            let (total, table, reentrant) = (&total, &table, &reentrant);
            scope.spawn(move || {
                for _ in 0..2_000 {
                    *total.lock().unwrap() += 1;
                    if n % 2 == 0 {
                        table.write().unwrap().iter_mut().for_each(|place| *place += 1);
                    } else {
                        let guard = table.read().unwrap();
                        assert!(guard.iter().all(|place| *place == guard[0]));
                    }
                    let outer = reentrant.lock().unwrap();
                    let inner = reentrant.lock().unwrap();
                    // Relaxed: the lock orders it, also where it is read and written apart.
                    let before = outer.load(Ordering::Relaxed);
                    inner.store(before + 1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((*total.lock().unwrap(), *table.read().unwrap()), (8_000, [4_000; 4]));
    assert_eq!(reentrant.into_inner().into_inner(), 8_000);
}
