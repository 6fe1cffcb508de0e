//! What others use, where it takes more than a line.

mod boost;
#[cfg(feature = "peers")]
pub(crate) mod heavy;
#[cfg(feature = "peers")]
pub(crate) mod local_socket;
mod pthread;
mod python;
mod venv;
mod version;

pub(crate) use boost::{boost, boost_version};
pub(crate) use pthread::{PlainMutex, Pthread, RobustMutex};
pub(crate) use python::{
    POOLS, interpreter, packaged, packaged_pools, python, python_script, python_version,
};
pub(crate) use venv::{PACKAGES, venv};
pub(crate) use version::{is_peer, peer_version};

/// Why the peers that take long to build are absent.
#[cfg(not(feature = "peers"))]
pub(crate) const NO_HEAVY: &str =
    "iceoryx2, interprocess and ipc-channel: they take long to build; ask for them with --peers";
#[cfg(feature = "peers")]
pub(crate) const NO_HEAVY: &str = "";
