use super::call::Entered;
use super::error::{EncodeError, EncodeKind};
use super::ser::Serializer;
use super::{Message, decode};
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Room for most messages without a second allocation.
const FIRST_CAPACITY: usize = 128;

/// The longest message that a debug build decodes again: the check must not be felt.
const CHECKED_LEN: usize = 64 << 10;

/// A message ready to travel: its bytes, and the descriptors of the handles in it, in their order.
#[derive(Debug, Default)]
pub struct Encoded {
    /// The message.
    pub bytes: Vec<u8>,
    /// The descriptors that must travel beside it.
    pub fds: Vec<Arc<OwnedFd>>,
}

/// Encodes a value.
///
/// # Errors
///
/// The value is nested more than 512 levels deep, has more than 65,536 handles or a field left out by
/// `skip_serializing_if`, or its own `Serialize` implementation fails.
///
/// # Examples
///
/// ```
/// let message = multiproc_core::codec::encode(&(true, "go"))?;
/// assert_eq!(message.bytes, b"\x01\x02go");
/// # Ok::<(), multiproc_core::codec::EncodeError>(())
/// ```
pub fn encode<T: serde::Serialize + ?Sized>(value: &T) -> Result<Encoded, EncodeError> {
    encode_in(Vec::with_capacity(FIRST_CAPACITY), value)
}

/// Encodes into the room of `buffer`, which is emptied first.
fn encode_in<T: serde::Serialize + ?Sized>(mut buffer: Vec<u8>, value: &T) -> Result<Encoded, EncodeError> {
    buffer.clear();
    let entered = Entered::encode();
    let mut serializer = Serializer::new(entered.floor, buffer);
    value.serialize(&mut serializer)?;
    serializer.finish()
}

/// Encodes a value, and in debug builds makes sure that its type can be decoded again.
///
/// The check is made once per type and process, on a message of at most 64 KiB without handles. It finds
/// `#[serde(flatten)]`, `untagged` and the like where the message is sent, not in another process. The value that
/// it decodes is forgotten, never dropped.
///
/// # Errors
///
/// As [`encode`]; and in debug builds, a type whose messages cannot be decoded.
///
/// # Examples
///
/// ```
/// let message = multiproc_core::codec::encode_message(&vec![1u8, 2])?;
/// assert_eq!(message.bytes, [2, 1, 2]);
/// # Ok::<(), multiproc_core::codec::EncodeError>(())
/// ```
pub fn encode_message<T: Message>(value: &T) -> Result<Encoded, EncodeError> {
    encode_message_in(Vec::with_capacity(FIRST_CAPACITY), value)
}

/// Does the same as [`encode_message`] in the room of `buffer`, for callers that encode often.
///
/// The buffer is emptied first, and is the message's afterwards; of an error nothing of it comes back.
///
/// # Errors
///
/// As [`encode_message`].
pub fn encode_message_in<T: Message>(buffer: Vec<u8>, value: &T) -> Result<Encoded, EncodeError> {
    let encoded = encode_in(buffer, value)?;
    if cfg!(debug_assertions) && encoded.fds.is_empty() && encoded.bytes.len() <= CHECKED_LEN {
        check_once::<T>(&encoded.bytes)?;
    }
    Ok(encoded)
}

/// Decodes `bytes` again if no message of this type has passed yet.
fn check_once<T: Message>(bytes: &[u8]) -> Result<(), EncodeError> {
    static PASSED: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);

    let type_name = std::any::type_name::<T>();
    // The lock is not held while the user's `Deserialize` runs. A panic cannot leave the set half-changed.
    let passed = || PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    if passed().as_ref().is_some_and(|set| set.contains(type_name)) {
        return Ok(());
    }
    match decode::<T>(bytes, Vec::new()) {
        // Nobody made this value, so what its drop does in the world would be one time too many.
        Ok(value) => std::mem::forget(value),
        Err(source) if source.is_self_describing() || source.is_truncated() || source.is_trailing() => {
            return Err(EncodeKind::NotDecodable { type_name, source }.into());
        }
        // Another process may well accept what this one does not.
        Err(_) => {}
    }
    passed().get_or_insert_default().insert(type_name);
    Ok(())
}
