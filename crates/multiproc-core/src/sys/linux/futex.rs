//! Words in shared memory that threads of any process sleep on.
//!
//! All calls are the shared kind, without `FUTEX_PRIVATE_FLAG`: the kernel's own wake at a thread's death is a
//! shared one, and a private sleeper would never hear it.
//!
//! # Safety
//!
//! The only unsafe operations are system calls that take addresses. Each address comes from a reference to an atomic
//! that outlives the call, and the kernel reads and writes four bytes there, atomically.
#![expect(unsafe_code, reason = "calls futex, which the C library does not wrap")]

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

/// A 32-bit word that can be slept on: a whole atomic, or the low half of a 64-bit one.
#[derive(Clone, Copy, Debug)]
pub struct Futex<'a> {
    address: *const u32,
    marker: PhantomData<&'a AtomicU32>,
}

impl Futex<'_> {
    /// The word's address in this process.
    pub fn address(&self) -> usize {
        self.address as usize
    }
}

impl<'a> From<&'a AtomicU32> for Futex<'a> {
    fn from(word: &'a AtomicU32) -> Futex<'a> {
        Futex { address: word.as_ptr().cast_const(), marker: PhantomData }
    }
}

impl<'a> From<&'a AtomicU64> for Futex<'a> {
    /// Takes the low half; the kernel writes it as one half of the whole.
    fn from(word: &'a AtomicU64) -> Futex<'a> {
        let halves = word.as_ptr().cast_const().cast::<u32>();
        let address = if cfg!(target_endian = "little") { halves } else { halves.wrapping_add(1) };
        Futex { address, marker: PhantomData }
    }
}

/// Why a sleeper is awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody woke it, or a signal came; of several words, the one with this index.
    Woken(usize),
    /// It never slept: a word had another value.
    Changed,
    /// The time was up.
    TimedOut,
}

/// What a waker does to the word in the same step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Stores a number below 2048.
    Set(u16),
    /// Stores bit 31 alone.
    SetTop,
    /// Sets bit 31.
    OrTop,
    /// Sets these bits, of the lowest eleven.
    Or(u16),
    /// Clears bit 31.
    ClearTop,
    /// Clears these bits, of the lowest eleven.
    Clear(u16),
    /// Adds a number below 2048.
    Add(u16),
}

impl Change {
    /// The operation as `FUTEX_WAKE_OP` wants it, with a comparison whose result plays no role.
    fn encode(self) -> u32 {
        const SHIFT: u32 = 8;
        let (operation, operand) = match self {
            Change::Set(value) => (libc::FUTEX_OP_SET as u32, u32::from(value)),
            Change::SetTop => (libc::FUTEX_OP_SET as u32 | SHIFT, 31),
            Change::OrTop => (libc::FUTEX_OP_OR as u32 | SHIFT, 31),
            Change::Or(bits) => (libc::FUTEX_OP_OR as u32, u32::from(bits)),
            Change::ClearTop => (libc::FUTEX_OP_ANDN as u32 | SHIFT, 31),
            Change::Clear(bits) => (libc::FUTEX_OP_ANDN as u32, u32::from(bits)),
            Change::Add(value) => (libc::FUTEX_OP_ADD as u32, u32::from(value)),
        };
        // Operands have twelve bits and a sign.
        debug_assert!(operand < 1 << 11, "the operand does not fit");
        operation << 28 | (libc::FUTEX_OP_CMP_EQ as u32) << 24 | (operand & 0x7ff) << 12
    }

    /// The value that the word has afterwards.
    pub fn apply(self, old: u32) -> u32 {
        const TOP: u32 = 1 << 31;
        match self {
            Change::Set(value) => value.into(),
            Change::SetTop => TOP,
            Change::OrTop => old | TOP,
            Change::Or(bits) => old | u32::from(bits),
            Change::ClearTop => old & !TOP,
            Change::Clear(bits) => old & !u32::from(bits),
            Change::Add(value) => old.wrapping_add(value.into()),
        }
    }
}

/// Sleeps while the word has the value `expected`, at most for `timeout`.
pub fn wait(word: Futex<'_>, expected: u32, timeout: Option<Duration>) -> Wake {
    let timeout = timeout.map(timespec);
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the word outlives the call (`Futex`), and the time is null or a valid one.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.address, libc::FUTEX_WAIT, expected, timeout) };
    awake(result)
}

/// Sleeps while all words have their expected values; `None` where the kernel cannot (before 5.16, or a filter).
///
/// At most 128 words; with more it is `None`, too.
pub fn wait_any(words: &[(Futex<'_>, u32)], timeout: Option<Duration>) -> Option<Wake> {
    const FUTEX_32: u32 = 2;
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Waiter {
        value: u64,
        address: u64,
        flags: u32,
        reserved: u32,
    }
    const NONE: Waiter = Waiter { value: 0, address: 0, flags: 0, reserved: 0 };
    // Few need no memory.
    let mut few = [NONE; 4];
    let mut many = Vec::new();
    let waiters = match few.get_mut(..words.len()) {
        Some(few) => few,
        None => {
            many.resize(words.len(), NONE);
            &mut many[..]
        }
    };
    for (waiter, (word, expected)) in waiters.iter_mut().zip(words) {
        *waiter = Waiter {
            value: u64::from(*expected),
            address: word.address() as u64,
            flags: FUTEX_32,
            reserved: 0,
        };
    }
    // Unlike the other calls this one takes an instant.
    let until = timeout.map(|timeout| {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0));
        timespec(now.saturating_add(timeout))
    });
    let until = until.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let count = waiters.len();
    // SAFETY: `count` waiters stand there, their words outlive the call (`Futex`), and the time is null or a valid one.
    let result = unsafe {
        libc::syscall(libc::SYS_futex_waitv, waiters.as_ptr(), count, 0u32, until, libc::CLOCK_MONOTONIC)
    };
    if result < 0 && !matches!(errno(), libc::EAGAIN | libc::EINTR | libc::ETIMEDOUT) {
        return None;
    }
    Some(awake(result))
}

/// Wakes up to `count` sleepers of the word, and tells how many there were.
pub fn wake(word: Futex<'_>, count: u32) -> usize {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    // SAFETY: the word outlives the call (`Futex`).
    let result = unsafe { libc::syscall(libc::SYS_futex, word.address, libc::FUTEX_WAKE, count) };
    usize::try_from(result).unwrap_or(0)
}

/// Changes the word and wakes up to `count` of its sleepers, in one step that no kill can divide.
///
/// Tells how many there were, and `None`, with nothing done, where the kernel cannot (a filter).
pub fn wake_op(word: Futex<'_>, count: u32, change: Change) -> Option<usize> {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    #[cfg(multiproc_tsan)]
    tell_sanitizer(word);
    // SAFETY: the word outlives the call (`Futex`); both addresses of this call are that word's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.address,
            libc::FUTEX_WAKE_OP,
            count,
            // In the place of a time: how many to wake at the second address, if the comparison holds. It may.
            0usize,
            word.address,
            change.encode(),
        )
    };
    usize::try_from(result).ok()
}

/// Lets ThreadSanitizer know of a store that only the kernel makes, and of the fence before it, neither of which it
/// sees. loom does, and tries that the fence is there.
#[cfg(multiproc_tsan)]
fn tell_sanitizer(word: Futex<'_>) {
    // SAFETY: the word is a whole atomic or the aligned half of one, and outlives the call (`Futex`).
    let word = unsafe { AtomicU32::from_ptr(word.address.cast_mut()) };
    // Release, in the place of the fence that every caller has before its call.
    word.fetch_or(0, std::sync::atomic::Ordering::Release);
}

fn awake(result: libc::c_long) -> Wake {
    match usize::try_from(result) {
        Ok(index) => Wake::Woken(index),
        Err(_) => match errno() {
            libc::EAGAIN => Wake::Changed,
            libc::ETIMEDOUT => Wake::TimedOut,
            // Interrupted. Anything else cannot happen to a word that exists; the caller looks again either way.
            _ => Wake::Woken(0),
        },
    }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(libc::c_long::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
