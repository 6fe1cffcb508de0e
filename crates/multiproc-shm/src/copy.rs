//! # Safety
//!
//! Memory that other processes may write at the same moment is copied through relaxed atomics and never
//! borrowed. All accesses to one object use the same unit, as atomics of different sizes must not race.
#![expect(unsafe_code, reason = "atomics are laid over memory that is not ours alone")]

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Defines the copies of one unit; they are the same but for its type.
macro_rules! copies {
    ($load:ident, $store:ident, $unit:ty, $atomic:ty) => {
        /// Copies out of shared memory.
        ///
        /// # Safety
        ///
        /// `from` is aligned to the unit and valid for reads of `to.len()` bytes, a multiple of the unit, and
        /// all concurrent accesses from this process are by atomics of this unit.
        unsafe fn $load(from: *mut u8, to: &mut [u8]) {
            for (index, chunk) in to.chunks_exact_mut(size_of::<$unit>()).enumerate() {
                let address = from.cast::<$unit>().wrapping_add(index);
                // SAFETY: aligned, in bounds, and accessed by atomics only, by this function's contract.
                let unit = unsafe { <$atomic>::from_ptr(address) };
                chunk.copy_from_slice(&unit.load(Ordering::Relaxed).to_ne_bytes());
            }
        }

        /// Copies into shared memory.
        ///
        /// # Safety
        ///
        /// `to` is aligned to the unit and valid for writes of `from.len()` bytes, a multiple of the unit, and
        /// all concurrent accesses from this process are by atomics of this unit.
        unsafe fn $store(from: &[u8], to: *mut u8) {
            for (index, chunk) in from.chunks_exact(size_of::<$unit>()).enumerate() {
                let address = to.cast::<$unit>().wrapping_add(index);
                // SAFETY: aligned, in bounds, and accessed by atomics only, by this function's contract.
                let unit = unsafe { <$atomic>::from_ptr(address) };
                let mut bytes = [0; size_of::<$unit>()];
                bytes.copy_from_slice(chunk);
                unit.store(<$unit>::from_ne_bytes(bytes), Ordering::Relaxed);
            }
        }
    };
}

copies!(load_1, store_1, u8, AtomicU8);
copies!(load_2, store_2, u16, AtomicU16);
copies!(load_4, store_4, u32, AtomicU32);
copies!(load_8, store_8, u64, AtomicU64);

/// Copies `to.len()` bytes out of shared memory, in units of `align`, at most 8 bytes.
///
/// # Safety
///
/// - `from` is aligned to `align`, a power of two that divides `to.len()`, and valid for that many bytes;
/// - every access of this process to that memory is by this function or [`store`], with the same `align`.
pub(crate) unsafe fn load(from: *mut u8, to: &mut [u8], align: usize) {
    match align {
        // SAFETY: the caller's promise, and any address is aligned to 1.
        1 => unsafe { load_1(from, to) },
        // SAFETY: the caller's promise.
        2 => unsafe { load_2(from, to) },
        // SAFETY: the caller's promise.
        4 => unsafe { load_4(from, to) },
        // SAFETY: the caller's promise; what is aligned to more is aligned to 8.
        _ => unsafe { load_8(from, to) },
    }
}

/// Copies bytes into shared memory, in units of `align`, at most 8 bytes.
///
/// # Safety
///
/// - `to` is aligned to `align`, a power of two that divides `from.len()`, and valid for that many bytes;
/// - every access of this process to that memory is by this function or [`load`], with the same `align`.
pub(crate) unsafe fn store(from: &[u8], to: *mut u8, align: usize) {
    match align {
        // SAFETY: the caller's promise, and any address is aligned to 1.
        1 => unsafe { store_1(from, to) },
        // SAFETY: the caller's promise.
        2 => unsafe { store_2(from, to) },
        // SAFETY: the caller's promise.
        4 => unsafe { store_4(from, to) },
        // SAFETY: the caller's promise; what is aligned to more is aligned to 8.
        _ => unsafe { store_8(from, to) },
    }
}
