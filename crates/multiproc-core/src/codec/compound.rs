use super::error::{EncodeError, EncodeKind};
use super::ser::Serializer;
use super::varint::insert_len;
use serde::Serialize;
use serde::ser;

/// A sequence or map: its length stands before its elements.
pub(super) struct Counted<'a> {
    pub(super) serializer: &'a mut Serializer,
    /// The length that was written already; `None` if it is to be put before the elements at the end.
    pub(super) declared: Option<usize>,
    pub(super) given: usize,
    /// Where the first element begins.
    pub(super) start: usize,
}

/// A tuple, struct or variant: the type knows its length.
pub(super) struct Fields<'a> {
    pub(super) serializer: &'a mut Serializer,
}

#[inline]
fn put<T: Serialize + ?Sized>(serializer: &mut Serializer, value: &T) -> Result<(), EncodeError> {
    let result = value.serialize(&mut *serializer);
    if result.is_err() {
        serializer.failed = true;
    }
    result
}

impl Counted<'_> {
    #[inline]
    fn finish(self) -> Result<(), EncodeError> {
        self.serializer.leave();
        match self.declared {
            Some(declared) if declared == self.given => Ok(()),
            Some(declared) => Err(EncodeKind::Count { declared, given: self.given }.into()),
            None => {
                insert_len(&mut self.serializer.out, self.start, self.given);
                Ok(())
            }
        }
    }
}

impl ser::SerializeSeq for Counted<'_> {
    type Ok = ();
    type Error = EncodeError;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.given += 1;
        put(self.serializer, value)
    }

    #[inline]
    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}

impl ser::SerializeMap for Counted<'_> {
    type Ok = ();
    type Error = EncodeError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.given += 1;
        put(self.serializer, key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        put(self.serializer, value)
    }

    #[inline]
    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}

macro_rules! unnamed_fields {
    ($($kind:ident::$method:ident),*) => {$(
        impl ser::$kind for Fields<'_> {
            type Ok = ();
            type Error = EncodeError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                put(self.serializer, value)
            }

            #[inline]
            fn end(self) -> Result<(), EncodeError> {
                self.serializer.leave();
                Ok(())
            }
        }
    )*};
}

unnamed_fields!(
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! named_fields {
    ($($kind:ident),*) => {$(
        impl ser::$kind for Fields<'_> {
            type Ok = ();
            type Error = EncodeError;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _name: &'static str,
                value: &T,
            ) -> Result<(), EncodeError> {
                put(self.serializer, value)
            }

            #[cold]
            fn skip_field(&mut self, name: &'static str) -> Result<(), EncodeError> {
                Err(EncodeKind::SkippedField(name).into())
            }

            #[inline]
            fn end(self) -> Result<(), EncodeError> {
                self.serializer.leave();
                Ok(())
            }
        }
    )*};
}

named_fields!(SerializeStruct, SerializeStructVariant);
