use super::byte::{Byte, is_byte};
use super::call::stack_address;
use super::compound::{Counted, Fields};
use super::error::{EncodeError, EncodeKind};
use super::handle;
use super::limits::MAX_DEPTH;
use super::varint::{Varint, insert_len, zigzag_16, zigzag_32, zigzag_64, zigzag_128};
use crate::sys::OwnedFd;
use serde::Serialize;
use serde::ser::{self, SerializeSeq};
use std::fmt::{self, Write};
use std::sync::Arc;

/// The most room that is made on the word of a `Serialize` implementation.
const MAX_RESERVE: usize = 1 << 20;

/// Writes postcard's format, and collects handles beside it.
#[derive(Debug)]
pub(super) struct Serializer {
    pub(super) out: Vec<u8>,
    /// The handles of the message that was begun last.
    pub(super) fds: Vec<Arc<OwnedFd>>,
    depth: usize,
    stack_floor: usize,
    /// An element failed: should its `Serialize` implementation go on nonetheless, the message is worthless.
    pub(super) failed: bool,
}

impl Serializer {
    pub(super) fn new(out: Vec<u8>) -> Serializer {
        Serializer { out, fds: Vec::new(), depth: 0, stack_floor: 0, failed: false }
    }

    /// Begins a message, whatever became of the one before.
    #[inline]
    pub(super) fn begin(&mut self, stack_floor: usize) {
        if !self.fds.is_empty() {
            self.fds.clear();
        }
        self.depth = 0;
        self.stack_floor = stack_floor;
        self.failed = false;
    }

    #[inline]
    pub(super) fn finish(&self) -> Result<(), EncodeError> {
        if self.failed { Err(EncodeKind::ErrorIgnored.into()) } else { Ok(()) }
    }

    #[inline]
    pub(super) fn enter(&mut self) -> Result<(), EncodeError> {
        if self.depth == MAX_DEPTH {
            return Err(EncodeKind::TooDeep.into());
        }
        if stack_address() < self.stack_floor {
            return Err(EncodeKind::Stack.into());
        }
        self.depth += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    #[inline]
    fn nested<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.enter()?;
        value.serialize(&mut *self)?;
        self.leave();
        Ok(())
    }

    #[inline]
    fn counted(&mut self, declared: Option<usize>) -> Result<Counted<'_>, EncodeError> {
        self.enter()?;
        if let Some(len) = declared {
            (len as u64).put(&mut self.out);
            self.out.reserve(len.min(MAX_RESERVE));
        }
        let start = self.out.len();
        Ok(Counted { serializer: self, declared, given: 0, start })
    }

    #[inline]
    fn fields(&mut self) -> Result<Fields<'_>, EncodeError> {
        self.enter()?;
        Ok(Fields { serializer: self })
    }
}

impl<'a> ser::Serializer for &'a mut Serializer {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Counted<'a>;
    type SerializeTuple = Fields<'a>;
    type SerializeTupleStruct = Fields<'a>;
    type SerializeTupleVariant = Fields<'a>;
    type SerializeMap = Counted<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, v: bool) -> Result<(), EncodeError> {
        self.out.push(u8::from(v));
        Ok(())
    }

    #[inline]
    fn serialize_i8(self, v: i8) -> Result<(), EncodeError> {
        self.out.push(v.cast_unsigned());
        Ok(())
    }

    #[inline]
    fn serialize_i16(self, v: i16) -> Result<(), EncodeError> {
        zigzag_16(v).put(&mut self.out);
        Ok(())
    }

    #[inline]
    fn serialize_i32(self, v: i32) -> Result<(), EncodeError> {
        zigzag_32(v).put(&mut self.out);
        Ok(())
    }

    #[inline]
    fn serialize_i64(self, v: i64) -> Result<(), EncodeError> {
        zigzag_64(v).put(&mut self.out);
        Ok(())
    }

    #[inline]
    fn serialize_i128(self, v: i128) -> Result<(), EncodeError> {
        zigzag_128(v).put(&mut self.out);
        Ok(())
    }

    #[inline]
    fn serialize_u8(self, v: u8) -> Result<(), EncodeError> {
        self.out.push(v);
        Ok(())
    }

    #[inline]
    fn serialize_u16(self, v: u16) -> Result<(), EncodeError> {
        v.put(&mut self.out);
        Ok(())
    }

    #[inline]
    fn serialize_u32(self, v: u32) -> Result<(), EncodeError> {
        v.put(&mut self.out);
        Ok(())
    }

    #[inline]
    fn serialize_u64(self, v: u64) -> Result<(), EncodeError> {
        v.put(&mut self.out);
        Ok(())
    }

    #[inline]
    fn serialize_u128(self, v: u128) -> Result<(), EncodeError> {
        v.put(&mut self.out);
        Ok(())
    }

    #[inline]
    fn serialize_f32(self, v: f32) -> Result<(), EncodeError> {
        self.out.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_f64(self, v: f64) -> Result<(), EncodeError> {
        self.out.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_char(self, v: char) -> Result<(), EncodeError> {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, v: &str) -> Result<(), EncodeError> {
        self.serialize_bytes(v.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, v: &[u8]) -> Result<(), EncodeError> {
        (v.len() as u64).put(&mut self.out);
        self.out.extend_from_slice(v);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), EncodeError> {
        self.out.push(0);
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.out.push(1);
        self.nested(value)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), EncodeError> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), EncodeError> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
    ) -> Result<(), EncodeError> {
        index.put(&mut self.out);
        Ok(())
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        if name != handle::NAME {
            return self.nested(value);
        }
        let mut fds = std::mem::take(&mut self.fds);
        let collected = handle::collect(&mut fds, || value.serialize(&mut *self));
        self.fds = fds;
        let (kind, index) = collected?;
        kind.put(&mut self.out);
        index.put(&mut self.out);
        Ok(())
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        index.put(&mut self.out);
        self.nested(value)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Counted<'a>, EncodeError> {
        self.counted(len)
    }

    #[inline]
    fn serialize_tuple(self, _len: usize) -> Result<Fields<'a>, EncodeError> {
        self.fields()
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Fields<'a>, EncodeError> {
        self.fields()
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Fields<'a>, EncodeError> {
        index.put(&mut self.out);
        self.fields()
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Counted<'a>, EncodeError> {
        self.counted(len)
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Fields<'a>, EncodeError> {
        self.fields()
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Fields<'a>, EncodeError> {
        index.put(&mut self.out);
        self.fields()
    }

    #[inline]
    fn collect_seq<I>(self, elements: I) -> Result<(), EncodeError>
    where
        I: IntoIterator<Item: Serialize>,
    {
        let elements = elements.into_iter();
        let declared = match elements.size_hint() {
            (least, Some(most)) if least == most => Some(least),
            _ => None,
        };
        let mut seq = self.counted(declared)?;
        if !is_byte::<I::Item>() {
            for element in elements {
                seq.serialize_element(&element)?;
            }
            return seq.end();
        }
        // `extend` knows the slice's own iterator, and makes one copy of it.
        let mut strange = false;
        seq.serializer.out.extend(elements.map(|element| {
            element.serialize(Byte).unwrap_or_else(|_| {
                strange = true;
                0
            })
        }));
        seq.given = seq.serializer.out.len() - seq.start;
        seq.serializer.failed |= strange;
        seq.end()
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        struct Text<'a>(&'a mut Vec<u8>);

        impl Write for Text<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.extend_from_slice(text.as_bytes());
                Ok(())
            }
        }

        let start = self.out.len();
        write!(Text(&mut self.out), "{value}").map_err(|_| {
            <EncodeError as ser::Error>::custom("a `Display` implementation returned an error")
        })?;
        let len = self.out.len() - start;
        insert_len(&mut self.out, start, len);
        Ok(())
    }
}
