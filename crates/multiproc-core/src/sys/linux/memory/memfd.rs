use super::check_free;
use crate::sys::fd::with_descriptors;
use rustix::fs::{self, FallocateFlags, FileType, MemfdFlags, Mode, SealFlags};
use rustix::io::{Errno, pread, pwrite};
use std::io;
use std::ops::BitOr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Between two chunks the free memory is looked at again, and signals are let in.
const CHUNK: u64 = 64 << 20;

/// The unit in which the kernel counts what is allocated, whatever the file system's own is.
const BLOCK: u64 = 512;

/// The magic number of the file system that memfds and `/dev/shm` live on.
const TMPFS: u64 = 0x0102_1994;

/// The kernel's promises about a memfd, each irrevocable once given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seals(SealFlags);

impl Seals {
    /// No seal can be added any more.
    pub const SEAL: Seals = Seals(SealFlags::SEAL);
    /// It cannot shrink.
    pub const SHRINK: Seals = Seals(SealFlags::SHRINK);
    /// It cannot grow.
    pub const GROW: Seals = Seals(SealFlags::GROW);
    /// Nobody can write to it, neither through a descriptor nor through a mapping.
    pub const WRITE: Seals = Seals(SealFlags::WRITE);
    /// Nobody can write to it except through the mappings that exist already.
    pub const FUTURE_WRITE: Seals = Seals(SealFlags::FUTURE_WRITE);
    /// It can only grow, for ever: shrink and seal.
    pub const GROWING: Seals = Seals(SealFlags::SEAL.union(SealFlags::SHRINK));
    /// The size is fixed for ever: shrink, grow and seal.
    pub const FIXED: Seals = Seals(SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW));
    /// Size and content are fixed for ever.
    pub const IMMUTABLE: Seals = Seals(Seals::FIXED.0.union(SealFlags::WRITE));

    /// Tells whether every seal of `other` is set.
    pub fn contains(self, other: Seals) -> bool {
        self.0.contains(other.0)
    }
}

impl BitOr for Seals {
    type Output = Seals;

    fn bitor(self, other: Seals) -> Seals {
        Seals(self.0 | other.0)
    }
}

/// What the kernel says about an open file, as far as it matters for shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// The device of the file system that it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// The user who owns it.
    pub owner: u32,
    /// The permission bits.
    pub mode: u32,
    /// The number of names that it has.
    pub links: u64,
    /// Its length in bytes.
    pub len: u64,
    /// The bytes that are really allocated.
    pub allocated: u64,
    /// Whether it is a regular file on tmpfs, as memfds and the files of `/dev/shm` are.
    pub is_memory: bool,
    /// Whether it is a regular file.
    pub is_regular: bool,
}

/// Tells about an open file.
///
/// # Errors
///
/// What `fstat` and `fstatfs` report.
pub fn file_info(fd: impl AsFd) -> io::Result<FileInfo> {
    let fd = fd.as_fd();
    let stat = fs::fstat(fd)?;
    let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    // Other kinds are not asked: what `fstatfs` says of a pipe or a socket is of no use.
    let is_memory = is_regular && fs::fstatfs(fd)?.f_type as u64 == TMPFS;
    Ok(from_stat(&stat, is_regular, is_memory))
}

pub(super) fn from_stat(stat: &fs::Stat, is_regular: bool, is_memory: bool) -> FileInfo {
    FileInfo {
        device: stat.st_dev,
        inode: stat.st_ino,
        owner: stat.st_uid,
        mode: Mode::from_raw_mode(stat.st_mode).bits(),
        #[expect(clippy::useless_conversion, reason = "the field is 32 bits wide on some architectures")]
        links: stat.st_nlink.into(),
        len: u64::try_from(stat.st_size).unwrap_or(0),
        allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK),
        is_memory,
        is_regular,
    }
}

/// Creates an empty memfd that only its owner can open, and that can be sealed.
///
/// It is closed on exec and can never be made executable, where the kernel knows how to promise that.
///
/// # Errors
///
/// What `memfd_create` and `fchmod` report; one for want of descriptors says what to do.
pub fn create_memfd(name: &str) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = with_descriptors(|| match fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Kernels before 6.3 do not know the flag.
        Err(Errno::INVAL) => Ok(fs::memfd_create(name, flags)?),
        other => Ok(other?),
    })?;
    // A memfd is born open to everybody who can reach it through /proc.
    fs::fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
    Ok(fd)
}

/// Opens somebody's memory to read it, by a path as `/proc/PID/fd/N`; never waits for it, whatever it is by now.
///
/// # Errors
///
/// What `open` reports.
pub fn open_to_read(path: &std::path::Path) -> io::Result<OwnedFd> {
    let flags = fs::OFlags::RDONLY | fs::OFlags::NONBLOCK | fs::OFlags::NOCTTY | fs::OFlags::CLOEXEC;
    with_descriptors(|| Ok(fs::open(path, flags, Mode::empty())?))
}

/// Makes a file at least `len` bytes long with every page really allocated, and all of them zero where new.
///
/// What it has already is not asked for again: a file larger than what is free can be allocated if its pages
/// are there.
///
/// # Errors
///
/// [`io::ErrorKind::OutOfMemory`] if that is more than is free (see [`check_free`]), and
/// [`io::ErrorKind::StorageFull`] if the file system has a limit and it is reached.
pub fn allocate(fd: impl AsFd, len: u64) -> io::Result<()> {
    let fd = fd.as_fd();
    // The whole first: nothing is taken for a request that cannot be met.
    check_free(missing(fd, len)?)?;
    let mut done = 0;
    while done < len {
        done += allocate_some(fd, done, len)?;
        // Others may have allocated meanwhile.
        check_free(missing(fd, len)?.min(len - done))?;
    }
    Ok(())
}

/// Makes the bytes of a file from `start` up to `end` exist, with every page really allocated.
///
/// # Errors
///
/// Those of [`allocate`].
pub fn allocate_part(fd: impl AsFd, start: u64, end: u64) -> io::Result<()> {
    let fd = fd.as_fd();
    let mut done = start;
    while done < end {
        check_free(end - done)?;
        done += allocate_some(fd, done, end)?;
    }
    Ok(())
}

/// Allocates some of the bytes from `start` on, and tells how many.
fn allocate_some(fd: BorrowedFd<'_>, start: u64, end: u64) -> io::Result<u64> {
    let chunk = (end - start).min(CHUNK);
    match fs::fallocate(fd, FallocateFlags::empty(), start, chunk) {
        Ok(()) => Ok(chunk),
        // An interrupted chunk was taken back by the kernel.
        Err(Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// How many of `len` bytes a file has no pages for yet.
fn missing(fd: BorrowedFd<'_>, len: u64) -> io::Result<u64> {
    let allocated = u64::try_from(fs::fstat(fd)?.st_blocks).unwrap_or(0).saturating_mul(BLOCK);
    Ok(len.saturating_sub(allocated))
}

/// Fills `to` from a file, from `offset` on, without moving its position.
///
/// # Errors
///
/// [`io::ErrorKind::UnexpectedEof`] if the file ends before, and what `pread` reports.
pub fn read_exact_at(fd: impl AsFd, mut to: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !to.is_empty() {
        match pread(&fd, &mut *to, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                to = &mut to[read..];
                offset += read as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes all of `from` to a file, from `offset` on, without moving its position; it grows where it has to.
///
/// # Errors
///
/// What `pwrite` reports.
pub fn write_all_at(fd: impl AsFd, mut from: &[u8], mut offset: u64) -> io::Result<()> {
    while !from.is_empty() {
        match pwrite(&fd, from, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                from = &from[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Adds seals to a memfd.
///
/// # Errors
///
/// [`io::ErrorKind::ResourceBusy`] for [`Seals::WRITE`] while a writable mapping exists, and
/// [`io::ErrorKind::PermissionDenied`] once it was sealed against seals.
pub fn add_seals(fd: impl AsFd, seals: Seals) -> io::Result<()> {
    Ok(fs::fcntl_add_seals(fd, seals.0)?)
}

/// Reads the seals of a memfd.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] if the file can have none.
pub fn seals(fd: impl AsFd) -> io::Result<Seals> {
    Ok(Seals(fs::fcntl_get_seals(fd)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memfd_is_private_and_allocated() {
        let fd = create_memfd("test").unwrap();
        allocate(&fd, 300_000).unwrap();
        let info = file_info(&fd).unwrap();
        assert_eq!((info.len, info.mode, info.links), (300_000, 0o600, 0));
        assert!(info.allocated >= 300_000 && info.is_memory);
    }

    #[test]
    fn too_much_is_an_error_at_once() {
        let fd = create_memfd("test").unwrap();
        let error = allocate(&fd, 1 << 50).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert_eq!(file_info(&fd).unwrap().len, 0);
    }

    #[test]
    fn what_is_allocated_is_not_missing() {
        let fd = create_memfd("test").unwrap();
        allocate(&fd, 1 << 20).unwrap();
        let missing = |len| missing(fd.as_fd(), len).unwrap();
        assert_eq!((missing(1 << 20), missing(3 << 20)), (0, 2 << 20));
        fs::ftruncate(&fd, 0).unwrap();
        fs::ftruncate(&fd, 1 << 20).unwrap();
        assert_eq!(missing(1 << 20), 1 << 20);
    }

    #[test]
    fn copies_end_where_the_file_does() {
        let fd = create_memfd("test").unwrap();
        write_all_at(&fd, b"abcdef", 2).unwrap();
        let mut read = [9; 4];
        read_exact_at(&fd, &mut read, 1).unwrap();
        assert_eq!(&read, b"\0abc");
        let error = read_exact_at(&fd, &mut read, 5).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn seals_are_read_back() {
        let fd = create_memfd("test").unwrap();
        assert!(!seals(&fd).unwrap().contains(Seals::SHRINK));
        add_seals(&fd, Seals::FIXED).unwrap();
        assert!(seals(&fd).unwrap().contains(Seals::SHRINK | Seals::GROW | Seals::SEAL));
        assert!(!seals(&fd).unwrap().contains(Seals::IMMUTABLE));
        assert!(add_seals(&fd, Seals::WRITE).is_err());
    }
}
