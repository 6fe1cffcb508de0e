//! The C library's robust mutex, which must be caught: it leaves a sleeper for ever when its unlocker or a woken
//! waiter is killed while another takes the lock.
//!
//! # Safety
//!
//! The functions are passed a pointer to memory that is as large and as aligned as any C library's mutex, is shared
//! by all processes at one address, and is initialised before the first of them is forked.
#![expect(unsafe_code, reason = "calls of the C library that have no safe form")]

use std::ffi::c_int;
use std::sync::atomic::AtomicU64;

use super::lock::Subject;
use crate::scenario::Found;

unsafe extern "C" {
    fn pthread_mutexattr_init(attributes: *mut u64) -> c_int;
    fn pthread_mutexattr_setpshared(attributes: *mut u64, shared: c_int) -> c_int;
    fn pthread_mutexattr_setrobust(attributes: *mut u64, robust: c_int) -> c_int;
    fn pthread_mutex_init(mutex: *mut u64, attributes: *const u64) -> c_int;
    fn pthread_mutex_lock(mutex: *mut u64) -> c_int;
    fn pthread_mutex_consistent(mutex: *mut u64) -> c_int;
    fn pthread_mutex_unlock(mutex: *mut u64) -> c_int;
}

const EOWNERDEAD: c_int = 130;

/// Room for a `pthread_mutex_t`.
pub(crate) struct Robust([AtomicU64; 8]);

impl Robust {
    fn pointer(&self) -> *mut u64 {
        self.0[0].as_ptr()
    }
}

impl Subject for Robust {
    const NAME: &'static str = "glibc robust mutex";
    const IS_CONTROL: bool = true;

    fn new() -> Robust {
        Robust([const { AtomicU64::new(0) }; 8])
    }

    fn prepare(&self) {
        let mut attributes = [0u64; 4];
        let attributes = attributes.as_mut_ptr();
        // SAFETY: there is room for attributes.
        unsafe { pthread_mutexattr_init(attributes) };
        // SAFETY: the attributes are initialised; 1 is PTHREAD_PROCESS_SHARED.
        unsafe { pthread_mutexattr_setpshared(attributes, 1) };
        // SAFETY: the attributes are initialised; 1 is PTHREAD_MUTEX_ROBUST.
        unsafe { pthread_mutexattr_setrobust(attributes, 1) };
        // SAFETY: there is room for a mutex, and nobody uses it yet.
        unsafe { pthread_mutex_init(self.pointer(), attributes) };
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        // SAFETY: the mutex is initialised, and lives as long as the mapping.
        let result = unsafe { pthread_mutex_lock(self.pointer()) };
        if result == EOWNERDEAD {
            // SAFETY: the calling thread holds the mutex.
            unsafe { pthread_mutex_consistent(self.pointer()) };
            body(Found::Dead);
        } else {
            body(Found::Clean);
        }
        // SAFETY: the calling thread holds the mutex.
        unsafe { pthread_mutex_unlock(self.pointer()) };
    }
}
