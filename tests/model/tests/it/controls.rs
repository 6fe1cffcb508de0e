//! Controls: protocols that are known to be wrong, each in its own way. What finds nothing here finds nothing.

use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU32, AtomicU64, GuardedU64, Ordering::Relaxed};
use multiproc_core::sync::futex::{self, Change, Wake};
use multiproc_core::sync::thread;
use multiproc_model::{End, Explorer, Failure, Figures, say, shared};
use multiproc_sync::raw::{Acquired, DeathBell, Lock, Monitor};

const SLEEPERS: u32 = 1 << 31;
const DIED: u32 = 1 << 30;

fn caught(name: &str, found: Result<Figures, Box<Failure>>, expected: &str) {
    let Err(failure) = found else { panic!("{name}: not caught: {found:?}") };
    say(format_args!("control: {name}: caught after {} states: {failure}", failure.figures.states));
    assert!(failure.what.contains(expected), "{name}: {failure}");
}

/// A lock with an unlock of two steps: "free", and then a wake-up.
#[derive(Debug)]
#[repr(C)]
struct Naive {
    word: AtomicU32,
}

impl Naive {
    /// As the C library's robust mutex does it: who has slept says that others may sleep too.
    fn lock(&self, assumes_others: bool) {
        let me = (thread::id() & thread::NUMBER) as u32;
        let mut assumed = 0;
        thread::watch((&self.word).into());
        let mut seen = match self.word.compare_exchange(0, me, Relaxed, Relaxed) {
            Ok(_) => return,
            Err(seen) => seen,
        };
        loop {
            if seen & !(SLEEPERS | DIED) == 0 {
                match self.word.compare_exchange(seen, me | assumed | seen & SLEEPERS, Relaxed, Relaxed) {
                    Ok(_) => return,
                    Err(now) => seen = now,
                }
                continue;
            }
            let asleep = seen | SLEEPERS;
            if seen != asleep
                && let Err(now) = self.word.compare_exchange(seen, asleep, Relaxed, Relaxed)
            {
                seen = now;
                continue;
            }
            if assumes_others {
                assumed = SLEEPERS;
            }
            futex::wait((&self.word).into(), asleep, None);
            seen = self.word.load(Relaxed);
        }
    }

    fn unlock(&self, wakes: u32) {
        if self.word.swap(0, Relaxed) & SLEEPERS != 0 {
            futex::wake((&self.word).into(), wakes);
        }
        thread::watch_again(0);
    }
}

#[test]
fn the_c_librarys_unlock() {
    let found = Explorer::new(3).kills(1).explore(
        |_| {
            let naive: &Naive = shared();
            for _ in 0..2 {
                naive.lock(true);
                naive.unlock(1);
            }
        },
        End::nobody_sleeps,
    );
    caught("the C library's unlock", found, "hang");
}

#[test]
fn exchange_then_wake() {
    let found = Explorer::new(3).kills(1).explore(
        |_| {
            let naive: &Naive = shared();
            naive.lock(false);
            naive.unlock(u32::MAX);
        },
        End::nobody_sleeps,
    );
    caught("exchange, then wake", found, "hang");
}

/// A number of things, and a word for those who wait for one.
#[derive(Debug)]
#[repr(C)]
struct Store {
    lock: Lock,
    bell: DeathBell,
    /// Bit 1 says that somebody may sleep; above it is a count.
    word: AtomicU32,
    reserved: u32,
    things: AtomicU64,
}

const WAITING: u32 = 1 << 1;

#[test]
fn a_commit_apart_from_its_signal() {
    let take = || {
        let store: &Store = shared();
        loop {
            let locked = store.lock.lock(Deadline::NEVER).unwrap();
            let things = store.things.load(Relaxed);
            if things > 0 {
                store.things.store(things - 1, Relaxed);
            }
            store.lock.unlock(locked);
            if things > 0 {
                return;
            }
            let word = store.word.fetch_or(WAITING, Relaxed) | WAITING;
            if store.things.load(Relaxed) == 0 {
                futex::wait((&store.word).into(), word, None);
            }
        }
    };
    let put = || {
        let store: &Store = shared();
        let locked = store.lock.lock(Deadline::NEVER).unwrap();
        store.things.store(store.things.load(Relaxed) + 1, Relaxed);
        store.lock.unlock(locked);
        if store.word.load(Relaxed) & WAITING != 0 {
            futex::wake_op((&store.word).into(), u32::MAX, Change::Add(WAITING as u16));
        }
    };
    let found = Explorer::new(2).kills(1).explore(
        move |process| if process == 0 { put() } else { take() },
        |end| if shared::<Store>().things.load(Relaxed) > 0 { end.nobody_sleeps() } else { Ok(()) },
    );
    caught("a commit apart from its signal", found, "hang");
}

#[test]
fn a_look_at_the_sleepers_before_the_commit() {
    let found = Explorer::new(2).explore(
        |process| {
            let store: &Store = shared();
            if process == 0 {
                if store.word.load(Relaxed) & WAITING != 0 {
                    futex::wake_op((&store.word).into(), u32::MAX, Change::Add(WAITING as u16));
                } else {
                    store.word.fetch_add(WAITING << 1, Relaxed);
                }
                return;
            }
            let word = store.word.fetch_or(WAITING, Relaxed) | WAITING;
            if word < WAITING << 1 {
                futex::wait((&store.word).into(), word, None);
            }
        },
        |end| {
            if shared::<Store>().word.load(Relaxed) >= WAITING << 1 { end.nobody_sleeps() } else { Ok(()) }
        },
    );
    caught("a look at the sleepers before the commit", found, "hang");
}

/// A commit that is one step with its signal, which one hears; that one passes it on while more is left, and a bell
/// rings when it dies, but for the moment when it has the lock watched instead.
#[test]
fn a_bell_and_a_baton() {
    let left = |store: &Store| u64::from(store.word.load(Relaxed) >> 2) - store.things.load(Relaxed);
    let take = move || {
        let store: &Store = shared();
        loop {
            let locked = store.lock.lock(Deadline::NEVER).unwrap();
            let left_now = left(store);
            if left_now > 0 {
                store.things.fetch_add(1, Relaxed);
                if left_now > 1 {
                    futex::wake((&store.word).into(), 1);
                }
                store.lock.unlock(locked);
                return;
            }
            store.lock.unlock(locked);
            let watched = thread::watch(store.bell.futex());
            let word = store.word.fetch_or(WAITING, Relaxed) | WAITING;
            if left(store) == 0 {
                let words = [((&store.word).into(), word), (store.bell.futex(), 0)];
                if futex::wait_any(&words, None) == Some(Wake::Woken(1)) {
                    futex::wake((&store.word).into(), 1);
                }
            }
            // The kernel watches the bell until it watches the lock.
            let _ = watched;
        }
    };
    let put = || {
        let store: &Store = shared();
        let locked = store.lock.lock(Deadline::NEVER).unwrap();
        let word = store.word.load(Relaxed);
        let is_done = word & WAITING == 0
            && store.word.compare_exchange(word, word + (WAITING << 1), Relaxed, Relaxed).is_ok();
        if !is_done && futex::wake_op((&store.word).into(), 1, Change::Add(4)) == Some(0) {
            futex::wake_op((&store.word).into(), u32::MAX, Change::Clear(WAITING as u16));
        }
        store.lock.unlock(locked);
    };
    let found = Explorer::new(3).kills(1).explore(
        move |process| if process == 0 { put() } else { take() },
        move |end| if left(shared()) > 0 { end.nobody_sleeps() } else { Ok(()) },
    );
    caught("a bell and a baton", found, "hang");
}

/// Tickets, without a list of who has them: the notification of a dead one is lost.
#[derive(Debug)]
#[repr(C)]
struct Tickets {
    mutex: Lock,
    things: GuardedU64,
    monitor: Monitor,
}

impl Tickets {
    fn lock(&self) {
        if self.mutex.lock_long(Deadline::NEVER) == Some(Acquired::OwnerDied) {
            self.notify(u64::MAX);
        }
    }

    fn wait(&self, releases_first: bool) {
        if releases_first {
            self.mutex.unlock_long();
        }
        let entered = self.monitor.enter();
        let ticket = entered.value() >> 32;
        entered.publish_quietly(entered.value() + (1 << 32));
        drop(entered);
        if !releases_first {
            self.mutex.unlock_long();
        }
        self.monitor.wait(Deadline::NEVER, |value| value & 0xffff_ffff > ticket, || ());
        self.lock();
    }

    fn notify(&self, count: u64) {
        let entered = self.monitor.enter();
        let (next, granted) = (entered.value() >> 32, entered.value() & 0xffff_ffff);
        if granted < next {
            entered.publish(next << 32 | granted.saturating_add(count).min(next));
        }
    }
}

fn tickets(kills: usize, releases_first: bool) -> Result<Figures, Box<Failure>> {
    let explorer = Explorer::new(3).kills(kills);
    let explorer = if kills > 0 { explorer.time_outs() } else { explorer };
    explorer.explore(
        move |process| {
            let tickets: &Tickets = shared();
            tickets.lock();
            let things = || tickets.things.load(Relaxed);
            if process == 0 {
                tickets.things.store(things() + 1, Relaxed);
                tickets.notify(1);
            } else {
                while things() == 0 {
                    tickets.wait(releases_first);
                }
                tickets.things.store(things() - 1, Relaxed);
            }
            tickets.mutex.unlock_long();
        },
        |end| if shared::<Tickets>().things.load(Relaxed) > 0 { end.nobody_sleeps() } else { Ok(()) },
    )
}

#[test]
fn a_condition_that_forgets_whom_it_told() {
    caught("a condition that forgets whom it told", tickets(1, false), "hang");
}

#[test]
fn a_condition_that_releases_before_it_waits() {
    caught("a condition that releases before it waits", tickets(0, true), "hang");
}

/// A barrier that counts, and no more.
#[test]
fn a_barrier_without_generations() {
    let found = Explorer::new(2).explore(
        |_| {
            let monitor: &Monitor = shared();
            for _ in 0..2 {
                let entered = monitor.enter();
                if entered.value() == 1 {
                    entered.publish(0);
                } else {
                    entered.publish_quietly(1);
                    drop(entered);
                    monitor.wait(Deadline::NEVER, |arrived| arrived == 0, || ());
                }
            }
        },
        End::nobody_sleeps,
    );
    caught("a barrier without generations", found, "hang");
}

/// A barrier with generations, that keeps no list of who waits.
#[test]
fn a_barrier_that_waits_for_the_dead() {
    let found = Explorer::new(3).kills(2).time_outs().explore(
        |_| {
            let monitor: &Monitor = shared();
            let entered = monitor.enter();
            let (generation, arrived) = (entered.value() >> 32, entered.value() as u32);
            if arrived == 2 {
                entered.publish((generation + 1) << 32);
            } else {
                entered.publish_quietly(entered.value() + 1);
                drop(entered);
                monitor.wait(Deadline::NEVER, |value| value >> 32 != generation, || ());
            }
        },
        |end| {
            let waiting = shared::<Monitor>().value() as u32 as usize;
            let asleep = end.asleep.iter().filter(|asleep| **asleep).count();
            if asleep > 0 && waiting != asleep {
                Err(format!("hang: {waiting} wait, {end:?}"))
            } else {
                Ok(())
            }
        },
    );
    caught("a barrier that waits for the dead", found, "hang");
}

/// A lock for readers and writers, which counts its readers.
#[derive(Debug)]
#[repr(C)]
struct Counted {
    gate: Lock,
    readers: Monitor,
    is_writing: AtomicU64,
    writer: AtomicU64,
    reader: AtomicU64,
}

impl Counted {
    fn read(&self) {
        loop {
            let entered = self.readers.enter();
            if self.is_writing.load(Relaxed) == 0 {
                entered.publish_quietly(entered.value() + 1);
                break;
            }
            drop(entered);
            // Behind the writer.
            let _ = self.gate.lock_long(Deadline::NEVER);
            self.is_writing.store(0, Relaxed);
            self.gate.unlock_long();
        }
        self.reader.store(thread::id(), Relaxed);
        let writer = self.writer.load(Relaxed);
        assert!(writer == 0 || !thread::is_alive(writer), "one writes while another reads");
        self.reader.store(0, Relaxed);
        let entered = self.readers.enter();
        entered.publish(entered.value() - 1);
    }

    fn write(&self, looks_first: bool) {
        let _ = self.gate.lock_long(Deadline::NEVER);
        let announce = || {
            let _entered = self.readers.enter();
            self.is_writing.store(1, Relaxed);
        };
        if !looks_first {
            announce();
        }
        self.readers.wait(Deadline::NEVER, |readers| readers == 0, || ());
        if looks_first {
            announce();
        }
        self.writer.store(thread::id(), Relaxed);
        let reader = self.reader.load(Relaxed);
        assert!(reader == 0 || !thread::is_alive(reader), "one reads while another writes");
        self.writer.store(0, Relaxed);
        self.is_writing.store(0, Relaxed);
        self.gate.unlock_long();
    }
}

#[test]
fn a_writer_that_looks_before_it_is_announced() {
    let found = Explorer::new(2).explore(
        |process| {
            let lock: &Counted = shared();
            if process == 0 { lock.write(true) } else { lock.read() }
        },
        End::nobody_sleeps,
    );
    caught("a writer that looks before it is announced", found, "while another");
}

#[test]
fn a_writer_that_waits_for_dead_readers() {
    let found = Explorer::new(2).kills(1).time_outs().explore(
        |process| {
            let lock: &Counted = shared();
            if process == 0 { lock.write(false) } else { lock.read() }
        },
        End::nobody_sleeps,
    );
    caught("a writer that waits for dead readers", found, "hang");
}
