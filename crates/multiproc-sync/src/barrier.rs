//! Parties come together in generations; how each generation ended is part of the number that ends it.
//!
//! The monitor's number is `generation 24 | broken 1 | arrived 15 | endings 24`. A party that arrives adds one; the
//! last one begins the next generation instead, which lets all the others go, in one step with their wake-up. Whatever
//! breaks a generation (a time-out, `abort`, `reset`, a party that died while it waited) begins the next one too, and
//! shifts a 1 into `endings` where the last party shifts a 0: so a party that looks late, when others have met or
//! broken the barrier again, still learns how its own generation ended.
//!
//! Each party that waits notes its thread and its generation in a place of the list, before the number counts it. A
//! place of another generation is free. The kernel watches the bell for whoever waits; when one dies the others hear
//! it, find its place, and break the barrier.

#[cfg(not(any(loom, multiproc_model)))]
use crate::peek::{Id, Look, State};
use crate::raw::{Entered, Monitor, looks};
use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{GuardedU32, GuardedU64, Ordering};
use multiproc_core::sync::thread;
#[cfg(not(any(loom, multiproc_model)))]
use multiproc_shm::peek as shm;
use std::fmt;
#[cfg(not(any(loom, multiproc_model)))]
use std::mem::offset_of;
use std::time::{Duration, Instant};

/// How many parties have a place, in which their death is seen.
const PLACES: usize = if cfg!(multiproc_model) { 3 } else { 128 };

const GENERATION: u32 = (1 << 24) - 1;
const ARRIVED: u32 = (1 << 15) - 1;
const ENDINGS: u32 = 24;

/// A place where a number of threads, of any processes, meet: Python's `Barrier`.
///
/// Each waits until all have come; then all go on, and the barrier can be used again. If something happens to one of
/// them the barrier is **broken**: everybody who waits gets an error, and so does everybody who comes, until
/// [`reset`](Self::reset). It breaks when one of those who wait gives up ([`wait_timeout`](Self::wait_timeout)), when
/// one of them *dies*, and by [`abort`](Self::abort). One that dies before it came is not known; the others' time-outs
/// find out.
///
/// # Examples
///
/// ```
/// use multiproc_shm::Shared;
/// use multiproc_sync::Barrier;
///
/// let start = Shared::new(Barrier::new(2))?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| start.wait().unwrap());
///     let mine = start.wait().unwrap();
///     assert!(mine.index() < 2);
/// });
/// # std::io::Result::Ok(())
/// ```
///
/// # Caveats
///
/// - Of more than 128 parties, the death of those that came last is not seen; the others' time-outs find out.
/// - It takes about two kilobytes.
#[repr(C)]
pub struct Barrier {
    monitor: Monitor,
    places: [Place; PLACES],
    /// Never changed.
    parties: GuardedU32,
    reserved: u32,
}

#[repr(C)]
struct Place {
    thread: GuardedU64,
    /// One more than the generation; 0 is none.
    generation: GuardedU64,
}

/// Which of the parties the calling one was.
///
/// # Examples
///
/// ```
/// use multiproc_shm::Shared;
/// use multiproc_sync::Barrier;
///
/// let line = Shared::new(Barrier::new(2))?;
/// let other = line.clone();
/// let other = std::thread::spawn(move || other.wait().unwrap());
/// let (ours, theirs) = (line.wait().unwrap(), other.join().unwrap());
/// assert_eq!(ours.index() + theirs.index(), 1); // 0 and 1
/// assert!(ours.is_leader() != theirs.is_leader());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    index: u32,
    is_leader: bool,
}

/// The error of waiting at a barrier that is broken, or that breaks meanwhile.
///
/// # Examples
///
/// ```
/// use multiproc_sync::Barrier;
/// use std::time::{Duration, Instant};
///
/// let line = Barrier::new(2);
/// assert!(line.wait_deadline(Instant::now() + Duration::from_millis(1)).unwrap_err().is_timeout());
/// assert!(line.is_broken() && line.wait().is_err());
/// line.reset();
/// assert_eq!((line.parties(), line.waiting(), line.is_broken()), (2, 0, false));
/// line.abort();
/// assert!(!line.wait().unwrap_err().is_timeout());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", if *is_timeout {
    "the other parties of the barrier did not come in time, and it is broken: look for those that failed, then reset it"
} else {
    "the barrier is broken, since a party died, gave up or aborted it: look for those that failed, then reset it"
})]
pub struct BrokenBarrier {
    is_timeout: bool,
}

/// The monitor's number in its parts.
#[derive(Clone, Copy)]
struct Number {
    generation: u32,
    is_broken: bool,
    arrived: u32,
    endings: u32,
}

impl Number {
    fn of(value: u64) -> Number {
        Number {
            generation: (value >> 40) as u32,
            is_broken: value >> 39 & 1 == 1,
            arrived: (value >> 24) as u32 & ARRIVED,
            endings: value as u32 & GENERATION,
        }
    }

    fn value(self) -> u64 {
        u64::from(self.generation & GENERATION) << 40
            | u64::from(self.is_broken) << 39
            | u64::from(self.arrived & ARRIVED) << 24
            | u64::from(self.endings & GENERATION)
    }

    /// The next generation, which says how this one ended.
    fn next(self, was_broken: bool) -> Number {
        Number {
            generation: self.generation.wrapping_add(1) & GENERATION,
            arrived: 0,
            endings: self.endings << 1 | u32::from(was_broken),
            ..self
        }
    }

    /// With everybody who waits told that it is broken.
    fn broken(self) -> Number {
        let next = if self.arrived > 0 { self.next(true) } else { self };
        Number { is_broken: true, ..next }
    }

    /// Tells whether an earlier generation was broken.
    ///
    /// Of one that ended long ago it is not known. One that still looks was missing since, so that all later ones were
    /// broken, unless there are more threads than parties. So it counts as broken if any of those was.
    fn was_broken(self, generation: u32) -> bool {
        match self.generation.wrapping_sub(generation) & GENERATION {
            0 => false,
            ago @ 1..=ENDINGS => self.endings >> (ago - 1) & 1 == 1,
            _ => self.endings != 0,
        }
    }
}

#[cfg(not(any(loom, multiproc_model)))]
impl Barrier {
    /// What a watcher sees in a copy.
    pub(crate) fn look(bytes: &[u8]) -> Look {
        let (value, is_waited_for) =
            Monitor::seen(bytes.get(offset_of!(Barrier, monitor)..).unwrap_or_default());
        let number = Number::of(value);
        let this = u64::from(number.generation) + 1;
        let waiting = |place: usize| {
            let at = offset_of!(Barrier, places) + place * size_of::<Place>();
            let is_here = number.arrived > 0 && shm::word(bytes, at + offset_of!(Place, generation)) == this;
            is_here.then(|| Id(shm::word(bytes, at + offset_of!(Place, thread))))
        };
        let parties = shm::half(bytes, offset_of!(Barrier, parties));
        let state = if number.is_broken { State::Broken } else { State::Parties(number.arrived, parties) };
        Look { waiters: (0..PLACES).filter_map(waiting).collect(), is_waited_for, ..Look::new(state) }
    }
}

impl Barrier {
    /// The largest number of parties.
    pub const MAX_PARTIES: u32 = ARRIVED;

    /// Makes a barrier for that many parties; at one for none, or for one, nobody waits.
    ///
    /// # Panics
    ///
    /// They are more than [`MAX_PARTIES`](Self::MAX_PARTIES).
    #[must_use]
    pub const fn new(parties: u32) -> Barrier {
        assert!(parties <= Barrier::MAX_PARTIES, "a barrier has at most 32767 parties");
        Barrier {
            monitor: Monitor::new(0),
            places: [const { Place { thread: GuardedU64::new(0), generation: GuardedU64::new(0) } }; PLACES],
            parties: GuardedU32::new(parties),
            reserved: 0,
        }
    }

    /// Waits until all parties have come.
    ///
    /// # Errors
    ///
    /// The barrier is broken, or was while the call waited.
    pub fn wait(&self) -> Result<BarrierWaitResult, BrokenBarrier> {
        self.wait_until(Deadline::NEVER)
    }

    /// Waits until all parties have come, at most for a time; then it breaks the barrier.
    ///
    /// # Errors
    ///
    /// The time was up, or as of [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_sync::Barrier;
    /// use std::time::Duration;
    ///
    /// let barrier = Barrier::new(2);
    /// assert!(barrier.wait_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
    /// assert!(barrier.is_broken() && barrier.wait().is_err());
    /// barrier.reset();
    /// assert!(!barrier.is_broken());
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierWaitResult, BrokenBarrier> {
        self.wait_until(Deadline::after(timeout))
    }

    /// Waits until all parties have come, at most until an instant; then it breaks the barrier.
    ///
    /// # Errors
    ///
    /// The time was up, or as of [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> Result<BarrierWaitResult, BrokenBarrier> {
        self.wait_until(Deadline::at(deadline))
    }

    /// Breaks the barrier: who waits, and who comes, gets an error until [`reset`](Self::reset).
    pub fn abort(&self) {
        let entered = self.monitor.enter();
        entered.publish(Number::of(entered.value()).broken().value());
    }

    /// Makes the barrier as new; who waits gets an error.
    pub fn reset(&self) {
        let entered = self.monitor.enter();
        let number = Number::of(entered.value()).broken();
        entered.publish(Number { is_broken: false, ..number }.value());
    }

    /// Tells whether the barrier is broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        Number::of(self.monitor.value()).is_broken
    }

    /// How many parties wait at this moment.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        Number::of(self.monitor.value()).arrived
    }

    /// How many parties meet here.
    #[must_use]
    pub fn parties(&self) -> u32 {
        self.parties.load(Ordering::Relaxed)
    }

    /// Makes a barrier of zeros, which is what a model's memory is, one for that many parties.
    #[cfg(multiproc_model)]
    #[doc(hidden)]
    pub fn set_parties(&self, parties: u32) {
        // Relaxed: nobody is there yet.
        self.parties.store(parties, Ordering::Relaxed);
    }

    fn wait_until(&self, deadline: Deadline) -> Result<BarrierWaitResult, BrokenBarrier> {
        // From before it is counted until it goes on, with no gap.
        let watched = thread::watch(self.monitor.bell().futex());
        let result = self.meet(deadline);
        thread::watch_again(watched);
        result
    }

    fn meet(&self, deadline: Deadline) -> Result<BarrierWaitResult, BrokenBarrier> {
        let Some(entered) = self.monitor.enter_until(deadline) else {
            return Err(BrokenBarrier { is_timeout: true });
        };
        let number = Number::of(entered.value());
        if number.is_broken {
            return Err(BrokenBarrier { is_timeout: false });
        }
        let (generation, index) = (number.generation, number.arrived);
        if index + 1 >= self.parties() {
            let next = number.next(false);
            if index > 0 {
                entered.publish(next.value())
            } else {
                entered.publish_quietly(next.value())
            }
            return Ok(BarrierWaitResult { index, is_leader: true });
        }
        self.note(generation);
        entered.publish_quietly(Number { arrived: index + 1, ..number }.value());
        let has_heard = entered.has_heard();
        drop(entered);
        if has_heard {
            self.look_for_the_dead(generation);
        }
        let goes_on = |value| Number::of(value).generation != generation;
        let mut is_timeout = false;
        if !self.monitor.wait(deadline, goes_on, || self.look_for_the_dead(generation)) {
            let entered = self.monitor.enter();
            is_timeout = self.break_up(&entered, generation);
        }
        if is_timeout || Number::of(self.monitor.value()).was_broken(generation) {
            return Err(BrokenBarrier { is_timeout });
        }
        Ok(BarrierWaitResult { index, is_leader: false })
    }

    /// Notes that the calling thread waits.
    fn note(&self, generation: u32) {
        let this = u64::from(generation) + 1;
        // Relaxed, in all of this file: the list belongs to the owner of the monitor's lock.
        if let Some(place) = self.places.iter().find(|place| place.generation.load(Ordering::Relaxed) != this)
        {
            place.thread.store(thread::id(), Ordering::Relaxed);
            place.generation.store(this, Ordering::Relaxed);
        }
    }

    /// Breaks the barrier if it is still in that generation; tells whether it was.
    fn break_up(&self, entered: &Entered<'_>, generation: u32) -> bool {
        let number = Number::of(entered.value());
        let is_same = number.generation == generation;
        if is_same {
            entered.publish(number.broken().value());
        }
        is_same
    }

    /// Breaks the barrier if one of those who wait is dead.
    #[cold]
    fn look_for_the_dead(&self, generation: u32) {
        let this = u64::from(generation) + 1;
        for place in &self.places {
            let waiter = place.thread.load(Ordering::Relaxed);
            // The kernel is asked without the lock; a thread is dead for good.
            if place.generation.load(Ordering::Relaxed) != this || waiter == 0 || thread::is_alive(waiter) {
                continue;
            }
            // Whoever looks next does it, if this one cannot.
            let Some(entered) = self.monitor.enter_until(looks::without_waiting()) else { return };
            let is_same = place.generation.load(Ordering::Relaxed) == this
                && place.thread.load(Ordering::Relaxed) == waiter;
            if is_same {
                self.break_up(&entered, generation);
                return;
            }
        }
    }
}

impl BarrierWaitResult {
    /// How many came before the calling thread; different for each, and below the number of parties.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Tells whether it came last, which is true for one of them.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}

impl BrokenBarrier {
    /// Tells whether it was the calling thread whose time was up.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.is_timeout
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties())
            .field("waiting", &self.waiting())
            .field("is_broken", &self.is_broken())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_who_looks_late_has_met_the_others_for_nothing() {
        let start = Number { generation: GENERATION - 1, is_broken: false, arrived: 1, endings: 0 };
        let after = |was_broken: bool, then: usize, are_broken: bool| {
            let ended = start.next(was_broken);
            let last = (0..then).fold(ended, |number, _| Number { arrived: 1, ..number }.next(are_broken));
            Number::of(last.value()).was_broken(start.generation)
        };
        for then in 0..ENDINGS as usize {
            assert!(after(true, then, false) && !after(false, then, true), "{then} later");
        }
        for then in [ENDINGS as usize, 100] {
            assert!(after(true, then, true), "all that came later were broken, {then}");
            assert!(!after(false, then, false), "none was broken, {then}");
        }
    }
}
