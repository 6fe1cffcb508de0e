//! Named objects: files that are complete before they have a name.
//!
//! Creating: a nameless file is allocated, gets header and value, is locked shared, and is then linked. So a
//! name never stands for something half-made, and a creator that dies leaves nothing behind.
//!
//! Opening: open, check, lock shared, and look again whether the name still stands for the same file. The lock
//! belongs to the open file and travels with it, so as long as any process holds the object it is locked, and
//! [`sweep`] takes only what it can lock exclusively.

use crate::ShmError;
use crate::error::Kind;
use crate::header::{Header, Mismatch};
use crate::segment::Segment;
use multiproc_core::Name;
use multiproc_core::sys::memory::{
    Directory, FileInfo, allocate, file_info, lock_shared, try_lock_exclusive, user_id, write_all_at,
};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// How often a name may change under an opener before that is an error.
const MAX_REPLACED: u32 = 10_000;

/// Makes an object that has no name yet; the caller fills it in before it calls [`publish`].
pub(crate) fn prepare(
    directory: &Directory,
    name: &Name,
    header: &Header,
    about: &str,
) -> Result<Segment, ShmError> {
    let failed = |source| ShmError::io("create", shown(name), source);
    let file = directory.nameless_file().map_err(failed)?;
    allocate(&file, header.total()).map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Kind::NoSpace { name: name.to_string(), len: header.total(), source }.into()
        }
        _ => failed(source),
    })?;
    header.write_to(&file).map_err(failed)?;
    write_all_at(&file, about.as_bytes(), header.end()).map_err(failed)?;
    lock_shared(&file).map_err(failed)?;
    let info = file_info(&file).map_err(failed)?;
    Segment::map(Arc::new(file), &info).map_err(failed)
}

/// Gives a prepared object its name.
pub(crate) fn publish(directory: &Directory, name: &Name, segment: &Segment) -> Result<(), ShmError> {
    link(directory, name, segment.fd())
}

/// Gives a file that is complete its name.
pub(crate) fn link(directory: &Directory, name: &Name, file: &OwnedFd) -> Result<(), ShmError> {
    directory.link(file, name.as_str()).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Kind::AlreadyExists(name.to_string()).into(),
        _ => ShmError::io("create", shown(name), source),
    })
}

/// Opens the object of that name.
pub(crate) fn open(directory: &Directory, name: &Name, header: &Header) -> Result<Segment, ShmError> {
    let (fd, info) = open_locked(directory, name)?;
    let segment = Segment::attach(Arc::new(fd), &info, Some(header), || shown(name))?;
    // After the header: what something else made is called that.
    if info.allocated < info.len {
        return Err(Kind::Mismatch { object: shown(name), mismatch: Mismatch::Holes }.into());
    }
    Ok(segment)
}

/// Opens the file of that name, so that no sweeper removes it.
pub(crate) fn open_locked(directory: &Directory, name: &Name) -> Result<(OwnedFd, FileInfo), ShmError> {
    let failed = |source| ShmError::io("open", shown(name), source);
    for _ in 0..MAX_REPLACED {
        let fd = open_file(directory, name)?;
        let info = file_info(&fd).map_err(failed)?;
        check(name, &info)?;
        // Waits only for a sweeper that is about to remove it.
        lock_shared(&fd).map_err(failed)?;
        if directory.is_current(&fd, name.as_str()).map_err(failed)? {
            return Ok((fd, info));
        }
    }
    Err(Kind::Restless { name: name.to_string() }.into())
}

fn open_file(directory: &Directory, name: &Name) -> Result<OwnedFd, ShmError> {
    directory.open(name.as_str()).map_err(|source| {
        if source.kind() == io::ErrorKind::NotFound {
            return Kind::NotFound(name.to_string()).into();
        }
        // A link, a directory, a socket or another user's file cannot be opened: say which it is.
        match directory.info(name.as_str()).map(|info| check(name, &info)) {
            Ok(Err(error)) => error,
            _ => ShmError::io("open", shown(name), source),
        }
    })
}

/// Checks that it is a file that this user made, and that nobody else can open.
fn check(name: &Name, info: &FileInfo) -> Result<(), ShmError> {
    let kind = if info.owner != user_id() {
        Kind::OtherOwner { name: name.to_string(), owner: info.owner }
    } else if !info.is_regular {
        Kind::NotRegular(name.to_string())
    } else if info.mode != 0o600 {
        Kind::Mode { name: name.to_string(), mode: info.mode }
    } else {
        return Ok(());
    };
    Err(kind.into())
}

/// Removes a name of this user's; who has the object open keeps it.
pub(crate) fn unlink(directory: &Directory, name: &Name) -> Result<(), ShmError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Kind::NotFound(name.to_string()).into(),
        _ => ShmError::io("unlink", shown(name), source),
    };
    let info = directory.info(name.as_str()).map_err(failed)?;
    check(name, &info)?;
    directory.unlink(name.as_str()).map_err(failed)
}

fn shown(name: &Name) -> String {
    format!("shared object {:?}", name.as_str())
}

/// Removes the names of this user's shared objects that no process holds any more, and returns them.
///
/// A named object stays until it is unlinked, also when nobody has it open, as a file does. This clears what
/// programs left behind; it is never done on its own.
///
/// # Errors
///
/// What reading the directory reports, or that it is not this user's alone.
///
/// # Examples
///
/// ```
/// use multiproc_core::Name;
/// use multiproc_core::sys::memory::Directory;
/// use multiproc_shm::{Shared, sweep_in};
///
/// # let place = std::env::temp_dir().join(format!("sweep-{}", std::process::id()));
/// let directory = Directory::at(&place)?; // `sweep` does the same where names are in fact
/// let (lost, held) = (Name::new("lost")?, Name::new("held")?);
/// drop(Shared::create_in(&directory, &lost, 1u32)?);
/// let number = Shared::create_in(&directory, &held, 2u32)?;
/// assert_eq!(sweep_in(&directory)?, ["lost"]);
/// assert_eq!(*number, 2);
/// # std::fs::remove_dir_all(&place)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sweep() -> io::Result<Vec<String>> {
    sweep_in(&Directory::of_user()?)
}

/// Does the same as [`sweep`] in another directory.
#[doc(hidden)]
pub fn sweep_in(directory: &Directory) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    for name in directory.names()? {
        match sweep_one(directory, &name) {
            Ok(true) => removed.push(name),
            Ok(false) => {}
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// Tells whether no process holds the object of a name, nor a message on its way to one.
///
/// # Errors
///
/// The system's.
pub fn is_unheld(directory: &Directory, name: &str) -> io::Result<bool> {
    // Held for a moment: who opens it just now waits for that.
    try_lock_exclusive(&directory.open(name)?)
}

fn sweep_one(directory: &Directory, name: &str) -> io::Result<bool> {
    let info = directory.info(name)?;
    // What this library did not make is not its to remove.
    if !info.is_regular || info.owner != user_id() || info.mode != 0o600 {
        return Ok(false);
    }
    let fd = directory.open(name)?;
    // The lock is held until the name is gone, so that who opens it meanwhile waits and then sees that.
    if !try_lock_exclusive(&fd)? || !directory.is_current(&fd, name)? {
        return Ok(false);
    }
    directory.unlink(name)?;
    Ok(true)
}
