use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Bytes that serde passes as a whole: large messages are quick in debug builds too.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// Makes `len` bytes, each of which depends on its place.
    pub fn patterned(len: usize) -> Bytes {
        let mut bytes = vec![0; len];
        for (place, page) in (0u64..).zip(bytes.chunks_mut(1024)) {
            let word = place.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            let end = page.len().min(word.len());
            page[..end].copy_from_slice(&word[..end]);
        }
        if let Some(last) = bytes.last_mut() {
            *last = 0x5a;
        }
        Bytes(bytes)
    }

    /// Tells whether these are the bytes that [`patterned`](Bytes::patterned) makes.
    pub fn is_patterned(&self, len: usize) -> bool {
        *self == Bytes::patterned(len)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Whole;

        impl Visitor<'_> for Whole {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }

        deserializer.deserialize_byte_buf(Whole)
    }
}
