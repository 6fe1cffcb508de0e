//! The loom seam: atomics that a model checker can take over.
//!
//! What synchronises by an algorithm of its own imports from here, so that `RUSTFLAGS="--cfg loom"` replaces it and
//! `tests/loom.rs` can try every order. Plain flags and counters, which order nothing, use `std`.

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
