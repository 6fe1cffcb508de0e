//! Queues in shared memory.

#[doc(hidden)]
pub mod ring;
