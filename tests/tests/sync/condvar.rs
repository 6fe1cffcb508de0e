use crate::{assert_soon, kill, with_children};
use multiproc::{Condvar, LockError, Mutex, MutexGuard, Process, Shared, ShmSafe};
use multiproc_tests::eventually;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Things that are put and taken, and how many wait for one.
#[derive(ShmSafe)]
#[repr(C)]
struct Stock {
    count: Mutex<u64>,
    arrived: Condvar,
    waiting: AtomicU32,
    taken: AtomicU32,
}

impl Stock {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.recovered(self.count.lock())
    }

    fn recovered<'a>(&self, locked: Result<MutexGuard<'a, u64>, LockError<'a, u64>>) -> MutexGuard<'a, u64> {
        locked.unwrap_or_else(|error| {
            // The dead one may have been notified, and not have taken what there was.
            self.arrived.notify_all();
            error.into_guard()
        })
    }
}

fn stock() -> Shared<Stock> {
    let (waiting, taken) = (AtomicU32::new(0), AtomicU32::new(0));
    Shared::new(Stock { count: Mutex::new(0), arrived: Condvar::new(), waiting, taken }).unwrap()
}

/// Starts a child that takes one as soon as there is one; returns when it waits, or is about to with the mutex.
fn taker(stock: &Shared<Stock>) -> Process<()> {
    // Relaxed: the mutex orders it.
    let before = stock.waiting.load(Ordering::Relaxed);
    let child = Process::spawn(stock.clone(), |stock| {
        let mut count = stock.lock();
        stock.waiting.fetch_add(1, Ordering::Relaxed);
        while *count == 0 {
            count = stock.recovered(stock.arrived.wait(count));
        }
        *count -= 1;
        stock.taken.fetch_add(1, Ordering::Relaxed);
    });
    eventually(Duration::from_secs(10), "it waits", || stock.waiting.load(Ordering::Relaxed) > before);
    // It has released the mutex, so it has its ticket.
    drop(stock.lock());
    child.unwrap()
}

fn put(stock: &Stock, count: u64) {
    let mut guard = stock.lock();
    *guard += count;
    stock.arrived.notify_n(count as usize);
}

#[test]
fn what_is_put_is_taken() {
    with_children(|| {
        let stock = stock();
        let takers = [(); 4].map(|()| taker(&stock));
        put(&stock, 1);
        put(&stock, 3);
        for taker in takers {
            taker.join().unwrap();
        }
        assert_eq!(*stock.count.lock().unwrap(), 0);
        let guard = stock.count.lock().unwrap();
        let (_, result) = stock.arrived.wait_timeout(guard, Duration::from_millis(5)).unwrap();
        assert!(result.timed_out());
    });
}

#[test]
fn a_producer_and_a_consumer_for_long() {
    with_children(|| {
        let stock = stock();
        let child = Process::spawn(stock.clone(), |stock| {
            for _ in 0..20_000 {
                let count = stock.count.lock().unwrap();
                *stock.arrived.wait_while(count, |count| *count == 0).unwrap() -= 1;
            }
        });
        for _ in 0..20_000 {
            *stock.count.lock().unwrap() += 1;
            stock.arrived.notify_one();
        }
        child.unwrap().join().unwrap();
    });
}

#[test]
fn a_notification_is_never_for_a_dead_one() {
    with_children(|| {
        const KILLS: u32 = 10;
        for _ in 0..KILLS {
            let stock = stock();
            let first = taker(&stock);
            let second = taker(&stock);
            kill(first);
            put(&stock, 1);
            assert_soon("the other one", || second.join().unwrap());
        }
        println!("figures: {KILLS} kills in waiters of a condition");
    });
}

#[test]
fn a_notification_of_one_that_dies_then_goes_to_another() {
    with_children(|| {
        const KILLS: u32 = 20;
        for _ in 0..KILLS {
            let stock = stock();
            let first = taker(&stock);
            let second = taker(&stock);
            let third = taker(&stock);
            put(&stock, 1);
            // It may have taken it by now, or is about to.
            kill(first);
            put(&stock, 1);
            // Two were put; the dead one took none, one, or died with it.
            assert_soon("another one", || {
                while stock.taken.load(Ordering::Relaxed) < 2 {
                    let count = *stock.lock();
                    if count == 0 && stock.taken.load(Ordering::Relaxed) == 1 {
                        // The dead one had taken one before it could say so.
                        break;
                    }
                    std::thread::yield_now();
                }
            });
            put(&stock, 2);
            assert_soon("the others", || {
                second.join().unwrap();
                third.join().unwrap();
            });
        }
        println!("figures: {KILLS} kills in who was notified of a condition");
    });
}

#[test]
fn who_waits_hears_of_an_owners_death() {
    with_children(|| {
        let stock = stock();
        let waiter = Process::spawn(stock.clone(), |stock| {
            let count = stock.count.lock().unwrap();
            stock.waiting.fetch_add(1, Ordering::Relaxed);
            // Nobody notifies.
            stock.arrived.wait(count).unwrap_err().is_owner_dead()
        });
        eventually(Duration::from_secs(10), "it waits", || stock.waiting.load(Ordering::Relaxed) > 0);
        let (reader, writer) = multiproc::one_way::<()>().unwrap();
        let owner = Process::spawn((stock.clone(), writer), |(stock, writer)| -> () {
            let _guard = stock.count.lock().unwrap();
            writer.send(()).unwrap();
            crate::stay()
        });
        reader.recv().unwrap();
        kill(owner.unwrap());
        assert!(assert_soon("the waiter", || waiter.unwrap().join().unwrap()));
    });
}
