use super::de::Deserializer;
use super::error::DecodeError;
use super::varint::Varint;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

/// Tells whether a seed is that of `u8` itself, for speed alone.
///
/// There is no `TypeId` without a `'static` bound. Were the name another one day, the ordinary path would give the
/// same result. The compiler settles the comparison.
#[inline]
fn is_byte_seed<T>() -> bool {
    matches!(std::any::type_name::<T>().as_bytes(), b"core::marker::PhantomData<u8>")
}

/// A sequence, whose length came from the message.
pub(super) struct Elements<'a, 'de> {
    de: &'a mut Deserializer<'de>,
    left: usize,
    /// The elements of a sequence of `u8`, taken off the input at once, so that the loop need not touch memory
    /// for anything but them; empty before the first element, and for other types.
    bytes: std::slice::Iter<'de, u8>,
}

impl<'a, 'de> Elements<'a, 'de> {
    #[inline]
    pub(super) fn new(de: &'a mut Deserializer<'de>, left: usize) -> Elements<'a, 'de> {
        Elements { de, left, bytes: [].iter() }
    }
}

impl<'de> de::SeqAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        // Not any seed that gives a `u8`: another one may read something else to make it.
        if is_byte_seed::<T>() {
            if self.left > 0 {
                self.de.charge(self.left)?;
                self.bytes = self.de.slice(self.left)?.iter();
                self.left = 0;
            }
            return match self.bytes.next() {
                Some(&byte) => {
                    seed.deserialize(IntoDeserializer::<DecodeError>::into_deserializer(byte)).map(Some)
                }
                None => Ok(None),
            };
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.de.charge(size_of::<T::Value>())?;
        let before = self.de.input.len();
        let value = seed.deserialize(&mut *self.de)?;
        if self.de.input.len() == before {
            self.de.charge_zero_sized()?;
        }
        Ok(Some(value))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.de.believed(self.left) + self.bytes.len())
    }
}

/// The fields of a tuple or struct, whose number the type knows.
pub(super) struct Fields<'a, 'de> {
    pub(super) de: &'a mut Deserializer<'de>,
    pub(super) left: usize,
}

impl<'de> de::SeqAccess<'de> for Fields<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        // Counted although it lies inside its owner, because the owner may be boxed, and a box is not seen here.
        self.de.charge(size_of::<T::Value>())?;
        seed.deserialize(&mut *self.de).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A map, whose length came from the message.
pub(super) struct Entries<'a, 'de> {
    pub(super) de: &'a mut Deserializer<'de>,
    pub(super) left: usize,
    /// How many bytes were left where the last entry began.
    pub(super) last_start: Option<usize>,
}

impl<'de> de::MapAccess<'de> for Entries<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let start = self.de.input.len();
        if self.last_start == Some(start) {
            self.de.charge_zero_sized()?;
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.last_start = Some(start);
        self.de.charge(size_of::<K::Value>())?;
        seed.deserialize(&mut *self.de).map(Some)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        self.de.charge(size_of::<V::Value>())?;
        seed.deserialize(&mut *self.de)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.de.believed(self.left))
    }
}

/// An enum: the variant's index, then its content.
pub(super) struct Variant<'a, 'de> {
    pub(super) de: &'a mut Deserializer<'de>,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), DecodeError> {
        let index = u32::take(&mut self.de.input)?;
        let value = seed.deserialize(IntoDeserializer::<DecodeError>::into_deserializer(index))?;
        Ok((value, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        self.de.nested(|de| seed.deserialize(de))
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.de.fields(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.de.fields(fields.len(), visitor)
    }
}

#[cfg(test)]
mod tests {
    use crate::codec;
    use serde::de::{Deserialize, DeserializeSeed, Deserializer, SeqAccess, Visitor};
    use std::fmt;
    use std::marker::PhantomData;

    /// Gives a `u8`, but reads a `u16` for it.
    struct Wide;

    impl<'de> DeserializeSeed<'de> for Wide {
        type Value = u8;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u8, D::Error> {
            u16::deserialize(deserializer).map(|wide| (wide / 256) as u8)
        }
    }

    struct Highs(Vec<u8>);

    impl<'de> Deserialize<'de> for Highs {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Highs, D::Error> {
            struct Collect;

            impl<'de> Visitor<'de> for Collect {
                type Value = Highs;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a sequence")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Highs, A::Error> {
                    let mut highs = Vec::new();
                    while let Some(high) = seq.next_element_seed(Wide)? {
                        highs.push(high);
                    }
                    Ok(Highs(highs))
                }
            }

            deserializer.deserialize_seq(Collect)
        }
    }

    #[test]
    fn a_seed_that_gives_a_byte_reads_what_it_likes() {
        let bytes = codec::encode(&vec![0x0100u16, 0x7fff]).unwrap().bytes;
        assert_eq!(codec::decode::<Highs>(&bytes, vec![]).unwrap().0, [1, 0x7f]);
    }

    #[test]
    fn the_seed_of_a_byte_is_known() {
        assert!(super::is_byte_seed::<PhantomData<u8>>());
        assert!(!super::is_byte_seed::<Wide>());
    }
}
