use rustix::fs::Mode;
use rustix::shm::{self, OFlags};
use std::io;
use std::os::fd::OwnedFd;

/// Creates a POSIX shared memory object that only its owner can open; `name` begins with a slash.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`], and what else `shm_open` reports.
pub fn shm_create(name: &str) -> io::Result<OwnedFd> {
    Ok(shm::open(name, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR, Mode::RUSR | Mode::WUSR)?)
}

/// Opens a POSIX shared memory object for reading and writing; `name` begins with a slash.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`], and what else `shm_open` reports.
pub fn shm_open(name: &str) -> io::Result<OwnedFd> {
    Ok(shm::open(name, OFlags::RDWR, Mode::empty())?)
}

/// Removes the name of a POSIX shared memory object; who has it open keeps it.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`], and what else `shm_unlink` reports.
pub fn shm_unlink(name: &str) -> io::Result<()> {
    Ok(shm::unlink(name)?)
}
