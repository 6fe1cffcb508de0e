//! The mappings of segments that this process received, kept so that the next message finds them.

use super::message::Origin;
use memmap2::{MmapOptions, MmapRaw};
use multiproc_core::sys::memory::{FileInfo, Seals, file_info, hung_up, seals, user_id};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// A received segment, mapped for reading.
pub(super) struct Mapping {
    map: Option<MmapRaw>,
    pub(super) origin: Origin,
    pub(super) fd: Arc<OwnedFd>,
    pub(super) alive: Arc<OwnedFd>,
}

impl Mapping {
    fn new(origin: Origin, fd: Arc<OwnedFd>, alive: Arc<OwnedFd>, info: &FileInfo) -> io::Result<Mapping> {
        let len = usize::try_from(info.len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let map = if len == 0 { None } else { Some(MmapOptions::new().len(len).map_raw_read_only(&*fd)?) };
        Ok(Mapping { map, origin, fd, alive })
    }

    pub(super) fn as_ptr(&self) -> *const u8 {
        self.map.as_ref().map_or(std::ptr::dangling(), MmapRaw::as_ptr)
    }

    pub(super) fn len(&self) -> usize {
        self.map.as_ref().map_or(0, MmapRaw::len)
    }
}

/// An inode's number alone would come again when the segment is gone; with the random one it does not.
type Key = (u64, u64, Origin);

static CACHE: LazyLock<Mutex<HashMap<Key, Arc<Mapping>>>> = LazyLock::new(Mutex::default);

/// Finds the mapping of a segment that arrived in a message, or makes it.
pub(super) fn map(origin: Origin, fd: Arc<OwnedFd>, alive: Arc<OwnedFd>) -> io::Result<Arc<Mapping>> {
    let info = file_info(&fd)?;
    let key = (info.device, info.inode, origin);
    let mut cache = CACHE.lock();
    if let Some(mapping) = cache.get(&key) {
        return Ok(Arc::clone(mapping));
    }
    check(&fd, &info)?;
    // A new segment is rare, and the occasion to forget the old ones.
    forget_gone(&mut cache)?;
    // One descriptor for all segments of a pool.
    let known = cache.values().find(|other| other.origin.pool == origin.pool);
    let alive = known.map_or(alive, |other| Arc::clone(&other.alive));
    let mapping = Arc::new(Mapping::new(origin, fd, alive, &info)?);
    cache.insert(key, Arc::clone(&mapping));
    Ok(mapping)
}

/// Drops the mappings of pools that no longer exist; messages that are still held keep theirs.
fn forget_gone(cache: &mut HashMap<Key, Arc<Mapping>>) -> io::Result<()> {
    let keys: Vec<Key> = cache.keys().copied().collect();
    let ends: Vec<_> = keys.iter().map(|key| Arc::clone(&cache[key].alive)).collect();
    let ends: Vec<_> = ends.iter().map(AsFd::as_fd).collect();
    for index in hung_up(&ends, Some(Duration::ZERO))? {
        cache.remove(&keys[index]);
    }
    Ok(())
}

/// Drops the mapping's place in the cache if its pool is gone: called when a message of it is dropped.
pub(super) fn forget_if_gone(mapping: &Mapping) {
    let gone = hung_up(&[mapping.alive.as_fd()], Some(Duration::ZERO)).is_ok_and(|gone| !gone.is_empty());
    if gone {
        CACHE.lock().retain(|_, other| other.origin.pool != mapping.origin.pool);
    }
}

/// Checks that mapping it can neither fail later nor show another user's memory.
fn check(fd: &OwnedFd, info: &FileInfo) -> io::Result<()> {
    let sealed = info.is_memory && seals(fd)?.contains(Seals::FIXED);
    let ours = info.owner == user_id() || info.owner == 0;
    if !sealed || !ours || info.allocated < info.len {
        let text =
            "a received descriptor is no segment of a pool: its sender did not make it with this library";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(())
}
