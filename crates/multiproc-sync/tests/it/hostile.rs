//! Memory in which a broken program left anything: an answer or an error, never a panic, and no wait that a time
//! limit does not end.
//!
//! # Safety
//!
//! Values are made of bytes. That is what `ShmSafe` promises: every sequence of bytes is a value.
#![expect(unsafe_code, reason = "makes values of any bytes")]

use multiproc_shm::ShmSafe;
use multiproc_sync::{
    AcquireError, Barrier, BoundedSemaphore, Condvar, Event, Mutex, ReentrantMutex, RwLock, Semaphore,
};
use std::mem::MaybeUninit;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(3);

/// A generator of numbers that anybody can repeat.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Each byte one of zero, all ones, small and any.
    fn byte(&mut self) -> u8 {
        match self.next() % 4 {
            0 => 0,
            1 => 0xff,
            2 => (self.next() % 4) as u8,
            _ => self.next() as u8,
        }
    }
}

/// A value with some bytes changed, all of them, or one.
fn damaged<T: ShmSafe>(value: T, from: usize, numbers: &mut Numbers) -> T {
    let mut damaged = MaybeUninit::new(value);
    let bytes = damaged.as_mut_ptr().cast::<u8>();
    let count = match numbers.next() % 3 {
        0 => 1,
        1 => 16,
        _ => 4 * size_of::<T>() as u64,
    };
    for _ in 0..count {
        // Mostly the words at its beginning, which the rest hangs on.
        let room = if numbers.next().is_multiple_of(2) { size_of::<T>().min(64) } else { size_of::<T>() };
        let place = bytes.wrapping_add(from + numbers.next() as usize % (room - from));
        // SAFETY: it lies inside of the value.
        unsafe { place.write(numbers.byte()) };
    }
    // SAFETY: every sequence of bytes is a value.
    unsafe { damaged.assume_init() }
}

/// Does something with many damaged values.
fn with_damaged<T: ShmSafe>(new: impl Fn() -> T, act: impl Fn(&T)) {
    with_damaged_from(0, new, act);
}

/// The same, where the first bytes stay as they are.
fn with_damaged_from<T: ShmSafe>(from: usize, new: impl Fn() -> T, act: impl Fn(&T)) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..300 {
        act(&damaged(new(), from, &mut numbers));
    }
}

#[test]
fn locks() {
    with_damaged(
        || Mutex::new([7u64; 2]),
        |mutex| {
            drop(mutex.try_lock());
            if let Err(error) = mutex.lock_timeout(SHORT)
                && error.is_owner_dead()
            {
                drop(error.into_guard());
                drop(mutex.lock_timeout(SHORT).unwrap());
            }
        },
    );
    with_damaged(
        || ReentrantMutex::new(7u64),
        |mutex| {
            drop(mutex.try_lock());
            let _outer = mutex.lock_timeout(SHORT);
            let _inner = mutex.lock_timeout(SHORT);
        },
    );
    with_damaged(
        || RwLock::new(7u64),
        |lock| {
            drop(lock.try_read());
            drop(lock.try_write());
            drop(lock.read_timeout(SHORT));
            drop(
                lock.write_timeout(SHORT).map_err(|error| error.is_owner_dead().then(|| error.into_guard())),
            );
        },
    );
}

#[test]
fn counters() {
    with_damaged(
        || Semaphore::new(3),
        |gate| {
            let _ = gate.available();
            let first = gate.try_acquire();
            let second = gate.acquire_timeout(SHORT);
            drop(first);
            if let Some(permit) = second {
                permit.forget();
            }
        },
    );
    with_damaged(
        || BoundedSemaphore::new(3),
        |seats| {
            let held = seats.acquire_timeout(SHORT);
            if held.is_some() {
                let _ = seats.release();
            }
        },
    );
}

#[test]
fn events_and_barriers() {
    with_damaged(Event::new, |event| {
        event.wait_timeout(SHORT);
        event.set();
        assert!(event.is_set() && event.wait_timeout(SHORT));
        event.clear();
        assert!(!event.is_set());
    });
    with_damaged(
        || Barrier::new(2),
        |barrier| {
            let _ = (barrier.waiting(), barrier.is_broken(), barrier.parties());
            let _ = barrier.wait_timeout(SHORT);
        },
    );
}

#[test]
fn conditions() {
    // A notifier waits for one who is inside; that nobody is can be told of the dead alone.
    with_damaged_from(8, Condvar::new, |changed| {
        let mutex = Mutex::new(0u32);
        changed.notify_one();
        let guard = mutex.lock().unwrap();
        let waited = changed.wait_timeout(guard, SHORT).map(drop);
        waited.map_err(AcquireError::into_guard).map_err(drop).unwrap();
        changed.notify_all();
    });
}
