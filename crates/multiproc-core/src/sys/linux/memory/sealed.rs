use super::{Seals, add_seals, check_free, create_memfd, file_info, seals};
use crate::sys::fd::with_descriptors;
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io::{self, Write};
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Copies `parts`, one after the other, into a fresh memfd and seals it: its size and content are fixed for ever.
///
/// `name` is what `/proc` shows for it.
///
/// # Errors
///
/// [`io::ErrorKind::OutOfMemory`] if that is more than is free, and what the kernel reports.
pub fn sealed_copy(name: &str, parts: &[&[u8]]) -> io::Result<OwnedFd> {
    check_free(parts.iter().map(|part| part.len() as u64).sum())?;
    // `write` allocates as it goes and needs no page faults; nothing is left sparse.
    let mut file = File::from(create_memfd(name)?);
    for part in parts {
        file.write_all(part)?;
    }
    let fd = OwnedFd::from(file);
    seal_read_only(&fd)?;
    Ok(fd)
}

/// Gives a memfd the four seals that fix its size and content for ever.
///
/// # Errors
///
/// [`io::ErrorKind::ResourceBusy`] while a writable mapping of it exists anywhere.
pub fn seal_read_only(fd: impl AsFd) -> io::Result<()> {
    add_seals(fd, Seals::IMMUTABLE)
}

/// The content of a sealed memfd, mapped for reading.
///
/// Nobody can change or shorten it, not even the process that made it.
#[derive(Debug)]
pub struct SealedMap {
    map: Option<Mmap>,
    fd: Arc<OwnedFd>,
}

impl SealedMap {
    /// The descriptor that it was mapped from.
    pub fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }
}

impl Deref for SealedMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl AsRef<[u8]> for SealedMap {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsFd for SealedMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Maps a sealed memfd for reading, after checking that it is one.
///
/// It may come from anybody: it must be a memfd of this user (or of root) with all four seals and every page
/// allocated, so that reading it later can neither fail nor see a change.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] if it is something else, and what the kernel reports.
pub fn map_sealed(fd: impl Into<Arc<OwnedFd>>) -> io::Result<SealedMap> {
    let fd = fd.into();
    let refuse = |what: &str| {
        let text = format!("a received descriptor {what}: its sender did not make it by sealing a memfd");
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    };
    let info = file_info(&fd)?;
    if !info.is_memory {
        return refuse("is not a memfd");
    }
    match seals(&fd) {
        Ok(seals) if seals.contains(Seals::IMMUTABLE) => {}
        Ok(_) => return refuse("is not sealed against shrinking, growing, writing and new seals"),
        Err(_) => return refuse("is not a memfd"),
    }
    let user = rustix::process::geteuid();
    if info.owner != user.as_raw() && info.owner != 0 {
        return refuse(&format!("belongs to user {}, not to {}", info.owner, user.as_raw()));
    }
    if info.allocated < info.len {
        return refuse("has holes");
    }
    let Ok(len) = usize::try_from(info.len) else {
        return refuse("is larger than the address space");
    };
    if len == 0 {
        return Ok(SealedMap { map: None, fd });
    }
    let map = match MmapOptions::new().len(len).map_if_safe(&*fd) {
        Ok(map) => map,
        // Before Linux 6.7 a write-sealed memfd could be mapped shared only through a read-only descriptor.
        Err(_) => {
            let read_only = with_descriptors(|| File::open(format!("/proc/self/fd/{}", fd.as_raw_fd())))?;
            MmapOptions::new().len(len).map_if_safe(&read_only).map_err(io::Error::other)?
        }
    };
    Ok(SealedMap { map: Some(map), fd })
}

#[cfg(test)]
mod tests {
    use super::super::allocate;
    use super::*;

    #[test]
    fn a_copy_is_mapped_and_cannot_change() {
        for len in [0usize, 1, 4096, 1 << 20] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let fd = sealed_copy("test", &[&bytes]).unwrap();
            let mut file = File::from(fd.try_clone().unwrap());
            assert!(file.write(b"x").is_err());
            assert!(file.set_len(0).is_err() || len == 0);
            let map = map_sealed(fd).unwrap();
            assert_eq!(&*map, bytes);
        }
    }

    #[test]
    fn what_is_not_sealed_is_refused() {
        let refused = |fd: OwnedFd| map_sealed(fd).unwrap_err().kind() == io::ErrorKind::InvalidData;

        let unsealed = create_memfd("test").unwrap();
        allocate(&unsealed, 4096).unwrap();
        assert!(refused(unsealed));

        let future = create_memfd("test").unwrap();
        allocate(&future, 4096).unwrap();
        add_seals(&future, Seals::SHRINK | Seals::GROW | Seals::FUTURE_WRITE).unwrap();
        add_seals(&future, Seals::SEAL).unwrap();
        assert!(refused(future));

        let sparse = File::from(create_memfd("test").unwrap());
        sparse.set_len(1 << 20).unwrap();
        seal_read_only(&sparse).unwrap();
        assert!(refused(sparse.into()));

        assert!(refused(File::open("/dev/null").unwrap().into()));
        assert!(refused(std::io::pipe().unwrap().0.into()));
        assert!(refused(tempfile()));
    }

    /// A regular file that is no memfd.
    fn tempfile() -> OwnedFd {
        let path = std::env::temp_dir().join(format!("multiproc-sealed-{}", std::process::id()));
        let file = File::create_new(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.into()
    }
}
