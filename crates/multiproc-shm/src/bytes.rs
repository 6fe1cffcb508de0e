//! # Safety
//!
//! One mapping is made here, of a memfd that has just been created: nobody else has it, so the bytes can be
//! borrowed uniquely until they are frozen, and the mapping ends before that.
#![expect(unsafe_code, reason = "mapping a file is unsafe since others might change it; here nobody can")]

use crate::kind;
use memmap2::{MmapMut, MmapOptions};
use multiproc_core::codec::Carried;
use multiproc_core::sys::memory::{
    SealedMap, allocate, create_memfd, map_sealed, seal_read_only, sealed_copy,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Seek};
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::sync::Arc;

const NAME: &str = "multiproc-bytes";

/// Bytes of shared memory that are being filled in, by this process alone.
///
/// ```
/// use multiproc_shm::SharedBytesMut;
///
/// let mut bytes = SharedBytesMut::zeroed(5)?;
/// bytes.copy_from_slice(b"hello");
/// let bytes = bytes.freeze()?; // from here on nobody can change them
/// assert_eq!(&*bytes, b"hello");
/// # std::io::Result::Ok(())
/// ```
pub struct SharedBytesMut {
    map: Option<MmapMut>,
    file: File,
}

impl SharedBytesMut {
    /// Creates `len` bytes of zeros.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if that is more than is free, and what the kernel reports.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        let file = File::from(create_memfd(NAME)?);
        allocate(&file, len as u64)?;
        let map = if len == 0 {
            None
        } else {
            // SAFETY: the file is new and unnamed, and its descriptor does not leave this value before the
            // mapping has ended, so nobody else changes or shortens it.
            Some(unsafe { MmapOptions::new().len(len).map_mut(&file)? })
        };
        Ok(SharedBytesMut { map, file })
    }

    /// Seals the bytes: from here on nobody can change them, and they travel without a copy.
    ///
    /// # Errors
    ///
    /// What the kernel reports; [`io::ErrorKind::OutOfMemory`] if a fork has kept the writable memory and
    /// there is no room for a copy.
    pub fn freeze(self) -> io::Result<SharedBytes> {
        let SharedBytesMut { map, mut file } = self;
        // The kernel seals only what nobody has mapped for writing.
        drop(map);
        match seal_read_only(&file) {
            Ok(()) => {}
            // A process forked meanwhile without exec still has the mapping: leave it to that one.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                let mut copy = File::from(create_memfd(NAME)?);
                allocate(&copy, file.metadata()?.len())?;
                file.rewind()?;
                io::copy(&mut file, &mut copy)?;
                seal_read_only(&copy)?;
                file = copy;
            }
            Err(error) => return Err(error),
        }
        Ok(SharedBytes(Arc::new(map_sealed(OwnedFd::from(file))?)))
    }
}

impl Deref for SharedBytesMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl DerefMut for SharedBytesMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.map.as_deref_mut().unwrap_or_default()
    }
}

impl fmt::Debug for SharedBytesMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBytesMut").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Immutable bytes in shared memory, which travel without a copy whatever their size.
///
/// The kernel's seals keep everybody from changing them, also the process that made them; a receiver checks
/// that before it looks at them, so they can come from anybody. Cloning gives another handle to the same bytes.
///
/// ```
/// use multiproc_shm::SharedBytes;
///
/// let bytes = SharedBytes::copy_from(b"hello")?;
/// let same = bytes.clone(); // or sent to another process
/// assert_eq!(&same[1..3], b"el");
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct SharedBytes(Arc<SealedMap>);

impl SharedBytes {
    /// Copies bytes into fresh shared memory.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if that is more than is free, and what the kernel reports.
    pub fn copy_from(bytes: &[u8]) -> io::Result<SharedBytes> {
        Ok(SharedBytes(Arc::new(map_sealed(sealed_copy(NAME, &[bytes])?)?)))
    }
}

impl TryFrom<&[u8]> for SharedBytes {
    type Error = io::Error;

    fn try_from(bytes: &[u8]) -> io::Result<SharedBytes> {
        SharedBytes::copy_from(bytes)
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for SharedBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SharedBytes {}

impl Hash for SharedBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBytes").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Sends the handle, not a copy of the bytes; outside of a message this is an error.
impl Serialize for SharedBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Carried::<{ kind::BYTES }>(Arc::clone(self.0.fd())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let carried = Carried::<{ kind::BYTES }>::deserialize(deserializer)?;
        map_sealed(carried.0).map(|map| SharedBytes(Arc::new(map))).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writable_mapping_elsewhere_does_not_keep_bytes_from_being_frozen() {
        let mut bytes = SharedBytesMut::zeroed(10_000).unwrap();
        bytes.fill(7);
        // As a process forked without exec would have it.
        let elsewhere = MmapOptions::new().map_raw(&bytes.file).unwrap();
        let frozen = bytes.freeze().unwrap();
        assert_eq!(&*frozen, [7; 10_000]);
        assert_eq!(&*map_sealed(Arc::clone(frozen.0.fd())).unwrap(), [7; 10_000]);
        drop(elsewhere);
    }
}
