use super::ListenError;
use crate::address::PrivateDirectory;
use multiproc_core::sys::peer::effective_user;
use multiproc_core::sys::socket::{self, SocketName};
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long another process may take to make its own socket in the same directory.
const TURN: Duration = Duration::from_secs(2);
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// A socket file that is ours, and is removed on drop if it still is.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    /// (device, number) of the file.
    identity: (u64, u64),
    /// A fork must not remove what its parent listens at.
    owner: u32,
    _directory: Option<PrivateDirectory>,
}

impl Claim {
    /// Listens at that path, in the place of one whose owner is gone if need be.
    ///
    /// Who makes or removes a socket file holds the directory's lock meanwhile, or two could each take the other's for
    /// an old one.
    pub(super) fn of(path: &Path, backlog: u16) -> Result<(OwnedFd, Claim), ListenError> {
        let failed = |error| ListenError::path(path, error);
        let directory = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(failed(io::ErrorKind::InvalidInput.into())),
        };
        check_directory(directory)?;
        let _turn = lock(directory).map_err(failed)?;
        let name = SocketName::Path(path);
        let listening = match socket::listen(name, backlog) {
            Err(error) if socket::is_address_in_use(&error) => {
                remove_stale(path)?;
                socket::listen(name, backlog)
            }
            other => other,
        };
        let socket = listening.map_err(failed)?;
        let identity = identity(&fs::symlink_metadata(path).map_err(failed)?);
        let claim = Claim { path: path.to_owned(), identity, owner: std::process::id(), _directory: None };
        Ok((socket, claim))
    }

    /// Keeps a directory as long as the file.
    pub(super) fn with(mut self, directory: PrivateDirectory) -> Claim {
        self._directory = Some(directory);
        self
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.owner != std::process::id() {
            return;
        }
        // Without the lock the file stays, which is no harm: its owner is gone.
        let Some(Ok(_turn)) = self.path.parent().map(lock) else { return };
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Refuses a directory in which others can put their socket into the place of ours.
fn check_directory(path: &Path) -> Result<(), ListenError> {
    let found = fs::metadata(path).map_err(|error| ListenError::path(path, error))?;
    let (user, mode) = (found.uid(), found.mode());
    if user != effective_user() && user != 0 {
        return Err(ListenError::foreign_directory(path, user));
    }
    // In a sticky one nobody can remove what is another's.
    if mode & WRITABLE_BY_OTHERS != 0 && mode & STICKY == 0 {
        return Err(ListenError::open_directory(path, mode & 0o7777));
    }
    Ok(())
}

fn lock(directory: &Path) -> io::Result<OwnedFd> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let end = Instant::now() + TURN;
    loop {
        match socket::lock_directory(directory) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                // Nothing tells of its end without waiting for ever.
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let text = format!(
                    "somebody holds a lock of the directory {}: end that process, or listen in another",
                    directory.display()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            result => return result,
        }
    }
}

/// Removes a socket file at which nobody listens any more; everything else is an error.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| ListenError::path(path, error))?,
    };
    if !found.file_type().is_socket() {
        return Err(ListenError::no_socket(path));
    }
    if found.uid() != effective_user() {
        return Err(ListenError::squatted(path, found.uid()));
    }
    match socket::connect(SocketName::Path(path)) {
        // Nobody listens.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| ListenError::path(path, error))
        }
        // Somebody does, whether there is room for one more or not.
        _ => Err(ListenError::in_use(path)),
    }
}
