//! Waiting awake for a moment, as long as that pays.
//!
//! A message that comes within a few microseconds is not worth a sleep, which takes both sides that long. Where the other
//! one runs on another core it comes so soon or late; where both share a core it cannot come before this one gives the
//! core away. Nobody knows which it is, so it is learned from each wait:
//!
//! - Looking again and again is tried about twice as long as it last took, and half as long after it was in vain.
//! - Then the core is offered to others. Where that brings what is waited for, looking before it is given up; where it
//!   is in vain, or others take the core for long, it is not offered for a while.
//! - Two of whom one follows the other record by record take each other's cache lines away all the time. So one lingers
//!   when it has found little, where that has brought more.
//! - Two who wait for each other asleep never learn that they need not. So now and then one looks as long as a sleep
//!   takes, and the more seldom the more often that was in vain.
//! - Who looks in vain many times on end sleeps at once, and looks only now and then.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What one process has learned about one kind of wait.
#[derive(Debug)]
pub struct Spin {
    /// How many pauses the next wait spends on looking; fewer than the fewest are those, and none is none.
    looks: AtomicU32,
    /// How many waits it is until the core is offered again.
    aloof: AtomicU32,
    /// How many waits it is until the next long look, and how many there were between the last two.
    rest: AtomicU32,
    interval: AtomicU32,
    /// How many waits it is until lingering is tried again.
    in_vain: AtomicU32,
    /// How many waits it is until looking is tried again, where it is done no more.
    asleep: AtomicU32,
}

/// So many pauses, of some 20 ns each, find out whether things have changed.
const FEWEST: u32 = 64;
/// So many take as long as a sleep and its end.
const MOST: u32 = 2048;
/// How many waits there are between long looks.
const OFTEN: u32 = 8;
const SELDOM: u32 = 1 << 14;
/// How many waits there are between two that look, where looking was in vain many times on end.
const TRY_AGAIN: u32 = 16;
/// For how many waits the core is not offered after that was in vain, and after others took it for long.
const SHORT: u32 = 16;
const LONG: u32 = 4096;
/// How many pauses one lingers for more where there is less than enough, how much more must come for that to be worth
/// while, and how many waits there are until that is tried again.
const LINGER: u32 = 24;
const ENOUGH: u32 = 16;
const WORTH: u32 = 2;
const TRIALS_APART: u32 = 256;
/// What is long for others to take the core.
const SLICE: Duration = Duration::from_micros(200);

/// Lets some 20 ns pass so many times.
#[inline]
fn rest(pauses: u32) {
    for _ in 0..pauses {
        std::hint::spin_loop();
    }
}

/// Counts down from an interval, and tells whether it is over.
#[inline]
fn is_time(left: &AtomicU32, interval: &AtomicU32) -> bool {
    let now = left.load(Ordering::Relaxed);
    left.store(if now == 0 { interval.load(Ordering::Relaxed) } else { now - 1 }, Ordering::Relaxed);
    now == 0
}

impl Spin {
    /// Knows nothing yet.
    #[expect(clippy::new_without_default, reason = "a static is made of it")]
    pub const fn new() -> Spin {
        Spin {
            looks: AtomicU32::new(FEWEST),
            aloof: AtomicU32::new(0),
            rest: AtomicU32::new(OFTEN),
            interval: AtomicU32::new(OFTEN),
            in_vain: AtomicU32::new(0),
            asleep: AtomicU32::new(0),
        }
    }

    /// Looks for a while whether there is something, every `pause` of some 20 ns, and tells whether there is.
    ///
    /// `found` tells how much: as it grows while one lingers, lingering pays.
    #[inline]
    pub fn wait(&self, pause: u32, found: impl Fn() -> u32) -> bool {
        // A model has no time that could pass.
        if cfg!(any(loom, multiproc_model)) {
            return false;
        }
        // Relaxed, here and below: a guess, and threads that overwrite each other's guess learn all the same.
        let looks = self.looks.load(Ordering::Relaxed);
        let is_long = looks < MOST && is_time(&self.rest, &self.interval);
        let most = if is_long { MOST } else { self.usual(looks) } / pause;
        for look in 1..=most {
            rest(pause);
            let seen = found();
            if seen > 0 {
                self.has_found(looks, look * pause, is_long);
                if seen < ENOUGH {
                    self.linger(seen, found);
                }
                return true;
            }
        }
        if is_long {
            let interval = self.interval.load(Ordering::Relaxed);
            self.interval.store((interval * 2).min(SELDOM), Ordering::Relaxed);
        }
        self.offer_core(looks, || found() > 0)
    }

    /// How many pauses a wait spends that is not a long one.
    #[inline]
    fn usual(&self, looks: u32) -> u32 {
        if looks > 0 {
            return looks.max(FEWEST);
        }
        let left = self.asleep.load(Ordering::Relaxed);
        self.asleep.store(if left == 0 { TRY_AGAIN } else { left - 1 }, Ordering::Relaxed);
        if left == 0 { FEWEST } else { 0 }
    }

    /// Waits for more than `seen` if that has paid before, or to see whether it would.
    #[inline]
    fn linger(&self, seen: u32, found: impl Fn() -> u32) {
        let left = self.in_vain.load(Ordering::Relaxed);
        if left > 0 {
            self.in_vain.store(left - 1, Ordering::Relaxed);
            return;
        }
        rest(LINGER);
        if found().wrapping_sub(seen) < WORTH {
            self.in_vain.store(TRIALS_APART, Ordering::Relaxed);
        }
    }

    fn has_found(&self, looks: u32, look: u32, is_long: bool) {
        if is_long {
            self.interval.store(OFTEN, Ordering::Relaxed);
        }
        let wanted = (look * 2).clamp(FEWEST, MOST);
        if wanted != looks {
            self.looks.store((looks.max(FEWEST) * 7 + wanted).div_ceil(8), Ordering::Relaxed);
        }
    }

    #[cold]
    fn offer_core(&self, looks: u32, ready: impl Fn() -> bool) -> bool {
        let aloof = self.aloof.load(Ordering::Relaxed);
        if aloof > 0 {
            self.aloof.store(aloof - 1, Ordering::Relaxed);
            self.looks.store(looks / 2, Ordering::Relaxed);
            return false;
        }
        let before = Instant::now();
        std::thread::yield_now();
        let is_ready = ready();
        // It was in vain, or neither side needs to look while the other one cannot run.
        self.looks.store(looks / 2, Ordering::Relaxed);
        if !is_ready {
            let was_long = before.elapsed() > SLICE;
            self.aloof.store(if was_long { LONG } else { SHORT }, Ordering::Relaxed);
        }
        is_ready
    }
}
