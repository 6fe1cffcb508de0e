//! Messages as bytes and descriptors: postcard's format, with limits and carried handles.
//!
//! [`encode_message`] turns a value into [`Encoded`] bytes and descriptors, [`decode`] turns them back. The bytes
//! are those of the `postcard` crate; what is added is that a message may hold handles ([`Carried`]), and that
//! hostile bytes can neither abort a process nor exhaust its memory ([`Limits`]).
//!
//! The format has no field names and does not describe itself. So `#[serde(flatten)]`, `untagged`, internally
//! tagged enums and `skip_serializing_if` cannot travel; each is an error that says so.
//!
//! # Examples
//!
//! ```
//! use multiproc_core::codec;
//!
//! let message = codec::encode_message(&("steps", 300u32).1)?;
//! assert_eq!(message.bytes, [0xac, 0x02]);
//! assert_eq!(codec::decode::<u32>(&message.bytes, Vec::new())?, 300);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod byte;
mod call;
mod compound;
mod de;
mod encode;
mod error;
mod handle;
mod kept;
mod limits;
mod pack;
mod ser;
mod varint;

pub use de::{decode, decode_into, decode_many, decode_with};
pub use encode::{Encoded, Encoder, encode, encode_message};
pub use error::{DecodeError, EncodeError};
pub use handle::{Carried, is_trusted};
pub use kept::with_encoder;
pub use limits::Limits;
pub use pack::{unpack, unpack_each};

/// What can travel to another process: any serde type that owns its data.
///
/// Implemented for every such type; there is nothing to write.
///
/// # Examples
///
/// ```
/// fn can_travel<T: multiproc_core::Message>() {}
/// can_travel::<(Vec<String>, Option<u64>)>();
/// ```
pub trait Message: serde::Serialize + serde::de::DeserializeOwned + 'static {}

impl<T: serde::Serialize + serde::de::DeserializeOwned + 'static> Message for T {}
