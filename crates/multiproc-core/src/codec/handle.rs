use super::call;
use super::error::{DecodeError, DecodeKind, EncodeError, EncodeKind};
use super::limits::MAX_HANDLES;
use crate::sys::OwnedFd;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::{cell::RefCell, fmt, marker::PhantomData, sync::Arc};

/// The name by which our serializer and deserializer recognise a handle; no other serde format acts on it.
pub(super) const NAME: &str = "$multiproc::codec::Carried";

const ELSEWHERE: &str =
    "handles travel only inside multiproc messages (spawn arguments, results, queues, pipes, pools)";

/// A descriptor inside a message; `KIND` tells what it is, and must be the same on arrival.
///
/// Each `Carried` that is encoded takes a place of its own in [`Encoded::fds`](super::Encoded::fds), and the
/// message holds the index. Serializing one with any other format is an error.
///
/// # Examples
///
/// ```
/// use multiproc_core::codec::{self, Carried};
/// use std::{io::Read, os::fd::OwnedFd, sync::Arc};
///
/// let (mut reader, writer) = std::io::pipe()?;
/// let message = codec::encode(&("log", Carried::<7>(Arc::new(writer.into()))))?;
/// // A transport sends the bytes and the descriptors; here they stay.
/// let fds = message.fds.into_iter().map(|fd| fd.try_clone()).collect::<Result<Vec<OwnedFd>, _>>()?;
/// let (name, writer): (String, Carried<7>) = codec::decode(&message.bytes, fds)?;
///
/// assert_eq!(name, "log");
/// drop(writer);
/// assert_eq!(reader.read(&mut [0])?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Carried<const KIND: u32>(pub Arc<OwnedFd>);

/// What lies in the slot through which a `Carried` and our own serializer or deserializer meet.
///
/// serde offers no way to ask which serializer is at work, so ours opens the slot just before it calls what must be
/// a `Carried`, and a `Carried` that finds it closed was called by another format. No code of a user's runs while
/// the slot is open, unless it borrowed the reserved name; `Opened` closes it after that, too.
enum Slot {
    Closed,
    /// Our serializer asks for a handle.
    Wanted,
    /// The `Carried` gave it.
    Given(u32, Arc<OwnedFd>),
    /// Our deserializer offers the handle that it found.
    Offered(u32, OwnedFd),
    /// The `Carried` wanted another kind.
    Refused {
        expected: u32,
        found: u32,
    },
}

thread_local! {
    static SLOT: RefCell<Slot> = const { RefCell::new(Slot::Closed) };
}

/// Exchanges the slot's content. While the thread's storage is being torn down there is no slot: closed.
fn swap(slot: Slot) -> Slot {
    SLOT.try_with(|cell| cell.replace(slot)).unwrap_or(Slot::Closed)
}

/// An open slot, closed on drop.
struct Opened;

impl Opened {
    fn with(slot: Slot) -> Opened {
        swap(slot);
        Opened
    }

    fn close(self) -> Slot {
        swap(Slot::Closed)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        swap(Slot::Closed);
    }
}

/// Takes the handle out of `value`, which `serialize` runs on our serializer.
pub(super) fn collect(
    fds: &mut Vec<Arc<OwnedFd>>,
    serialize: impl FnOnce() -> Result<(), EncodeError>,
) -> Result<(u32, u32), EncodeError> {
    let opened = Opened::with(Slot::Wanted);
    serialize()?;
    let Slot::Given(kind, fd) = opened.close() else { return Err(EncodeKind::ReservedName.into()) };
    if fds.len() >= MAX_HANDLES {
        return Err(EncodeKind::TooManyHandles.into());
    }
    fds.push(fd);
    Ok((kind, (fds.len() - 1) as u32))
}

/// Hands the descriptor to the `Carried` that `deserialize` runs on our deserializer.
pub(super) fn hand_out<T>(
    kind: u32,
    fd: OwnedFd,
    deserialize: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let opened = Opened::with(Slot::Offered(kind, fd));
    let result = deserialize();
    match opened.close() {
        Slot::Closed => result,
        Slot::Refused { expected, found } => Err(DecodeKind::HandleKind { expected, found }.into()),
        _ => Err(DecodeKind::ReservedName.into()),
    }
}

/// What our serializer finds inside the newtype; the only type that fills the slot.
struct Inner<'a> {
    kind: u32,
    fd: &'a Arc<OwnedFd>,
}

impl Serialize for Inner<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match swap(Slot::Closed) {
            Slot::Wanted => {
                swap(Slot::Given(self.kind, Arc::clone(self.fd)));
                serializer.serialize_unit()
            }
            _ => Err(ser::Error::custom(ELSEWHERE)),
        }
    }
}

impl<const KIND: u32> Serialize for Carried<KIND> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(NAME, &Inner { kind: KIND, fd: &self.0 })
    }
}

impl<'de, const KIND: u32> Deserialize<'de> for Carried<KIND> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const KIND: u32>(PhantomData<Carried<KIND>>);

        impl<'de, const KIND: u32> de::Visitor<'de> for Visitor<KIND> {
            type Value = Carried<KIND>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a handle; {ELSEWHERE}")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<Self::Value, D::Error> {
                match swap(Slot::Closed) {
                    Slot::Offered(found, fd) if found == KIND => Ok(Carried(Arc::new(fd))),
                    Slot::Offered(found, _) => {
                        swap(Slot::Refused { expected: KIND, found });
                        Err(de::Error::custom("a handle of another kind"))
                    }
                    _ => Err(de::Error::custom(ELSEWHERE)),
                }
            }
        }

        deserializer.deserialize_newtype_struct(NAME, Visitor(PhantomData))
    }
}

/// Tells whether the decode under way on this thread is of a trusted peer; false while there is none.
///
/// For the `Deserialize` implementations of handles that are safe only by protocol.
///
/// # Examples
///
/// ```
/// use multiproc_core::codec::{self, Limits, is_trusted};
///
/// struct Trust(bool);
/// impl<'de> serde::Deserialize<'de> for Trust {
///     fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Trust, D::Error> {
///         Ok(Trust(is_trusted()))
///     }
/// }
/// assert!(codec::decode::<Trust>(&[], Vec::new())?.0);
/// assert!(!codec::decode_with::<Trust>(&[], Vec::new(), &Limits::untrusted())?.0);
/// assert!(!is_trusted());
/// # Ok::<(), codec::DecodeError>(())
/// ```
pub fn is_trusted() -> bool {
    call::trusted() == Some(true)
}
