//! Where this program's processes get memory of their own: from something that does the same each time.
//!
//! The C library's allocator takes another way each time, which depends on all that was done with it before: so would
//! the paths that are stepped, and a place in one would be another instruction in the next. This one takes a block
//! that was given back, or the next piece of a large one; after `start_afresh` always the latter.
//!
//! # Safety
//!
//! A block is a piece of one that the system gave, as long and as aligned as a power of two that has room for the
//! layout. It is on no list while it is in use, and has room for the link to the next one while it is. There are no
//! threads, as `os::assert_single_threaded` makes sure, so nobody changes a list between two steps of another.
#![expect(unsafe_code, reason = "an allocator has no safe form")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The shortest block, and the longest; longer ones are the system's.
const SHORTEST: usize = 16;
const LONGEST: usize = 1 << 16;
const CLASSES: usize = (LONGEST / SHORTEST).ilog2() as usize + 1;
/// What is got from the system at once.
const PIECE: usize = 1 << 20;
/// Where blocks begin after `start_afresh`: at the same place of a page.
const PAGE: usize = 4096;

/// The allocator.
#[derive(Debug)]
pub(crate) struct Heap {
    /// The blocks of each length that were given back.
    free: [AtomicPtr<u8>; CLASSES],
    /// What is left of the piece at hand.
    at: AtomicPtr<u8>,
    left: AtomicUsize,
}

impl Heap {
    /// Nothing was got yet.
    pub(crate) const fn new() -> Heap {
        Heap {
            free: [const { AtomicPtr::new(null_mut()) }; CLASSES],
            at: AtomicPtr::new(null_mut()),
            left: AtomicUsize::new(0),
        }
    }

    /// Forgets what was given back, so that the same calls do the same from here on.
    pub(crate) fn start_afresh(&self) {
        self.free.iter().for_each(|free| free.store(null_mut(), Ordering::Relaxed));
        // Half a piece is more than any path takes.
        if self.left.load(Ordering::Relaxed) < PIECE / 2 {
            self.left.store(0, Ordering::Relaxed);
        }
        self.cut(PAGE, 0);
    }

    /// The next block of the piece at hand that begins at a multiple of `align`.
    fn cut(&self, align: usize, len: usize) -> *mut u8 {
        let (mut at, mut left) = (self.at.load(Ordering::Relaxed), self.left.load(Ordering::Relaxed));
        let mut gap = at.align_offset(align);
        if left < gap.saturating_add(len) || at.is_null() {
            // SAFETY: the length is not 0.
            at = unsafe { System.alloc(Layout::new::<[u8; PIECE]>()) };
            if at.is_null() {
                return at;
            }
            (left, gap) = (PIECE, at.align_offset(align));
        }
        let block = at.wrapping_add(gap);
        self.at.store(block.wrapping_add(len), Ordering::Relaxed);
        self.left.store(left - gap - len, Ordering::Relaxed);
        block
    }
}

/// The length of the block for a layout, and its class; none if it is the system's.
fn class(layout: Layout) -> Option<(usize, usize)> {
    let len = layout.size().max(layout.align()).max(SHORTEST).next_power_of_two();
    (len <= LONGEST).then(|| (len, (len / SHORTEST).ilog2() as usize))
}

// SAFETY: see the head of this file.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((len, class)) = class(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        };
        let block = self.free[class].load(Ordering::Relaxed);
        if block.is_null() {
            return self.cut(len, len);
        }
        // SAFETY: what is on the list has room for the link, which `dealloc` wrote.
        let next = unsafe { block.cast::<*mut u8>().read() };
        self.free[class].store(next, Ordering::Relaxed);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some((_, class)) = class(layout) else {
            // SAFETY: the caller's promise; `alloc` had it from there.
            return unsafe { System.dealloc(block, layout) };
        };
        let next = self.free[class].load(Ordering::Relaxed);
        // SAFETY: the block is at least as long and as aligned as a pointer, and nobody's any more.
        unsafe { block.cast::<*mut u8>().write(next) };
        self.free[class].store(block, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_and_used_again() {
        let heap = Heap::new();
        for (size, align) in [(1, 1), (24, 8), (100, 64), (4096, 4096), (LONGEST, 16), (LONGEST + 1, 16)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the layout is not empty.
            let [first, second] = [(); 2].map(|()| unsafe { heap.alloc(layout) });
            assert!(first != second && [first, second].iter().all(|block| block.align_offset(align) == 0));
            // SAFETY: it is as long as that.
            unsafe { second.write_bytes(7, size) };
            // SAFETY: it was got so, and is not used any more.
            unsafe { heap.dealloc(second, layout) };
            if size > LONGEST {
                // From the system, which gives what it likes.
                continue;
            }
            // SAFETY: the layout is not empty.
            assert_eq!(unsafe { heap.alloc(layout) }, second);
            heap.start_afresh();
            // SAFETY: the layout is not empty.
            let fresh = unsafe { heap.alloc(layout) };
            assert!(fresh != first && fresh != second);
        }
    }
}
