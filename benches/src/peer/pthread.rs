//! The C library's robust mutex between processes.
//!
//! # Safety
//!
//! The mutex lies in shared memory of its size and alignment, is prepared once by its creator before anybody else has
//! the handle, and is never moved nor destroyed. What it guards is an atomic, so that nothing rests on the lock.
#![expect(unsafe_code, reason = "the C library's mutex has no safe form")]

use crate::Result;
use multiproc_shm::{Shared, ShmSafe};
use serde::{Deserialize, Serialize};
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

const WORDS: usize = size_of::<libc::pthread_mutex_t>().div_ceil(8);

/// A counter behind a robust mutex.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RobustMutex(Shared<Memory>);

#[derive(Debug, ShmSafe)]
#[repr(C)]
struct Memory {
    mutex: [AtomicU64; WORDS],
    value: AtomicU64,
}

impl RobustMutex {
    pub(crate) fn new() -> Result<RobustMutex> {
        let memory = Memory { mutex: [const { AtomicU64::new(0) }; WORDS], value: AtomicU64::new(0) };
        let this = RobustMutex(Shared::new(memory)?);
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the pointer leads to a local, which this prepares.
        done(unsafe { libc::pthread_mutexattr_init(attributes) })?;
        // SAFETY: the attributes were prepared.
        done(unsafe { libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) })?;
        // SAFETY: the attributes were prepared.
        done(unsafe { libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) })?;
        // SAFETY: the memory has room for a mutex, nobody else has it, and the attributes were prepared.
        done(unsafe { libc::pthread_mutex_init(this.mutex(), attributes) })?;
        Ok(this)
    }

    fn mutex(&self) -> *mut libc::pthread_mutex_t {
        self.0.mutex.as_ptr().cast_mut().cast()
    }

    /// Takes the lock, adds one, and releases it.
    #[inline]
    pub(crate) fn add(&self) -> std::result::Result<(), String> {
        // SAFETY: `new` has prepared the mutex.
        done(unsafe { libc::pthread_mutex_lock(self.mutex()) }).map_err(|error| error.to_string())?;
        let value = self.0.value.load(Ordering::Relaxed);
        self.0.value.store(value + 1, Ordering::Relaxed);
        // SAFETY: this thread has just locked it.
        done(unsafe { libc::pthread_mutex_unlock(self.mutex()) }).map_err(|error| error.to_string())
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.value.load(Ordering::Relaxed)
    }
}

fn done(error: libc::c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}
