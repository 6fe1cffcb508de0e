use super::directory::{link, nameless_file};
use crate::sys::fd::with_descriptors;
use rustix::fs::{AtFlags, CWD, Mode, statat};
use rustix::io::Errno;
use rustix::shm::{self, OFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where `shm_open` of every C library for Linux looks for names.
const NAMES: &str = "/dev/shm";

/// Creates an empty POSIX shared memory object that only its owner can open; `name` begins with a slash.
///
/// Others can see it before it has a length: [`shm_nameless`] and [`shm_link`] avoid that.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`], and what else `shm_open` reports.
pub fn shm_create(name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
    with_descriptors(|| Ok(shm::open(name, flags, Mode::RUSR | Mode::WUSR)?))
}

/// Creates a POSIX shared memory object that has no name yet and that only its owner can open.
///
/// `None` says that the file system of the names does not know such files.
///
/// # Errors
///
/// What `open` and `fchmod` report.
pub fn shm_nameless() -> io::Result<Option<OwnedFd>> {
    nameless_in(Path::new(NAMES))
}

fn nameless_in(directory: &Path) -> io::Result<Option<OwnedFd>> {
    // What a file system without them says, a kernel from before 3.11, and a machine without the directory.
    let unknown = [Errno::OPNOTSUPP, Errno::ISDIR, Errno::NOENT];
    match nameless_file(CWD, directory) {
        Err(error) if unknown.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) => {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Gives an object from [`shm_nameless`] its name, which begins with a slash; tells whether that can be done
/// here: it takes a mounted `/proc`.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`], and what else `linkat` reports.
pub fn shm_link(file: impl AsFd, name: &str) -> io::Result<bool> {
    match link(file, CWD, &path(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.map(|()| true),
    }
}

/// Tells whether a POSIX shared memory object, or something else, has that name; `name` begins with a slash.
pub fn shm_exists(name: &str) -> bool {
    statat(CWD, path(name), AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Opens a POSIX shared memory object for reading and writing; `name` begins with a slash.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`], and what else `shm_open` reports.
pub fn shm_open(name: &str) -> io::Result<OwnedFd> {
    with_descriptors(|| Ok(shm::open(name, OFlags::RDWR, Mode::empty())?))
}

/// Removes the name of a POSIX shared memory object; who has it open keeps it.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`], and what else `shm_unlink` reports.
pub fn shm_unlink(name: &str) -> io::Result<()> {
    Ok(shm::unlink(name)?)
}

fn path(name: &str) -> PathBuf {
    Path::new(NAMES).join(name.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_nameless_object_is_found_once_it_is_linked() {
        let name = format!("/multiproc-posix-{}", std::process::id());
        let file = File::from(shm_nameless().unwrap().unwrap());
        assert!(!shm_exists(&name));
        assert!(shm_link(&file, &name).unwrap());
        assert!(shm_exists(&name));
        let found = File::from(shm_open(&name).unwrap()).metadata().unwrap();
        let second = shm_nameless().unwrap().unwrap();
        let taken = shm_link(second, &name).unwrap_err();
        let created = shm_create(&name).unwrap_err();
        shm_unlink(&name).unwrap();
        let made = file.metadata().unwrap();
        assert_eq!((found.dev(), found.ino(), found.mode() & 0o7777), (made.dev(), made.ino(), 0o600));
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(created.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_file_system_without_nameless_files_says_so() {
        assert!(nameless_in(Path::new("/proc")).unwrap().is_none());
        assert!(nameless_in(Path::new("/nowhere/at/all")).unwrap().is_none());
        assert!(nameless_in(Path::new("/dev/null")).is_err());
    }
}
