//! What can be written by hand when nobody need survive anybody's death: the floors under ours.

mod ring;
mod socket;

pub(crate) use ring::FloorRing;
pub(crate) use socket::Socket;
#[cfg(feature = "peers")]
pub(crate) use socket::{receive, send};
