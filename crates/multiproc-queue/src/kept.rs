use crate::ring::Batch;
use std::cell::Cell;

thread_local! {
    /// Boxed, so that it is one word to move.
    static KEPT: Cell<Option<Box<Batch>>> = const { Cell::new(None) };
}

/// Runs `f` with an empty batch that the thread keeps, as [`with_encoder`](multiproc_core::codec::with_encoder) does.
#[inline]
pub(crate) fn with_batch<R>(f: impl FnOnce(&mut Batch) -> R) -> R {
    let mut batch = KEPT.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let result = f(&mut batch);
    batch.clear();
    // Where the thread ends it is dropped.
    let _ = KEPT.try_with(|kept| kept.set(Some(batch)));
    result
}
