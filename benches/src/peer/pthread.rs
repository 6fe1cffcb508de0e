//! The C library's mutex between processes, robust or not, and its condition.
//!
//! # Safety
//!
//! Both lie in shared memory of their size and alignment, are prepared once by their creator before anybody else has
//! the handle, and are never moved nor destroyed. What they guard is an atomic, so that nothing rests on the lock.
#![expect(unsafe_code, reason = "the C library's mutex and condition have no safe form")]

use crate::Result;
use multiproc_shm::{Shared, ShmSafe};
use serde::{Deserialize, Serialize};
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

const MUTEX: usize = size_of::<libc::pthread_mutex_t>().div_ceil(8);
const CONDITION: usize = size_of::<libc::pthread_cond_t>().div_ceil(8);

/// A number behind a mutex, with a condition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pthread<const ROBUST: bool>(Shared<Memory>);

/// What the kernel looks after, should its owner die.
pub(crate) type RobustMutex = Pthread<true>;
/// What Boost's `interprocess_mutex` and `interprocess_condition` are as well.
pub(crate) type PlainMutex = Pthread<false>;

#[derive(Debug, ShmSafe)]
#[repr(C)]
struct Memory {
    mutex: [AtomicU64; MUTEX],
    condition: [AtomicU64; CONDITION],
    value: AtomicU64,
}

impl<const ROBUST: bool> Pthread<ROBUST> {
    pub(crate) fn new() -> Result<Self> {
        let memory = Memory {
            mutex: [const { AtomicU64::new(0) }; MUTEX],
            condition: [const { AtomicU64::new(0) }; CONDITION],
            value: AtomicU64::new(0),
        };
        let this = Pthread(Shared::new(memory)?);
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the pointer leads to a local, which this prepares.
        done(unsafe { libc::pthread_mutexattr_init(attributes) })?;
        // SAFETY: the attributes were prepared.
        done(unsafe { libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) })?;
        if ROBUST {
            // SAFETY: the attributes were prepared.
            done(unsafe { libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) })?;
        }
        // SAFETY: the memory has room for a mutex, nobody else has it, and the attributes were prepared.
        done(unsafe { libc::pthread_mutex_init(this.mutex(), attributes) })?;
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the pointer leads to a local, which this prepares.
        done(unsafe { libc::pthread_condattr_init(attributes) })?;
        // SAFETY: the attributes were prepared.
        done(unsafe { libc::pthread_condattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) })?;
        // SAFETY: the memory has room for a condition, nobody else has it, and the attributes were prepared.
        done(unsafe { libc::pthread_cond_init(this.condition(), attributes) })?;
        Ok(this)
    }

    fn mutex(&self) -> *mut libc::pthread_mutex_t {
        self.0.mutex.as_ptr().cast_mut().cast()
    }

    fn condition(&self) -> *mut libc::pthread_cond_t {
        self.0.condition.as_ptr().cast_mut().cast()
    }

    #[inline]
    fn lock(&self) -> io::Result<()> {
        // SAFETY: `new` has prepared the mutex.
        done(unsafe { libc::pthread_mutex_lock(self.mutex()) })
    }

    #[inline]
    fn unlock(&self) -> io::Result<()> {
        // SAFETY: `new` has prepared the mutex, and only a thread that has locked it calls this.
        done(unsafe { libc::pthread_mutex_unlock(self.mutex()) })
    }

    /// Takes the lock, adds one, and releases it.
    #[inline]
    pub(crate) fn add(&self) -> io::Result<()> {
        self.lock()?;
        let value = self.0.value.load(Ordering::Relaxed);
        self.0.value.store(value + 1, Ordering::Relaxed);
        self.unlock()
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.value.load(Ordering::Relaxed)
    }

    /// Makes the number 1, and wakes who waits for that.
    pub(crate) fn set(&self) -> io::Result<()> {
        self.lock()?;
        self.0.value.store(1, Ordering::Relaxed);
        self.unlock()?;
        // SAFETY: `new` has prepared the condition.
        done(unsafe { libc::pthread_cond_signal(self.condition()) })
    }

    /// Waits until the number is 1, and makes it 0.
    pub(crate) fn wait(&self) -> io::Result<()> {
        self.lock()?;
        while self.0.value.load(Ordering::Relaxed) == 0 {
            // SAFETY: `new` has prepared both, and this thread has locked the mutex.
            done(unsafe { libc::pthread_cond_wait(self.condition(), self.mutex()) })?;
        }
        self.0.value.store(0, Ordering::Relaxed);
        self.unlock()
    }
}

fn done(error: libc::c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}
