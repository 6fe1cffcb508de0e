use serde::ser::{Impossible, Serialize, Serializer};
use std::fmt;

/// Tells whether `T` is a `u8` or a reference to one, for speed alone.
///
/// Without a `'static` bound there is no `TypeId`. Were the name of `u8` another one day, the ordinary path would
/// give the same result. The compiler settles the comparison.
#[inline]
pub(super) fn is_byte<T>() -> bool {
    matches!(std::any::type_name::<T>().as_bytes(), b"u8" | b"&u8")
}

/// A serializer that gives a `u8` back, so that a sequence of them becomes one copy without a cast.
pub(super) struct Byte;

/// The value was something else.
#[derive(Debug)]
pub(super) struct NotByte;

impl fmt::Display for NotByte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a byte")
    }
}

impl std::error::Error for NotByte {}

impl serde::ser::Error for NotByte {
    fn custom<T: fmt::Display>(_: T) -> NotByte {
        NotByte
    }
}

type No = Impossible<u8, NotByte>;

macro_rules! refuse {
    ($($method:ident($($of:ty),*) -> $ok:ty;)*) => {$(
        fn $method(self, $(_: $of),*) -> Result<$ok, NotByte> {
            Err(NotByte)
        }
    )*};
}

impl Serializer for Byte {
    type Ok = u8;
    type Error = NotByte;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = No;
    type SerializeStruct = No;
    type SerializeStructVariant = No;

    #[inline]
    fn serialize_u8(self, v: u8) -> Result<u8, NotByte> {
        Ok(v)
    }

    refuse! {
        serialize_bool(bool) -> u8;
        serialize_i8(i8) -> u8;
        serialize_i16(i16) -> u8;
        serialize_i32(i32) -> u8;
        serialize_i64(i64) -> u8;
        serialize_u16(u16) -> u8;
        serialize_u32(u32) -> u8;
        serialize_u64(u64) -> u8;
        serialize_f32(f32) -> u8;
        serialize_f64(f64) -> u8;
        serialize_char(char) -> u8;
        serialize_str(&str) -> u8;
        serialize_bytes(&[u8]) -> u8;
        serialize_none() -> u8;
        serialize_unit() -> u8;
        serialize_unit_struct(&'static str) -> u8;
        serialize_unit_variant(&'static str, u32, &'static str) -> u8;
        serialize_seq(Option<usize>) -> No;
        serialize_tuple(usize) -> No;
        serialize_tuple_struct(&'static str, usize) -> No;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> No;
        serialize_map(Option<usize>) -> No;
        serialize_struct(&'static str, usize) -> No;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> No;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<u8, NotByte> {
        Err(NotByte)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<u8, NotByte> {
        Err(NotByte)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<u8, NotByte> {
        Err(NotByte)
    }
}
