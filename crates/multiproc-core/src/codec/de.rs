use super::{DecodeError, Limits};
use std::os::fd::OwnedFd;
/// Decodes with the limits of a trusted peer
pub fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8], fds: Vec<OwnedFd>) -> Result<T, DecodeError> {
    let _ = (bytes, fds);
    todo!()
}
/// Decodes
pub fn decode_with<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    fds: Vec<OwnedFd>,
    limits: &Limits,
) -> Result<T, DecodeError> {
    let _ = (bytes, fds, limits);
    todo!()
}
