//! What the storms are over, beside what one process at a time can have: each with numbers that come out even.

use multiproc_sync::{Barrier, Condvar, Event, Mutex, MutexGuard, RwLock, Semaphore};
use std::sync::atomic::{AtomicU64, Ordering};

use super::exclusive::soon;
use super::lock::{Guarded, Subject};
use crate::storm::{Done, Over, WORKERS, Weather};

impl<L: Subject> Weather for Guarded<L> {
    const NAME: &'static str = L::NAME;
    const NEEDS_BOUND: bool = L::NEEDS_BOUND;

    fn new() -> Self {
        Guarded::new()
    }

    fn prepare(&self) {
        self.lock.prepare();
    }

    fn work(&self, _who: usize, _over: &Over) -> bool {
        self.change(|| {});
        true
    }

    fn check(&self, done: &Done) -> Result<(), String> {
        // The last of the dead may have had nobody come after it.
        self.change(|| {});
        let changes = done.of(|_| true) + 1;
        self.verify(changes, changes + done.kills)
    }
}

/// Several permits, of which each process has one at a time.
pub(super) struct Crowd(Semaphore);

const PERMITS: u32 = 3;

impl Weather for Crowd {
    const NAME: &'static str = "Semaphore of 3";
    const NEEDS_BOUND: bool = true;

    fn new() -> Crowd {
        Crowd(Semaphore::new(PERMITS))
    }

    fn work(&self, _who: usize, _over: &Over) -> bool {
        drop(self.0.acquire());
        true
    }

    fn check(&self, _done: &Done) -> Result<(), String> {
        let permits = [(); PERMITS as usize].map(|()| soon(|time| self.0.acquire_timeout(time)));
        if permits.iter().any(Option::is_none) {
            return Err(format!("permits are lost: {:?}", self.0));
        }
        if self.0.try_acquire().is_some() {
            return Err("there are more permits than there were".to_owned());
        }
        drop(permits);
        let available = self.0.available();
        if available == PERMITS { Ok(()) } else { Err(format!("{PERMITS} permits have become {available}")) }
    }
}

/// Two numbers that readers always see equal.
pub(super) struct Library(RwLock<[u64; 2]>);

impl Library {
    fn write(&self, by: u64) {
        let mut pair = match self.0.write() {
            Ok(pair) => pair,
            Err(error) => {
                assert!(error.is_owner_dead(), "{error}");
                let mut pair = error.into_guard();
                pair[1] = pair[0];
                pair
            }
        };
        assert_eq!(pair[0], pair[1], "half a change, and nobody said so");
        pair[0] += by;
        pair[1] += by;
    }
}

impl Weather for Library {
    const NAME: &'static str = "RwLock, readers and writers";
    const NEEDS_BOUND: bool = true;

    fn new() -> Library {
        Library(RwLock::new([0, 0]))
    }

    fn work(&self, who: usize, _over: &Over) -> bool {
        if who.is_multiple_of(2) {
            self.write(1);
            return true;
        }
        match self.0.read() {
            Ok(pair) => assert_eq!(pair[0], pair[1], "a reader beside a writer"),
            Err(error) => {
                assert!(error.is_owner_dead(), "{error}");
                drop(error);
                // A reader cannot repair it.
                self.write(0);
            }
        }
        true
    }

    fn check(&self, done: &Done) -> Result<(), String> {
        self.write(0);
        let changes = soon(|time| self.0.read_timeout(time).ok()).ok_or("it is not free")?[0];
        done.agrees("changes", changes, |who| who.is_multiple_of(2))
    }
}

/// A number that is counted up by each in turn, who wakes the next.
pub(super) struct Relay {
    turn: AtomicU64,
    go: [Event; WORKERS],
}

impl Relay {
    fn next(&self) -> &Event {
        &self.go[self.turn.load(Ordering::Acquire) as usize % WORKERS]
    }
}

impl Weather for Relay {
    const NAME: &'static str = "Event, in turn";

    fn new() -> Relay {
        Relay { turn: AtomicU64::new(0), go: [const { Event::new() }; WORKERS] }
    }

    fn come(&self, _who: usize) {
        // The one before may have died between its turn and its word to the next.
        self.next().set();
    }

    fn work(&self, who: usize, over: &Over) -> bool {
        loop {
            self.go[who].wait();
            // Before the look: what is said after it is for the next time.
            self.go[who].clear();
            let turn = self.turn.load(Ordering::Acquire);
            if turn as usize % WORKERS == who {
                self.turn.store(turn + 1, Ordering::Release);
                self.next().set();
                return true;
            }
            if over.is_so() {
                return false;
            }
        }
    }

    fn release(&self) {
        self.go.iter().for_each(Event::set);
    }

    fn check(&self, done: &Done) -> Result<(), String> {
        done.agrees("turns", self.turn.load(Ordering::Acquire), |_| true)
    }
}

/// All meet, again and again; whoever goes on has met all the others.
pub(super) struct Meeting {
    barrier: Barrier,
    /// Odd while the worker is at the barrier, also if it has died there: it may count among those who have come.
    visits: [AtomicU64; WORKERS],
    /// How often a worker came last.
    led: AtomicU64,
}

impl Weather for Meeting {
    const NAME: &'static str = "Barrier of 4";
    const NEEDS_BOUND: bool = true;

    fn new() -> Meeting {
        Meeting {
            barrier: Barrier::new(WORKERS as u32),
            visits: [const { AtomicU64::new(0) }; WORKERS],
            led: AtomicU64::new(0),
        }
    }

    fn work(&self, who: usize, over: &Over) -> bool {
        // VISITS: SeqCst, here and below: partner of the same in other workers, so that all see one order of arrivals.
        let visits = || self.visits.each_ref().map(|visits| visits.load(Ordering::SeqCst));
        let before = visits();
        // VISITS: SeqCst, as above.
        self.visits[who].store((before[who] + 1) | 1, Ordering::SeqCst);
        let result = self.barrier.wait();
        let after = visits();
        // VISITS: SeqCst, as above.
        self.visits[who].fetch_add(1, Ordering::SeqCst);
        let Ok(result) = result else {
            if !over.is_so() && self.barrier.is_broken() {
                self.barrier.reset();
            }
            return false;
        };
        let has_met = |other: usize| before[other] % 2 == 1 || after[other] != before[other];
        assert!((0..WORKERS).all(has_met), "went on without {before:?}, {after:?}");
        assert!(result.index() < WORKERS as u32, "there is no index {}", result.index());
        self.led.fetch_add(u64::from(result.is_leader()), Ordering::Relaxed);
        true
    }

    fn release(&self) {
        self.barrier.abort();
    }

    fn check(&self, done: &Done) -> Result<(), String> {
        let (led, met) = (self.led.load(Ordering::Relaxed), done.of(|_| true));
        let parties = WORKERS as u64;
        // One that was killed took what it had not noted with it, at most the whole of a meeting. At the end some go
        // on from their last meeting after others have left.
        if met.abs_diff(led * parties) > (done.kills + 1) * parties {
            return Err(format!("{led} meetings, and {met} have met"));
        }
        self.barrier.reset();
        if self.barrier.is_broken() || self.barrier.waiting() > 0 {
            return Err(format!("it is not free: {:?}", self.barrier));
        }
        Ok(())
    }
}

/// Two make, two take, and there is room for two.
pub(super) struct Handover {
    stock: Mutex<Stock>,
    more: Condvar,
    room: Condvar,
}

type Stock = [u64; 3];
const MADE: usize = 0;
const TAKEN: usize = 1;
const LEFT: usize = 2;
const ROOM: u64 = 2;

impl Handover {
    fn whole<'a>(
        &self,
        locked: Result<MutexGuard<'a, Stock>, multiproc_sync::LockError<'a, Stock>>,
    ) -> MutexGuard<'a, Stock> {
        locked.unwrap_or_else(|error| {
            assert!(error.is_owner_dead(), "{error}");
            let mut stock = error.into_guard();
            stock[LEFT] = stock[MADE] - stock[TAKEN];
            // The dead one may have been notified, and not have done what it was notified for.
            self.more.notify_all();
            self.room.notify_all();
            stock
        })
    }
}

impl Weather for Handover {
    const NAME: &'static str = "Condvar, handovers";
    const NEEDS_BOUND: bool = true;

    fn new() -> Handover {
        Handover { stock: Mutex::new([0; 3]), more: Condvar::new(), room: Condvar::new() }
    }

    fn work(&self, who: usize, over: &Over) -> bool {
        let mut stock = self.whole(self.stock.lock());
        let makes = who.is_multiple_of(2);
        while if makes { stock[LEFT] >= ROOM } else { stock[LEFT] == 0 } {
            if over.is_so() {
                return false;
            }
            let condition = if makes { &self.room } else { &self.more };
            stock = self.whole(condition.wait(stock));
        }
        assert_eq!(stock[MADE], stock[TAKEN] + stock[LEFT], "half a change, and nobody said so");
        // In two steps each; before the mutex is released, so that a death in between is told.
        if makes {
            stock[MADE] += 1;
            stock[LEFT] += 1;
            self.more.notify_one();
        } else {
            stock[TAKEN] += 1;
            stock[LEFT] -= 1;
            self.room.notify_one();
        }
        true
    }

    fn release(&self) {
        self.more.notify_all();
        self.room.notify_all();
    }

    fn check(&self, done: &Done) -> Result<(), String> {
        let stock = self.whole(self.stock.lock());
        if stock[MADE] != stock[TAKEN] + stock[LEFT] {
            return Err(format!("{} made, {} taken, {} left", stock[MADE], stock[TAKEN], stock[LEFT]));
        }
        done.agrees("made", stock[MADE], |who| who.is_multiple_of(2))?;
        done.agrees("taken", stock[TAKEN], |who| !who.is_multiple_of(2))
    }
}
