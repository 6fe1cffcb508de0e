//! What a watcher sees of real programs, and what they notice of it: nothing.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

/// What is seen: processes, queues, pools, locks.
mod programs;

/// Named objects: who holds them, what is stale.
mod names;

/// What those notice who are watched.
mod undisturbed;

/// Memory that says what is not true.
mod hostile;
