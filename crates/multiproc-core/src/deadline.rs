use std::time::{Duration, Instant};

/// The instant at which a whole call gives up, or never.
///
/// Every waiting operation has one inner form that takes a `Deadline`; `op`, `try_op`, `op_timeout` and
/// `op_deadline` differ only in the one that they pass. The clock is monotonic.
///
/// ```
/// use multiproc_core::Deadline;
/// use std::time::Duration;
///
/// assert!(Deadline::now().has_passed());
/// assert!(!Deadline::after(Duration::MAX).has_passed()); // too far to count: never
/// assert_eq!(Deadline::NEVER.remaining(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Waits for ever.
    pub const NEVER: Deadline = Deadline(None);

    /// A deadline that has passed: looks, and never waits.
    pub fn now() -> Deadline {
        Deadline(Some(Instant::now()))
    }

    /// The deadline `timeout` from now; one beyond the clock's range is [`NEVER`](Deadline::NEVER).
    pub fn after(timeout: Duration) -> Deadline {
        Deadline(Instant::now().checked_add(timeout))
    }

    /// The deadline at `instant`.
    pub fn at(instant: Instant) -> Deadline {
        Deadline(Some(instant))
    }

    /// The time left, zero once it has passed, `None` for [`NEVER`](Deadline::NEVER).
    pub fn remaining(&self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Tells whether there is no time left.
    pub fn has_passed(&self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }

    /// The instant itself, `None` for [`NEVER`](Deadline::NEVER).
    pub fn instant(&self) -> Option<Instant> {
        self.0
    }
}

impl From<Option<Duration>> for Deadline {
    /// `None` waits for ever.
    fn from(timeout: Option<Duration>) -> Deadline {
        timeout.map_or(Deadline::NEVER, Deadline::after)
    }
}
