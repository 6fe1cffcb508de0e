//! Descriptors that can be told apart wherever they have been, and how many are open.

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// How many of them there are.
pub const MARKED: usize = 8;

struct Marked {
    pipes: Vec<(PipeReader, PipeWriter)>,
    inodes: Vec<u64>,
}

fn all() -> &'static Marked {
    static ALL: OnceLock<Marked> = OnceLock::new();
    ALL.get_or_init(|| {
        let pipes: Vec<_> = (0..MARKED).map(|_| io::pipe().expect("a pipe")).collect();
        let copies = pipes.iter().map(|(reader, _)| reader.as_fd().try_clone_to_owned().expect("a copy"));
        Marked { inodes: copies.map(inode).collect(), pipes }
    })
}

fn inode(fd: OwnedFd) -> u64 {
    File::from(fd).metadata().expect("it is open").ino()
}

/// The one of that number, counted around.
pub fn marked(number: usize) -> BorrowedFd<'static> {
    all().pipes[number % MARKED].0.as_fd()
}

/// Copies of so many, from the first one on.
///
/// # Panics
///
/// If this process can have no more open.
pub fn copies(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|number| marked(number).try_clone_to_owned().expect("a copy")).collect()
}

/// The number of what is one of them, wherever it comes from; it is closed.
///
/// # Panics
///
/// If it is none.
pub fn number(fd: OwnedFd) -> usize {
    let found = inode(fd);
    all().inodes.iter().position(|inode| *inode == found).expect("it is one of the marked")
}

/// How many descriptors this process has open.
///
/// # Panics
///
/// If the system does not tell.
pub fn open() -> usize {
    all();
    fs::read_dir("/proc/self/fd").expect("the system tells").count()
}
