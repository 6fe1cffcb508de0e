//! # Safety
//!
//! The elements lie in a sealed segment, as many as its checked header says. Other processes may write them at
//! the same moment, so they are copied in and out through relaxed atomics and never borrowed. All accesses to
//! one slice use the same unit, that of the elements' alignment, as atomics of different sizes must not race.
#![expect(unsafe_code, reason = "elements that others write at the same moment are copied through atomics")]

use crate::header::Header;
use crate::kind;
use crate::segment::Segment;
use multiproc_core::codec::Carried;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A plain value: any bytes of the right number are one, and all of its bytes can be read.
///
/// Implemented for every type with `zerocopy`'s `FromBytes`, `IntoBytes` and `Immutable`, which can be derived.
///
/// ```
/// fn plain<T: multiproc_shm::Pod>() {}
/// plain::<[f64; 3]>();
/// ```
pub trait Pod: FromBytes + IntoBytes + Immutable + Copy + Send + Sync + 'static {}

impl<T: FromBytes + IntoBytes + Immutable + Copy + Send + Sync + 'static> Pod for T {}

/// An array in shared memory whose elements are read and written by index.
///
/// Any process that has it may write at any time: elements are copied in and out, never borrowed. An element
/// of up to 8 bytes that is as aligned as it is long is always read as it was written; a larger one may be seen
/// half-written, so guard it if that matters.
///
/// ```
/// use multiproc_shm::SharedSlice;
///
/// let slice = SharedSlice::from_slice(&[1.0, 2.0, 3.0])?;
/// let same = slice.clone(); // or sent to another process
/// same.set(1, 20.0);
/// assert_eq!(slice.to_vec(), [1.0, 20.0, 3.0]);
/// assert_eq!(slice.get(3), None);
/// # std::io::Result::Ok(())
/// ```
pub struct SharedSlice<T: Pod> {
    segment: Arc<Segment>,
    marker: PhantomData<fn() -> T>,
}

impl<T: Pod> SharedSlice<T> {
    const NOT_EMPTY: () = assert!(size_of::<T>() > 0, "elements of a shared slice have at least one byte");
    /// The unit of every copy.
    const UNIT: usize = if align_of::<T>() < 8 { align_of::<T>() } else { 8 };

    /// Creates an array of `len` elements whose bytes are all zero.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if that is more than is free, and what the kernel reports.
    pub fn new(len: usize) -> io::Result<Self> {
        let () = Self::NOT_EMPTY;
        // One that overflows is refused for its size.
        let bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
        let header = Header::of_elements::<T>(kind::SLICE, bytes);
        let segment = Segment::anonymous("multiproc-slice", header.total(), Some(&header))?;
        Ok(Self::of(segment))
    }

    /// Creates an array with a copy of these elements.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn from_slice(elements: &[T]) -> io::Result<Self> {
        let slice = Self::new(elements.len())?;
        slice.copy_from(0, elements);
        Ok(slice)
    }

    /// The number of elements; it never changes.
    pub fn len(&self) -> usize {
        (self.segment.len() - Header::offset_of_payload::<T>()) / size_of::<T>()
    }

    /// Tells whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads an element, `None` beyond the end.
    pub fn get(&self, index: usize) -> Option<T> {
        (index < self.len()).then(|| self.load(index))
    }

    /// Reads an element.
    ///
    /// # Panics
    ///
    /// If `index` is beyond the end.
    pub fn load(&self, index: usize) -> T {
        let mut value = T::new_zeroed();
        self.copy_to(index, std::slice::from_mut(&mut value));
        value
    }

    /// Writes an element.
    ///
    /// # Panics
    ///
    /// If `index` is beyond the end.
    pub fn set(&self, index: usize, value: T) {
        self.copy_from(index, &[value]);
    }

    /// Reads as many elements as `to` has, from `start` on.
    ///
    /// # Panics
    ///
    /// If they reach beyond the end.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_shm::SharedSlice;
    ///
    /// let table = SharedSlice::from_slice(&[1u16, 2, 3, 4])?;
    /// assert!(table.len() == 4 && !table.is_empty());
    /// let mut middle = [0; 2];
    /// table.copy_to(1, &mut middle);
    /// assert_eq!(middle, [2, 3]);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn copy_to(&self, start: usize, to: &mut [T]) {
        let range = self.range(start, to.len());
        // SAFETY: `range` lies within the mapping and begins at a multiple of the alignment, of which the size
        // of `T` is a multiple; all copies of this type of slice are in the same unit.
        unsafe { load(self.segment.as_ptr().wrapping_add(range.start), to.as_mut_bytes(), Self::UNIT) };
    }

    /// Writes these elements from `start` on.
    ///
    /// # Panics
    ///
    /// If they reach beyond the end.
    pub fn copy_from(&self, start: usize, from: &[T]) {
        let range = self.range(start, from.len());
        // SAFETY: `range` lies within the mapping and begins at a multiple of the alignment, of which the size
        // of `T` is a multiple; all copies of this type of slice are in the same unit.
        unsafe { store(from.as_bytes(), self.segment.as_ptr().wrapping_add(range.start), Self::UNIT) };
    }

    /// Reads all elements.
    pub fn to_vec(&self) -> Vec<T> {
        let mut elements = vec![T::new_zeroed(); self.len()];
        self.copy_to(0, &mut elements);
        elements
    }

    /// The bytes of the segment that hold `count` elements from `start` on.
    fn range(&self, start: usize, count: usize) -> Range<usize> {
        let len = self.len();
        assert!(
            start <= len && count <= len - start,
            "elements {start}..{} of a shared slice of {len}",
            start.saturating_add(count)
        );
        let first = Header::offset_of_payload::<T>() + start * size_of::<T>();
        first..first + count * size_of::<T>()
    }

    fn of(segment: Segment) -> Self {
        SharedSlice { segment: Arc::new(segment), marker: PhantomData }
    }
}

impl<T: Pod> Clone for SharedSlice<T> {
    fn clone(&self) -> Self {
        SharedSlice { segment: Arc::clone(&self.segment), marker: PhantomData }
    }
}

impl<T: Pod> fmt::Debug for SharedSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSlice").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Sends the handle, not a copy of the elements; outside of a message this is an error.
impl<T: Pod> Serialize for SharedSlice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Carried::<{ kind::SLICE }>(Arc::clone(self.segment.fd())).serialize(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for SharedSlice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let () = Self::NOT_EMPTY;
        let carried = Carried::<{ kind::SLICE }>::deserialize(deserializer)?;
        // The length is the file's, which is sealed; the header must say the same.
        let header = |len: u64| {
            let bytes = len.saturating_sub(Header::offset_of_payload::<T>() as u64);
            let bytes = bytes - bytes % size_of::<T>() as u64;
            Some(Header::of_elements::<T>(kind::SLICE, bytes))
        };
        Segment::receive(carried.0, header).map(Self::of).map_err(de::Error::custom)
    }
}

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
unsafe fn load(from: *mut u8, to: &mut [u8], align: usize) {
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
unsafe fn store(from: &[u8], to: *mut u8, align: usize) {
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
