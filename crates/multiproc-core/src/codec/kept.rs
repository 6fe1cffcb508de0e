use super::Encoder;
use std::cell::Cell;

thread_local! {
    /// Boxed, so that it is one word to move.
    static KEPT: Cell<Option<Box<Encoder>>> = const { Cell::new(None) };
}

/// Runs `f` with an empty encoder that the thread keeps: asking for memory takes longer than encoding most messages.
///
/// Within `f` the next call has another one, and so has one while the thread ends.
///
/// # Examples
///
/// ```
/// use multiproc_core::codec::with_encoder;
///
/// let len = with_encoder(|encoder| encoder.encode(&(1u8, "two".to_owned())).map(|()| encoder.bytes().len()))?;
/// assert_eq!(len, 5);
/// # Ok::<(), multiproc_core::codec::EncodeError>(())
/// ```
#[inline]
pub fn with_encoder<R>(f: impl FnOnce(&mut Encoder) -> R) -> R {
    let mut encoder = KEPT.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let result = f(&mut encoder);
    encoder.clear();
    // Where the thread ends it is dropped.
    let _ = KEPT.try_with(|kept| kept.set(Some(encoder)));
    result
}
