//! The primitives of which one process at a time can have one, as [`Subject`]s.

use multiproc_sync::{BoundedSemaphore, Mutex, ReentrantMutex, RwLock, Semaphore};
use std::time::Duration;

use super::lock::Subject;
use crate::scenario::Found;

/// How long a check waits for what must be free.
const SOON: Duration = Duration::from_secs(1);

impl Subject for Mutex<u64> {
    const NAME: &'static str = "Mutex";

    fn new() -> Self {
        Mutex::new(0)
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        match self.lock() {
            Ok(_guard) => body(Found::Clean),
            Err(error) if error.is_owner_dead() => {
                let _guard = error.into_guard();
                body(Found::Dead);
            }
            Err(error) => panic!("{error}"),
        }
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
        let (outer, found) = match self.lock() {
            Ok(guard) => (guard, Found::Clean),
            Err(error) if error.is_owner_dead() => (error.into_guard(), Found::Dead),
            Err(error) => panic!("{error}"),
        };
        let inner = self.lock();
        assert!(inner.is_ok(), "its owner was refused");
        body(found);
        drop(inner);
        drop(outer);
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
        match self.write() {
            Ok(_guard) => body(Found::Clean),
            Err(error) if error.is_owner_dead() => {
                let _guard = error.into_guard();
                body(Found::Dead);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn check(&self) -> Result<(), String> {
        self.write_timeout(SOON).map(drop).map_err(|error| error.to_string())
    }
}

impl Subject for Semaphore {
    const NAME: &'static str = "Semaphore of 1";
    const TELLS: bool = false;
    const NEEDS_BOUND: bool = true;

    fn new() -> Self {
        Semaphore::new(1)
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        let _permit = self.acquire();
        body(Found::Clean);
    }

    fn check(&self) -> Result<(), String> {
        self.acquire_timeout(SOON).map(drop).ok_or("the permit is lost".to_owned())?;
        let available = self.available();
        if available == 1 { Ok(()) } else { Err(format!("one permit has become {available}")) }
    }
}

impl Subject for BoundedSemaphore {
    const NAME: &'static str = "BoundedSemaphore of 1";
    const TELLS: bool = false;
    const NEEDS_BOUND: bool = true;

    fn new() -> Self {
        BoundedSemaphore::new(1)
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        let _permit = self.acquire();
        body(Found::Clean);
    }

    fn check(&self) -> Result<(), String> {
        self.acquire_timeout(SOON).map(drop).ok_or("the permit is lost".to_owned())?;
        let available = self.available();
        if available == 1 { Ok(()) } else { Err(format!("one permit has become {available}")) }
    }
}
