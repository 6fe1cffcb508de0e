use super::memfd::from_stat;
use super::{FileInfo, file_info};
use crate::sys::fd::with_descriptors;
use rustix::fs::{self, AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The effective user of this process.
pub fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A directory that belongs to this user alone, where shared objects have their names.
///
/// It is checked once, when it is opened: nobody else can then put anything into it or take anything away.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens this user's directory in `/dev/shm`, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// See [`at`](Self::at).
    pub fn of_user() -> Result<Directory, DirectoryError> {
        Directory::at(Path::new(&format!("/dev/shm/multiproc-{}", user_id())))
    }

    /// Opens the directory at `path`, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// Something else stands there, it belongs to another user, or others may enter it.
    pub fn at(path: &Path) -> Result<Directory, DirectoryError> {
        let failed = |kind| DirectoryError { path: path.to_owned(), kind };
        let io = |error: Errno| failed(Kind::Io(error.into()));
        let made = match fs::mkdirat(fs::CWD, path, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(io(error)),
        };
        // Looked at before it is opened: another user's directory cannot be opened, only named.
        let stat = fs::statat(fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_err(io)?;
        check(&stat, made).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = with_descriptors(|| Ok(fs::openat(fs::CWD, path, flags, Mode::empty())?))
            .map_err(|error| failed(Kind::Io(error)))?;
        if made {
            // The umask may have taken bits away that the owner needs.
            fs::fchmod(&fd, Mode::RWXU).map_err(io)?;
        }
        // Again, for what was really opened.
        check(&fs::fstat(&fd).map_err(io)?, false).map_err(failed)?;
        Ok(Directory { fd, path: path.to_owned() })
    }

    /// The path that it was opened at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a file in it that has no name yet, open for its owner alone.
    ///
    /// # Errors
    ///
    /// What `openat` and `fchmod` report.
    pub fn nameless_file(&self) -> io::Result<OwnedFd> {
        nameless_file(&self.fd, Path::new("."))
    }

    /// Gives a nameless file its name.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], and what else `linkat` reports.
    pub fn link(&self, file: impl AsFd, name: &str) -> io::Result<()> {
        link(file, &self.fd, Path::new(name))
    }

    /// Opens a file in it for reading and writing; never follows a link, never waits.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`], and what else `openat` reports.
    pub fn open(&self, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        with_descriptors(|| Ok(fs::openat(&self.fd, name, flags, Mode::empty())?))
    }

    /// Tells about the file of that name as it is now; of a link, about the link itself.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`], and what else `fstatat` reports.
    pub fn info(&self, name: &str) -> io::Result<FileInfo> {
        let stat = fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        Ok(from_stat(&stat, is_regular, is_regular))
    }

    /// Tells whether `file` is what the name stands for at this moment.
    ///
    /// # Errors
    ///
    /// What `fstat` and `fstatat` report; a missing name is no error.
    pub fn is_current(&self, file: impl AsFd, name: &str) -> io::Result<bool> {
        let open = file_info(file)?;
        match self.info(name) {
            Ok(now) => Ok((now.device, now.inode) == (open.device, open.inode)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a name.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`], and what else `unlinkat` reports.
    pub fn unlink(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Lists the names in it that are UTF-8; the others are none of ours.
    ///
    /// # Errors
    ///
    /// What reading the directory reports.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in with_descriptors(|| Ok(Dir::read_from(&self.fd)?))? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if let Some(name) = name.to_str().filter(|name| *name != "." && *name != "..") {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

/// Creates a file without a name that only its owner can open, in the file system of a directory.
pub(super) fn nameless_file(base: impl AsFd, directory: &Path) -> io::Result<OwnedFd> {
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let fd = with_descriptors(|| Ok(fs::openat(&base, directory, flags, mode)?))?;
    // The umask may have taken bits away that the owner needs.
    fs::fchmod(&fd, mode)?;
    Ok(fd)
}

/// Gives a nameless file its name.
pub(super) fn link(file: impl AsFd, base: impl AsFd, path: &Path) -> io::Result<()> {
    // Linking the descriptor itself (AT_EMPTY_PATH) would need a privilege.
    let from = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    Ok(fs::linkat(fs::CWD, from, base, path, AtFlags::SYMLINK_FOLLOW)?)
}

/// Checks that it is a directory of this user, which nobody else may enter.
fn check(stat: &fs::Stat, just_made: bool) -> Result<(), Kind> {
    if stat.st_uid != user_id() {
        return Err(Kind::OtherOwner { owner: stat.st_uid });
    }
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Kind::NotDirectory);
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode != Mode::RWXU && !just_made {
        return Err(Kind::Mode { mode: mode.bits() });
    }
    Ok(())
}

/// Takes the shared lock of an open file: as long as anybody has it, the object is in use.
///
/// It is let go when the last copy of the descriptor is closed, in whatever process that is.
///
/// # Errors
///
/// What `flock` reports.
pub fn lock_shared(file: impl AsFd) -> io::Result<()> {
    loop {
        match fs::flock(&file, FlockOperation::LockShared) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Takes the exclusive lock of an open file if nobody has any, and tells whether it did.
///
/// # Errors
///
/// What `flock` reports.
pub fn try_lock_exclusive(file: impl AsFd) -> io::Result<bool> {
    match fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

/// A directory for shared objects that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the directory of shared objects {} {kind}", path.display())]
pub struct DirectoryError {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("belongs to user {owner}, who is not this one: ask them, or an administrator, to remove it")]
    OtherOwner { owner: u32 },
    #[error("is something else that stands in its place: remove it")]
    NotDirectory,
    #[error("can be entered by others (mode {mode:04o}): look who did that, and `chmod 700` it")]
    Mode { mode: u32 },
    #[error("could not be opened: {0}; it must be mounted, and this user must be allowed to write there")]
    Io(#[source] io::Error),
}

impl DirectoryError {
    /// Tells whether somebody else stands in the way.
    pub fn is_permission(&self) -> bool {
        match &self.kind {
            Kind::Io(error) => error.kind() == io::ErrorKind::PermissionDenied,
            _ => true,
        }
    }

    /// The user who owns what stands there, if that is not this one.
    pub fn owner(&self) -> Option<u32> {
        match self.kind {
            Kind::OtherOwner { owner } => Some(owner),
            _ => None,
        }
    }
}

impl From<DirectoryError> for io::Error {
    fn from(error: DirectoryError) -> Self {
        let kind = match &error.kind {
            Kind::Io(inner) => inner.kind(),
            _ => io::ErrorKind::PermissionDenied,
        };
        io::Error::new(kind, error)
    }
}
