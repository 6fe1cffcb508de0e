use std::{os::fd::OwnedFd, sync::Arc};
/// A descriptor inside a message; `KIND` tells what it is, and must be the same on arrival.
#[derive(Debug, Clone)]
pub struct Carried<const KIND: u32>(pub Arc<OwnedFd>);
impl<const KIND: u32> serde::Serialize for Carried<KIND> {
    fn serialize<S: serde::Serializer>(&self, _s: S) -> Result<S::Ok, S::Error> {
        todo!()
    }
}
impl<'de, const KIND: u32> serde::Deserialize<'de> for Carried<KIND> {
    fn deserialize<D: serde::Deserializer<'de>>(_d: D) -> Result<Self, D::Error> {
        todo!()
    }
}
/// Whether the decode under way is of a trusted peer
pub fn is_trusted() -> bool {
    todo!()
}
