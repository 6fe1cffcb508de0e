//! # Safety
//!
//! A cell gives every thread access to its value by copies. Its users make sure that no two of them access it at the
//! same time unless both read: that is what they test. If what they test is broken, the accesses race; they are
//! volatile, so that the compiler draws no conclusions from that, and ThreadSanitizer reports it.
#![expect(unsafe_code, reason = "accesses without synchronisation, which is what sanitizers look at")]

use std::cell::UnsafeCell;

/// A value that is read and written without any synchronisation.
///
/// # Examples
///
/// ```
/// use multiproc_threads::Plain;
///
/// let cell = Plain::new(1);
/// std::thread::scope(|scope| scope.spawn(|| cell.set(2)).join().unwrap());
/// assert_eq!(cell.get(), 2);
/// ```
#[derive(Debug, Default)]
pub struct Plain<T>(UnsafeCell<T>);

// SAFETY: see the head of this file.
unsafe impl<T: Send> Sync for Plain<T> {}

impl<T: Copy> Plain<T> {
    /// Makes a cell.
    pub const fn new(value: T) -> Plain<T> {
        Plain(UnsafeCell::new(value))
    }

    /// Reads the value.
    pub fn get(&self) -> T {
        // SAFETY: the cell is valid and aligned; see the head of this file for who else accesses it.
        unsafe { self.0.get().read_volatile() }
    }

    /// Writes the value.
    pub fn set(&self, value: T) {
        // SAFETY: the cell is valid and aligned; see the head of this file for who else accesses it.
        unsafe { self.0.get().write_volatile(value) };
    }
}

impl Plain<u64> {
    /// Adds to the value, by a read and a write.
    pub fn add(&self, more: u64) {
        self.set(self.get() + more);
    }
}
