use multiproc_core::Deadline;
use multiproc_sync::raw::{Acquired, DeathBell, Lock, Monitor, Permits, WaitCell};
use multiproc_threads::{Plain, together};

const THREADS: usize = 4;
const ROUNDS: u64 = 3_000;

#[test]
fn a_lock_orders_what_its_owners_do() {
    let (lock, count) = (Lock::new(), Plain::new(0));
    together(THREADS, |number| {
        for round in 0..ROUNDS {
            match (number as u64 + round) % 3 {
                0 => {
                    let locked = lock.lock(Deadline::NEVER).unwrap();
                    count.add(1);
                    lock.unlock(locked);
                }
                1 => {
                    assert_eq!(lock.lock_long(Deadline::NEVER), Some(Acquired::Clean));
                    count.add(1);
                    lock.unlock_long();
                }
                _ => {
                    while lock.try_lock_long().is_none() {
                        std::thread::yield_now();
                    }
                    count.add(1);
                    lock.unlock_long();
                }
            }
        }
    });
    assert_eq!(count.get(), THREADS as u64 * ROUNDS);
}

#[test]
fn a_number_orders_what_it_tells_of() {
    let (cell, bell) = (WaitCell::new(0), DeathBell::new());
    let told: Vec<Plain<u64>> = (0..=ROUNDS).map(|_| Plain::new(0)).collect();
    together(THREADS, |number| {
        if number == 0 {
            for value in 1..=ROUNDS {
                told[value as usize].set(value);
                if value % 7 == 0 {
                    // Who sleeps for it is woken by the next one.
                    cell.publish_quietly(value);
                } else {
                    cell.publish(value);
                }
            }
            cell.publish(ROUNDS);
            return;
        }
        let mut next = 1;
        while next <= ROUNDS {
            assert!(cell.wait(&bell, Deadline::NEVER, || cell.read() >= next, || ()));
            let now = cell.read();
            (next..=now).for_each(|value| assert_eq!(told[value as usize].get(), value));
            next = now + 1;
        }
    });
}

#[test]
fn who_hears_that_it_is_closed_sees_what_was_before() {
    for round in 1..=300 {
        let (cell, bell, told) = (WaitCell::new(0), DeathBell::new(), Plain::new(0));
        together(3, |number| {
            if number == 0 {
                told.set(round);
                bell.close();
            } else {
                assert!(cell.wait(&bell, Deadline::NEVER, || bell.is_closed(), || ()));
                assert_eq!(told.get(), round);
            }
        });
    }
}

#[test]
fn a_monitor_orders_what_happens_inside() {
    let (monitor, count) = (Monitor::new(0), Plain::new(0));
    together(THREADS, |number| {
        for _ in 0..ROUNDS {
            let entered = monitor.enter();
            count.add(1);
            let value = entered.value() + 1;
            if number % 2 == 0 { entered.publish(value) } else { entered.publish_quietly(value) }
        }
        // The last one to publish may have done it quietly.
        drop(monitor.enter());
        monitor.enter().publish(monitor.value());
        assert!(monitor.wait(Deadline::NEVER, |value| value == THREADS as u64 * ROUNDS, || ()));
        assert_eq!(count.get(), THREADS as u64 * ROUNDS);
    });
}

#[test]
fn a_permit_orders_its_holders() {
    let (permits, count) = (Permits::new(), Plain::new(0));
    together(THREADS, |number| {
        for round in 0..ROUNDS {
            let taken = if (number as u64 + round).is_multiple_of(2) {
                permits.acquire(Deadline::NEVER, |taken| taken < 1).unwrap()
            } else {
                loop {
                    if let Some(taken) = permits.try_acquire(|taken| taken < 1) {
                        break taken;
                    }
                    std::thread::yield_now();
                }
            };
            count.add(1);
            permits.give_back(&taken);
        }
    });
    assert_eq!((count.get(), permits.taken()), (THREADS as u64 * ROUNDS, 0));
}
