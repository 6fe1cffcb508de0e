use crate::ShmError;
use crate::error::Kind;
use crate::header::Header;
use memmap2::{MmapOptions, MmapRaw};
use multiproc_core::codec::is_trusted;
use multiproc_core::sys::memory::{self, FileInfo, Seals, add_seals, allocate, create_memfd, file_info};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// What errors call an object that has no name.
const RECEIVED: &str = "a received shared object";

/// A descriptor of shared memory, mapped for reading and writing by everybody who holds it.
#[derive(Debug)]
pub(crate) struct Segment {
    fd: Arc<OwnedFd>,
    map: Option<MmapRaw>,
    identity: (u64, u64),
}

impl Segment {
    /// Creates a memfd of `len` bytes of zeros whose size is fixed for ever, after an optional header.
    pub(crate) fn anonymous(name: &str, len: u64, header: Option<&Header>) -> io::Result<Segment> {
        let fd = create_memfd(name)?;
        allocate(&fd, len)?;
        if let Some(header) = header {
            header.write_to(&fd)?;
        }
        add_seals(&fd, Seals::FIXED)?;
        let info = file_info(&fd)?;
        Segment::map(Arc::new(fd), &info)
    }

    /// Makes a segment of a descriptor that arrived in a message, if it is such as `anonymous` makes, or
    /// one of this user's named objects.
    ///
    /// `header` tells what a segment of that length must begin with.
    pub(crate) fn receive(
        fd: Arc<OwnedFd>,
        header: impl FnOnce(u64) -> Option<Header>,
    ) -> Result<Segment, ShmError> {
        let info = check_received(&fd).map_err(|source| ShmError::io("attach", RECEIVED, source))?;
        Segment::attach(fd, &info, header(info.len).as_ref(), || RECEIVED.to_owned())
    }

    /// Maps an open file that was found to be shared memory, after looking at its header.
    pub(crate) fn attach(
        fd: Arc<OwnedFd>,
        info: &FileInfo,
        header: Option<&Header>,
        object: impl Fn() -> String,
    ) -> Result<Segment, ShmError> {
        let failed = |source| ShmError::io("attach", object(), source);
        if let Some(header) = header {
            header
                .check(&fd, info.len)
                .map_err(failed)?
                .map_err(|mismatch| Kind::Mismatch { object: object(), mismatch })?;
        }
        Segment::map(fd, info).map_err(failed)
    }

    /// Maps `info.len` bytes, which the caller knows to be allocated.
    pub(crate) fn map(fd: Arc<OwnedFd>, info: &FileInfo) -> io::Result<Segment> {
        let len = usize::try_from(info.len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let map = if len == 0 { None } else { Some(MmapOptions::new().len(len).map_raw(&*fd)?) };
        Ok(Segment { fd, map, identity: (info.device, info.inode) })
    }

    /// The first byte; valid for [`len`](Self::len) bytes as long as the segment lives.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        // An empty segment has no mapping, and nobody may touch what a dangling pointer points at.
        self.map.as_ref().map_or(std::ptr::dangling_mut(), MmapRaw::as_mut_ptr)
    }

    pub(crate) fn len(&self) -> usize {
        self.map.as_ref().map_or(0, MmapRaw::len)
    }

    pub(crate) fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// What tells this object from every other one on this machine.
    pub(crate) fn identity(&self) -> (u64, u64) {
        self.identity
    }
}

/// Checks that a descriptor from a message can be mapped without trusting its sender's good will.
fn check_received(fd: &OwnedFd) -> io::Result<FileInfo> {
    let refuse = |what: String| {
        let text = format!("it {what}: its sender did not make it with this library");
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    };
    let info = file_info(fd)?;
    let user = memory::user_id();
    if !info.is_memory {
        return refuse("is no shared memory".into());
    }
    if info.owner != user && info.owner != 0 {
        return refuse(format!("belongs to user {}, not to {user}", info.owner));
    }
    // A hole would be filled when it is touched, or could not be.
    if info.allocated < info.len {
        return refuse("has holes".into());
    }
    if memory::seals(fd)?.contains(Seals::FIXED) {
        return Ok(info);
    }
    // A named object cannot be sealed. Its owner could cut it, so it comes in only from our own family, and
    // only if it is a file of the file system where names are.
    let of_names = std::fs::metadata("/dev/shm").is_ok_and(|names| names.dev() == info.device);
    if !of_names {
        return refuse("is not sealed against shrinking, growing and new seals".into());
    }
    if !is_trusted() {
        return refuse(
            "is a named object, and these are taken only from processes of the same family".into(),
        );
    }
    if info.mode != 0o600 {
        return refuse(format!("can be opened by others (mode {:04o})", info.mode));
    }
    Ok(info)
}
