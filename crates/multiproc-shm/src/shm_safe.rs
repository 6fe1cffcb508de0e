//! # Safety
//!
//! Only implementations of an unsafe trait stand here: integers, floats, their atomics and arrays of such
//! have no padding, no destructor, no address in them, and every bit pattern is a value.
#![expect(unsafe_code, reason = "the trait is a promise about bit patterns that the compiler cannot check")]

use crate::layout::{self, Part};
use std::sync::atomic;

/// A type whose values may live in memory that several processes share.
///
/// Derive it for structs; integers, floats, `std`'s atomic integers and arrays have it. What has not:
///
/// - `bool`, `char`, enums, `NonZero…`: a killed process can leave a half-written value that is none of theirs;
///   use an integer and a constant;
/// - pointers, references, `Vec`, `String`, `Box`: an address means nothing in another process;
/// - tuples and structs without `#[repr(C)]`: each build may order the fields in another way;
/// - types with a destructor: nobody could say which process should run it.
///
/// ```
/// use multiproc_shm::{Shared, ShmSafe};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(ShmSafe)]
/// #[repr(C)]
/// struct Progress {
///     done: AtomicU64,
///     total: u64,
/// }
///
/// let progress = Shared::new(Progress { done: AtomicU64::new(0), total: 10 })?;
/// progress.done.fetch_add(1, Ordering::Relaxed);
/// assert!(progress.done.load(Ordering::Relaxed) < progress.total);
/// # std::io::Result::Ok(())
/// ```
///
/// # Safety
///
/// Who implements it promises that
///
/// - every sequence of `size_of::<Self>()` bytes is a valid value, also one that another process wrote;
/// - no byte between its fields is padding, and none behind them that anybody reads;
/// - the value holds no address, descriptor, thread number or anything else that only one process understands;
/// - it need not be dropped;
/// - it may be used at several addresses at once, by several processes, through shared references;
/// - [`LAYOUT`](Self::LAYOUT) differs for types whose bytes mean different things.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot live in shared memory",
    label = "not `ShmSafe`",
    note = "fixed-width integers, floats, `std`'s atomic integers, arrays of such and structs with `#[derive(ShmSafe)]` can",
    note = "in place of `bool` or an enum use an integer or an atomic: a killed process may leave any bits"
)]
pub unsafe trait ShmSafe: Send + Sync + Sized + 'static {
    /// A number that tells this layout from others: equal in every build that may share the memory.
    const LAYOUT: u64;

    /// What watchers know of it; nothing in it is relied on.
    #[doc(hidden)]
    const PARTS: &'static [Part] = &[];
}

macro_rules! leaves {
    ($($name:ty),* $(,)?) => { $(
        // SAFETY: a number, or an atomic with the representation of one: no padding, no destructor, no address,
        // every bit pattern is a value, and shared references to it may be used by several threads.
        unsafe impl ShmSafe for $name {
            const LAYOUT: u64 = layout::leaf::<$name>(stringify!($name));
        }
    )* };
}

leaves!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, ());
leaves!(atomic::AtomicU8, atomic::AtomicU16, atomic::AtomicU32, atomic::AtomicU64, atomic::AtomicUsize);
leaves!(atomic::AtomicI8, atomic::AtomicI16, atomic::AtomicI32, atomic::AtomicI64, atomic::AtomicIsize);

// SAFETY: an array is its elements side by side, and these keep the promise.
unsafe impl<T: ShmSafe, const N: usize> ShmSafe for [T; N] {
    const LAYOUT: u64 = layout::finish::<Self>(layout::field(layout::start("[]"), "element", T::LAYOUT, N));
    const PARTS: &'static [Part] = &[Part::Elements(N, size_of::<T>(), T::PARTS)];
}
