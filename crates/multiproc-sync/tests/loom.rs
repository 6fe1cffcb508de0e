//! Models of the lock and the wait cell, every order tried that the memory model of C11 allows:
//! `RUSTFLAGS="--cfg loom" cargo test -p multiproc-sync --test loom --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use multiproc_core::Deadline;
use multiproc_sync::raw::{DeathBell, Lock, Monitor, WaitCell};

/// More switches between threads than bugs of orderings need; without a bound it takes hours.
fn model(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(f);
}

struct Counted {
    lock: Lock,
    /// Changed by two accesses that order nothing.
    count: AtomicU64,
}

impl Counted {
    fn add(&self, long: bool) {
        let locked = if long {
            assert!(self.lock.lock_long(Deadline::NEVER).is_some());
            None
        } else {
            Some(self.lock.lock(Deadline::NEVER).unwrap())
        };
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        match locked {
            Some(locked) => self.lock.unlock(locked),
            None => self.lock.unlock_long(),
        }
    }
}

fn lock(threads: usize, operations: u64, preemptions: usize) {
    model(preemptions, move || {
        let counted = Arc::new(Counted { lock: Lock::new(), count: AtomicU64::new(0) });
        let others: Vec<_> = (1..threads)
            .map(|_| {
                let counted = Arc::clone(&counted);
                thread::spawn(move || (0..operations).for_each(|_| counted.add(true)))
            })
            .collect();
        (0..operations).for_each(|_| counted.add(false));
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(counted.count.load(Ordering::Relaxed), threads as u64 * operations);
    });
}

#[test]
fn a_lock_orders_what_its_owners_do() {
    lock(2, 1, 4);
    lock(2, 2, 3);
}

#[test]
fn three_take_turns_with_a_lock() {
    // One switch more takes minutes.
    lock(3, 1, 1);
}

/// What a number that is published says about other memory.
struct Told {
    bell: DeathBell,
    cell: WaitCell,
    written: [AtomicU64; 3],
}

impl Told {
    fn new() -> Arc<Told> {
        let written = [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)];
        Arc::new(Told { bell: DeathBell::new(), cell: WaitCell::new(0), written })
    }

    fn publish(&self, value: u64) {
        self.written[value as usize].store(value, Ordering::Relaxed);
        self.cell.publish(value);
    }

    fn check(&self, value: u64) {
        let written = self.written[value as usize].load(Ordering::Relaxed);
        assert_eq!(written, value, "the number was seen before what it tells of");
    }
}

#[test]
fn who_reads_a_number_sees_what_it_tells_of() {
    model(4, || {
        let told = Told::new();
        let writer = {
            let told = Arc::clone(&told);
            thread::spawn(move || (1..=2).for_each(|value| told.publish(value)))
        };
        let first = told.cell.read();
        told.check(first);
        let second = told.cell.read();
        told.check(second);
        assert!(second >= first, "the number went back");
        writer.join().unwrap();
        assert_eq!(told.cell.read(), 2);
    });
}

#[test]
fn who_waits_for_a_number_wakes_and_sees_what_it_tells_of() {
    model(4, || {
        let told = Told::new();
        let writer = {
            let told = Arc::clone(&told);
            thread::spawn(move || (1..=2).for_each(|value| told.publish(value)))
        };
        assert!(told.cell.wait(&told.bell, Deadline::NEVER, || told.cell.read() != 0, || ()));
        told.check(told.cell.read());
        assert!(told.cell.wait(&told.bell, Deadline::NEVER, || told.cell.read() == 2, || ()));
        told.check(2);
        writer.join().unwrap();
    });
}

#[test]
fn who_waits_wakes_when_the_bell_is_closed() {
    model(4, || {
        let told = Told::new();
        let closer = {
            let told = Arc::clone(&told);
            thread::spawn(move || {
                told.written[1].store(1, Ordering::Relaxed);
                told.bell.close();
            })
        };
        assert!(told.cell.wait(&told.bell, Deadline::NEVER, || told.bell.is_closed(), || ()));
        told.check(1);
        closer.join().unwrap();
    });
}

#[test]
fn a_monitor_counts() {
    model(3, || {
        let monitor = Arc::new(Monitor::new(0));
        let other = {
            let monitor = Arc::clone(&monitor);
            thread::spawn(move || {
                let entered = monitor.enter();
                entered.publish(entered.value() + 1);
            })
        };
        let entered = monitor.enter();
        entered.publish(entered.value() + 1);
        drop(entered);
        assert!(monitor.wait(Deadline::NEVER, |value| value == 2, || ()));
        other.join().unwrap();
    });
}
