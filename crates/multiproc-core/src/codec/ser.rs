use super::EncodeError;
use std::{os::fd::OwnedFd, sync::Arc};
/// A message ready to travel: its bytes, and the descriptors of the handles in it, in their order.
#[derive(Debug, Default)]
pub struct Encoded {
    /// The message.
    pub bytes: Vec<u8>,
    /// The descriptors that must travel beside it.
    pub fds: Vec<Arc<OwnedFd>>,
}
/// Encodes
pub fn encode<T: serde::Serialize + ?Sized>(_value: &T) -> Result<Encoded, EncodeError> {
    todo!()
}
