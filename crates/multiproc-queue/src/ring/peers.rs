use super::{Memory, Ring};
use multiproc_core::Deadline;
use multiproc_core::sync::atomic::Ordering;
use multiproc_core::sync::futex;
use multiproc_sync::raw::{DeathBell, Lock, Locked};
use std::time::Duration;

/// Who else uses the ring.
pub trait Peers {
    /// Whether each end has one user at a time, so that it needs no lock.
    const ALONE: bool;

    /// Tells whether nobody is left at the other end; asked before each sleep and each time that one ends.
    fn are_gone(&self) -> bool;
}

/// Any number of processes at each end, or none: one can come at any time.
#[derive(Clone, Copy, Debug)]
pub struct Anyone;

impl Peers for Anyone {
    const ALONE: bool = false;

    fn are_gone(&self) -> bool {
        false
    }
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where records are put.
    Tail,
    /// Where they are taken.
    Head,
}

/// How long who only wakes others waits for a stopped owner of the lock: sleepers notice by themselves soon.
const POLITE: Duration = Duration::from_millis(100);

/// Until when who only wakes others waits for a lock. In a model there is no time.
pub(super) fn politely() -> Deadline {
    if cfg!(multiproc_model) { Deadline::NEVER } else { Deadline::after(POLITE) }
}

/// How long a lock is waited for although the time is up.
const GRACE: Duration = Duration::from_millis(100);

/// Takes a lock by a deadline, or a little later: nobody can tell whether there is a message, or room, while another
/// process is between two of its steps. Only an owner that was stopped there is not waited for.
#[inline]
pub(super) fn lock(lock: &Lock, bell: &DeathBell, deadline: Deadline) -> Option<Locked> {
    lock.lock_hearing(bell, deadline).or_else(|| lock_late(lock, bell))
}

#[cold]
fn lock_late(lock: &Lock, bell: &DeathBell) -> Option<Locked> {
    if cfg!(multiproc_model) { None } else { lock.lock_hearing(bell, Deadline::after(GRACE)) }
}

impl<M: Memory> Ring<M> {
    /// Tells those at the other end that one at this end has gone: they look whether it was the last.
    pub fn leave(&self, end: End) {
        let control = self.memory.control();
        let side = if end == End::Tail { &control.tail } else { &control.head };
        // PEERS: Release, partner of the Acquire in `departures`: who sees it sees what was closed before.
        control.departures[end as usize].fetch_add(1, Ordering::Release);
        // The same position once more is what wakes who sleeps and stops who is about to, in one step.
        let deadline = politely();
        let locked = if end == End::Tail { self.lock_tail(deadline) } else { self.lock_head(deadline) };
        if let Some(locked) = locked {
            side.cell.publish(side.cell.read_as_writer());
            side.lock.unlock(locked);
        }
    }

    /// Does the same as [`leave`](Self::leave) for an end without a lock.
    ///
    /// `is_mine` says that nobody else can be using this end, not even in another process. If not, who is about to
    /// sleep notices only when that sleep ends.
    pub fn leave_alone(&self, end: End, is_mine: bool) {
        let control = self.memory.control();
        let side = if end == End::Tail { &control.tail } else { &control.head };
        // PEERS: Release, as in `leave`.
        control.departures[end as usize].fetch_add(1, Ordering::Release);
        if is_mine {
            side.cell.publish(side.cell.read_as_writer());
        } else {
            futex::wake(control.bell.futex(), u32::MAX);
        }
    }

    /// How often somebody has left that end.
    #[inline]
    pub fn departures(&self, end: End) -> u64 {
        // PEERS: Acquire, partner of the Release in `leave`.
        self.memory.control().departures[end as usize].load(Ordering::Acquire)
    }

    /// Makes the caller the owner of an end without a lock, and returns the number of the ownership.
    pub fn own(&self, end: End) -> u64 {
        self.memory.control().owners[end as usize].fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// The number of the present ownership of an end without a lock.
    #[inline]
    pub fn owner(&self, end: End) -> u64 {
        // Relaxed: it finds mistakes, and orders nothing.
        self.memory.control().owners[end as usize].load(Ordering::Relaxed)
    }
}
