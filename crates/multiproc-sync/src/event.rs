#[cfg(not(any(loom, multiproc_model)))]
use crate::peek::{Look, State};
use multiproc_core::Deadline;
use multiproc_core::sync::Patience;
use multiproc_core::sync::atomic::{AtomicU32, Ordering, fence};
use multiproc_core::sync::futex::{self, Change, Futex};
use std::fmt;
use std::time::{Duration, Instant};

// The word of an event:
//
// | bits | name | means |
// |---|---|---|
// | 0 | SET | the event is set |
// | 1 | SLEEPERS | somebody may sleep, if SET is 0 |
// | 2 to 31 | | how often it was cleared |
//
// A sleeper sets SLEEPERS while SET is 0, and sleeps only while the word has that value. SET comes to a word without
// SLEEPERS by a compare-and-swap that fails if SLEEPERS comes first, and to one with SLEEPERS by a system call that
// also wakes everybody: there is no moment between the change and the wake-up in which a killed setter could leave
// sleepers behind. While SET is 1 nobody sleeps, so that clearing may take SLEEPERS away with it.
//
// The number of clearings tells a waiter that the event was set, however short; nobody need catch it in the act.
const SET: u32 = 1 << 0;
const SLEEPERS: u32 = 1 << 1;
const CLEARED: u32 = 1 << 2;

/// A flag to wait for, for threads of any number of processes: Python's `Event`.
///
/// One word. Setting it wakes everybody who waits, and waits for none of them; nobody's death, at whatever
/// instruction, keeps another from seeing it. Where nobody waits no operation is a system call.
///
/// Unlike Python's, a wait is not missed by an event that is cleared right after it was set, and setting one whose
/// waiter was killed does not hang.
///
/// # Examples
///
/// ```
/// use multiproc_shm::Shared;
/// use multiproc_sync::Event;
///
/// let go = Shared::new(Event::new())?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| go.wait());
///     go.set();
/// });
/// assert!(go.is_set());
/// # std::io::Result::Ok(())
/// ```
#[derive(Default)]
#[repr(transparent)]
pub struct Event {
    word: AtomicU32,
}

impl Event {
    /// Makes an event that is not set.
    #[cfg(not(loom))]
    pub const fn new() -> Event {
        Event { word: AtomicU32::new(0) }
    }

    /// Makes an event that is not set.
    #[cfg(loom)]
    pub fn new() -> Event {
        Event { word: AtomicU32::new(0) }
    }

    /// Sets the event, and wakes everybody who waits for it.
    ///
    /// What was written before is seen by whoever then sees the event set.
    #[inline]
    pub fn set(&self) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & SET != 0 || word & SLEEPERS == 0 {
            // EVENT: Release, partner of the Acquire in `is_set`, `wait` and `clear`. Also where it is set already:
            // who sees it from now on sees what this thread wrote, too.
            match self.word.compare_exchange(word, word | SET, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.set_for_sleepers();
    }

    #[cold]
    fn set_for_sleepers(&self) {
        // EVENT: SeqCst, partner of the Acquire in `is_set` and `wait`: the kernel's change publishes what is before.
        fence(Ordering::SeqCst);
        if futex::wake_op(self.futex(), u32::MAX, Change::Or(SET as u16)).is_none() {
            // Two steps, where the kernel has no better; the bounded sleep covers a death in between.
            // EVENT: Release, as in `set`.
            self.word.fetch_or(SET, Ordering::Release);
            futex::wake(self.futex(), u32::MAX);
        }
    }

    /// Clears the event, so that waits for it wait again.
    ///
    /// What was written before a [`set`](Self::set) that this takes back is seen afterwards.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_sync::Event;
    /// use std::time::{Duration, Instant};
    ///
    /// let go = Event::new();
    /// go.set();
    /// assert!(go.wait_deadline(Instant::now() + Duration::from_secs(1)));
    /// go.clear();
    /// assert!(!go.is_set());
    /// ```
    #[inline]
    pub fn clear(&self) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & SET != 0 {
            let cleared = (word & !(SET | SLEEPERS)).wrapping_add(CLEARED);
            // EVENT: Acquire, partner of the Release in `set`; Release, partner of the Acquire in `wait`, which takes
            // the number of clearings for the setting.
            match self.word.compare_exchange(word, cleared, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Tells whether the event is set.
    #[must_use]
    #[inline]
    pub fn is_set(&self) -> bool {
        // EVENT: Acquire, partner of the Release in `set`.
        self.word.load(Ordering::Acquire) & SET != 0
    }

    /// Waits until the event is set.
    ///
    /// It returns also if the event was set and cleared meanwhile.
    #[inline]
    pub fn wait(&self) {
        self.wait_until(Deadline::NEVER);
    }

    /// Waits until the event is set, at most for a time; `false` means that it was not.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_sync::Event;
    /// use std::time::Duration;
    ///
    /// let event = Event::new();
    /// assert!(!event.wait_timeout(Duration::from_millis(1)));
    /// event.set();
    /// assert!(event.wait_timeout(Duration::ZERO));
    /// ```
    #[inline]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.is_set() || self.wait_until(Deadline::after(timeout))
    }

    /// Waits until the event is set, at most until an instant; `false` means that it was not.
    #[inline]
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_until(Deadline::at(deadline))
    }

    fn wait_until(&self, deadline: Deadline) -> bool {
        // EVENT: Acquire, partner of the Release in `set` and `clear`; below as well.
        let began = self.word.load(Ordering::Acquire);
        let mut word = began;
        let mut patience = Patience::until(deadline);
        loop {
            if word & SET != 0 || word / CLEARED != began / CLEARED {
                return true;
            }
            let asleep = word | SLEEPERS;
            if word != asleep
                && let Err(now) =
                    self.word.compare_exchange(word, asleep, Ordering::Acquire, Ordering::Acquire)
            {
                word = now;
                continue;
            }
            let Ok(bound) = patience.next_sleep() else { return false };
            futex::wait(self.futex(), asleep, bound);
            word = self.word.load(Ordering::Acquire);
        }
    }

    /// Makes a change wake the caller, who sleeps while the word has this value; `None` where it is set.
    #[cfg(not(any(loom, multiproc_model)))]
    pub(crate) fn begin_wait(&self) -> Option<(Futex<'_>, u32)> {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & SET == 0 {
            let asleep = word | SLEEPERS;
            // EVENT: Acquire, partner of the Release in `set` and `clear`.
            match self.word.compare_exchange(word, asleep, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some((self.futex(), asleep)),
                Err(now) => word = now,
            }
        }
        None
    }

    fn futex(&self) -> Futex<'_> {
        (&self.word).into()
    }
}

#[cfg(not(any(loom, multiproc_model)))]
impl Event {
    /// What a watcher sees in a copy.
    pub(crate) fn look(bytes: &[u8]) -> Look {
        let word = multiproc_shm::peek::half(bytes, std::mem::offset_of!(Event, word));
        Look { is_waited_for: word & (SET | SLEEPERS) == SLEEPERS, ..Look::new(State::Set(word & SET != 0)) }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).finish()
    }
}
