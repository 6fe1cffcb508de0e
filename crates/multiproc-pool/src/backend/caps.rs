use std::time::Duration;

/// What a backend can do. A pool that asks for more is not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// It can end an element that is running.
    pub kills_running: bool,
    /// What a task does to its worker cannot reach the others.
    pub isolates: bool,
    /// It can limit memory, choose processors and how workers are started.
    pub limits: bool,
    /// Its workers come and go with the work.
    pub elastic: bool,
    /// Arguments and results may hold handles.
    pub carries_handles: bool,
    /// Its workers are replaced after so much work, memory or time.
    pub recycles: bool,
    /// What it was handed cannot be looked at or taken back, only asked for; it keeps to deadlines itself.
    pub is_distant: bool,
}

/// What must be in an envelope to be worth its way, and what is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    pub least: Duration,
    pub enough: Duration,
}

impl Default for Trip {
    fn default() -> Trip {
        Trip { least: Duration::from_micros(30), enough: Duration::from_micros(250) }
    }
}
