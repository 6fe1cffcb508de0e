use crate::ring::{Broken, Control, Memory, OutOfMemory};
use multiproc_shm::arena::Arena;
use std::sync::atomic::AtomicU64;

/// How long a chunk is, in bytes: several of them stay in a processor's cache.
pub(crate) const CHUNK: u64 = 64 << 10;

impl Memory for Arena<Control> {
    fn control(&self) -> &Control {
        Arena::control(self)
    }

    #[inline]
    fn chunk(&self, index: u32) -> Result<&[AtomicU64], Broken> {
        Arena::chunk(self, index).ok_or(Broken("a link leads to a chunk without memory"))
    }

    fn allocate(&self, index: u32) -> Result<(), OutOfMemory> {
        Arena::allocate(self, index).map_err(OutOfMemory)
    }
}
