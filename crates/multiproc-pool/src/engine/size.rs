//! How much there is to run tasks, for those who put work together.

use crate::backend::{Backend, Trip};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How many workers there are, and what is worth a trip to them; of workers on other hosts both change.
#[derive(Debug)]
pub(crate) struct Size {
    workers: AtomicUsize,
    least: AtomicU64,
    enough: AtomicU64,
}

impl Size {
    pub(crate) fn new(workers: usize, trip: Trip) -> Size {
        let size = Size { workers: AtomicUsize::new(0), least: AtomicU64::new(0), enough: AtomicU64::new(0) };
        size.set(workers, trip);
        size
    }

    fn set(&self, workers: usize, trip: Trip) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.workers.store(workers.max(1), Ordering::Relaxed);
        self.least.store(nanos(trip.least), Ordering::Relaxed);
        self.enough.store(nanos(trip.enough), Ordering::Relaxed);
    }

    /// Takes over what a distant backend has come to know.
    pub(crate) fn update(&self, backend: &dyn Backend, workers: usize) {
        if backend.caps().is_distant {
            self.set(workers, backend.trip());
        }
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    /// In nanoseconds, the least that is worth a trip, and what is enough.
    pub(crate) fn trip(&self) -> (u64, u64) {
        (self.least.load(Ordering::Relaxed), self.enough.load(Ordering::Relaxed))
    }
}
