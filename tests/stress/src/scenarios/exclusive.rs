//! The primitives of which one process at a time can have one, as [`Subject`]s; and with them the calls that never
//! wait, made until one succeeds.

use multiproc_sync::{BoundedSemaphore, Mutex, ReentrantMutex, RwLock, Semaphore};
use std::time::Duration;

use super::lock::Subject;
use crate::scenario::Found;

/// Takes what must be free soon, by a call that waits for a time; again and again, so that a check that is held up
/// does not fail.
pub(super) fn soon<T>(mut attempt: impl FnMut(Duration) -> Option<T>) -> Option<T> {
    (0..20).find_map(|_| attempt(Duration::from_millis(100)))
}

/// A subject that is taken by calls that never wait.
pub(super) struct Tried<L>(L);

/// Calls what never waits until it gives something.
fn insist<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        match attempt() {
            Some(taken) => return taken,
            None => std::thread::yield_now(),
        }
    }
}

/// The guard, and what taking it told; of a result whose error has the guard if somebody has died with the lock.
macro_rules! taken {
    ($result:expr) => {
        match $result {
            Ok(guard) => (guard, Found::Clean),
            Err(error) if error.is_owner_dead() => (error.into_guard(), Found::Dead),
            Err(error) => panic!("{error}"),
        }
    };
}

impl Subject for Mutex<u64> {
    const NAME: &'static str = "Mutex";

    fn new() -> Self {
        Mutex::new(0)
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        let (_guard, found) = taken!(self.lock());
        body(found);
    }

    fn check(&self) -> Result<(), String> {
        self.try_lock().map(drop).map_err(|error| error.to_string())
    }
}

impl Subject for ReentrantMutex<u64> {
    const NAME: &'static str = "ReentrantMutex, twice";

    fn new() -> Self {
        ReentrantMutex::new(0)
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        let (_outer, found) = taken!(self.lock());
        let inner = self.lock();
        assert!(inner.is_ok(), "its owner was refused");
        body(found);
    }

    fn check(&self) -> Result<(), String> {
        self.try_lock().map(drop).map_err(|error| error.to_string())
    }
}

impl Subject for RwLock<u64> {
    const NAME: &'static str = "RwLock::write";
    const NEEDS_BOUND: bool = true;

    fn new() -> Self {
        RwLock::new(0)
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        let (_guard, found) = taken!(self.write());
        body(found);
    }

    fn check(&self) -> Result<(), String> {
        soon(|time| self.write_timeout(time).ok()).map(drop).ok_or("it is not free".to_owned())
    }
}

/// Both kinds have the same methods.
macro_rules! semaphores {
    ($($kind:ident $name:literal)*) => {$(
        impl Subject for $kind {
            const NAME: &'static str = $name;
            const TELLS: bool = false;
            const NEEDS_BOUND: bool = true;

            fn new() -> Self {
                $kind::new(1)
            }

            fn with(&self, body: &mut dyn FnMut(Found)) {
                let _permit = self.acquire();
                body(Found::Clean);
            }

            fn check(&self) -> Result<(), String> {
                soon(|time| self.acquire_timeout(time)).map(drop).ok_or("the permit is lost")?;
                let available = self.available();
                if available == 1 { Ok(()) } else { Err(format!("one permit has become {available}")) }
            }
        }
    )*};
}

semaphores! {
    Semaphore "Semaphore of 1"
    BoundedSemaphore "BoundedSemaphore of 1"
}

impl Subject for Tried<Mutex<u64>> {
    const NAME: &'static str = "Mutex::try_lock";

    fn new() -> Self {
        Tried(Mutex::new(0))
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        let locked = insist(|| match self.0.try_lock() {
            Err(error) if error.is_would_block() => None,
            locked => Some(locked),
        });
        let (_guard, found) = taken!(locked);
        body(found);
    }

    fn check(&self) -> Result<(), String> {
        self.0.check()
    }
}

impl Subject for Tried<RwLock<u64>> {
    const NAME: &'static str = "RwLock::try_write";

    fn new() -> Self {
        Tried(RwLock::new(0))
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        let locked = insist(|| match self.0.try_write() {
            Err(error) if error.is_would_block() => None,
            locked => Some(locked),
        });
        let (_guard, found) = taken!(locked);
        body(found);
    }

    fn check(&self) -> Result<(), String> {
        self.0.check()
    }
}

impl Subject for Tried<Semaphore> {
    const NAME: &'static str = "Semaphore::try_acquire";
    const TELLS: bool = false;

    fn new() -> Self {
        Tried(Semaphore::new(1))
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        let _permit = insist(|| self.0.try_acquire());
        body(Found::Clean);
    }

    fn check(&self) -> Result<(), String> {
        self.0.check()
    }
}
