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

    fn allocate(&self, index: u32) -> Result<u32, OutOfMemory> {
        Arena::allocate(self, index).map_err(OutOfMemory)
    }

    fn release(&self, but: u32, from: u32) {
        let end = self.chunks();
        Arena::release(self, from, end.min(but));
        Arena::release(self, from.max(but.saturating_add(1)), end);
    }
}
