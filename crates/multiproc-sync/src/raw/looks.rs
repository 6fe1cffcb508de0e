//! How often those who never sleep look for the dead, and how long they wait for one who is at work.

use multiproc_core::Deadline;

#[cfg(not(multiproc_model))]
use std::time::{Duration, Instant};

/// A look asks the kernel, so that one at every call would make spinning on a `try_` dear.
#[cfg(not(multiproc_model))]
const APART: Duration = Duration::from_millis(1);

/// Tells whether the calling thread is to look now: its last look was a while ago.
#[cfg(not(multiproc_model))]
pub(crate) fn is_due() -> bool {
    use std::cell::Cell;

    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let now = Instant::now();
    LAST.with(|last| {
        let is_due = last.get().is_none_or(|last| now.saturating_duration_since(last) >= APART);
        if is_due {
            last.set(Some(now));
        }
        is_due
    })
}

/// In a model there is no time.
#[cfg(multiproc_model)]
pub(crate) fn is_due() -> bool {
    true
}

/// When a call gives up that does not wait, but for one who is inside for a few steps; that one may be stopped there.
#[cfg(not(any(loom, multiproc_model)))]
pub(crate) fn without_waiting() -> Deadline {
    Deadline::after(Duration::from_millis(10))
}

/// In a model there is no time.
#[cfg(any(loom, multiproc_model))]
pub(crate) fn without_waiting() -> Deadline {
    Deadline::NEVER
}
