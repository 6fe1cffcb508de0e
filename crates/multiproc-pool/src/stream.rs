use crate::TaskError;
use crate::arrivals::{Came, append, decode};
use crate::engine::{Code, Core, Given};
use crate::feed::{Fed, Feed};
use crate::options::TaskOptions;
use crate::progress::Bar;
use multiproc_core::{Deadline, Message};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// The results of tasks as they come; made by [`Pool::imap`](crate::Pool::imap) and
/// [`Pool::imap_unordered`](crate::Pool::imap_unordered).
///
/// It pulls its input as it is asked for results, a bounded number ahead, on the caller's thread: an input that waits
/// for the results of its own earlier items would wait for ever. How many that is depends on how long they take: a
/// few for each worker, or as many as make some hundred microseconds of work. Dropping it takes back the tasks that no
/// worker has begun.
///
/// # Examples
///
/// ```
/// use multiproc_pool::Pool;
///
/// let pool = Pool::new(2)?;
/// let squares = pool.imap(1u64.., |n| n * n); // the input has no end
/// let first: Vec<u64> = squares.take(4).collect::<Result<_, _>>().unwrap();
/// assert_eq!(first, [1, 4, 9, 16]);
/// # std::io::Result::Ok(())
/// ```
pub struct Results<I: Iterator, R> {
    feed: Feed<I>,
    /// Results that came so far, and that were given.
    arrived: u64,
    given: u64,
    /// What came: by the place of the first, where order counts or more than one is there.
    ready: BTreeMap<u64, std::vec::IntoIter<R>>,
    errors: BTreeMap<u64, TaskError>,
    /// What is being given, and the place of the next one.
    current: (u64, std::vec::IntoIter<R>),
    is_ordered: bool,
    bar: Option<Bar>,
    marker: PhantomData<fn() -> R>,
}

impl<I: Iterator<Item: Message>, R: Message> Results<I, R> {
    pub(crate) fn new(
        items: I,
        code: Result<Arc<Code>, TaskError>,
        options: Option<Arc<TaskOptions>>,
        core: Arc<Core>,
        is_ordered: bool,
    ) -> Results<I, R> {
        let bar = options.as_ref().and_then(|options| {
            let (least, most) = items.size_hint();
            Bar::new(options.progress.as_deref()?, most.filter(|most| *most == least))
        });
        let mut results = Results {
            feed: Feed::new(items, code, options, core),
            arrived: 0,
            given: 0,
            ready: BTreeMap::new(),
            errors: BTreeMap::new(),
            current: (0, Vec::new().into_iter()),
            is_ordered,
            bar,
            marker: PhantomData,
        };
        // The work begins now, not when somebody asks; the rest of the input is pulled when results are.
        for _ in 0..results.feed.core.size.workers() {
            if !results.hand_in() {
                break;
            }
        }
        results.feed.core.announce();
        results
    }

    /// Hands one more chunk in; tells whether there was one, and room for it.
    fn hand_in(&mut self) -> bool {
        match self.feed.hand_in(self.arrived, self.given) {
            Fed::Nothing => false,
            Fed::Some => true,
            Fed::Failed(place, error) => {
                self.errors.insert(place, error);
                self.arrived += 1;
                true
            }
        }
    }

    /// Takes in what has come; tells whether there was anything.
    fn take_in(&mut self) -> bool {
        let Some(came) = self.feed.arrivals.take() else { return false };
        match came {
            Came::Failed(place, error) => self.failed(place, error),
            Came::Results(given) => {
                let (first, count, known) = (given.first, u64::from(given.count), u64::from(given.known));
                self.arrived += count - known;
                let mut values = Vec::new();
                let result = decode(given, &mut values);
                let there = values.len() as u64;
                let mut values = values.into_iter();
                // What was given before is not given again.
                for _ in 0..known.min(there) {
                    drop(values.next());
                }
                if there > known {
                    self.ready.insert(first + known, values);
                }
                if let Err(error) = result {
                    // Where the next one begins nobody can tell.
                    for place in (first + there).max(first + known)..first + count {
                        self.errors.insert(place, error.clone());
                    }
                }
            }
        }
        self.show();
        true
    }

    fn failed(&mut self, place: u64, error: TaskError) {
        self.arrived += 1;
        self.feed.is_closed |= error == TaskError::Closed;
        self.errors.insert(place, error);
    }

    fn show(&mut self) {
        if let Some(bar) = &mut self.bar {
            bar.at(self.arrived, &self.feed.core);
        }
    }

    /// What is there and may be given now.
    fn next_ready(&mut self) -> Option<(u64, Result<R, TaskError>)> {
        loop {
            if let Some(value) = self.current.1.next() {
                let place = self.current.0;
                self.current.0 += 1;
                self.given += 1;
                return Some((place, Ok(value)));
            }
            let value = self.ready.first_key_value().map(|(place, _)| *place);
            let error = self.errors.first_key_value().map(|(place, _)| *place);
            let is_next = |place: u64| !self.is_ordered || place == self.given;
            match (value, error) {
                (_, Some(place)) if value.is_none_or(|value| place < value) && is_next(place) => {
                    self.given += 1;
                    return self.errors.pop_first().map(|(place, error)| (place, Err(error)));
                }
                (Some(place), _) if is_next(place) => self.current = self.ready.pop_first()?,
                _ => return None,
            }
        }
    }

    /// Waits for something to come.
    fn wait(&self) {
        let arrivals = &self.feed.arrivals;
        self.feed.core.wait(Deadline::NEVER, || !arrivals.is_empty(), |until| arrivals.park(until));
    }

    /// The next result and the place of its item.
    pub(crate) fn next_placed(&mut self) -> Option<(u64, Result<R, TaskError>)> {
        loop {
            // What is there already comes before the input, which may be slow.
            if let Some(next) = self.next_ready() {
                return Some(next);
            }
            if self.take_in() {
                if self.feed.is_quick && self.hand_in() {
                    self.feed.core.announce();
                }
                continue;
            }
            let mut any = false;
            while self.feed.arrivals.is_empty() && self.hand_in() {
                any = true;
                if !self.feed.is_quick {
                    // Whoever is asleep can begin with it.
                    self.feed.core.announce();
                }
            }
            if !self.errors.is_empty()
                && let Some(next) = self.next_ready()
            {
                return Some(next);
            }
            if any && self.feed.core.is_collected() {
                self.feed.core.announce();
            }
            if self.given == self.feed.handed_in {
                return None;
            }
            self.wait();
        }
    }

    /// All values in their order, or the first error by place of those that were begun.
    pub(crate) fn gather(mut self) -> Result<Vec<R>, TaskError> {
        let mut values: Vec<R> = Vec::with_capacity(self.feed.least().min(1 << 20));
        // What came before its turn.
        let mut early: BTreeMap<u64, Given> = BTreeMap::new();
        loop {
            while let Some(came) = self.feed.arrivals.take() {
                match came {
                    Came::Failed(place, error) => self.failed(place, error),
                    Came::Results(given) => {
                        self.arrived += u64::from(given.count - given.known);
                        early.insert(given.first + u64::from(given.known), given);
                    }
                }
                self.show();
            }
            while let Some(entry) = early.first_entry().filter(|entry| *entry.key() == values.len() as u64) {
                if let Err(error) = append(entry.remove(), &mut values) {
                    self.errors.insert(values.len() as u64, error);
                }
            }
            // All of them are wanted: no item waits for a slow one before it.
            self.given = self.arrived;
            if !self.errors.is_empty() {
                return Err(self.stop());
            }
            let mut any = false;
            while self.errors.is_empty() && self.hand_in() {
                any = true;
                self.feed.core.pump();
                if !self.feed.arrivals.is_empty() {
                    break;
                }
            }
            if self.arrived == self.feed.handed_in && !any && self.feed.arrivals.is_empty() {
                if self.errors.is_empty() {
                    return Ok(values);
                }
                continue;
            }
            if self.errors.is_empty() && self.feed.arrivals.is_empty() {
                self.wait();
            }
        }
    }

    /// Takes back what no worker has begun, waits for the rest, and gives the first error by place.
    fn stop(&mut self) -> TaskError {
        self.feed.is_closed = true;
        self.feed.core.cancel(&self.feed.sink, |_| true, false);
        while self.arrived < self.feed.handed_in {
            if !self.take_in() {
                self.wait();
            }
        }
        let errors = std::mem::take(&mut self.errors);
        let first = errors.into_values().find(|error| *error != TaskError::Cancelled);
        first.unwrap_or(TaskError::Cancelled)
    }
}

impl<I: Iterator<Item: Message>, R: Message> Iterator for Results<I, R> {
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Result<R, TaskError>> {
        Some(self.next_placed()?.1)
    }
}

impl<I: Iterator, R> Drop for Results<I, R> {
    fn drop(&mut self) {
        if self.arrived < self.feed.handed_in {
            self.feed.core.cancel(&self.feed.sink, |_| true, false);
        }
    }
}

impl<I: Iterator, R> fmt::Debug for Results<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results")
            .field("handed_in", &self.feed.handed_in)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}
