//! Memory that grows: what queues live in. An implementation detail.
//!
//! A file begins with a header, a few numbers that never change and control words, together one page. Behind it lie
//! chunks of equal length. It can grow by chunks and never shrinks, so what was there once can be touched for ever.
//!
//! # Safety
//!
//! Words are references into mappings that live as long as the arena, at places that were checked to lie in the file:
//! a memfd sealed against shrinking, or a named file, whose owner is trusted not to cut it (see the crate's page). All
//! accesses are by atomics.
#![expect(unsafe_code, reason = "makes references to words of mappings")]

use crate::error::Kind;
use crate::header::{Header, Mismatch};
use crate::{ShmError, ShmSafe, kind, named};
use memmap2::{MmapOptions, MmapRaw};
use multiproc_core::Name;
use multiproc_core::codec::{Carried, is_trusted};
use multiproc_core::sync::atomic::AtomicPtr;
use multiproc_core::sys::fd::punch_hole;
use multiproc_core::sys::memory::{
    Directory, Seals, add_seals, allocate, allocate_part, create_memfd, file_info, read_exact_at, seals,
    user_id, write_all_at,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Where the chunks begin.
pub(crate) const BEGIN: u64 = 4096;
/// Where the numbers are that never change.
pub(crate) const NUMBERS: u64 = 64;
/// Where the control words begin.
pub(crate) const CONTROL: usize = 128;
/// Where the first page ends with a description, for watchers alone.
pub(crate) const ABOUT: usize = 3840;
/// How many chunks the first mapping has; each further one has as many as all before it.
const FIRST: u32 = 4;
const MAPPINGS: usize = 17;
/// How many chunks are found by one look.
const NEAR: usize = 32;
/// The most chunks.
const CHUNKS: u32 = FIRST << (MAPPINGS - 1);

/// Numbers that are written once and never change, for the arena's user.
pub type Numbers = [u64; 6];

/// Memory that grows, with control words of type `C` at its beginning.
#[derive(Debug)]
pub struct Arena<C> {
    fd: Arc<OwnedFd>,
    control: MmapRaw,
    chunk_len: usize,
    numbers: Numbers,
    mappings: [OnceLock<MmapRaw>; MAPPINGS],
    /// Where the first chunks are, once they were asked for: most queues have no more.
    near: [AtomicPtr<AtomicU64>; NEAR],
    /// How many chunks are known to be in the file.
    known: AtomicU32,
    identity: (u64, u64),
    is_named: bool,
    marker: PhantomData<fn() -> C>,
}

impl<C: ShmSafe> Arena<C> {
    const FITS: () = assert!(CONTROL + size_of::<C>() <= ABOUT && align_of::<C>() <= 128);

    /// Creates an arena without a name and without chunks; `numbers[0]` is the length of a chunk.
    ///
    /// `fingerprint` tells what is in it from other things, and `about` tells it to watchers.
    ///
    /// # Errors
    ///
    /// The system's: no memory or no descriptor left.
    pub fn anonymous(fingerprint: u64, numbers: Numbers, about: &str) -> io::Result<Arena<C>> {
        let fd = create_memfd("multiproc-queue")?;
        Self::fill(&fd, fingerprint, numbers, about)?;
        add_seals(&fd, Seals::GROWING)?;
        Self::map(Arc::new(fd), numbers, false)
    }

    /// Creates an arena whose name is given to it by [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// No space, no memory or no descriptor left.
    pub fn nameless(
        directory: &Directory,
        name: &Name,
        fingerprint: u64,
        numbers: Numbers,
        about: &str,
    ) -> Result<Arena<C>, ShmError> {
        let failed = |source| ShmError::io("create", shown(name), source);
        let fd = directory.nameless_file().map_err(failed)?;
        Self::fill(&fd, fingerprint, numbers, about).map_err(failed)?;
        multiproc_core::sys::memory::lock_shared(&fd).map_err(failed)?;
        Self::map(Arc::new(fd), numbers, true).map_err(failed)
    }

    /// Gives it its name.
    ///
    /// # Errors
    ///
    /// The name is taken.
    pub fn publish(&self, directory: &Directory, name: &Name) -> Result<(), ShmError> {
        named::link(directory, name, &self.fd)
    }

    /// Opens the arena of that name.
    ///
    /// # Errors
    ///
    /// There is none, or it is something else.
    pub fn open(directory: &Directory, name: &Name, fingerprint: u64) -> Result<Arena<C>, ShmError> {
        let (fd, info) = named::open_locked(directory, name)?;
        Self::check(&fd, info.len, fingerprint, || shown(name))?;
        let numbers = read_numbers(&fd).map_err(|source| ShmError::io("open", shown(name), source))?;
        Self::map(Arc::new(fd), numbers, true).map_err(|source| ShmError::io("open", shown(name), source))
    }

    /// Makes an arena of a descriptor that arrived in a message.
    fn receive(fd: Arc<OwnedFd>, fingerprint: u64) -> Result<Arena<C>, ShmError> {
        let received = || "a received queue".to_owned();
        let failed = |source| ShmError::io("attach", received(), source);
        let refuse = |what: &str| {
            let text = format!("it {what}: its sender did not make it with this library");
            Err(failed(io::Error::new(io::ErrorKind::InvalidData, text)))
        };
        let info = file_info(&fd).map_err(failed)?;
        if !info.is_memory || info.len < BEGIN {
            return refuse("is no shared memory");
        }
        if info.owner != user_id() && info.owner != 0 {
            return refuse("belongs to another user");
        }
        let is_sealed = seals(&fd).map_err(failed)?.contains(Seals::GROWING);
        let is_ours = is_sealed || is_trusted() && info.mode == 0o600;
        if !is_ours {
            return refuse("can shrink, or is a named object of no trusted process");
        }
        Self::check(&fd, info.len, fingerprint, received)?;
        let numbers = read_numbers(&fd).map_err(failed)?;
        Self::map(fd, numbers, !is_sealed).map_err(failed)
    }

    fn check(fd: &OwnedFd, len: u64, fingerprint: u64, object: impl Fn() -> String) -> Result<(), ShmError> {
        let found = header::<C>(fingerprint).check(fd, len);
        found.map_err(|source| ShmError::io("attach", object(), source))?.map_err(|mismatch| {
            // A corrupt length is one to the reader, whatever it was meant to be.
            let mismatch = if len < BEGIN { Mismatch::Length } else { mismatch };
            Kind::Mismatch { object: object(), mismatch }.into()
        })
    }

    fn fill(fd: &OwnedFd, fingerprint: u64, numbers: Numbers, about: &str) -> io::Result<()> {
        allocate(fd, BEGIN)?;
        header::<C>(fingerprint).write_to(fd)?;
        for (at, number) in (NUMBERS..).step_by(8).zip(numbers) {
            write_all_at(fd, &number.to_ne_bytes(), at)?;
        }
        let about = &about[..about.floor_char_boundary(BEGIN as usize - ABOUT)];
        write_all_at(fd, about.as_bytes(), ABOUT as u64)
    }

    fn map(fd: Arc<OwnedFd>, numbers: Numbers, is_named: bool) -> io::Result<Arena<C>> {
        const { Self::FITS };
        let info = file_info(&fd)?;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "its chunks have no possible length");
        let chunk_len = usize::try_from(numbers[0]).map_err(|_| wrong())?;
        if chunk_len == 0 || !chunk_len.is_multiple_of(BEGIN as usize) || chunk_len > 1 << 30 {
            return Err(wrong());
        }
        let control = MmapOptions::new().len(BEGIN as usize).map_raw(&*fd)?;
        Ok(Arena {
            fd,
            control,
            chunk_len,
            numbers,
            mappings: [const { OnceLock::new() }; MAPPINGS],
            near: std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut())),
            known: AtomicU32::new(0),
            identity: (info.device, info.inode),
            is_named,
            marker: PhantomData,
        })
    }

    /// The control words.
    pub fn control(&self) -> &C {
        let address = self.control.as_mut_ptr().wrapping_add(CONTROL).cast::<C>();
        // SAFETY: the page is mapped while `self` lives and has room for a `C` there (`FITS`), whose alignment divides
        // 128; any bytes are one (`ShmSafe`), and nobody makes a unique reference to them.
        unsafe { &*address }
    }

    /// The numbers that never change.
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// The words of a chunk, or `None` if the file has no such chunk.
    #[inline]
    pub fn chunk(&self, index: u32) -> Option<&[AtomicU64]> {
        // Relaxed: the address is all there is to it, and it never changes.
        let near =
            self.near.get(index as usize).map_or(std::ptr::null_mut(), |near| near.load(Ordering::Relaxed));
        let address = if near.is_null() { self.find(index)? } else { near };
        // SAFETY: `find` made it, see there; any bytes are numbers, and all accesses are by atomics.
        Some(unsafe { std::slice::from_raw_parts(address, self.chunk_len / 8) })
    }

    /// The address of a chunk that lies in the file, valid for its length as long as the arena lives.
    #[cold]
    fn find(&self, index: u32) -> Option<*mut AtomicU64> {
        // Relaxed: what is known once stays true, and mappings synchronise by themselves.
        if index >= self.known.load(Ordering::Relaxed) && !self.knows(index) {
            return None;
        }
        let (mapping, first) = place(index);
        let map = match self.mappings.get(mapping)?.get() {
            Some(map) => map,
            None => self.map_chunks(mapping)?,
        };
        // The mapping has that many chunks, and this one lies in the file, which never gets shorter.
        let offset = (index - first) as usize * self.chunk_len;
        let address = map.as_mut_ptr().wrapping_add(offset).cast::<AtomicU64>();
        if let Some(near) = self.near.get(index as usize) {
            near.store(address, Ordering::Relaxed);
        }
        Some(address)
    }

    /// Looks whether the file has grown.
    #[cold]
    fn knows(&self, index: u32) -> bool {
        let len = file_info(&self.fd).map_or(0, |info| info.len);
        let chunks = len.saturating_sub(BEGIN) / self.chunk_len as u64;
        let chunks = u32::try_from(chunks).unwrap_or(u32::MAX).min(CHUNKS);
        self.known.fetch_max(chunks, Ordering::Relaxed);
        index < chunks
    }

    #[cold]
    fn map_chunks(&self, mapping: usize) -> Option<&MmapRaw> {
        let first = if mapping == 0 { 0 } else { FIRST << (mapping - 1) };
        let count = if mapping == 0 { FIRST } else { first };
        let begin = BEGIN + u64::from(first) * self.chunk_len as u64;
        let mut options = MmapOptions::new();
        // Beyond the end of the file, too: it is there by the time that somebody may look.
        let map = options.offset(begin).len(count as usize * self.chunk_len).map_raw(&*self.fd).ok()?;
        Some(self.mappings[mapping].get_or_init(|| map))
    }

    /// Makes sure that a chunk has memory, and some behind it if there are many already; tells where what has ends.
    ///
    /// # Errors
    ///
    /// There is none left.
    pub fn allocate(&self, index: u32) -> io::Result<u32> {
        if index >= CHUNKS {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the queue has as many chunks as it can have: get something from it first",
            ));
        }
        let end = |count: u32| BEGIN + u64::from(index + count) * self.chunk_len as u64;
        // An eighth more at once: looking at what is free is slow.
        let mut more = (index / 8).clamp(1, CHUNKS - index);
        if allocate_part(&self.fd, end(0), end(more)).is_err() {
            more = 1;
            allocate_part(&self.fd, end(0), end(1))?;
        }
        self.known.fetch_max(index + more, Ordering::Relaxed);
        Ok(index + more)
    }

    /// Gives back the memory of chunks that nothing is in, from one up to another, until it is allocated again.
    pub fn release(&self, from: u32, to: u32) {
        let place = |chunk: u32| BEGIN + u64::from(chunk) * self.chunk_len as u64;
        if from < to {
            // Where the system cannot, it stays.
            let _ = punch_hole(&self.fd, place(from), place(to) - place(from));
        }
    }

    /// How many chunks the file has.
    pub fn chunks(&self) -> u32 {
        self.knows(u32::MAX);
        self.known.load(Ordering::Relaxed)
    }

    /// Tells whether it has, or will have, a name.
    pub fn is_named(&self) -> bool {
        self.is_named
    }

    /// Its descriptor.
    pub fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// What tells this arena from every other one on this machine.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Serializes it as a handle.
    ///
    /// # Errors
    ///
    /// Outside of a message.
    pub fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Carried::<{ kind::ARENA }>(Arc::clone(&self.fd)).serialize(serializer)
    }

    /// Deserializes a handle to an arena of that fingerprint.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
        fingerprint: u64,
    ) -> Result<Self, D::Error> {
        let carried = Carried::<{ kind::ARENA }>::deserialize(deserializer)?;
        Self::receive(carried.0, fingerprint).map_err(de::Error::custom)
    }
}

fn header<C>(fingerprint: u64) -> Header {
    Header::growing(fingerprint ^ crate::layout::leaf::<C>("arena"), BEGIN - size_of::<Header>() as u64)
}

fn read_numbers(fd: &OwnedFd) -> io::Result<Numbers> {
    let mut numbers = Numbers::default();
    for (at, number) in (NUMBERS..).step_by(8).zip(&mut numbers) {
        let mut bytes = [0; 8];
        read_exact_at(fd, &mut bytes, at)?;
        *number = u64::from_ne_bytes(bytes);
    }
    Ok(numbers)
}

/// Which mapping a chunk is in, and that mapping's first chunk.
fn place(index: u32) -> (usize, u32) {
    match (index / FIRST).checked_ilog2() {
        None => (0, 0),
        Some(power) => (power as usize + 1, FIRST << power),
    }
}

fn shown(name: &Name) -> String {
    format!("queue {:?}", name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_has_its_place() {
        let mut expected = (0, 0, FIRST);
        for index in 0..CHUNKS {
            if index == expected.2 {
                expected = (expected.0 + 1, index, index * 2);
            }
            assert_eq!(place(index), (expected.0, expected.1), "{index}");
        }
        assert_eq!(place(CHUNKS - 1).0, MAPPINGS - 1);
    }

    #[test]
    fn it_grows_and_both_ends_see_it() {
        let arena = Arena::<AtomicU64>::anonymous(7, [4096, 0, 0, 0, 0, 9], "test").unwrap();
        assert!(arena.chunk(0).is_none());
        for index in [0, 1, 3, 4, 9, 40] {
            arena.allocate(index).unwrap();
            arena.chunk(index).unwrap()[511].store(u64::from(index) + 1, Ordering::Relaxed);
        }
        let other = Arena::<AtomicU64>::receive(Arc::clone(&arena.fd), 7).unwrap();
        arena.release(1, 10);
        assert_eq!(other.chunk(9).unwrap()[511].load(Ordering::Relaxed), 0);
        assert_eq!(other.numbers()[5], 9);
        assert_eq!(other.chunk(40).unwrap()[511].load(Ordering::Relaxed), 41);
        arena.control().store(5, Ordering::Relaxed);
        assert_eq!(other.control().load(Ordering::Relaxed), 5);
        assert!(other.chunk(CHUNKS).is_none() && other.chunk(u32::MAX).is_none());
        assert!(Arena::<AtomicU64>::receive(Arc::clone(&arena.fd), 8).unwrap_err().is_wrong_type());
    }
}
