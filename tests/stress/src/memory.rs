//! What the scenarios put into shared memory.
//!
//! # Safety
//!
//! [`Plain`] declares whatever a scenario wraps in it fit for shared memory. All processes of a point are copies of
//! one program and have the memory at one address, so that even addresses in it mean the same to all; the words in
//! it are atomics, of which every bit pattern is a value; and nothing in it has a destructor, see [`shared`].
#![expect(unsafe_code, reason = "puts what is being tried into shared memory, whatever it promises itself")]

use multiproc_shm::{Shared, ShmSafe};

/// Something to try, in shared memory.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct Plain<T>(pub(crate) T);

// SAFETY: see the head of this file.
unsafe impl<T: Send + Sync + 'static> ShmSafe for Plain<T> {
    const LAYOUT: u64 = 1;
}

/// Moves a value into fresh shared memory.
///
/// # Panics
///
/// There is none, or the value has a destructor.
pub(crate) fn shared<T: Send + Sync + 'static>(value: T) -> Shared<Plain<T>> {
    const { assert!(!std::mem::needs_drop::<T>(), "nobody would drop it") };
    match Shared::new(Plain(value)) {
        Ok(shared) => shared,
        Err(error) => panic!("no shared memory: {error}"),
    }
}
