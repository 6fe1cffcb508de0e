use crate::ShmError;
use crate::error::Kind;
use crate::kind;
use crate::segment::Segment;
use multiproc_core::Name;
use multiproc_core::codec::Carried;
use multiproc_core::sys::memory::{
    allocate, file_info, read_exact_at, shm_create, shm_exists, shm_link, shm_nameless, shm_open, shm_unlink,
    write_all_at,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

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
/// other.write_at(10, b"hello")?;
/// let mut bytes = [0; 5];
/// block.read_at(10, &mut bytes)?;
/// assert_eq!(&bytes, b"hello");
/// SharedMemory::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Python keeps blocks alive only through its resource tracker and may unlink a block that it merely opened;
/// pass `track=False` there (3.13), or let the Python side create it.
///
/// Who may write the file may also cut it. Reading or writing what is gone is an error then; only who goes by
/// [`as_ptr`](Self::as_ptr) is ended by SIGBUS.
#[derive(Clone, Debug)]
pub struct SharedMemory {
    segment: Arc<Segment>,
    name: Name,
}

impl SharedMemory {
    /// Creates a block of `len` bytes of zeros that only this user can open.
    ///
    /// Nobody sees it before all of it is there, and if this process is killed meanwhile nothing is left behind.
    /// (Not so where the file system of `/dev/shm` has no nameless files, or where `/proc` is missing.)
    ///
    /// # Errors
    ///
    /// The name is invalid or taken, `len` is 0, or there is no memory or space for it; the error tells.
    pub fn create(name: &str, len: usize) -> Result<SharedMemory, ShmError> {
        let name = Name::new(name)?;
        if len == 0 {
            let source =
                io::Error::new(io::ErrorKind::InvalidInput, "a block of no bytes: ask for at least one");
            return Err(ShmError::io("create", shown(&name), source));
        }
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => Kind::AlreadyExists(name.to_string()).into(),
            _ => ShmError::io("create", shown(&name), source),
        };
        let path = path(&name);
        // The name is given last, but whoever cannot have it need not wait for the memory, nor lack it.
        if shm_exists(&path) {
            return Err(Kind::AlreadyExists(name.to_string()).into());
        }
        if let Some(fd) = shm_nameless().map_err(failed)? {
            let block = SharedMemory::with(fd, &name, len as u64)?;
            if shm_link(block.segment.fd(), &path).map_err(failed)? {
                return Ok(block);
            }
        }
        SharedMemory::create_in_sight(&name, len as u64)
    }

    /// Creates a block where others can see it grow, for want of a better way.
    fn create_in_sight(name: &Name, len: u64) -> Result<SharedMemory, ShmError> {
        let path = path(name);
        let fd = shm_create(&path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Kind::AlreadyExists(name.to_string()).into(),
            _ => ShmError::io("create", shown(name), source),
        })?;
        SharedMemory::with(fd, name, len).inspect_err(|_| {
            // Half-made, and nobody but us can have wanted it.
            let _ = shm_unlink(&path);
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
        let segment = Segment::map(Arc::new(fd), &info).map_err(failed)?;
        Ok(SharedMemory { segment: Arc::new(segment), name: name.clone() })
    }

    /// The name, as Python shows it: without a slash.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_shm::SharedMemory;
    ///
    /// let name = format!("block-{}", std::process::id());
    /// let block = SharedMemory::create(&name, 100)?;
    /// assert_eq!((block.name(), block.len()), (&*name, 100));
    /// assert!(!block.as_ptr().is_null());
    /// SharedMemory::unlink(&name)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// The kernel copies them, which costs a system call and is safe whatever others do to the file.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if another program has cut the file so that some of them are gone; `to`
    /// may be filled in part. Also what `pread` reports.
    ///
    /// # Panics
    ///
    /// If they reach beyond the block's [`len`](Self::len).
    pub fn read_at(&self, offset: usize, to: &mut [u8]) -> io::Result<()> {
        self.check_range(offset, to.len());
        read_exact_at(self.segment.fd(), to, offset as u64).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.cut(offset, to.len()),
            _ => error,
        })
    }

    /// Copies bytes into the block, from `offset` on.
    ///
    /// The kernel copies them, which costs two system calls and is safe whatever others do to the file.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if another program has cut the file so that some of their places are
    /// gone: nothing is written then. (A cut in the very instant between the look and the writing goes
    /// unnoticed, and the file grows again.) Also what `pwrite` reports.
    ///
    /// # Panics
    ///
    /// If they reach beyond the block's [`len`](Self::len).
    pub fn write_at(&self, offset: usize, from: &[u8]) -> io::Result<()> {
        let end = self.check_range(offset, from.len());
        let fd = self.segment.fd();
        // Writing would make it grow again, with holes where others have bytes.
        if file_info(fd)?.len < end as u64 {
            return Err(self.cut(offset, from.len()));
        }
        write_all_at(fd, from, offset as u64)
    }

    /// The address of the first byte, valid for [`len`](Self::len) bytes while a clone of this handle lives.
    ///
    /// Others may write at any time: use atomics or volatile copies, never references. If another program cuts
    /// the file, touching what is gone ends this process by SIGBUS.
    pub fn as_ptr(&self) -> *mut u8 {
        self.segment.as_ptr()
    }

    /// Returns where these bytes end.
    fn check_range(&self, start: usize, count: usize) -> usize {
        let len = self.len();
        assert!(
            start <= len && count <= len - start,
            "bytes {start}..{} of a shared block of {len}",
            start.saturating_add(count)
        );
        start + count
    }

    #[cold]
    fn cut(&self, start: usize, count: usize) -> io::Error {
        let text = format!(
            "bytes {start}..{} of {} are gone, another program has cut its file: unlink it and create it anew",
            start + count,
            shown(&self.name)
        );
        io::Error::new(io::ErrorKind::UnexpectedEof, text)
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
        if segment.len() == 0 {
            return Err(de::Error::custom(format!(
                "{} has no bytes: somebody has cut its file, create another",
                shown(&name)
            )));
        }
        Ok(SharedMemory { segment: Arc::new(segment), name })
    }
}
