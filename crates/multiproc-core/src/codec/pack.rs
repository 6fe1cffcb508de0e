//! Many values of one type behind each other, whose number is known otherwise: how a pool sends them.
//!
//! Integers and floats stand there at their full width, so that a slice of them is little more than one copy; values
//! of all other types are messages. Which it is the type alone says, so that both ends agree.

use super::Message;
use super::de::{decode, decode_many};
use super::encode::Encoder;
use super::error::{DecodeError, DecodeKind, EncodeError};
use serde::de::DeserializeOwned;
use std::any::Any;

macro_rules! numbers {
    ($($number:ident)*) => {
        /// How long a packed value of this type is, where all of them are equally long. The compiler settles it.
        #[inline]
        fn width<T: 'static>() -> Option<usize> {
            let nothing: &dyn Any = &None::<T>;
            $(if nothing.is::<Option<$number>>() {
                return Some(size_of::<$number>());
            })*
            None
        }

        /// Packs a number; tells whether it is one.
        #[inline]
        fn put<T: 'static>(value: &T, out: &mut Vec<u8>) -> bool {
            let value: &dyn Any = value;
            $(if let Some(number) = value.downcast_ref::<$number>() {
                out.extend_from_slice(&number.to_le_bytes());
                return true;
            })*
            false
        }

        /// Packs numbers; tells whether they are some.
        #[inline]
        fn put_all<T: 'static>(values: &[T], out: &mut Vec<u8>) -> bool {
            $(if width_is::<T, $number>() {
                let start = out.len();
                out.resize(start + size_of_val(values), 0);
                let places = out[start..].as_chunks_mut::<{ size_of::<$number>() }>().0;
                for (place, value) in places.iter_mut().zip(values) {
                    let value: &dyn Any = value;
                    if let Some(number) = value.downcast_ref::<$number>() {
                        *place = number.to_le_bytes();
                    }
                }
                return true;
            })*
            false
        }

        /// Takes a number; `None` if it is something else.
        #[inline]
        fn take<T: 'static>(bytes: &[u8]) -> Option<Result<T, DecodeError>> {
            let mut place: Option<T> = None;
            $(if let Some(place) = (&mut place as &mut dyn Any).downcast_mut::<Option<$number>>() {
                *place = bytes.try_into().ok().map($number::from_le_bytes);
            } else)* {
                return None;
            }
            Some(place.ok_or_else(|| wrong_len(bytes, size_of::<T>())))
        }

        /// Takes all numbers that there are behind each other into a vector of them; tells whether it is one.
        #[inline]
        fn take_all(bytes: &[u8], values: &mut dyn Any) -> bool {
            $(if let Some(values) = values.downcast_mut::<Vec<$number>>() {
                let (numbers, _) = bytes.as_chunks::<{ size_of::<$number>() }>();
                values.extend(numbers.iter().map(|number| $number::from_le_bytes(*number)));
                return true;
            })*
            false
        }
    };
}

numbers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 }

#[inline]
fn width_is<T: 'static, N: 'static>() -> bool {
    let nothing: &dyn Any = &None::<T>;
    nothing.is::<Option<N>>()
}

#[cold]
fn wrong_len(bytes: &[u8], expected: usize) -> DecodeError {
    match bytes.len().checked_sub(expected) {
        Some(more) => DecodeKind::Trailing(more).into(),
        None => DecodeKind::Truncated.into(),
    }
}

impl Encoder {
    /// Packs a value behind what was packed before.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode); then nothing is added.
    #[inline]
    pub fn pack<T: Message>(&mut self, value: &T) -> Result<(), EncodeError> {
        if put(value, self.bytes()) { Ok(()) } else { self.encode(value) }
    }

    /// Packs values behind each other, and notes where each ends, up to the first that has handles or fails.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), of the first value that is not in `ends`; then nothing is added for it.
    pub fn pack_each<T: Message>(&mut self, values: &[T], ends: &mut Vec<usize>) -> Result<(), EncodeError> {
        let Some(width) = width::<T>() else { return self.encode_each(values, ends) };
        let start = self.bytes().len();
        put_all(values, self.bytes());
        ends.extend((1..=values.len()).map(|count| start + count * width));
        Ok(())
    }
}

/// Unpacks `count` values of a trusted peer that have no handles, into `values`.
///
/// # Errors
///
/// As [`decode_with`](super::decode_with); the values before the one that is none are in `values` then.
///
/// # Examples
///
/// ```
/// use multiproc_core::codec::{Encoder, unpack_each};
///
/// let mut encoder = Encoder::default();
/// let mut ends = Vec::new();
/// encoder.pack_each(&[1u16, 2, 300], &mut ends)?;
/// assert_eq!(ends, [2, 4, 6]);
/// let mut values: Vec<u16> = Vec::new();
/// unpack_each(encoder.bytes(), 3, &mut values)?;
/// assert_eq!(values, [1, 2, 300]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn unpack_each<T: DeserializeOwned + 'static>(
    bytes: &[u8],
    count: usize,
    values: &mut Vec<T>,
) -> Result<(), DecodeError> {
    let Some(width) = width::<T>() else { return decode_many(bytes, count, values) };
    let expected = count.saturating_mul(width);
    // No more than were announced, and no more than there are.
    take_all(&bytes[..bytes.len().min(expected)], values);
    if bytes.len() == expected { Ok(()) } else { Err(wrong_len(bytes, expected)) }
}

/// Unpacks one value of a trusted peer that has no handles.
///
/// # Errors
///
/// As [`decode`].
///
/// # Examples
///
/// ```
/// use multiproc_core::codec::{Encoder, unpack};
///
/// let mut encoder = Encoder::default();
/// encoder.pack(&-7i64)?;
/// assert_eq!(unpack::<i64>(encoder.bytes())?, -7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[inline]
pub fn unpack<T: DeserializeOwned + 'static>(bytes: &[u8]) -> Result<T, DecodeError> {
    take(bytes).unwrap_or_else(|| decode(bytes, Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn same<T: Message + PartialEq + Debug>(values: &[T], len: Option<usize>) {
        let (mut encoder, mut ends) = (Encoder::default(), Vec::new());
        encoder.pack_each(values, &mut ends).unwrap();
        let all = encoder.bytes().clone();
        assert_eq!(ends.len(), values.len());
        assert_eq!(ends.last(), Some(&all.len()));
        let mut back: Vec<T> = Vec::new();
        unpack_each(&all, values.len(), &mut back).unwrap();
        assert_eq!(back, values);
        // One by one they are the same bytes.
        encoder.clear();
        for (value, end) in values.iter().zip(&ends) {
            let start = encoder.bytes().len();
            encoder.pack(value).unwrap();
            assert_eq!(encoder.bytes().len(), *end);
            let one = &encoder.bytes()[start..];
            assert_eq!(len.unwrap_or(one.len()), one.len());
            assert_eq!(unpack::<T>(one).unwrap(), *value);
        }
        assert_eq!(*encoder.bytes(), all);
        // Too many, too few, a piece of one.
        assert!(unpack_each::<T>(&all, values.len() - 1, &mut Vec::new()).unwrap_err().is_trailing());
        back.clear();
        let error = unpack_each(&all[..all.len() - 1], values.len(), &mut back).unwrap_err();
        assert!(error.is_truncated(), "{error}");
        assert_eq!(back, values[..values.len() - 1]);
        assert!(unpack::<T>(&all[..ends[0] - 1]).unwrap_err().is_truncated());
        assert!(unpack::<T>(&all).unwrap_err().is_trailing());
    }

    #[test]
    fn numbers_have_their_width_and_others_are_messages() {
        same(&[0u8, 1, u8::MAX], Some(1));
        same(&[0u64, 1, 300, u64::MAX], Some(8));
        same(&[0i128, -1, i128::MIN], Some(16));
        same(&[0isize, -1, isize::MIN], Some(8));
        same(&[0.0f32, -1.5, f32::MAX], Some(4));
        same(&[0.0f64, -1.5, f64::MIN], Some(8));
        same(&["one".to_owned(), "three".to_owned()], None);
        same(&[(1u64, true), (300, false)], None);
    }

    #[test]
    fn a_number_of_messages_is_not_believed() {
        assert!(unpack_each::<u64>(&[0; 16], usize::MAX, &mut Vec::new()).unwrap_err().is_truncated());
        assert!(unpack_each::<u64>(&[], 0, &mut Vec::new()).is_ok());
        assert!(unpack_each::<u64>(&[0; 9], 1, &mut Vec::new()).unwrap_err().is_trailing());
    }
}
