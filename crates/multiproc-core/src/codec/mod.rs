//! Messages as bytes and descriptors: postcard's format, with limits and carried handles.

mod de;
mod error;
mod handle;
mod limits;
mod ser;

pub use de::{decode, decode_with};
pub use error::{DecodeError, EncodeError};
pub use handle::{Carried, is_trusted};
pub use limits::Limits;
pub use ser::{Encoded, encode};

/// What can travel to another process: any serde type that owns its data.
///
/// Implemented for every such type; there is nothing to write.
pub trait Message: serde::Serialize + serde::de::DeserializeOwned + 'static {}

impl<T: serde::Serialize + serde::de::DeserializeOwned + 'static> Message for T {}
