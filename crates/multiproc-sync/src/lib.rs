//! Locks for shared memory.

#[doc(hidden)]
pub mod raw;
