//! What the measurements and the hand-written floors need of the system.
//!
//! # Safety
//!
//! Unsafe is needed for system calls. Each gets pointers to locals or to atomics that outlive it, and descriptors that
//! are borrowed or become owned here.
#![expect(unsafe_code, reason = "these system calls have no safe form in the standard library")]

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, RawFd};
use std::ptr;
use std::sync::atomic::AtomicU32;

/// The processors that this thread may run on.
pub(crate) fn cpus() -> io::Result<Vec<usize>> {
    // SAFETY: cpu_set_t is plain data for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer leads to a local of the size that is passed.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    done(result)?;
    // SAFETY: the number is within the set.
    let is_set = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(is_set).collect())
}

/// Keeps this thread, and those that it starts from now on, on a processor.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: cpu_set_t is plain data for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number is one of `cpus`, and so within the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the pointer leads to a local of the size that is passed.
    done(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })
}

/// Nanoseconds of a clock that all processes share.
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer leads to a local; this clock is everywhere.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps while the word has that value, or until somebody wakes it; sometimes for no reason.
pub(crate) fn futex_wait(word: &AtomicU32, value: u32) {
    let never: *const libc::timespec = ptr::null();
    // SAFETY: the word outlives the call, and no timeout is passed.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, never) };
}

/// Wakes one who sleeps on the word.
pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: the word outlives the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}

/// A counter to read, blocking while it is 0, and to add to.
pub(crate) fn eventfd() -> io::Result<File> {
    // SAFETY: there is no pointer.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })
}

/// Fresh memory without a name.
pub(crate) fn memfd(len: u64) -> io::Result<File> {
    // SAFETY: the name is a C string that outlives the call.
    let file = owned(unsafe { libc::memfd_create(c"multiproc-bench".as_ptr(), libc::MFD_CLOEXEC) })?;
    file.set_len(len)?;
    Ok(file)
}

/// Kills a process; the caller knows that the number is still its own.
pub(crate) fn kill(id: u32) -> io::Result<()> {
    // SAFETY: takes plain numbers.
    done(unsafe { libc::kill(id.cast_signed(), libc::SIGKILL) })
}

/// Kills all processes of a group; the caller knows that the number is still its own.
pub(crate) fn kill_group(id: u32) -> io::Result<()> {
    // SAFETY: takes plain numbers.
    done(unsafe { libc::kill(-id.cast_signed(), libc::SIGKILL) })
}

fn owned(fd: RawFd) -> io::Result<File> {
    done(fd)?;
    // SAFETY: the descriptor was just made and is nobody else's.
    Ok(unsafe { File::from_raw_fd(fd) })
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
