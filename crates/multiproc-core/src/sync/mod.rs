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

#[cfg(loom)]
#[expect(missing_docs, missing_debug_implementations, reason = "as in `sys`")]
mod loom;
#[cfg(multiproc_model)]
pub mod model;

/// Atomics and their orderings.
pub mod atomic {
    #[cfg(multiproc_model)]
    pub use super::model::atomic::{AtomicU32, AtomicU64};
    #[cfg(loom)]
    pub use ::loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
    #[cfg(not(any(loom, multiproc_model)))]
    pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
    #[cfg(multiproc_model)]
    pub use std::sync::atomic::{AtomicBool, Ordering, fence};
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
    pub use super::loom::thread::{hold, id, is_alive, let_go, watch, watch_again};
    #[cfg(multiproc_model)]
    pub use super::model::thread::{hold, id, is_alive, let_go, watch, watch_again};
    pub use crate::sys::thread::NUMBER;
    #[cfg(not(any(loom, multiproc_model)))]
    pub use crate::sys::thread::{hold, id, is_alive, let_go, watch, watch_again};
}

/// How long a thread sleeps before it looks for itself, whatever it was told or not told.
///
/// `None` lets it sleep for ever, which tests want: a bound hides a wake-up that was lost.
pub fn longest_sleep() -> Option<std::time::Duration> {
    use std::sync::atomic::Ordering::Relaxed;
    (!UNBOUNDED.load(Relaxed)).then_some(LONGEST_SLEEP)
}

/// Lets threads of this process sleep without bound, or not; for tests.
#[doc(hidden)]
pub fn sleep_without_bound(unbounded: bool) {
    UNBOUNDED.store(unbounded, std::sync::atomic::Ordering::Relaxed);
}

const LONGEST_SLEEP: std::time::Duration = std::time::Duration::from_millis(100);
static UNBOUNDED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
