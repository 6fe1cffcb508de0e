use multiproc_core::Message;
use multiproc_core::codec::{self, DecodeError, Limits};
use multiproc_core::sys::memory::Directory;
use std::os::fd::{AsFd, OwnedFd};

/// Sends a value to ourselves, as a transport would: the descriptors are copies.
pub(crate) fn transfer<T: Message>(value: &T) -> T {
    transfer_as::<T, T>(value, &Limits::trusted()).unwrap()
}

/// Sends a value, and takes it as another type or from somebody else.
pub(crate) fn transfer_as<A: Message, B: Message>(value: &A, limits: &Limits) -> Result<B, DecodeError> {
    let message = codec::encode(value).unwrap();
    let fds: Vec<OwnedFd> = message.fds.iter().map(|fd| fd.as_fd().try_clone_to_owned().unwrap()).collect();
    codec::decode_with(&message.bytes, fds, limits)
}

/// A directory of names that is not the user's own, and is removed with the value.
pub(crate) struct TestDirectory {
    pub(crate) names: Directory,
    pub(crate) path: std::path::PathBuf,
    _root: tempfile::TempDir,
}

pub(crate) fn directory() -> TestDirectory {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = root.path().join("names");
    TestDirectory { names: Directory::at(&path).unwrap(), path, _root: root }
}

/// Tells whether this test may do what only root can; says so if not.
pub(crate) fn root(what: &str) -> bool {
    let root = multiproc_core::sys::memory::user_id() == 0;
    if !root {
        skip(what, "it needs root");
    }
    root
}

/// Says that something was not tested, on a line of its own, for whoever collects these.
pub(crate) fn skip(what: &str, why: &str) {
    println!("\nskipped: {what}: {why}");
}
