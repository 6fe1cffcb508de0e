//! What wakes others: events, semaphores released by hand, conditions, barriers.

use multiproc_sync::{Barrier, Condvar, Event, Mutex, MutexGuard, Semaphore};
use std::time::Duration;

use super::exclusive::soon;
use super::trial::Trial;
use crate::control::Bracket;
use crate::scenario::{Found, Neighbours, Owed, Scenario};

fn event(name: &'static str, victim: fn(&Event, &Bracket<'_>)) -> Trial<Event> {
    Trial::new(name, Event::new, victim, |event, _| {
        event.set();
        let _ = event.is_set();
        event.clear();
        Found::Clean
    })
    .sleepers(
        |event, _| {
            event.wait();
            Found::Clean
        },
        |event, _| if event.is_set() { Owed::All } else { Owed::AtLeast(0) },
        Event::set,
    )
    .check(|event, _| {
        event.set();
        let is_set = event.is_set() && event.wait_timeout(Duration::ZERO);
        event.clear();
        if is_set && !event.is_set() { Ok(()) } else { Err(format!("it does not work: {event:?}")) }
    })
}

fn events() -> Vec<Box<dyn Scenario>> {
    fn set(event: &Event, bracket: &Bracket<'_>) {
        bracket.begin();
        event.set();
        bracket.end();
    }
    fn clear(event: &Event, bracket: &Bracket<'_>) {
        event.set();
        bracket.begin();
        event.clear();
        bracket.end();
    }
    fn wait(event: &Event, bracket: &Bracket<'_>) {
        bracket.begin();
        event.wait();
        bracket.end();
    }
    vec![
        Box::new(event("Event/set", set)),
        Box::new(event("Event/set, contended", set).beside(Neighbours::Contending(2))),
        Box::new(event("Event/set, sleepers", set).beside(Neighbours::Asleep(2))),
        Box::new(event("Event/clear", clear)),
        Box::new(event("Event/clear, contended", clear).beside(Neighbours::Contending(2))),
        Box::new(
            event("Event/wait, sleeper behind", wait)
                .beside(Neighbours::AsleepBehind(1))
                .holder(|event, gate| {
                    gate.wait(0);
                    event.set();
                })
                .waits_for_the_paused(),
        ),
    ]
}

/// A semaphore is released by hand while another sleeps.
fn release_by_hand() -> Trial<Semaphore> {
    Trial::new(
        "Semaphore/release by hand, sleeper",
        || Semaphore::new(0),
        |semaphore, bracket| {
            bracket.begin();
            semaphore.release();
            bracket.end();
        },
        |semaphore, _| {
            semaphore.release();
            semaphore.acquire().forget();
            Found::Clean
        },
    )
    .beside(Neighbours::Asleep(1))
    .sleepers(
        |semaphore, _| {
            semaphore.acquire().forget();
            Found::Clean
        },
        |semaphore, _| Owed::AtLeast(semaphore.available() as usize),
        Semaphore::release,
    )
    .waits_for_the_paused()
    .check(|semaphore, tally| {
        // One by the victim, one by who relieves, one taken; a second victim has released, or taken too.
        let least = u64::from(tally.is_victim_done).saturating_sub(tally.killed.saturating_sub(1));
        super::monitor::between(u64::from(semaphore.available()), least, 1 + tally.killed)
    })
    .without_doubles()
    .with_bound()
}

/// A number of permits, of which the victim takes one and gives it back.
fn several() -> Trial<Semaphore> {
    Trial::new(
        "Semaphore of 2/contended",
        || Semaphore::new(2),
        |semaphore, bracket| {
            bracket.begin();
            drop(semaphore.acquire());
            bracket.end();
        },
        |semaphore, _| {
            drop(semaphore.acquire());
            Found::Clean
        },
    )
    .beside(Neighbours::Contending(3))
    .check(|semaphore, _| {
        let both = [(); 2].map(|()| soon(|time| semaphore.acquire_timeout(time)));
        if both.iter().any(Option::is_none) {
            return Err(format!("permits are lost: {semaphore:?}"));
        }
        drop(both);
        super::monitor::between(u64::from(semaphore.available()), 2, 2)
    })
    .with_bound()
}

/// A permit is taken for good.
fn forget() -> Trial<Semaphore> {
    Trial::new(
        "Semaphore/acquire, forget",
        || Semaphore::new(2),
        |semaphore, bracket| {
            bracket.begin();
            semaphore.acquire().forget();
            bracket.end();
        },
        |semaphore, _| {
            drop(semaphore.acquire());
            Found::Clean
        },
    )
    .check(|semaphore, tally| {
        // What was taken and not forgotten comes back to who asks.
        let both = [soon(|time| semaphore.acquire_timeout(time)), semaphore.try_acquire()];
        let had = both.iter().flatten().count() as u64;
        drop(both);
        let forgotten = u64::from(tally.is_victim_done);
        super::monitor::between(had, 1, 2 - forgotten)?;
        super::monitor::between(u64::from(semaphore.available()), had, had)
    })
    .with_bound()
}

/// Tokens to wait for.
struct Tokens {
    count: Mutex<u64>,
    more: Condvar,
}

impl Tokens {
    fn new() -> Tokens {
        Tokens { count: Mutex::new(0), more: Condvar::new() }
    }

    fn lock(&self) -> (MutexGuard<'_, u64>, Found) {
        match self.count.lock() {
            Ok(guard) => (guard, Found::Clean),
            Err(error) if error.is_owner_dead() => {
                // The dead one may have been notified, and not have taken: that is for who repairs to pass on.
                let guard = error.into_guard();
                self.more.notify_all();
                (guard, Found::Dead)
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn add(&self) -> Found {
        let (mut count, found) = self.lock();
        *count += 1;
        drop(count);
        self.more.notify_one();
        found
    }

    fn take(&self) -> Found {
        let (mut count, mut found) = self.lock();
        while *count == 0 {
            count = match self.more.wait(count) {
                Ok(count) => count,
                Err(error) if error.is_owner_dead() => {
                    found = Found::Dead;
                    self.more.notify_all();
                    error.into_guard()
                }
                Err(error) => panic!("{error}"),
            };
        }
        *count -= 1;
        found
    }

    /// Whether one who waits must have what is there.
    fn owed(&self) -> usize {
        let left = match self.count.lock_timeout(Duration::from_millis(100)) {
            Ok(count) => *count,
            Err(error) if error.is_owner_dead() => {
                let count = error.into_guard();
                self.more.notify_all();
                *count
            }
            // Somebody is stuck with it.
            Err(_) => 1,
        };
        usize::from(left > 0)
    }

    fn left(&self) -> u64 {
        *self.lock().0
    }
}

fn tokens(name: &'static str, victim: fn(&Tokens, &Bracket<'_>)) -> Trial<Tokens> {
    Trial::new(name, Tokens::new, victim, |tokens, _| {
        let told = tokens.add();
        if tokens.take() == Found::Dead { Found::Dead } else { told }
    })
    .with_bound()
}

fn conditions() -> Vec<Box<dyn Scenario>> {
    fn notify(tokens: &Tokens, bracket: &Bracket<'_>) {
        *tokens.lock().0 = 2;
        bracket.begin();
        tokens.more.notify_one();
        bracket.end();
        tokens.more.notify_one();
    }
    fn notify_all(tokens: &Tokens, bracket: &Bracket<'_>) {
        *tokens.lock().0 = 2;
        bracket.begin();
        tokens.more.notify_all();
        bracket.end();
    }
    fn take(tokens: &Tokens, bracket: &Bracket<'_>) {
        bracket.begin();
        tokens.take();
        bracket.end();
    }
    fn give_up(tokens: &Tokens, bracket: &Bracket<'_>) {
        let (count, _) = tokens.lock();
        bracket.begin();
        let result = tokens.more.wait_timeout(count, Duration::ZERO);
        drop(result);
        bracket.end();
    }
    fn turn_over(tokens: &Tokens, bracket: &Bracket<'_>) {
        bracket.begin();
        tokens.add();
        tokens.take();
        bracket.end();
    }
    // Whether a killed notifier has notified shows in nothing that is public; who waits is relieved then.
    let sleepers = |trial: Trial<Tokens>| {
        trial.beside(Neighbours::Asleep(2)).sleepers(
            |tokens, _| tokens.take(),
            |_, _| Owed::AtLeast(0),
            |tokens| tokens.more.notify_all(),
        )
    };
    let alone = |tokens: &Tokens, _: &crate::scenario::Tally| match tokens.left() {
        0 | 1 => Ok(()),
        more => Err(format!("{more} tokens are left")),
    };
    vec![
        Box::new(
            sleepers(tokens("Condvar/notify_one, sleepers", notify)).waits_for_the_paused().without_doubles(),
        ),
        Box::new(
            sleepers(tokens("Condvar/notify_all, sleepers", notify_all))
                .waits_for_the_paused()
                .without_doubles(),
        ),
        Box::new(
            tokens("Condvar/wait, sleeper behind", take)
                .beside(Neighbours::AsleepBehind(1))
                .sleepers(
                    |tokens, _| tokens.take(),
                    // What was for the dead one goes to the next.
                    |tokens, _| Owed::AtLeast(tokens.owed()),
                    |tokens| {
                        tokens.add();
                    },
                )
                .holder(|tokens, gate| {
                    gate.wait(0);
                    tokens.add();
                })
                .without_pauses()
                .without_doubles()
                // One that was notified, and takes the mutex again, is watched for the mutex.
                .with_bound_for_all()
                .check(alone),
        ),
        Box::new(tokens("Condvar/wait_timeout, gives up", give_up).check(alone)),
        Box::new(
            tokens("Condvar/add and take, contended", turn_over)
                .beside(Neighbours::Contending(2))
                .with_bound_for_all()
                // One that died between the two has left its token.
                .check(|tokens, tally| super::monitor::between(tokens.left(), 0, tally.killed)),
        ),
    ]
}

fn barrier(name: &'static str, neighbours: Neighbours, victim: fn(&Barrier, &Bracket<'_>)) -> Trial<Barrier> {
    Trial::new(
        name,
        || Barrier::new(3),
        victim,
        |barrier, _| {
            assert!(barrier.wait().is_ok(), "it broke, and nobody had died since it was reset");
            Found::Clean
        },
    )
    .beside(neighbours)
    .sleepers(
        |barrier, _| {
            let _ = barrier.wait();
            Found::Clean
        },
        |barrier, _| {
            // Those who wait for one that has not come yet go on waiting.
            if barrier.waiting() == 0 || barrier.is_broken() { Owed::All } else { Owed::AtLeast(0) }
        },
        Barrier::reset,
    )
    .waits_for_the_paused()
    .without_doubles()
    .check(|barrier, _| {
        if barrier.is_broken() || barrier.waiting() > 0 {
            return Err(format!("it is not free: {barrier:?}"));
        }
        Ok(())
    })
    .with_bound()
}

fn barriers() -> Vec<Box<dyn Scenario>> {
    fn wait(barrier: &Barrier, bracket: &Bracket<'_>) {
        bracket.begin();
        let _ = barrier.wait();
        bracket.end();
    }
    fn give_up(barrier: &Barrier, bracket: &Bracket<'_>) {
        bracket.begin();
        let _ = barrier.wait_timeout(Duration::ZERO);
        bracket.end();
    }
    fn abort(barrier: &Barrier, bracket: &Bracket<'_>) {
        bracket.begin();
        barrier.abort();
        bracket.end();
    }
    fn reset(barrier: &Barrier, bracket: &Bracket<'_>) {
        bracket.begin();
        barrier.reset();
        bracket.end();
    }
    vec![
        Box::new(barrier("Barrier/wait as the last", Neighbours::Asleep(2), wait)),
        Box::new(barrier("Barrier/abort, sleepers", Neighbours::Asleep(2), abort)),
        Box::new(barrier("Barrier/reset, sleepers", Neighbours::Asleep(2), reset)),
        Box::new(barrier("Barrier/wait_timeout, gives up", Neighbours::None, give_up).newcomers(3)),
        Box::new(
            barrier("Barrier/wait, broken for a sleeper", Neighbours::AsleepBehind(1), wait)
                .holder(|barrier, gate| {
                    gate.wait(0);
                    // With one dead that had not come yet it would wait for ever, as it should.
                    if barrier.waiting() < 2 {
                        barrier.reset();
                    } else {
                        let _ = barrier.wait();
                    }
                })
                .without_pauses(),
        ),
    ]
}

/// All of this file.
pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    let mut all = events();
    all.push(Box::new(release_by_hand()));
    all.push(Box::new(several()));
    all.push(Box::new(forget()));
    all.extend(conditions());
    all.extend(barriers());
    all
}
