use crate::times::Times;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest that one may take, killed or not.
pub(crate) const HANG: Duration = Duration::from_secs(10);

/// How long it goes on.
pub(crate) struct Course {
    pub(crate) began: Instant,
    pub(crate) time: Duration,
    /// The first and the last that are compared.
    pub(crate) part: Duration,
    pub(crate) is_over: AtomicBool,
}

impl Course {
    /// Whether it still goes on.
    pub(crate) fn goes_on(&self) -> bool {
        // Relaxed: it only says when to stop.
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Waits for this moment, or for the end.
    pub(crate) fn wait_until(&self, moment: Duration) {
        while self.goes_on() && self.began.elapsed() < moment {
            // tidy: sleep because the subject is what happens in that time
            std::thread::sleep(moment.saturating_sub(self.began.elapsed()).min(Duration::from_millis(50)));
        }
    }
}

/// Operations of one kind, done over and over while those who do them are killed.
pub(crate) struct Operations {
    /// Odd from a kill until the dead one is replaced.
    turns: AtomicU64,
    kills: AtomicU64,
    done: AtomicU64,
    /// Those during which nobody was killed or being replaced, at first and at last.
    pub(crate) first: Mutex<Times>,
    pub(crate) last: Mutex<Times>,
    /// All others.
    pub(crate) touched: Mutex<Times>,
}

impl Operations {
    pub(crate) const fn new() -> Operations {
        Operations {
            turns: AtomicU64::new(0),
            kills: AtomicU64::new(0),
            done: AtomicU64::new(0),
            first: Mutex::new(Times::new()),
            last: Mutex::new(Times::new()),
            touched: Mutex::new(Times::new()),
        }
    }

    /// Does it once.
    pub(crate) fn measure<R>(&self, course: &Course, operation: impl FnOnce() -> R) -> R {
        // Relaxed: it only says among which the time is counted, and calls of the kernel lie between a kill and what others
        // notice of it.
        let before = self.turns.load(Ordering::Relaxed);
        let (since, begin) = (course.began.elapsed(), Instant::now());
        let result = operation();
        let took = begin.elapsed();
        assert!(took < HANG, "an operation took {took:?}");
        self.done.fetch_add(1, Ordering::Relaxed);
        let times = match since {
            _ if before % 2 == 1 || self.turns.load(Ordering::Relaxed) != before => &self.touched,
            since if since < course.part => &self.first,
            since if since >= course.time - course.part => &self.last,
            _ => return result,
        };
        times.lock().unwrap_or_else(PoisonError::into_inner).add(took);
        result
    }

    /// Kills one of those who do it, if it can, and waits until it is replaced.
    pub(crate) fn kill(&self, kill_and_replace: impl FnOnce() -> bool) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        let is_killed = kill_and_replace();
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.kills.fetch_add(u64::from(is_killed), Ordering::Relaxed);
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// How many were killed.
    pub(crate) fn kills(&self) -> u64 {
        self.kills.load(Ordering::Relaxed)
    }
}
