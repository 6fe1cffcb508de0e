//! Buffers that a thread keeps, since asking for memory takes longer than all the rest.

use crate::ring::Batch;
use multiproc_core::codec::Encoder;
use std::cell::Cell;
use std::thread::LocalKey;

/// Where a buffer lies while it is not used; boxed, so that it is one word to move.
type Kept<T> = Cell<Option<Box<T>>>;

thread_local! {
    /// What messages are encoded to.
    pub(crate) static ENCODER: Kept<Encoder> = const { Cell::new(None) };
    /// What messages are copied to.
    pub(crate) static BATCH: Kept<Batch> = const { Cell::new(None) };
}

/// Takes the thread's buffer; a new one while it is in use further out, or when the thread ends.
#[inline]
pub(crate) fn take<T: Default>(key: &'static LocalKey<Kept<T>>) -> Box<T> {
    key.try_with(Cell::take).ok().flatten().unwrap_or_default()
}

/// Keeps the buffer for the next time.
#[inline]
pub(crate) fn put_back<T>(key: &'static LocalKey<Kept<T>>, buffer: Box<T>) {
    // Where the thread ends it is dropped.
    let _ = key.try_with(|kept| kept.set(Some(buffer)));
}
