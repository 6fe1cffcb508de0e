//! # Safety
//!
//! Unsafe is needed to start processes by plain fork. Their bodies do what is promised to work there: they use handles
//! whose memory both processes have, and end.
#![expect(unsafe_code, reason = "a plain fork is unsafe to ask for")]

use multiproc::{Event, Mutex, Pool, Process, Queue, Shared};
use multiproc_tests::{Limit, isolated_for};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const FORKS: u64 = 100;

/// What a child by plain fork does with everything that its parent's threads are in the middle of.
fn use_all((queue, lock, event, number): (Queue<u64>, Shared<Mutex<u64>>, Shared<Event>, u64)) -> u64 {
    *lock.lock().unwrap() += 1;
    queue.put(number).unwrap();
    event.set();
    number + 1
}

#[test]
fn forks_amid_threads_that_use_everything() {
    isolated_for(Limit(Duration::from_secs(120)), || {
        let lock = Shared::new(Mutex::new(0_u64)).unwrap();
        let event = Shared::new(Event::new()).unwrap();
        let (busy, queue) = (Queue::bounded(4).unwrap(), Queue::bounded(2 * FORKS as usize).unwrap());
        let pool = Pool::new(2).unwrap();
        let is_over = AtomicBool::new(false);
        let mut locked = 0;
        // Relaxed: the flag only says when to stop.
        let goes_on = || !is_over.load(Ordering::Relaxed);
        thread::scope(|scope| {
            scope.spawn(|| {
                while goes_on() {
                    busy.put(1_u64).unwrap();
                    busy.get().unwrap();
                }
            });
            let locker = scope.spawn(|| {
                let mut times = 0;
                while goes_on() {
                    *lock.lock().unwrap() += 1;
                    times += 1;
                }
                times
            });
            scope.spawn(|| {
                while goes_on() {
                    assert_eq!(pool.apply(1, |number: u64| number + 1).unwrap(), 2);
                }
            });
            for number in 0..FORKS {
                let args = (queue.clone(), lock.clone(), event.clone(), number);
                // SAFETY: the child calls nothing that another thread of its parent may hold: what is shared is in
                // memory that both have, and its locks know their owners by the thread that holds them.
                let child = unsafe { Process::builder().spawn_forked(args, use_all) }.unwrap();
                assert_eq!(child.join().unwrap(), number + 1);
            }
            is_over.store(true, Ordering::Relaxed);
            locked = locker.join().unwrap();
        });
        assert_eq!(*lock.lock().unwrap(), locked + FORKS);
        assert!(event.is_set());
        let mut numbers: Vec<u64> = (0..FORKS).map(|_| queue.try_get().unwrap()).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..FORKS));
        pool.terminate();
    });
}
