use crate::image::{LIMIT, Memory, Random, Tally, try_all};
use multiproc::{
    AcquireError, Barrier, BoundedSemaphore, Condvar, Event, Mutex, ReentrantMutex, RwLock, Semaphore,
    Shared, ShmSafe,
};
use multiproc_core::codec;
use multiproc_tests::isolated_for;
use std::time::Duration;

const SOON: Duration = Duration::from_micros(300);
/// Where the value begins behind its header.
const VALUE: u64 = 64;

/// Tries images of a value that is in shared memory: those that are attached to after the damage, and those that are
/// in use already. `spared` is how many bytes of its beginning stay as they are.
fn try_value<T: ShmSafe + Send + Sync>(
    kind: &str,
    spared: u64,
    new: impl Fn() -> T,
    act: impl Fn(&T, &mut Random, &mut Tally),
) {
    try_all(kind, 1, |random, tally| {
        let value = Shared::new(new()).unwrap();
        let memory = Memory::of(&value);
        let all = VALUE + spared..memory.len().next_multiple_of(8);
        // Mostly the words at its beginning, which the rest hangs on.
        let first = all.start..all.end.min(all.start + 64);
        let places = if random.one_in(12) { vec![0..64, first] } else { vec![first.clone(), first, all] };
        memory.damage(random, &places, &[]);
        if random.one_in(2) {
            tally.watch(|tally| act(&value, random, tally));
            return;
        }
        let message = codec::encode(&value).unwrap();
        let fds = message.fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
        tally.watch(|tally| match codec::decode::<Shared<T>>(&message.bytes, fds) {
            Ok(other) => act(&other, random, tally),
            Err(_) => tally.refused += 1,
        });
    });
}

fn acquire_error<G>(error: &AcquireError<G>) -> bool {
    error.is_owner_dead() || error.is_timeout() || error.is_would_block() || error.is_deadlock()
}

#[test]
fn mutexes() {
    isolated_for(LIMIT, || {
        try_value(
            "mutex",
            0,
            || Mutex::new([7u64; 2]),
            |mutex, _, tally| {
                tally.count(mutex.try_lock().map(drop), acquire_error);
                match mutex.lock_timeout(SOON) {
                    Err(error) if error.is_owner_dead() => {
                        drop(tally.answer(error.into_guard()));
                        // Who takes over what a dead owner left has made it sound.
                        drop(mutex.lock_timeout(Duration::from_secs(10)).unwrap());
                    }
                    result => drop(tally.count(result, acquire_error)),
                }
                let _ = format!("{mutex:?}");
            },
        );
    });
}

#[test]
fn reentrant_mutexes() {
    isolated_for(LIMIT, || {
        try_value(
            "reentrant mutex",
            0,
            || ReentrantMutex::new(7u64),
            |mutex, _, tally| {
                tally.count(mutex.try_lock().map(drop), acquire_error);
                let outer = tally.count(mutex.lock_timeout(SOON), acquire_error);
                let inner = tally.count(mutex.lock_timeout(SOON), acquire_error);
                drop((outer, inner));
            },
        );
    });
}

#[test]
fn rwlocks() {
    isolated_for(LIMIT, || {
        try_value(
            "rwlock",
            0,
            || RwLock::new([7u64; 2]),
            |lock, _, tally| {
                tally.count(lock.try_read().map(drop), |_| true);
                tally.count(lock.try_write().map(drop), |_| true);
                tally.count(lock.read_timeout(SOON).map(drop), |_| true);
                match lock.write_timeout(SOON) {
                    Err(error) if error.is_owner_dead() => drop(tally.answer(error.into_guard())),
                    result => drop(tally.count(result, acquire_error)),
                }
            },
        );
    });
}

#[test]
fn semaphores() {
    isolated_for(LIMIT, || {
        try_value(
            "semaphore",
            0,
            || Semaphore::new(3),
            |gate, random, tally| {
                tally.answer(gate.available());
                let first = tally.answer(gate.try_acquire());
                let second = tally.answer(gate.acquire_timeout(SOON));
                drop(first);
                if let Some(permit) = second {
                    permit.forget();
                    // More than there can be is a panic, as in any other program.
                    if gate.available() < Semaphore::MAX_PERMITS && random.one_in(2) {
                        gate.release();
                    }
                }
            },
        );
    });
}

#[test]
fn bounded_semaphores() {
    isolated_for(LIMIT, || {
        try_value(
            "bounded semaphore",
            0,
            || BoundedSemaphore::new(3),
            |seats, _, tally| {
                tally.answer(seats.available());
                let held = tally.answer(seats.acquire_timeout(SOON));
                if held.is_some() {
                    tally.count(seats.release(), |_| true);
                }
            },
        );
    });
}

#[test]
fn events() {
    isolated_for(LIMIT, || {
        try_value("event", 0, Event::new, |event, _, tally| {
            tally.answer(event.wait_timeout(SOON));
            event.set();
            assert!(tally.answer(event.is_set()) && event.wait_timeout(SOON));
            event.clear();
            assert!(!tally.answer(event.is_set()));
        });
    });
}

#[test]
fn barriers() {
    isolated_for(LIMIT, || {
        try_value(
            "barrier",
            0,
            || Barrier::new(2),
            |barrier, _, tally| {
                tally.answer((barrier.waiting(), barrier.is_broken(), barrier.parties()));
                tally.count(barrier.wait_timeout(SOON), |_| true);
                tally.count(barrier.wait_timeout(SOON), |_| true);
            },
        );
    });
}

#[test]
fn conditions() {
    isolated_for(LIMIT, || {
        // A notifier waits for one who is inside; that nobody is can be told of the dead alone.
        try_value("condvar", 8, Condvar::new, |changed, random, tally| {
            let mutex = Mutex::new(0u32);
            changed.notify_one();
            let guard = mutex.lock().unwrap();
            let waited = changed.wait_timeout(guard, SOON).map(drop);
            tally.count(waited.map_err(AcquireError::into_guard).map_err(|_| "a guard"), |_| false);
            changed.notify_n(random.below(100) as usize);
            changed.notify_all();
        });
    });
}

/// As users put things together.
#[derive(ShmSafe)]
#[repr(C)]
struct Table {
    rows: [Mutex<[u32; 4]>; 3],
    ready: [Event; 2],
    seats: Semaphore,
}

#[test]
fn values_of_several() {
    isolated_for(LIMIT, || {
        let new = || Table {
            rows: std::array::from_fn(|_| Mutex::new([1; 4])),
            ready: [const { Event::new() }; 2],
            seats: Semaphore::new(1),
        };
        try_value("struct of several", 0, new, |table, _, tally| {
            for row in &table.rows {
                tally.count(row.lock_timeout(SOON).map(drop), acquire_error);
            }
            tally.answer(table.ready[0].wait_timeout(SOON));
            table.ready[1].set();
            drop(tally.answer(table.seats.acquire_timeout(SOON)));
        });
    });
}
