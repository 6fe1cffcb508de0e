//! What has come of an iterator's items, for whoever takes it.

use crate::TaskError;
use crate::engine::{After, Given, Sink};
use multiproc_core::{Message, codec};
use multiproc_process::discard;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Something that came.
#[derive(Debug)]
pub(crate) enum Came {
    Results(Given),
    Failed(u64, TaskError),
}

#[derive(Debug, Default)]
struct Waiting {
    came: VecDeque<Came>,
    sleepers: u32,
}

/// Where results are put by the engine and taken by an iterator.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    waiting: Mutex<Waiting>,
    rang: Condvar,
    /// How long an item takes, in nanoseconds; 0 while that is not known.
    pace: AtomicU64,
}

impl Arrivals {
    pub(crate) fn take(&self) -> Option<Came> {
        self.waiting.lock().came.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().came.is_empty()
    }

    /// Waits until somebody has brought something, at most until then.
    pub(crate) fn park(&self, until: Instant) {
        let mut waiting = self.waiting.lock();
        waiting.sleepers += 1;
        while waiting.came.is_empty() {
            if self.rang.wait_until(&mut waiting, until).timed_out() {
                break;
            }
        }
        waiting.sleepers -= 1;
    }

    /// How long an item takes, in nanoseconds, if that is known.
    pub(crate) fn pace(&self) -> Option<u64> {
        Some(self.pace.load(Ordering::Relaxed)).filter(|pace| *pace > 0)
    }

    fn put(&self, came: Came) {
        let mut waiting = self.waiting.lock();
        waiting.came.push_back(came);
        let is_awaited = waiting.sleepers > 0;
        drop(waiting);
        if is_awaited {
            self.rang.notify_all();
        }
    }
}

impl Sink for Arrivals {
    fn results(&self, given: Given, _: &mut After) {
        let new = u64::from(given.count - given.known);
        if given.nanos > 0 && new > 0 {
            let now = (given.nanos / new).max(1);
            let before = self.pace.load(Ordering::Relaxed);
            // Slower counts at once, faster in a few steps.
            let pace = if before == 0 || now > before { now } else { (before + now) / 2 };
            self.pace.store(pace, Ordering::Relaxed);
        }
        self.put(Came::Results(given));
    }

    fn failed(&self, element: u64, error: TaskError, _: &mut After) {
        self.put(Came::Failed(element, error));
    }
}

/// Runs the code of a result's type, which may fail and panic: whatever it does, the result has come and is counted.
pub(crate) fn decoded<T>(decode: impl FnOnce() -> Result<T, codec::DecodeError>) -> Result<T, TaskError> {
    let error = match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => {
            discard(panic);
            "it panicked".to_owned()
        }
    };
    tracing::error!(target: "multiproc::pool", error, "cannot decode the result of a task");
    Err(TaskError::Decode)
}

/// Makes values of results; the error is that of the element after those in `values`.
pub(crate) fn decode<R: Message>(given: Given, values: &mut Vec<R>) -> Result<(), TaskError> {
    let fds = given.fds.map_err(|error| {
        tracing::error!(target: "multiproc::pool", %error, "cannot receive the handles of a task's result");
        TaskError::Decode
    })?;
    decoded(|| {
        if fds.is_empty() {
            codec::unpack_each(&given.bytes, given.count as usize, values)
        } else {
            codec::decode(&given.bytes, fds).map(|value| values.push(value))
        }
    })
}

/// Adds the values that are new to those before them; the error is that of the value that would be next.
pub(crate) fn append<R: Message>(given: Given, values: &mut Vec<R>) -> Result<(), TaskError> {
    if given.known == 0 {
        return decode(given, values);
    }
    let known = given.known as usize;
    let mut all = Vec::new();
    let result = decode(given, &mut all);
    values.extend(all.into_iter().skip(known));
    result
}
