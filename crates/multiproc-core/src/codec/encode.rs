use super::call::Entered;
use super::error::{EncodeError, EncodeKind};
use super::ser::Serializer;
use super::{Message, decode};
use crate::sys::OwnedFd;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, TryLockError};

/// Room for most messages without a second allocation.
const FIRST_CAPACITY: usize = 128;

/// The largest buffer that an [`Encoder`] keeps.
const LARGEST_KEPT: usize = 4 << 20;

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
    let mut encoder = Encoder { serializer: Serializer::new(Vec::with_capacity(FIRST_CAPACITY)) };
    encoder.append(value)?;
    Ok(encoder.into_message())
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
    let mut encoder = Encoder { serializer: Serializer::new(Vec::with_capacity(FIRST_CAPACITY)) };
    encoder.encode(value)?;
    Ok(encoder.into_message())
}

/// A buffer that messages are encoded to behind each other, for callers that encode often.
///
/// # Examples
///
/// ```
/// use multiproc_core::codec::Encoder;
///
/// let mut encoder = Encoder::default();
/// encoder.encode(&300u32)?;
/// encoder.encode(&true)?;
/// assert_eq!(*encoder.bytes(), [0xac, 0x02, 1]);
/// # Ok::<(), multiproc_core::codec::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct Encoder {
    serializer: Serializer,
}

impl Encoder {
    /// Encodes a value as [`encode_message`] does, behind what was encoded before.
    ///
    /// # Errors
    ///
    /// As [`encode_message`]; then nothing is added.
    #[inline]
    pub fn encode<T: Message>(&mut self, value: &T) -> Result<(), EncodeError> {
        let start = self.serializer.out.len();
        self.append(value)?;
        if cfg!(debug_assertions) {
            self.check::<T>(start)?;
        }
        Ok(())
    }

    /// Encodes values behind each other, and notes where each ends, up to the first that has handles or fails.
    ///
    /// What one call of [`encode`](Self::encode) costs beside the value is paid once.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), of the first value that is not in `ends`; then nothing is added for it.
    pub(super) fn encode_each<T: Message>(
        &mut self,
        values: &[T],
        ends: &mut Vec<usize>,
    ) -> Result<(), EncodeError> {
        let entered = Entered::encode();
        for value in values {
            let start = self.serializer.out.len();
            self.serializer.begin(entered.floor);
            let result = match value.serialize(&mut self.serializer) {
                Ok(()) => self.serializer.finish(),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                self.serializer.out.truncate(start);
                self.serializer.fds.clear();
                return Err(error);
            }
            if cfg!(debug_assertions) {
                self.check::<T>(start)?;
            }
            ends.push(self.serializer.out.len());
            if !self.serializer.fds.is_empty() {
                break;
            }
        }
        Ok(())
    }

    #[inline]
    fn append<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        let start = self.serializer.out.len();
        let entered = Entered::encode();
        self.serializer.begin(entered.floor);
        let result = match value.serialize(&mut self.serializer) {
            Ok(()) => self.serializer.finish(),
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.serializer.out.truncate(start);
            self.serializer.fds.clear();
        }
        result
    }

    #[cold]
    fn check<T: Message>(&mut self, start: usize) -> Result<(), EncodeError> {
        let message = &self.serializer.out[start..];
        if !self.serializer.fds.is_empty() || message.len() > CHECKED_LEN {
            return Ok(());
        }
        let result = check_once::<T>(message);
        if result.is_err() {
            self.serializer.out.truncate(start);
        }
        result
    }

    /// The messages since the last [`clear`](Self::clear).
    #[inline]
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.serializer.out
    }

    /// Tells whether descriptors must travel beside the last message.
    #[inline]
    pub fn has_handles(&self) -> bool {
        !self.serializer.fds.is_empty()
    }

    /// Takes the descriptors that must travel beside the last message.
    #[inline]
    pub fn take_fds(&mut self) -> Vec<Arc<OwnedFd>> {
        std::mem::take(&mut self.serializer.fds)
    }

    /// Forgets the messages, and gives back a buffer of more than 4 MiB.
    #[inline]
    pub fn clear(&mut self) {
        self.serializer.out.clear();
        self.serializer.fds.clear();
        if self.serializer.out.capacity() > LARGEST_KEPT {
            self.serializer.out = Vec::new();
        }
    }

    fn into_message(self) -> Encoded {
        Encoded { bytes: self.serializer.out, fds: self.serializer.fds }
    }
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder { serializer: Serializer::new(Vec::new()) }
    }
}

/// Decodes `bytes` again if no message of this type has passed yet.
fn check_once<T: Message>(bytes: &[u8]) -> Result<(), EncodeError> {
    static PASSED: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);

    let type_name = std::any::type_name::<T>();
    // Never waited for: in a process that was forked while another thread had it, nobody gives it back. Who does not
    // get it checks once more. It is not held while the user's `Deserialize` runs, and a panic cannot leave the set
    // half-changed.
    let passed = || match PASSED.try_lock() {
        Ok(set) => Some(set),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    };
    if passed().is_some_and(|set| set.as_ref().is_some_and(|set| set.contains(type_name))) {
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
    if let Some(mut set) = passed() {
        set.get_or_insert_default().insert(type_name);
    }
    Ok(())
}
