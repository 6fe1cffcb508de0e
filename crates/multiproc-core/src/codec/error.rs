use super::limits::{MAX_DEPTH, MAX_HANDLES};
use std::fmt;

/// Why a value could not become a message.
///
/// # Examples
///
/// ```
/// use serde::ser::Error;
///
/// let error = multiproc_core::codec::EncodeError::custom("no reading yet");
/// assert!(error.is_custom() && error.to_string().contains("no reading yet"));
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct EncodeError(Box<EncodeKind>); // boxed, so that the `Ok` path moves one word

#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeKind {
    #[error(
        "the value is nested deeper than {MAX_DEPTH} levels and cannot be encoded: flatten it, for example into a \
         Vec whose elements name each other by index"
    )]
    TooDeep,
    #[error(
        "encoding the value takes more stack than one message may use: flatten it, for example into a Vec whose \
         elements name each other by index"
    )]
    Stack,
    #[error(
        "field `{0}` was left out by `skip_serializing_if`, and a message has no field names by which the receiver \
         could tell: remove the attribute"
    )]
    SkippedField(&'static str),
    #[error(
        "a sequence or map declared {declared} elements and gave {given}: correct the length in its `Serialize` \
         implementation"
    )]
    Count { declared: usize, given: usize },
    #[error(
        "a `Serialize` implementation went on after the error of an element, so the message is incomplete: return \
         the error"
    )]
    ErrorIgnored,
    #[error("a message of type `{type_name}` could not be decoded again, so it cannot travel: {source}")]
    NotDecodable { type_name: &'static str, source: DecodeError },
    #[error("the message holds more than {MAX_HANDLES} handles: send them in several messages")]
    TooManyHandles,
    #[error("a newtype struct uses a name reserved for handles, and is none: rename it")]
    ReservedName,
    #[error("the value's own `Serialize` implementation failed: {0}")]
    Custom(String),
}

impl EncodeError {
    /// Tells whether the type cannot travel in this format, whatever its value.
    ///
    /// # Examples
    ///
    /// ```
    /// #[derive(serde::Serialize)]
    /// struct Point {
    ///     #[serde(skip_serializing_if = "Option::is_none")]
    ///     label: Option<String>,
    /// }
    /// let error = multiproc_core::codec::encode(&Point { label: None }).unwrap_err();
    /// assert!(error.is_unsupported() && error.to_string().contains("label"));
    /// ```
    pub fn is_unsupported(&self) -> bool {
        matches!(
            *self.0,
            EncodeKind::SkippedField(_)
                | EncodeKind::Count { .. }
                | EncodeKind::ErrorIgnored
                | EncodeKind::NotDecodable { .. }
        )
    }

    /// Tells whether the value is nested too deeply.
    pub fn is_too_deep(&self) -> bool {
        matches!(*self.0, EncodeKind::TooDeep | EncodeKind::Stack)
    }

    /// Tells whether a handle in the value is the reason.
    pub fn is_handle(&self) -> bool {
        matches!(*self.0, EncodeKind::TooManyHandles | EncodeKind::ReservedName)
    }

    /// Tells whether the value's own `Serialize` implementation gave the error.
    pub fn is_custom(&self) -> bool {
        matches!(*self.0, EncodeKind::Custom(_))
    }
}

impl From<EncodeKind> for EncodeError {
    #[cold]
    fn from(kind: EncodeKind) -> EncodeError {
        EncodeError(Box::new(kind))
    }
}

impl serde::ser::Error for EncodeError {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> EncodeError {
        EncodeKind::Custom(message.to_string()).into()
    }
}

impl From<EncodeError> for std::io::Error {
    fn from(error: EncodeError) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, error)
    }
}

/// Why a message could not become a value.
///
/// # Examples
///
/// ```
/// let error = multiproc_core::codec::decode::<(u8, u8)>(&[1], Vec::new()).unwrap_err();
/// assert!(error.is_truncated());
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DecodeError(Box<DecodeKind>); // boxed, so that the `Ok` path moves one word

#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeKind {
    #[error(
        "the message ends before its value is complete: it was cut short, or sent as another type; send and receive \
         the same type"
    )]
    Truncated,
    #[error(
        "the message goes on for {0} bytes after its value: it was sent as another type; send and receive the same \
         type"
    )]
    Trailing(usize),
    #[error(
        "the message has {len} bytes, and its receiver takes at most {max}: send it in parts, or raise the limit"
    )]
    TooLong { len: usize, max: usize },
    #[error("the message is nested deeper than {max} levels: flatten its type, or raise the limit")]
    TooDeep { max: usize },
    #[error("decoding the message takes more stack than one message may use: flatten its type")]
    Stack,
    #[error(
        "the message's value takes more memory than its receiver allows ({max} bytes): send it in parts, or raise \
         the limit"
    )]
    Memory { max: usize },
    #[error(
        "the message announces more than {max} elements that take no byte: send their number instead, or raise the \
         limit"
    )]
    ZeroSized { max: usize },
    #[error(
        "the type's `Deserialize` implementation needs a self-describing format; `#[serde(flatten)]`, `untagged` and \
         internally tagged enums cannot travel: use plain fields and externally tagged enums (serde's default)"
    )]
    SelfDescribing,
    #[error(
        "the message holds {0}: it is corrupt, or was sent as another type; send and receive the same type"
    )]
    Invalid(&'static str),
    #[error(
        "the message names handle {index}, and {count} came with it: some were lost on the way; send it again"
    )]
    HandleMissing { index: usize, count: usize },
    #[error("the message names handle {0} twice: it is corrupt; send it again")]
    HandleTwice(usize),
    #[error(
        "the message holds a handle of kind {found:#x} where one of kind {expected:#x} belongs: send and receive the \
         same type"
    )]
    HandleKind { expected: u32, found: u32 },
    #[error("{0} handles came with the message that its value does not hold: send and receive the same type")]
    HandlesLeft(usize),
    #[error(
        "{0} handles came with the message, and at most {MAX_HANDLES} may: send them in several messages"
    )]
    TooManyHandles(usize),
    #[error("a newtype struct uses a name reserved for handles, and is none: rename it")]
    ReservedName,
    #[error("the value's own `Deserialize` implementation refused the message: {0}")]
    Custom(String),
}

impl DecodeError {
    /// Tells whether one of the [`Limits`](super::Limits) or the stack's bound was reached.
    ///
    /// # Examples
    ///
    /// ```
    /// // A vector of 2^63 units, in ten bytes.
    /// let bytes = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    /// assert!(multiproc_core::codec::decode::<Vec<()>>(&bytes, Vec::new()).unwrap_err().is_limit());
    /// ```
    pub fn is_limit(&self) -> bool {
        matches!(
            *self.0,
            DecodeKind::TooLong { .. }
                | DecodeKind::TooDeep { .. }
                | DecodeKind::Stack
                | DecodeKind::Memory { .. }
                | DecodeKind::ZeroSized { .. }
        )
    }

    /// Tells whether the message ended before its value was complete.
    pub fn is_truncated(&self) -> bool {
        matches!(*self.0, DecodeKind::Truncated)
    }

    /// Tells whether bytes were left after the value.
    pub fn is_trailing(&self) -> bool {
        matches!(*self.0, DecodeKind::Trailing(_))
    }

    /// Tells whether a byte sequence means nothing: a wrong bool, option, char, string or number.
    pub fn is_invalid(&self) -> bool {
        matches!(*self.0, DecodeKind::Invalid(_))
    }

    /// Tells whether the handles are the reason: missing, left over, named twice or of the wrong kind.
    pub fn is_handle(&self) -> bool {
        matches!(
            *self.0,
            DecodeKind::HandleMissing { .. }
                | DecodeKind::HandleTwice(_)
                | DecodeKind::HandleKind { .. }
                | DecodeKind::HandlesLeft(_)
                | DecodeKind::TooManyHandles(_)
                | DecodeKind::ReservedName
        )
    }

    /// Tells whether the type needs a self-describing format, which this one is not.
    pub fn is_self_describing(&self) -> bool {
        matches!(*self.0, DecodeKind::SelfDescribing)
    }

    /// Tells whether the value's own `Deserialize` implementation refused, for example an unknown enum variant.
    pub fn is_custom(&self) -> bool {
        matches!(*self.0, DecodeKind::Custom(_))
    }
}

impl From<DecodeKind> for DecodeError {
    #[cold]
    fn from(kind: DecodeKind) -> DecodeError {
        DecodeError(Box::new(kind))
    }
}

impl serde::de::Error for DecodeError {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> DecodeError {
        DecodeKind::Custom(message.to_string()).into()
    }
}

impl From<DecodeError> for std::io::Error {
    fn from(error: DecodeError) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }
}
