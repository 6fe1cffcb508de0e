//! The seam behind which models take the place of the machine.
//!
//! What synchronises by an algorithm of its own takes its atomics, its sleeping and what it knows of threads from
//! here. Two model checkers can then run the very same source:
//!
//! - loom (`RUSTFLAGS="--cfg loom"`) tries every order that the memory model of C11 allows, in `tests/loom.rs`;
//! - the model of kills (`RUSTFLAGS="--cfg multiproc_model"`) tries every order of the steps of several processes,
//!   each of which may be killed at any of them, in the package `tests/model`.
//!
//! Plain flags and counters, which order nothing, use `std`.

use crate::Deadline;
use std::time::Duration;

#[cfg(loom)]
#[expect(missing_docs, reason = "as in `sys`")]
mod loom;
#[cfg(multiproc_model)]
pub mod model;

/// Atomics and their orderings.
///
/// The `Guarded` ones are touched by the owner of a lock only, or as a hint that is checked again by one. To the
/// machine they are atomics like the others; the model of kills need not try the steps of other processes between.
pub mod atomic {
    #[cfg(multiproc_model)]
    pub use super::model::atomic::{AtomicU32, AtomicU64, GuardedU32, GuardedU64};
    #[cfg(loom)]
    pub use ::loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
    #[cfg(loom)]
    pub use ::loom::sync::atomic::{AtomicU32 as GuardedU32, AtomicU64 as GuardedU64};
    #[cfg(not(any(loom, multiproc_model)))]
    pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
    #[cfg(multiproc_model)]
    pub use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering, fence};
    #[cfg(not(any(loom, multiproc_model)))]
    pub use std::sync::atomic::{AtomicU32 as GuardedU32, AtomicU64 as GuardedU64};

    pub use super::Peek;
}

/// A load whose moment nobody cares about, between the caller's step before it and its step after it.
///
/// Either only the caller changes the part that it looks at, or it is a hint: what is done about it fails if the word
/// has changed, and then it is read again. To the machine, and to loom, it is a load like others; the model of kills
/// need not try the steps of other processes before it.
pub trait Peek {
    /// What is in the word.
    type Value;

    /// Loads it.
    fn peek(&self, order: atomic::Ordering) -> Self::Value;
}

#[cfg(not(multiproc_model))]
impl Peek for atomic::AtomicU32 {
    type Value = u32;

    #[inline(always)]
    fn peek(&self, order: atomic::Ordering) -> u32 {
        self.load(order)
    }
}

#[cfg(not(multiproc_model))]
impl Peek for atomic::AtomicU64 {
    type Value = u64;

    #[inline(always)]
    fn peek(&self, order: atomic::Ordering) -> u64 {
        self.load(order)
    }
}

/// Words to sleep on, see [`sys::futex`](crate::sys::futex).
pub mod futex {
    #[cfg(loom)]
    pub use super::loom::futex::{Futex, wait, wait_any, wake, wake_op};
    #[cfg(multiproc_model)]
    pub use super::model::futex::{Futex, wait, wait_any, wake, wake_op};
    pub use crate::sys::futex::{Change, Wake};
    #[cfg(not(any(loom, multiproc_model)))]
    pub use crate::sys::futex::{Futex, wait, wait_any, wake, wake_op};
}

/// Who a thread is and what the kernel does when it dies, see [`sys::thread`](crate::sys::thread).
pub mod thread {
    #[cfg(loom)]
    pub use super::loom::thread::{
        begin, hold, id, is_alive, let_go, process_id, process_is_alive, watch, watch_again,
    };
    #[cfg(multiproc_model)]
    pub use super::model::thread::{
        begin, hold, id, is_alive, let_go, process_id, process_is_alive, watch, watch_again,
    };
    pub use crate::sys::thread::NUMBER;
    #[cfg(not(any(loom, multiproc_model)))]
    pub use crate::sys::thread::{
        begin, hold, id, is_alive, let_go, process_id, process_is_alive, watch, watch_again,
    };
}

/// How long one call sleeps before it looks for itself, whatever it was told or not told.
///
/// A few milliseconds first, then twice as long each time, up to 100: who comes just after a death does not wait
/// long for it to be found, and who idles costs ten looks a second.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    deadline: Deadline,
    next: Duration,
}

impl Patience {
    /// For a call that gives up at the deadline.
    pub const fn until(deadline: Deadline) -> Patience {
        Patience { deadline, next: SHORTEST_SLEEP }
    }

    /// The bound of the next sleep; `None` is none, since tests want a lost wake-up to be seen.
    ///
    /// # Errors
    ///
    /// There is no time left.
    pub fn next_sleep(&mut self) -> Result<Option<Duration>, TimedOut> {
        let remaining = self.deadline.remaining();
        if remaining.is_some_and(|remaining| remaining.is_zero()) {
            return Err(TimedOut);
        }
        if UNBOUNDED.load(std::sync::atomic::Ordering::Relaxed) {
            return Ok(remaining);
        }
        let bound = self.next;
        self.next = (bound * 2).min(LONGEST_SLEEP);
        Ok(Some(remaining.map_or(bound, |remaining| remaining.min(bound))))
    }
}

/// The deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

/// Lets threads of this process sleep without bound, or not; for tests.
#[doc(hidden)]
pub fn sleep_without_bound(unbounded: bool) {
    UNBOUNDED.store(unbounded, std::sync::atomic::Ordering::Relaxed);
}

/// More than a tick of most kernels, 4 ms: a timer that comes before the next tick has the clock set anew, twice a sleep,
/// which takes some 2 us each on a virtual machine.
const SHORTEST_SLEEP: Duration = Duration::from_millis(5);
const LONGEST_SLEEP: Duration = Duration::from_millis(100);
static UNBOUNDED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
