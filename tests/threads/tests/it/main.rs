//! Threads of one process that use together what is made for processes, one module per floor.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

/// The words below everything: lock, wait cell, bell, monitor, permits.
mod words;

/// What users lock.
mod locks;

/// What users wait for.
mod signals;

/// Queues: plain, in batches, leased, with handles.
mod queue;

/// Channels with locks and without.
mod channel;

/// Shared values, slices and bytes; memory that grows.
mod memory;

/// Messages to bytes and back, and the bell of those who poll.
mod codec;
