//! Queues between processes.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

/// Messages of all sizes and types, in their order; closing; batches.
mod messages;

/// Messages that hold handles.
mod handles;

/// Leases and joining.
mod leases;

/// Queues with a name.
mod named;

/// Processes that are killed at random.
mod storms;

/// Waiting by descriptors and futures.
mod watched;
