//! Notes the largest allocation of this program: what overwritten lengths would ask for.
//!
//! # Safety
//!
//! Every call goes on to the system's allocator with what it came with.
#![expect(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Noting;

#[global_allocator]
static HEAP: Noting = Noting;
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// The largest allocation since this was asked the last time.
pub(crate) fn largest() -> usize {
    LARGEST.swap(0, Ordering::Relaxed)
}

fn note(len: usize) {
    LARGEST.fetch_max(len, Ordering::Relaxed);
}

// SAFETY: all of it is the system allocator's work, which keeps the promises.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        note(len);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(old, layout, len) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(old, layout) }
    }
}
