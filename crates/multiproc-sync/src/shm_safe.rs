//! # Safety
//!
//! Only implementations of an unsafe trait stand here. These types consist of atomics, integers, and the value that
//! they guard, which has the trait itself: so every bit pattern is a value of theirs, there is no address in them, and
//! nothing to drop. The numbers of threads and processes in them mean the same to all that may share the memory. A
//! small value may be followed by bytes that belong to nothing, which nobody reads.
#![expect(unsafe_code, reason = "the trait is a promise about bit patterns that the compiler cannot check")]

use crate::raw::{DeathBell, Lock, Monitor, WaitCell};
use crate::{Barrier, BoundedSemaphore, Condvar, Event, Mutex, ReentrantMutex, RwLock, Semaphore};
use multiproc_shm::ShmSafe;
use multiproc_shm::layout::{self, Part};
use std::mem::offset_of;

/// What the bytes mean is a protocol; a change of it is a change of this.
const PROTOCOL: u128 = 1;

const fn plain<T>(name: &str) -> u64 {
    layout::finish::<T>(layout::const_parameter(layout::start(name), "protocol", PROTOCOL))
}

const fn around<T, V: ShmSafe>(name: &str, offset: usize) -> u64 {
    let hash = layout::const_parameter(layout::start(name), "protocol", PROTOCOL);
    layout::finish::<T>(layout::field(hash, "value", V::LAYOUT, offset))
}

macro_rules! plain {
    ($($name:ident $(is $what:literal)?),* $(,)?) => { $(
        // SAFETY: see the head of this file.
        unsafe impl ShmSafe for $name {
            const LAYOUT: u64 = plain::<Self>(concat!("multiproc_sync::", stringify!($name)));
            const PARTS: &'static [Part] = &[$(Part::Is($what))?];
        }
    )* };
}

macro_rules! around {
    ($($name:ident is $what:literal),* $(,)?) => { $(
        // SAFETY: see the head of this file.
        unsafe impl<T: ShmSafe> ShmSafe for $name<T> {
            const LAYOUT: u64 = around::<Self, T>(
                concat!("multiproc_sync::", stringify!($name)),
                offset_of!(Self, value),
            );
            const PARTS: &'static [Part] =
                &[Part::Is($what), Part::Field("", offset_of!(Self, value), T::PARTS)];
        }
    )* };
}

plain!(
    Barrier is "barrier",
    BoundedSemaphore is "bounded semaphore",
    Condvar is "condvar",
    Event is "event",
    Semaphore is "semaphore",
);
plain!(DeathBell, Lock, Monitor, WaitCell);
around!(Mutex is "mutex", ReentrantMutex is "reentrant mutex", RwLock is "rwlock");
