//! The results of all items of a `map_async`, until the last one is there.

use crate::TaskError;
use crate::arrivals::append;
use crate::engine::{After, Given, Sink};
use multiproc_core::Message;
use parking_lot::{Condvar, Mutex};
use std::task::Waker;
use std::time::Instant;

#[derive(Default)]
struct State {
    came: Vec<Given>,
    error: Option<(u64, TaskError)>,
    left: u64,
    is_taken: bool,
    callback: Option<Box<dyn FnOnce() + Send>>,
    waker: Option<Waker>,
}

/// Results of items that are wanted all at once.
pub(crate) struct Gather {
    state: Mutex<State>,
    rang: Condvar,
}

impl Gather {
    pub(crate) fn new(items: u64) -> Gather {
        Gather { state: Mutex::new(State { left: items, ..State::default() }), rang: Condvar::new() }
    }

    fn count(&self, state: &mut State, new: u64, after: &mut After) {
        state.left = state.left.saturating_sub(new);
        if state.left == 0 {
            after.callbacks.extend(state.callback.take());
            after.wakers.extend(state.waker.take());
            self.rang.notify_all();
        }
    }

    /// Notes an error of an item that was never handed in.
    pub(crate) fn fail(&self, place: u64, error: TaskError) {
        self.failed(place, error, &mut After::default());
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state.lock().left == 0
    }

    pub(crate) fn park(&self, until: Instant) {
        let mut state = self.state.lock();
        while state.left > 0 {
            if self.rang.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
    }

    /// Takes what came; `None` while something is missing.
    pub(crate) fn take(&self) -> Option<Result<Vec<Given>, TaskError>> {
        let mut state = self.state.lock();
        if state.left > 0 {
            return None;
        }
        if std::mem::replace(&mut state.is_taken, true) {
            return Some(Err(TaskError::Taken));
        }
        let came = std::mem::take(&mut state.came);
        Some(match state.error.take() {
            Some((_, error)) => Err(error),
            None => Ok(came),
        })
    }

    pub(crate) fn when_ready(&self, callback: Box<dyn FnOnce() + Send>) -> Option<Box<dyn FnOnce() + Send>> {
        let mut state = self.state.lock();
        if state.left == 0 {
            return Some(callback);
        }
        state.callback = Some(callback);
        None
    }

    pub(crate) fn wake_when_ready(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        state.waker = (state.left > 0).then(|| waker.clone());
        state.left == 0
    }
}

impl Sink for Gather {
    fn results(&self, given: Given, after: &mut After) {
        let mut state = self.state.lock();
        let new = u64::from(given.count - given.known);
        state.came.push(given);
        self.count(&mut state, new, after);
    }

    fn failed(&self, element: u64, error: TaskError, after: &mut After) {
        let mut state = self.state.lock();
        let is_first = match &state.error {
            None => true,
            // What was cancelled because of an error is not the error.
            Some((_, TaskError::Cancelled)) => error != TaskError::Cancelled,
            Some((place, _)) => element < *place && error != TaskError::Cancelled,
        };
        if is_first {
            state.error = Some((element, error));
        }
        self.count(&mut state, 1, after);
    }
}

/// All values in their order.
pub(crate) fn values<R: Message>(mut came: Vec<Given>) -> Result<Vec<R>, TaskError> {
    came.sort_by_key(|given| given.first);
    let count = came.iter().map(|given| given.count as usize).sum();
    let mut values = Vec::with_capacity(count);
    came.into_iter().try_for_each(|given| append(given, &mut values))?;
    Ok(values)
}
