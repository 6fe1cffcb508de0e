use multiproc_core::codec::Carried;
use multiproc_core::sys::fd;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

const KIND: u32 = u32::from_be_bytes(*b"file");

/// An open file, socket, or other descriptor, as a message.
///
/// What arrives is another descriptor of the same open file: both sides share its offset and its flags. `T` is
/// anything that owns a descriptor: `File`, `TcpStream`, `UnixListener`, `OwnedFd`, …
///
/// ```
/// use multiproc_pipe::{Fd, one_way};
/// use std::fs::File;
///
/// let (reader, writer) = one_way::<Fd<File>>()?;
/// writer.send(Fd::new(File::open("/dev/null")?)).unwrap();
/// let file: File = reader.recv().unwrap().into_inner();
/// assert_eq!(file.metadata()?.len(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fd<T = OwnedFd>(T);

impl<T> Fd<T> {
    /// Wraps what owns a descriptor.
    pub fn new(inner: T) -> Fd<T> {
        Fd(inner)
    }

    /// Gives it back.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Fd<T> {
    fn from(inner: T) -> Fd<T> {
        Fd(inner)
    }
}

impl<T> Deref for Fd<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Fd<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: AsFd> AsFd for Fd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<T: AsFd> Serialize for Fd<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fd = fd::with_descriptors(|| self.0.as_fd().try_clone_to_owned()).map_err(ser::Error::custom)?;
        Carried::<KIND>(Arc::new(fd)).serialize(serializer)
    }
}

impl<'de, T: From<OwnedFd>> Deserialize<'de> for Fd<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fd<T>, D::Error> {
        let Carried(fd) = Carried::<KIND>::deserialize(deserializer)?;
        // Fresh from the wire it has one owner.
        let fd = Arc::try_unwrap(fd).or_else(|shared| shared.try_clone()).map_err(de::Error::custom)?;
        Ok(Fd(T::from(fd)))
    }
}
