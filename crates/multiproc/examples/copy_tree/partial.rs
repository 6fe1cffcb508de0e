//! Temporary files: their names, and how dead ones are told from those that somebody still writes.
//!
//! Whoever writes a temporary file holds the lock on it until it has its final name; the kernel lets go of the lock
//! when the writer dies, and knows it across containers and, on network file systems, across machines. So another
//! run removes only what it can lock. A file system without locks keeps what dead copiers have left.
//!
//! A link cannot be locked; but it is made in no time, and made again if somebody swept it away.

use crate::job::told;
use std::ffi::OsStr;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::Path;

/// How often a link is made that others sweep away; each of them sweeps a folder once.
const SWEEPS: usize = 100;

/// A number that no other run has: process numbers are the same in each container.
pub(crate) fn mark() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A temporary name, short enough beside any name.
pub(crate) fn name(mark: u64, job: u64) -> String {
    format!(".copy_tree-{mark:x}-{job}.partial")
}

fn is_partial(name: &OsStr) -> bool {
    let parts = || {
        let middle = name.to_str()?.strip_prefix(".copy_tree-")?.strip_suffix(".partial")?;
        let (mark, job) = middle.split_once('-')?;
        Some((u64::from_str_radix(mark, 16).ok()?, job.parse::<u64>().ok()?))
    };
    parts().is_some()
}

/// Creates a temporary file that is nobody else's business yet, and locks it.
pub(crate) fn create(partial: &Path) -> io::Result<File> {
    let make = || OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(partial);
    loop {
        let made = match make() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => replace(partial).and_then(|()| make()),
            made => made,
        };
        let copy = told("its copy cannot be created", made)?;
        lock(&copy);
        // Somebody may have swept it away before it was locked.
        if copy.metadata()?.nlink() > 0 {
            return Ok(copy);
        }
    }
}

/// Removes what a worker that died over the same job has left.
fn replace(partial: &Path) -> io::Result<()> {
    // Under its lock, or somebody who sweeps it at the same time would take the next one for it.
    let left = open(partial);
    if let Ok(left) = &left {
        lock(left);
    }
    remove(partial)
}

/// Makes a link in the place of whatever file or link was there.
pub(crate) fn link(leads_to: &Path, partial: &Path, target: &Path) -> io::Result<()> {
    for _ in 0..SWEEPS {
        match symlink(leads_to, partial) {
            // A worker that died over the same job has left it, and it may lead elsewhere.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                remove(partial)?;
                continue;
            }
            made => told("its copy cannot be created", made)?,
        }
        match fs::rename(partial, target) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => return told("its copy cannot be put in place", result),
        }
    }
    Err(io::Error::other("its copy is removed again and again: let one program at a time write there"))
}

/// Removes a temporary file, if it is there.
pub(crate) fn remove(partial: &Path) -> io::Result<()> {
    match fs::remove_file(partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes an entry of a folder if it is a temporary file whose copier is dead.
pub(crate) fn sweep(entry: &DirEntry) -> io::Result<()> {
    let path = entry.path();
    let kind = entry.file_type()?;
    if !is_partial(&entry.file_name()) || !(kind.is_file() || kind.is_symlink()) {
        return Ok(());
    }
    // Held until the file is gone. What cannot be opened or locked is somebody's.
    let _held = if kind.is_symlink() {
        None
    } else {
        let Ok(left) = open(&path) else { return Ok(()) };
        if left.try_lock().is_err() || !is_at(&left, &path)? {
            return Ok(());
        }
        Some(left)
    };
    remove(&path)
}

/// Tells whether the file is still the one of that name; it may have got its final one.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        found => found.map(|found| (found.dev(), found.ino()) == (opened.dev(), opened.ino())),
    }
}

/// Opens a file for its lock. A network file system locks only what can be written.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path))
}

/// Waits for the lock on a file; others hold it no longer than a removal takes.
fn lock(file: &File) {
    loop {
        match file.lock() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Where there are no locks nobody else gets one either, and so nobody removes the file.
            _ => return,
        }
    }
}
