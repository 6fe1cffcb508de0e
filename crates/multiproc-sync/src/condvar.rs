//! Waiters have tickets; a notification names the ticket up to which everybody may go.
//!
//! The monitor's number is `next ticket 32 | granted 32`: tickets below `granted` may go. A waiter takes a ticket while
//! it has the mutex, notes it with its thread in a place of the list, releases the mutex, sleeps until its ticket is
//! granted, and takes the mutex again. Only then does it clear its place. A notifier looks up the n-th ticket that
//! waits, and publishes it as granted: one step, which also wakes everybody who sleeps; who was not meant sleeps on.
//! It waits for nobody.
//!
//! What the dead leave: a place with a thread that is gone. If its ticket was granted, the notification goes to
//! somebody who waits, *before* the place is cleared: a death in between wakes one too many, never one too few.
//! Otherwise the place is cleared. The kernel watches the bell of a waiter from before the mutex is released (noted
//! first, so that one store takes it from the mutex to the bell) until it takes the mutex again; others who wait hear
//! it. From then on the kernel watches the mutex, whose next owner it must tell: a thread has one word that is watched.
//! What was for one who dies there is passed on when a short sleep of another ends.
//!
//! Who dies with the mutex may have been about to notify, or may have been notified and not have taken what there was.
//! So those who wait look at the mutex too, whenever they hear a death and whenever a short sleep ends, and end their
//! wait if it belongs to the dead: one of them is told.
//!
//! A place holds a ticket before the number says that there is one. One who dies in between leaves a ticket that is
//! not yet given out, and counts as a free place.
//!
//! A waiter that finds no place has a ticket all the same. It is granted with the next higher ticket that is, or when
//! nobody in the list waits: too early perhaps, never too late.

use crate::mutex::{LockError, MutexGuard};
#[cfg(not(any(loom, multiproc_model)))]
use crate::peek::{Id, Look, State};
use crate::raw::{Entered, Monitor, looks};
use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{GuardedU64, Ordering};
use multiproc_core::sync::thread;
#[cfg(not(any(loom, multiproc_model)))]
use multiproc_shm::peek as shm;
use std::cell::Cell;
use std::fmt;
#[cfg(not(any(loom, multiproc_model)))]
use std::mem::offset_of;
use std::time::{Duration, Instant};

/// How many waiters have a place of their own.
const PLACES: usize = if cfg!(multiproc_model) { 3 } else { 64 };

/// A condition to wait for beside a [`Mutex`](crate::Mutex), for threads of any number of processes: Python's
/// `Condition`.
///
/// It is used as `std`'s: change what the condition is about under the mutex and notify; wait in a loop, since a wait
/// may end early. Unlike in Python the mutex is a value of its own, notifying needs no lock, and a notifier waits for
/// nobody, so that no waiter's death can hang it. A notification whose receiver died before it had the mutex again
/// goes to another; and if somebody dies with the mutex, those who wait are woken, and the first of them is told.
///
/// # Examples
///
/// ```
/// use multiproc_shm::{Shared, ShmSafe};
/// use multiproc_sync::{Condvar, Mutex};
///
/// #[derive(ShmSafe)]
/// #[repr(C)]
/// struct Stock {
///     count: Mutex<u64>,
///     arrived: Condvar,
/// }
///
/// let stock = Shared::new(Stock { count: Mutex::new(0), arrived: Condvar::new() })?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         *stock.count.lock().unwrap() += 1;
///         stock.arrived.notify_one();
///     });
///     let count = stock.count.lock().unwrap();
///     let mut count = stock.arrived.wait_while(count, |count| *count == 0).unwrap();
///     *count -= 1;
/// });
/// # std::io::Result::Ok(())
/// ```
///
/// # Caveats
///
/// - Notify before the mutex is released, if a death in between must not matter: one that released it and dies before
///   it notifies leaves nothing to be seen.
/// - Who recovers the mutex of a dead owner should notify all: the dead one may have been notified, and not have taken
///   what there was.
/// - With more than 64 waiters at once, those beyond may be woken by notifications that were for others.
#[derive(Default)]
#[repr(C)]
pub struct Condvar {
    monitor: Monitor,
    places: Places,
}

#[repr(C)]
struct Places([Place; PLACES]);

#[repr(C)]
struct Place {
    /// One more than the ticket; 0 is none.
    ticket: GuardedU64,
    thread: GuardedU64,
}

/// Whether a wait ended because its time was up.
///
/// # Examples
///
/// ```
/// use multiproc_sync::{Condvar, Mutex};
/// use std::time::{Duration, Instant};
///
/// let (lock, changed) = (Mutex::new(0u32), Condvar::new());
/// let guard = lock.lock().unwrap();
/// let (guard, result) = changed.wait_deadline(guard, Instant::now() + Duration::from_millis(1)).unwrap();
/// assert!(result.timed_out());
/// drop(guard);
/// changed.notify_n(2); // nobody waits: nothing happens
/// changed.notify_all();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult {
    timed_out: bool,
}

/// The monitor's number in its parts.
#[derive(Clone, Copy)]
struct Number {
    next: u32,
    granted: u32,
}

/// A wait that has begun.
struct Ticket {
    number: u32,
    place: Option<usize>,
    /// Somebody died meanwhile, and will not be heard again.
    has_heard: bool,
}

/// Tells whether a ticket comes before another; they are never far apart, and may wrap.
fn is_before(ticket: u32, other: u32) -> bool {
    (ticket.wrapping_sub(other) as i32) < 0
}

impl Number {
    fn of(value: u64) -> Number {
        Number { next: (value >> 32) as u32, granted: value as u32 }
    }

    fn value(self) -> u64 {
        u64::from(self.next) << 32 | u64::from(self.granted)
    }
}

impl Place {
    /// Its ticket, if it has one that was given out.
    fn ticket(&self, number: Number) -> Option<u32> {
        // Relaxed, in all of this file: the list belongs to the owner of the monitor's lock.
        let ticket = self.ticket.load(Ordering::Relaxed).checked_sub(1)? as u32;
        is_before(ticket, number.next).then_some(ticket)
    }
}

#[cfg(not(any(loom, multiproc_model)))]
impl Condvar {
    /// What a watcher sees in a copy.
    pub(crate) fn look(bytes: &[u8]) -> Look {
        let (value, is_waited_for) =
            Monitor::seen(bytes.get(offset_of!(Condvar, monitor)..).unwrap_or_default());
        let number = Number::of(value);
        let waiting = |place: usize| {
            let at = offset_of!(Condvar, places) + place * size_of::<Place>();
            let ticket = shm::word(bytes, at + offset_of!(Place, ticket)).checked_sub(1)? as u32;
            let waits = is_before(ticket, number.next) && !is_before(ticket, number.granted);
            waits.then(|| Id(shm::word(bytes, at + offset_of!(Place, thread))))
        };
        let waiters: Vec<Id> = (0..PLACES).filter_map(waiting).collect();
        Look { waiters: waiters.clone(), is_waited_for, ..Look::new(State::Waiting(waiters.len() as u32)) }
    }
}

impl Condvar {
    /// Makes a condition that nobody waits for.
    #[must_use]
    pub const fn new() -> Condvar {
        Condvar { monitor: Monitor::new(0), places: Places::new() }
    }

    /// Releases the mutex, waits to be notified, and takes the mutex again.
    ///
    /// It may end early: ask for what you wait for again, or use [`wait_while`](Self::wait_while).
    ///
    /// # Errors
    ///
    /// The mutex was taken from an owner that died or panicked; its guard is in the error.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> Result<MutexGuard<'a, T>, LockError<'a, T>> {
        self.wait_until(guard, Deadline::NEVER).1
    }

    /// Waits while `condition` holds.
    ///
    /// # Errors
    ///
    /// As of [`wait`](Self::wait).
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<MutexGuard<'a, T>, LockError<'a, T>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Waits as [`wait`](Self::wait) does, at most for a time.
    ///
    /// The mutex is taken again in either case, which may take longer.
    ///
    /// # Errors
    ///
    /// As of [`wait`](Self::wait).
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), LockError<'a, T>> {
        self.wait_to(guard, Deadline::after(timeout))
    }

    /// Waits as [`wait`](Self::wait) does, at most until an instant.
    ///
    /// # Errors
    ///
    /// As of [`wait`](Self::wait).
    pub fn wait_deadline<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), LockError<'a, T>> {
        self.wait_to(guard, Deadline::at(deadline))
    }

    /// Waits while `condition` holds, at most for a time; it timed out if the condition still holds.
    ///
    /// # Errors
    ///
    /// As of [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let (ready, changed) = (Mutex::new(0u32), Condvar::new());
    /// let guard = ready.lock().unwrap();
    /// let timeout = Duration::from_millis(1);
    /// let (guard, result) = changed.wait_timeout_while(guard, timeout, |ready| *ready == 0).unwrap();
    /// assert!(result.timed_out() && *guard == 0);
    /// ```
    pub fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), LockError<'a, T>> {
        let deadline = Deadline::after(timeout);
        while condition(&mut guard) {
            if deadline.has_passed() {
                return Ok((guard, WaitTimeoutResult { timed_out: true }));
            }
            guard = self.wait_until(guard, deadline).1?;
        }
        Ok((guard, WaitTimeoutResult { timed_out: false }))
    }

    /// Wakes one who waits, if there is any.
    #[inline]
    pub fn notify_one(&self) {
        self.notify_n(1);
    }

    /// Wakes as many of those who wait, in the order in which they came.
    #[inline]
    pub fn notify_n(&self, count: usize) {
        let number = Number::of(self.monitor.value());
        if number.next != number.granted && count > 0 {
            let entered = self.monitor.enter();
            self.grant(&entered, count);
        }
    }

    /// Wakes everybody who waits.
    #[inline]
    pub fn notify_all(&self) {
        self.notify_n(usize::MAX);
    }

    fn wait_to<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Deadline,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), LockError<'a, T>> {
        let (timed_out, guard) = self.wait_until(guard, deadline);
        Ok((guard?, WaitTimeoutResult { timed_out }))
    }

    fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Deadline,
    ) -> (bool, Result<MutexGuard<'a, T>, LockError<'a, T>>) {
        let bell = self.monitor.bell().futex();
        let mutex = guard.mutex();
        let Some(ticket) = self.begin(deadline) else { return (true, Ok(guard)) };
        // Noted and not yet watched: that is the mutex, until it is released.
        thread::hold(bell);
        drop(guard);
        // Whoever dies with the mutex may have been about to notify, or to take what it was notified of.
        let is_orphaned = Cell::new(false);
        let look = || {
            self.look_for_the_dead();
            is_orphaned.set(mutex.lock.is_of_the_dead());
        };
        if ticket.has_heard {
            look();
        }
        let was_woken = self.monitor.wait(
            deadline,
            |value| is_orphaned.get() || is_before(ticket.number, Number::of(value).granted),
            look,
        );
        let guard = mutex.lock_until(Deadline::NEVER);
        let timed_out = !self.end(&ticket) && !was_woken;
        thread::let_go(bell);
        (timed_out, guard)
    }

    /// Takes a ticket; the deadline is for a monitor whose owner is stopped.
    fn begin(&self, deadline: Deadline) -> Option<Ticket> {
        let entered = self.monitor.enter_until(deadline)?;
        let number = Number::of(entered.value());
        let place = self.places.0.iter().position(|place| place.ticket(number).is_none());
        if let Some(place) = place {
            self.places.0[place].thread.store(thread::id(), Ordering::Relaxed);
            self.places.0[place].ticket.store(u64::from(number.next) + 1, Ordering::Relaxed);
        }
        let ticket = Ticket { number: number.next, place, has_heard: entered.has_heard() };
        entered.publish_quietly(Number { next: number.next.wrapping_add(1), ..number }.value());
        Some(ticket)
    }

    /// Gives the place back, and tells whether the ticket was granted.
    fn end(&self, ticket: &Ticket) -> bool {
        let entered = self.monitor.enter();
        let number = Number::of(entered.value());
        if let Some(place) = ticket.place {
            self.places.0[place].ticket.store(0, Ordering::Relaxed);
        }
        is_before(ticket.number, number.granted)
    }

    /// Grants that many of the tickets that wait.
    fn grant(&self, entered: &Entered<'_>, count: usize) {
        let number = Number::of(entered.value());
        // Places without a ticket that waits come last.
        let mut waiting = [u32::MAX; PLACES];
        for (waiting, place) in waiting.iter_mut().zip(&self.places.0) {
            if let Some(ticket) = place.ticket(number) {
                *waiting = ticket.wrapping_sub(number.granted);
                if is_before(ticket, number.granted) {
                    *waiting = u32::MAX;
                }
            }
        }
        let last = if count > PLACES {
            None
        } else {
            let (_, distance, _) = waiting.select_nth_unstable(count - 1);
            (*distance < u32::MAX).then_some(*distance)
        };
        // Where fewer wait than are to be woken, also those without a place are.
        let granted =
            last.map_or(number.next, |distance| number.granted.wrapping_add(distance).wrapping_add(1));
        if granted != number.granted {
            entered.publish(Number { granted, ..number }.value());
        }
    }

    /// Clears the places of the dead, and passes on what was for them.
    #[cold]
    fn look_for_the_dead(&self) {
        let me = thread::id();
        for place in &self.places.0 {
            let (ticket, waiter) =
                (place.ticket.load(Ordering::Relaxed), place.thread.load(Ordering::Relaxed));
            // The kernel is asked without the lock.
            if ticket == 0 || waiter == me || thread::is_alive(waiter) {
                continue;
            }
            // Whoever looks next does it, if this one cannot.
            let Some(entered) = self.monitor.enter_until(looks::without_waiting()) else { return };
            let number = Number::of(entered.value());
            if place.thread.load(Ordering::Relaxed) != waiter {
                continue;
            }
            if place.ticket(number).is_some_and(|ticket| is_before(ticket, number.granted)) {
                self.grant(&entered, 1);
            }
            place.ticket.store(0, Ordering::Relaxed);
        }
    }
}

impl Places {
    const fn new() -> Places {
        Places([const { Place { ticket: GuardedU64::new(0), thread: GuardedU64::new(0) } }; PLACES])
    }
}

impl Default for Places {
    fn default() -> Places {
        Places::new()
    }
}

impl WaitTimeoutResult {
    /// Tells whether the time was up before a notification came.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.timed_out
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
