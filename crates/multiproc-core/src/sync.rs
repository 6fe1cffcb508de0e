//! The loom seam: atomics and cells that a model checker can take over.
//!
//! Everything in this workspace that synchronises through memory imports from here, never from
//! `std::sync::atomic`, so that `RUSTFLAGS="--cfg loom"` replaces all of it at once.

/// Atomics and their orderings.
pub mod atomic {
    #[cfg(loom)]
    pub use loom::sync::atomic::{
        AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        fence,
    };
    #[cfg(not(loom))]
    pub use std::sync::atomic::{
        AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        fence,
    };
}
