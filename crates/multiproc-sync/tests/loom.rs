//! Models of the lock, the wait cell, events and counts of permits, every order tried that the memory model of C11
//! allows:
//! `RUSTFLAGS="--cfg loom" cargo test -p multiproc-sync --test loom --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use multiproc_core::Deadline;
use multiproc_sync::Event;
use multiproc_sync::raw::{DeathBell, Lock, Monitor, Permits, WaitCell};

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

/// Events, and what was written before they were set.
struct Signal {
    event: Event,
    written: AtomicU64,
}

impl Signal {
    fn new() -> Arc<Signal> {
        Arc::new(Signal { event: Event::new(), written: AtomicU64::new(0) })
    }

    fn wait(&self) {
        self.event.wait();
        assert_eq!(self.written.load(Ordering::Relaxed), 1, "it is set, and what was before is not seen");
    }
}

#[test]
fn who_sees_that_an_event_was_set_sees_what_was_before() {
    model(4, || {
        let signal = Signal::new();
        let setter = {
            let signal = Arc::clone(&signal);
            thread::spawn(move || {
                signal.written.store(1, Ordering::Relaxed);
                signal.event.set();
            })
        };
        if signal.event.is_set() {
            assert_eq!(signal.written.load(Ordering::Relaxed), 1);
        }
        signal.wait();
        setter.join().unwrap();
    });
}

#[test]
fn an_event_that_is_cleared_at_once_is_not_missed() {
    model(3, || {
        let signal = Signal::new();
        let setter = {
            let signal = Arc::clone(&signal);
            thread::spawn(move || {
                signal.written.store(1, Ordering::Relaxed);
                signal.event.set();
                signal.event.clear();
                // One that comes only now waits for this one.
                signal.event.set();
            })
        };
        signal.wait();
        setter.join().unwrap();
        assert!(signal.event.is_set());
    });
}

#[test]
fn who_takes_a_setting_back_sees_what_was_before() {
    model(3, || {
        let signal = Signal::new();
        let setter = {
            let signal = Arc::clone(&signal);
            thread::spawn(move || {
                signal.written.store(1, Ordering::Relaxed);
                signal.event.set();
            })
        };
        let was_set = signal.event.is_set();
        signal.event.clear();
        if was_set {
            assert_eq!(signal.written.load(Ordering::Relaxed), 1);
            assert!(!signal.event.is_set());
        }
        setter.join().unwrap();
    });
}

#[test]
fn two_wait_for_one_event() {
    model(1, || {
        let signal = Signal::new();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let signal = Arc::clone(&signal);
                thread::spawn(move || signal.wait())
            })
            .collect();
        signal.written.store(1, Ordering::Relaxed);
        signal.event.set();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

/// Each thread is a process of its own here, which takes and gives back.
fn permits(threads: usize, total: i32, preemptions: usize) {
    model(preemptions, move || {
        let shared = Arc::new((Permits::new(), AtomicU64::new(0), AtomicU64::new(0)));
        let work = move |shared: &(Permits, AtomicU64, AtomicU64)| {
            let (permits, inside, sum) = shared;
            let taken = permits.acquire(Deadline::NEVER, |taken| taken < total).unwrap();
            assert!(inside.fetch_add(1, Ordering::Relaxed) < total as u64, "more are inside than may be");
            if total == 1 {
                sum.store(sum.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
            inside.fetch_sub(1, Ordering::Relaxed);
            permits.give_back(&taken);
        };
        let others: Vec<_> = (1..threads)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || work(&shared))
            })
            .collect();
        work(&shared);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(shared.0.taken(), 0, "what was given back is counted");
        if total == 1 {
            assert_eq!(
                shared.2.load(Ordering::Relaxed),
                threads as u64,
                "a holder did not see the one before"
            );
        }
    });
}

#[test]
fn permits_are_counted() {
    permits(2, 1, 2);
    permits(2, 2, 2);
}
