use crate::TaskError;
use crate::arrivals::{Arrivals, Came, decode};
use crate::engine::{Code, Core, Sink, Work};
use crate::options::TaskOptions;
use crate::progress::Bar;
use multiproc_core::codec::Encoder;
use multiproc_core::{Deadline, Message};
use std::collections::BTreeMap;
use std::fmt;
use std::iter::Fuse;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most items, and the most bytes of their arguments, that make one trip.
const ITEMS: usize = 16 << 10;
const BYTES: usize = 48 << 10;
/// How many short ones are encoded at once.
const GROUP: usize = 64;
/// How many chunks for each worker an iterator is ahead of its results.
const AHEAD: u64 = 3;
/// What is a quick input: it may be asked while results are there.
const QUICK: Duration = Duration::from_micros(200);

/// The results of tasks as they come; made by [`Pool::imap`](crate::Pool::imap) and
/// [`Pool::imap_unordered`](crate::Pool::imap_unordered).
///
/// It pulls its input as it is asked for results, a bounded number ahead, on the caller's thread: an input that waits
/// for the results of its own earlier items would wait for ever. How many that is depends on how long they take: a
/// few for each worker, or as many as make some hundred microseconds of work. Dropping it takes back the tasks that no
/// worker has begun.
pub struct Results<I: Iterator, R> {
    items: Fuse<I>,
    /// What was pulled and not handed in yet.
    pulled: Vec<I::Item>,
    code: Result<Arc<Code>, TaskError>,
    options: Option<Arc<TaskOptions>>,
    core: Arc<Core>,
    arrivals: Arc<Arrivals>,
    sink: Arc<dyn Sink>,
    encoder: Encoder,
    /// Items handed in so far, which is the next one's place; and chunks.
    handed_in: u64,
    /// Results that came so far, and that were given.
    arrived: u64,
    given: u64,
    /// Items that are with the pool in each chunk on the average.
    size: u64,
    /// The input is at its end; nothing more is taken of it.
    is_over: bool,
    is_closed: bool,
    is_quick: bool,
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
        let arrivals = Arc::new(Arrivals::default());
        let bar = options.as_ref().and_then(|options| {
            let (least, most) = items.size_hint();
            Bar::new(options.progress.as_deref()?, most.filter(|most| *most == least))
        });
        let mut results = Results {
            items: items.fuse(),
            pulled: Vec::new(),
            code,
            options,
            core,
            sink: Arc::clone(&arrivals) as Arc<dyn Sink>,
            arrivals,
            encoder: Encoder::default(),
            handed_in: 0,
            arrived: 0,
            given: 0,
            size: 1,
            is_over: false,
            is_closed: false,
            is_quick: true,
            ready: BTreeMap::new(),
            errors: BTreeMap::new(),
            current: (0, Vec::new().into_iter()),
            is_ordered,
            bar,
            marker: PhantomData,
        };
        // The work begins now, not when somebody asks; the rest of the input is pulled when results are.
        for _ in 0..results.core.size.workers() {
            if !results.hand_in() {
                break;
            }
        }
        results.core.announce();
        results
    }

    /// How many items make the next chunk.
    fn next_size(&self) -> usize {
        if let Some(size) = self.options.as_ref().and_then(|options| options.chunk_size) {
            return size;
        }
        let Some(pace) = self.arrivals.pace() else { return 1 };
        let fit = |time: u64| usize::try_from(time / pace).unwrap_or(ITEMS);
        // Towards the end all workers are to have something to do.
        let fair = match self.items.size_hint() {
            (left, Some(_)) if left > 0 => left.div_ceil(2 * self.core.size.workers()),
            _ => ITEMS,
        };
        // Not at once: the first ones may have been the quick ones.
        let grown = (self.size as usize).saturating_mul(8);
        let (least, enough) = self.core.size.trip();
        fair.max(fit(least)).min(fit(enough)).min(grown).clamp(1, ITEMS)
    }

    /// Hands one more chunk in; tells whether there was one, and room for it.
    fn hand_in(&mut self) -> bool {
        if self.is_closed || self.is_over && self.pulled.is_empty() || !self.has_room() {
            return false;
        }
        let size = self.next_size();
        let (since, first) = (Instant::now(), self.handed_in);
        let mut ends = Vec::with_capacity(size);
        self.encoder.clear();
        while ends.len() < size && self.encoder.bytes().len() < BYTES {
            // Short ones are encoded several at once.
            let is_short = self.encoder.bytes().len() < ends.len() * 64;
            self.pull((size - ends.len()).min(if is_short { GROUP } else { 1 }));
            if self.pulled.is_empty() {
                break;
            }
            let before = (ends.len(), self.encoder.bytes().len());
            let result = match &self.code {
                Ok(_) => self
                    .encoder
                    .encode_each(&self.pulled, &mut ends)
                    .map_err(|error| TaskError::encode(&error)),
                Err(error) => Err(error.clone()),
            };
            let encoded = ends.len() - before.0;
            self.handed_in += encoded as u64;
            if let Err(error) = result {
                self.pulled.drain(..(encoded + 1).min(self.pulled.len()));
                self.errors.insert(self.handed_in, error);
                self.handed_in += 1;
                self.arrived += 1;
                break;
            }
            self.pulled.drain(..encoded);
            if self.encoder.has_handles() {
                self.send_alone(first, ends);
                return true;
            }
        }
        if !ends.is_empty() {
            self.size = ends.len() as u64;
        }
        self.send(first, ends, Vec::new());
        self.is_quick = since.elapsed() < QUICK;
        self.handed_in > first
    }

    /// Pulls items until there are so many.
    fn pull(&mut self, count: usize) {
        while self.pulled.len() < count && !self.is_over {
            match self.items.next() {
                Some(item) => self.pulled.push(item),
                None => self.is_over = true,
            }
        }
    }

    /// Sends what was encoded, of which the last item has handles: that one travels alone, after the others.
    fn send_alone(&mut self, first: u64, mut ends: Vec<usize>) {
        let fds = self.encoder.take_fds();
        ends.pop();
        let own = self.encoder.bytes().split_off(ends.last().copied().unwrap_or(0));
        self.send(first, ends, Vec::new());
        let len = own.len();
        *self.encoder.bytes() = own;
        self.size = 1;
        self.send(self.handed_in - 1, vec![len], fds);
    }

    fn has_room(&self) -> bool {
        let out = self.handed_in - self.arrived.min(self.handed_in);
        let kept = self.handed_in - self.given.min(self.handed_in);
        let most = AHEAD * self.core.size.workers() as u64 * self.size.max(1);
        // What came and was not taken is bounded, too: one early result behind a late one must not pile up others.
        out < most && kept < 4 * most.max(32 * self.core.size.workers() as u64)
    }

    fn send(&mut self, first: u64, ends: Vec<usize>, fds: Vec<Arc<std::os::fd::OwnedFd>>) {
        let Ok(code) = &self.code else { return };
        if ends.is_empty() {
            return;
        }
        let alone = !fds.is_empty();
        self.core.hand_in(Work {
            sink: Arc::clone(&self.sink),
            code: Arc::clone(code),
            options: self.options.clone(),
            framed: false,
            bytes: self.encoder.bytes().clone(),
            ends,
            fds,
            base: first,
            since: Instant::now(),
            attempts: 0,
            kills: 0,
            tries: 0,
            alone,
            is_divisible: false,
        });
    }

    /// Takes in what has come; tells whether there was anything.
    fn take_in(&mut self) -> bool {
        let Some(came) = self.arrivals.take() else { return false };
        match came {
            Came::Failed(place, error) => {
                self.arrived += 1;
                self.is_closed |= error == TaskError::Closed;
                self.errors.insert(place, error);
            }
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
        if let Some(bar) = &mut self.bar {
            bar.at(self.arrived, &self.core);
        }
        true
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
        let arrivals = &self.arrivals;
        self.core.wait(Deadline::NEVER, || !arrivals.is_empty(), |until| arrivals.park(until));
    }

    /// The next result and the place of its item.
    pub(crate) fn next_placed(&mut self) -> Option<(u64, Result<R, TaskError>)> {
        loop {
            // What is there already comes before the input, which may be slow.
            if let Some(next) = self.next_ready() {
                return Some(next);
            }
            if self.take_in() {
                if self.is_quick && self.hand_in() {
                    self.core.announce();
                }
                continue;
            }
            let mut any = false;
            while self.arrivals.is_empty() && self.hand_in() {
                any = true;
                if !self.is_quick {
                    // Whoever is asleep can begin with it.
                    self.core.announce();
                }
            }
            if !self.errors.is_empty()
                && let Some(next) = self.next_ready()
            {
                return Some(next);
            }
            if any && self.core.is_collected() {
                self.core.announce();
            }
            if self.given == self.handed_in {
                return None;
            }
            self.wait();
        }
    }

    /// All values in their order, or the first error by place of those that were begun.
    pub(crate) fn gather(mut self) -> Result<Vec<R>, TaskError> {
        let mut values: Vec<R> = Vec::with_capacity(self.items.size_hint().0.min(1 << 20));
        loop {
            while self.take_in() {}
            self.move_to(&mut values);
            if !self.errors.is_empty() {
                return Err(self.stop());
            }
            let mut any = false;
            while self.errors.is_empty() && self.hand_in() {
                any = true;
                self.core.pump();
                if !self.arrivals.is_empty() {
                    break;
                }
            }
            if self.arrived == self.handed_in && !any && self.arrivals.is_empty() {
                if self.errors.is_empty() {
                    return Ok(values);
                }
                continue;
            }
            if self.errors.is_empty() && self.arrivals.is_empty() {
                self.wait();
            }
        }
    }

    /// Moves what comes next in order to `values`.
    fn move_to(&mut self, values: &mut Vec<R>) {
        while let Some(entry) = self.ready.first_entry().filter(|entry| *entry.key() == values.len() as u64) {
            values.extend(entry.remove());
        }
        // All of them are wanted: no item waits for a slow one before it.
        self.given = self.arrived;
    }

    /// Takes back what no worker has begun, waits for the rest, and gives the first error by place.
    fn stop(&mut self) -> TaskError {
        self.is_closed = true;
        self.core.cancel(&self.sink, |_| true, false);
        while self.arrived < self.handed_in {
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
        if self.arrived < self.handed_in {
            self.core.cancel(&self.sink, |_| true, false);
        }
    }
}

impl<I: Iterator, R> fmt::Debug for Results<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results")
            .field("handed_in", &self.handed_in)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}
