use super::access::{Elements, Entries, Fields, Variant};
use super::call::{Entered, stack_address};
use super::error::{DecodeError, DecodeKind};
use super::handle;
use super::limits::{HINTED, HINTED_LEVELS, Limits, MAX_HANDLES, MEMORY_PER_BYTE};
use super::varint::{Varint, take_len, unzigzag_16, unzigzag_32, unzigzag_64, unzigzag_128};
use crate::sys::OwnedFd;
use serde::de::{self, DeserializeOwned, Visitor};

/// Decodes a message of a trusted peer: a process of the same program and family.
///
/// # Errors
///
/// As [`decode_with`], with [`Limits::trusted`].
///
/// # Examples
///
/// ```
/// let value: (bool, String) = multiproc_core::codec::decode(b"\x01\x02go", Vec::new())?;
/// assert_eq!(value, (true, "go".to_owned()));
/// # Ok::<(), multiproc_core::codec::DecodeError>(())
/// ```
pub fn decode<T: DeserializeOwned>(bytes: &[u8], fds: Vec<OwnedFd>) -> Result<T, DecodeError> {
    decode_with(bytes, fds, &Limits::trusted())
}

/// Decodes a message within `limits`; `fds` are the descriptors that came beside it, in their order.
///
/// Whatever the bytes are, the result is a value or an error. Descriptors that do not end up in the value are closed.
///
/// # Errors
///
/// The bytes are no message of a `T`, the value exceeds the limits, the handles in the message and `fds` do not
/// match, `T` needs a self-describing format, or its own `Deserialize` implementation refuses.
///
/// # Examples
///
/// ```
/// use multiproc_core::codec::{Limits, decode_with};
///
/// let error = decode_with::<Vec<u8>>(&[200], Vec::new(), &Limits::untrusted()).unwrap_err();
/// assert!(error.is_truncated());
/// ```
pub fn decode_with<T: DeserializeOwned>(
    bytes: &[u8],
    fds: Vec<OwnedFd>,
    limits: &Limits,
) -> Result<T, DecodeError> {
    let mut place = None;
    decode_into(bytes, fds, limits, &mut place)?;
    // Nothing is there only after an error.
    place.ok_or_else(|| DecodeKind::Truncated.into())
}

/// Does the same as [`decode_with`] into `place`, whence the value is moved once: moving is felt.
///
/// # Errors
///
/// As [`decode_with`]; then nothing is in `place`.
pub fn decode_into<T: DeserializeOwned>(
    bytes: &[u8],
    fds: Vec<OwnedFd>,
    limits: &Limits,
    place: &mut Option<T>,
) -> Result<(), DecodeError> {
    *place = None;
    if bytes.len() > limits.max_bytes {
        return Err(DecodeKind::TooLong { len: bytes.len(), max: limits.max_bytes }.into());
    }
    if fds.len() > MAX_HANDLES {
        return Err(DecodeKind::TooManyHandles(fds.len()).into());
    }
    let entered = Entered::decode(limits.trusted);
    let mut deserializer = Deserializer::new(bytes, fds, limits, entered.floor);
    *place = Some(T::deserialize(&mut deserializer)?);
    match deserializer.left_over() {
        None => Ok(()),
        Some(error) => {
            *place = None;
            Err(error)
        }
    }
}

/// Decodes `count` messages of a trusted peer that stand behind each other and have no handles, into `values`.
///
/// For batches: what one call of [`decode`] costs beside the value is paid once.
///
/// # Errors
///
/// As [`decode_with`]; the messages before the one that cannot be decoded are in `values` then.
///
/// # Examples
///
/// ```
/// let mut values: Vec<u32> = Vec::new();
/// multiproc_core::codec::decode_many(&[1, 2, 3], 3, &mut values)?;
/// assert_eq!(values, [1, 2, 3]);
/// # Ok::<(), multiproc_core::codec::DecodeError>(())
/// ```
pub fn decode_many<T: DeserializeOwned>(
    bytes: &[u8],
    count: usize,
    values: &mut Vec<T>,
) -> Result<(), DecodeError> {
    let limits = Limits::trusted();
    let entered = Entered::decode(limits.trusted);
    let mut deserializer = Deserializer::new(bytes, Vec::new(), &limits, entered.floor);
    values.reserve(count.min(bytes.len().max(1)));
    for _ in 0..count {
        values.push(T::deserialize(&mut deserializer)?);
    }
    deserializer.left_over().map_or(Ok(()), Err)
}

/// Reads postcard's format within limits.
pub(super) struct Deserializer<'de> {
    /// What has not been read yet.
    pub(super) input: &'de [u8],
    /// What is left of the limits.
    memory: usize,
    depth: usize,
    zero_sized: usize,
    stack_floor: usize,
    fds: Vec<Option<OwnedFd>>,
    handles_left: usize,
    max_memory: usize,
    limits: &'de Limits,
}

impl<'de> Deserializer<'de> {
    #[inline]
    fn new(
        input: &'de [u8],
        fds: Vec<OwnedFd>,
        limits: &'de Limits,
        stack_floor: usize,
    ) -> Deserializer<'de> {
        let max_memory = limits.max_memory.saturating_add(input.len().saturating_mul(MEMORY_PER_BYTE));
        Deserializer {
            input,
            memory: max_memory,
            depth: limits.max_depth,
            zero_sized: limits.max_zero_sized,
            stack_floor,
            handles_left: fds.len(),
            fds: if fds.is_empty() { Vec::new() } else { fds.into_iter().map(Some).collect() },
            max_memory,
            limits,
        }
    }

    /// The error for what the value did not use up.
    #[inline]
    fn left_over(&self) -> Option<DecodeError> {
        if !self.input.is_empty() {
            return Some(DecodeKind::Trailing(self.input.len()).into());
        }
        if self.handles_left > 0 {
            return Some(DecodeKind::HandlesLeft(self.handles_left).into());
        }
        None
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        match self.input.split_first() {
            Some((&byte, rest)) => {
                self.input = rest;
                Ok(byte)
            }
            None => Err(DecodeKind::Truncated.into()),
        }
    }

    #[inline]
    pub(super) fn slice(&mut self, len: usize) -> Result<&'de [u8], DecodeError> {
        match self.input.split_at_checked(len) {
            Some((slice, rest)) => {
                self.input = rest;
                Ok(slice)
            }
            None => Err(DecodeKind::Truncated.into()),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.input.split_first_chunk() {
            Some((array, rest)) => {
                self.input = rest;
                Ok(*array)
            }
            None => Err(DecodeKind::Truncated.into()),
        }
    }

    /// Bytes whose length stands before them; the value will own a copy.
    #[inline]
    fn bytes(&mut self) -> Result<&'de [u8], DecodeError> {
        let len = take_len(&mut self.input)?;
        let bytes = self.slice(len)?;
        self.charge(len)?;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'de str, DecodeError> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|_| DecodeKind::Invalid("a string that is not UTF-8").into())
    }

    /// Takes `len` bytes from the memory that the value may have.
    #[inline]
    pub(super) fn charge(&mut self, len: usize) -> Result<(), DecodeError> {
        match self.memory.checked_sub(len) {
            Some(left) => {
                self.memory = left;
                Ok(())
            }
            None => Err(DecodeKind::Memory { max: self.max_memory }.into()),
        }
    }

    /// For how many of the announced elements room may be made before they come.
    ///
    /// The number is the sender's word, so never for more than there are bytes; and what stands within each other makes
    /// room at the same time, so for half as many with each level beyond the first few.
    #[inline]
    pub(super) fn believed(&self, announced: usize) -> usize {
        let level = (self.limits.max_depth - self.depth).saturating_sub(HINTED_LEVELS);
        announced.min(self.input.len()).min(HINTED >> level.min(HINTED.ilog2() as usize + 1))
    }

    /// Counts an element that took no byte: their number is not bounded by the message's length.
    #[inline]
    pub(super) fn charge_zero_sized(&mut self) -> Result<(), DecodeError> {
        match self.zero_sized.checked_sub(1) {
            Some(left) => {
                self.zero_sized = left;
                Ok(())
            }
            None => Err(DecodeKind::ZeroSized { max: self.limits.max_zero_sized }.into()),
        }
    }

    /// Reads something one level deeper.
    #[inline]
    pub(super) fn nested<R>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<R, DecodeError>,
    ) -> Result<R, DecodeError> {
        if self.depth == 0 {
            return Err(DecodeKind::TooDeep { max: self.limits.max_depth }.into());
        }
        if stack_address() < self.stack_floor {
            return Err(DecodeKind::Stack.into());
        }
        self.depth -= 1;
        let result = read(self);
        self.depth += 1;
        result
    }

    #[inline]
    pub(super) fn fields<V: Visitor<'de>>(
        &mut self,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.nested(|de| visitor.visit_seq(Fields { de, left }))
    }

    /// A handle: its kind and the index of its descriptor.
    #[cold]
    fn handle<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let kind = u32::take(&mut self.input)?;
        let index = take_len(&mut self.input)?;
        let count = self.fds.len();
        let place = self.fds.get_mut(index).ok_or(DecodeKind::HandleMissing { index, count })?;
        let fd = place.take().ok_or(DecodeKind::HandleTwice(index))?;
        self.handles_left -= 1;
        handle::hand_out(kind, fd, || visitor.visit_newtype_struct(self))
    }
}

macro_rules! numbers {
    ($($method:ident, $visit:ident, $int:ident, $convert:expr;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            visitor.$visit($convert($int::take(&mut self.input)?))
        }
    )*};
}

macro_rules! self_describing {
    ($($method:ident)*) => {$(
        #[cold]
        fn $method<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, DecodeError> {
            Err(DecodeKind::SelfDescribing.into())
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = DecodeError;

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    self_describing! { deserialize_any deserialize_identifier deserialize_ignored_any }

    numbers! {
        deserialize_i16, visit_i16, u16, unzigzag_16;
        deserialize_i32, visit_i32, u32, unzigzag_32;
        deserialize_i64, visit_i64, u64, unzigzag_64;
        deserialize_i128, visit_i128, u128, unzigzag_128;
        deserialize_u16, visit_u16, u16, std::convert::identity;
        deserialize_u32, visit_u32, u32, std::convert::identity;
        deserialize_u64, visit_u64, u64, std::convert::identity;
        deserialize_u128, visit_u128, u128, std::convert::identity;
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.byte()? {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            _ => Err(DecodeKind::Invalid("a bool that is neither 0 nor 1").into()),
        }
    }

    #[inline]
    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_i8(self.byte()?.cast_signed())
    }

    #[inline]
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_u8(self.byte()?)
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_f32(f32::from_le_bytes(self.array()?))
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_f64(f64::from_le_bytes(self.array()?))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let len = take_len(&mut self.input)?;
        let invalid = DecodeKind::Invalid("a char that is not one UTF-8 character");
        if len > 4 {
            return Err(invalid.into());
        }
        let mut chars = std::str::from_utf8(self.slice(len)?).unwrap_or_default().chars();
        match (chars.next(), chars.next()) {
            (Some(char), None) => visitor.visit_char(char),
            _ => Err(invalid.into()),
        }
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.byte()? {
            0 => visitor.visit_none(),
            1 => self.nested(|de| visitor.visit_some(de)),
            _ => Err(DecodeKind::Invalid("an option whose tag is neither 0 nor 1").into()),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == handle::NAME {
            return self.handle(visitor);
        }
        self.nested(|de| visitor.visit_newtype_struct(de))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let left = take_len(&mut self.input)?;
        self.nested(|de| visitor.visit_seq(Elements::new(de, left)))
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.fields(len, visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.fields(len, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let left = take_len(&mut self.input)?;
        self.nested(|de| visitor.visit_map(Entries { de, left, last_start: None }))
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.fields(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_enum(Variant { de: self })
    }
}
