//! # Safety
//!
//! The mapping is as long as the file was when it was opened, with every page allocated. Others may write at
//! any time, so bytes are copied through atomics or by the kernel, and never borrowed.
#![expect(unsafe_code, reason = "bytes that others write at the same moment are copied through atomics")]

use crate::ShmError;
use crate::copy;
use crate::error::Kind;
use crate::kind;
use crate::segment::Segment;
use multiproc_core::Name;
use multiproc_core::codec::Carried;
use multiproc_core::sys::memory::{allocate, file_info, shm_create, shm_open, shm_unlink};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// From this size on a copy by the kernel is faster than one byte by byte, despite the call.
const BY_KERNEL: usize = 1024;

/// A named block of raw shared memory, the same as CPython's `multiprocessing.shared_memory.SharedMemory`.
///
/// A Python program opens it by the same name, and the other way round: it has no header, no type and no lock.
/// The name stays until somebody calls [`unlink`](Self::unlink); neither opening nor dropping does that.
///
/// ```
/// use multiproc_shm::SharedMemory;
///
/// # let name = format!("doc-block-{}", std::process::id());
/// let block = SharedMemory::create(&name, 1024)?;
/// let other = SharedMemory::open(&name)?; // in Python: SharedMemory(name=name)
/// other.write_at(10, b"hello");
/// let mut bytes = [0; 5];
/// block.read_at(10, &mut bytes);
/// assert_eq!(&bytes, b"hello");
/// SharedMemory::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Python keeps blocks alive only through its resource tracker and may unlink a block that it merely opened;
/// pass `track=False` there (3.13), or let the Python side create it.
///
/// Who may write the file may also cut it, and then touching what is gone ends this process by SIGBUS: share a
/// name only with programs that do not.
#[derive(Clone, Debug)]
pub struct SharedMemory {
    segment: Arc<Segment>,
    file: Arc<File>,
    name: Name,
}

impl SharedMemory {
    /// Creates a block of `len` bytes of zeros that only this user can open.
    ///
    /// # Errors
    ///
    /// The name is invalid or taken, `len` is 0, or there is no memory or space for it; the error tells.
    pub fn create(name: &str, len: usize) -> Result<SharedMemory, ShmError> {
        let name = Name::new(name)?;
        if len == 0 {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "a block has at least one byte");
            return Err(ShmError::io("create", shown(&name), source));
        }
        let fd = shm_create(&path(&name)).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Kind::AlreadyExists(name.to_string()).into(),
            _ => ShmError::io("create", shown(&name), source),
        })?;
        SharedMemory::with(fd, &name, len as u64).inspect_err(|_| {
            // Half-made, and nobody but us can have wanted it.
            let _ = shm_unlink(&path(&name));
        })
    }

    /// Opens the block of that name, whoever made it, with all of its length.
    ///
    /// # Errors
    ///
    /// There is none, it may not be opened, or it has no bytes; the error tells.
    pub fn open(name: &str) -> Result<SharedMemory, ShmError> {
        let name = Name::new(name)?;
        let failed = |source| ShmError::io("open", shown(&name), source);
        let fd = shm_open(&path(&name)).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Kind::NotFound(name.to_string()).into(),
            _ => failed(source),
        })?;
        let len = file_info(&fd).map_err(failed)?.len;
        if len == 0 {
            let text = "it has no bytes: its creator has not given it a size yet";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        SharedMemory::with(fd, &name, len)
    }

    /// Removes a name; who has the block open keeps it.
    ///
    /// # Errors
    ///
    /// The name is invalid, there is no such block, or it is not this user's.
    pub fn unlink(name: &str) -> io::Result<()> {
        let name = Name::new(name)?;
        shm_unlink(&path(&name)).map_err(|source| {
            let error: ShmError = match source.kind() {
                io::ErrorKind::NotFound => Kind::NotFound(name.to_string()).into(),
                _ => ShmError::io("unlink", shown(&name), source),
            };
            error.into()
        })
    }

    /// Maps `len` bytes once they are really there: what Python made may be sparse.
    fn with(fd: OwnedFd, name: &Name, len: u64) -> Result<SharedMemory, ShmError> {
        let failed = |source| ShmError::io("map", shown(name), source);
        allocate(&fd, len).map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Kind::NoSpace { name: name.to_string(), len, source }.into()
            }
            _ => failed(source),
        })?;
        let info = file_info(&fd).map_err(failed)?;
        let file = Arc::new(File::from(fd.try_clone().map_err(failed)?));
        let segment = Segment::map(Arc::new(fd), &info).map_err(failed)?;
        Ok(SharedMemory { segment: Arc::new(segment), file, name: name.clone() })
    }

    /// The name, as Python shows it: without a slash.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The length in bytes, as it was when the block was opened.
    #[expect(clippy::len_without_is_empty, reason = "it has at least one byte")]
    pub fn len(&self) -> usize {
        self.segment.len()
    }

    /// Copies bytes out of the block, from `offset` on.
    ///
    /// # Panics
    ///
    /// If they reach beyond the end.
    pub fn read_at(&self, offset: usize, to: &mut [u8]) {
        let range = self.range(offset, to.len());
        if to.len() >= BY_KERNEL && self.file.read_exact_at(to, offset as u64).is_ok() {
            return;
        }
        // SAFETY: `range` lies within the mapping, any address is aligned to 1, and all accesses by this
        // process are by atomics of one byte or by the kernel.
        unsafe { copy::load(self.segment.as_ptr().wrapping_add(range.start), to, 1) };
    }

    /// Copies bytes into the block, from `offset` on.
    ///
    /// # Panics
    ///
    /// If they reach beyond the end.
    pub fn write_at(&self, offset: usize, from: &[u8]) {
        let range = self.range(offset, from.len());
        if from.len() >= BY_KERNEL && self.file.write_all_at(from, offset as u64).is_ok() {
            return;
        }
        // SAFETY: `range` lies within the mapping, any address is aligned to 1, and all accesses by this
        // process are by atomics of one byte or by the kernel.
        unsafe { copy::store(from, self.segment.as_ptr().wrapping_add(range.start), 1) };
    }

    /// The address of the first byte, valid for [`len`](Self::len) bytes while a clone of this handle lives.
    ///
    /// Others may write at any time: use atomics or volatile copies, never references.
    pub fn as_ptr(&self) -> *mut u8 {
        self.segment.as_ptr()
    }

    fn range(&self, start: usize, count: usize) -> Range<usize> {
        let len = self.len();
        assert!(
            start <= len && count <= len - start,
            "bytes {start}..{} of a shared block of {len}",
            start.saturating_add(count)
        );
        start..start + count
    }
}

/// The name as `shm_open` wants it.
fn path(name: &Name) -> String {
    format!("/{name}")
}

fn shown(name: &Name) -> String {
    format!("shared block {:?}", name.as_str())
}

/// Sends the handle, not a copy of the bytes; outside of a message this is an error.
impl Serialize for SharedMemory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.name(), Carried::<{ kind::BLOCK }>(Arc::clone(self.segment.fd()))).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedMemory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (name, carried) = <(String, Carried<{ kind::BLOCK }>)>::deserialize(deserializer)?;
        let name = Name::new(&name).map_err(de::Error::custom)?;
        let segment = Segment::receive(carried.0, |_| None).map_err(de::Error::custom)?;
        let file = segment.fd().try_clone().map_err(de::Error::custom)?;
        Ok(SharedMemory { segment: Arc::new(segment), file: Arc::new(file.into()), name })
    }
}
