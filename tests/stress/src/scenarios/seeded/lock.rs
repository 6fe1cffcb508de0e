//! Copies of our lock with one mistake each.

use multiproc_core::sync::futex::{self, Change};
use multiproc_core::sync::thread;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use super::super::lock::{Locking, Shape, Subject};
use crate::scenario::{Found, Scenario};

/// The lock's mistakes; each is the number of a [`WrongLock`].
mod mistake {
    /// "Free" is stored, then the sleepers are woken, in two steps.
    pub(super) const SEPARATE_WAKE: usize = 0;
    /// The kernel is told of the lock when it has been taken.
    pub(super) const WATCHED_LATE: usize = 1;
    /// The kernel is told to forget the lock before it is given back.
    pub(super) const FORGOTTEN_EARLY: usize = 2;
    /// The kernel is not told at all.
    pub(super) const UNWATCHED: usize = 3;
    /// Who takes it drops the mark of the sleepers.
    pub(super) const SLEEPERS_DROPPED: usize = 4;
    /// Who takes it from a dead owner does not say so.
    pub(super) const DEATH_UNTOLD: usize = 5;
    /// An owner that is slow is taken for dead.
    pub(super) const SLOW_IS_DEAD: usize = 6;
    /// Who sleeps does not say so if somebody has slept before.
    pub(super) const UNMARKED_SLEEP: usize = 7;
}

const NAMES: [&str; 8] = [
    "wrong lock: separate wake",
    "wrong lock: watched late",
    "wrong lock: forgotten early",
    "wrong lock: unwatched",
    "wrong lock: sleepers dropped",
    "wrong lock: death untold",
    "wrong lock: slow is dead",
    "wrong lock: unmarked sleep",
];

const DIED: u64 = 1 << 30;
const SLEEPERS: u64 = 1 << 31;

/// A copy of our lock with a mistake.
struct WrongLock<const MISTAKE: usize> {
    word: AtomicU64,
}

impl<const MISTAKE: usize> WrongLock<MISTAKE> {
    fn acquire(&self, me: u64) -> Found {
        loop {
            let seen = self.word.load(Ordering::Relaxed);
            if seen & thread::NUMBER == 0 {
                let carried = if MISTAKE == mistake::SLEEPERS_DROPPED { 0 } else { seen & SLEEPERS };
                let taken =
                    self.word.compare_exchange(seen, me | carried, Ordering::Acquire, Ordering::Relaxed);
                if taken.is_ok() {
                    let is_told = seen & DIED != 0 && MISTAKE != mistake::DEATH_UNTOLD;
                    return if is_told { Found::Dead } else { Found::Clean };
                }
                continue;
            }
            let asleep = if MISTAKE == mistake::UNMARKED_SLEEP { seen } else { seen | SLEEPERS };
            if seen != asleep
                && self.word.compare_exchange(seen, asleep, Ordering::Relaxed, Ordering::Relaxed).is_err()
            {
                continue;
            }
            let limit = (MISTAKE == mistake::SLOW_IS_DEAD).then_some(Duration::from_millis(2));
            let wake = futex::wait((&self.word).into(), asleep as u32, limit);
            if wake == futex::Wake::TimedOut {
                let _ =
                    self.word.compare_exchange(asleep, DIED | SLEEPERS, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    fn release(&self, me: u64) {
        if self.word.compare_exchange(me, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
            return;
        }
        let word = (&self.word).into();
        if MISTAKE == mistake::SEPARATE_WAKE {
            self.word.swap(0, Ordering::Release);
            futex::wake(word, u32::MAX);
            return;
        }
        fence(Ordering::Release);
        if futex::wake_op(word, 1, Change::SetTop) == Some(0) {
            futex::wake_op(word, u32::MAX, Change::ClearTop);
        }
    }
}

impl<const MISTAKE: usize> Subject for WrongLock<MISTAKE> {
    const NAME: &'static str = NAMES[MISTAKE];
    const IS_CONTROL: bool = true;

    fn new() -> Self {
        WrongLock { word: AtomicU64::new(0) }
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        let me = thread::id();
        let watch = || thread::watch((&self.word).into());
        let mut before = 0;
        if !matches!(MISTAKE, mistake::WATCHED_LATE | mistake::UNWATCHED) {
            before = watch();
        }
        let found = self.acquire(me);
        if MISTAKE == mistake::WATCHED_LATE {
            before = watch();
        }
        body(found);
        if MISTAKE == mistake::FORGOTTEN_EARLY {
            thread::watch_again(before);
        }
        self.release(me);
        thread::watch_again(before);
    }
}

/// All of this file.
pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    vec![
        Box::new(Locking::<WrongLock<{ mistake::SEPARATE_WAKE }>>::new(Shape::Sleepers)),
        Box::new(Locking::<WrongLock<{ mistake::WATCHED_LATE }>>::new(Shape::Free)),
        Box::new(Locking::<WrongLock<{ mistake::FORGOTTEN_EARLY }>>::new(Shape::Free)),
        Box::new(Locking::<WrongLock<{ mistake::UNWATCHED }>>::new(Shape::Free)),
        Box::new(Locking::<WrongLock<{ mistake::SLEEPERS_DROPPED }>>::new(Shape::Sleepers)),
        Box::new(Locking::<WrongLock<{ mistake::DEATH_UNTOLD }>>::new(Shape::Free)),
        Box::new(Locking::<WrongLock<{ mistake::SLOW_IS_DEAD }>>::new(Shape::Free)),
        Box::new(Locking::<WrongLock<{ mistake::UNMARKED_SLEEP }>>::new(Shape::Sleepers)),
    ]
}
