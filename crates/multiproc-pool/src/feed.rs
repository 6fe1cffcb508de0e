//! The way in of an iterator's items: pulled, encoded and handed in a bounded number ahead of the results.

use crate::TaskError;
use crate::arrivals::Arrivals;
use crate::engine::{Code, Core, Sink, Work};
use crate::options::TaskOptions;
use multiproc_core::Message;
use multiproc_core::codec::Encoder;
use std::iter::Fuse;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most items, and the most bytes of their arguments, that make one trip.
const ITEMS: usize = 16 << 10;
const BYTES: usize = 48 << 10;
/// How many short ones are encoded at once.
const GROUP: usize = 512;
/// How many chunks for each worker an iterator is ahead of its results. Where their size was chosen and they take less than
/// their trip, as many as that takes, and at most so many.
const AHEAD: u64 = 3;
const FAR_AHEAD: u64 = 64;
/// What is a quick input: it may be asked while results are there.
const QUICK: Duration = Duration::from_micros(200);
/// What is long enough not to be copied.
const LONG: usize = 16 << 10;

/// An input, and how far it has been handed in.
pub(crate) struct Feed<I: Iterator> {
    items: Fuse<I>,
    /// What was pulled and not handed in yet.
    pulled: Vec<I::Item>,
    code: Result<Arc<Code>, TaskError>,
    options: Option<Arc<TaskOptions>>,
    pub(crate) core: Arc<Core>,
    pub(crate) arrivals: Arc<Arrivals>,
    pub(crate) sink: Arc<dyn Sink>,
    encoder: Encoder,
    /// Items handed in so far, which is the next one's place.
    pub(crate) handed_in: u64,
    /// Items in the chunk that was handed in last, and its bytes.
    size: u64,
    len: usize,
    /// The input is at its end; nothing more is taken of it.
    is_over: bool,
    pub(crate) is_closed: bool,
    pub(crate) is_quick: bool,
}

/// What came of an attempt to hand more in.
pub(crate) enum Fed {
    /// There is nothing more, or no room.
    Nothing,
    Some,
    /// The item at that place cannot be; those before it were.
    Failed(u64, TaskError),
}

impl<I: Iterator<Item: Message>> Feed<I> {
    pub(crate) fn new(
        items: I,
        code: Result<Arc<Code>, TaskError>,
        options: Option<Arc<TaskOptions>>,
        core: Arc<Core>,
    ) -> Feed<I> {
        let arrivals = Arc::new(Arrivals::default());
        Feed {
            items: items.fuse(),
            pulled: Vec::new(),
            code,
            options,
            core,
            sink: Arc::clone(&arrivals) as Arc<dyn Sink>,
            arrivals,
            encoder: Encoder::default(),
            handed_in: 0,
            size: 1,
            len: 0,
            is_over: false,
            is_closed: false,
            is_quick: true,
        }
    }

    /// How many items are left at least.
    pub(crate) fn least(&self) -> usize {
        self.items.size_hint().0
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

    /// Hands one more chunk in, if there is room where so many results have arrived and were given.
    pub(crate) fn hand_in(&mut self, arrived: u64, given: u64) -> Fed {
        if self.is_closed || self.is_over && self.pulled.is_empty() || !self.has_room(arrived, given) {
            return Fed::Nothing;
        }
        let size = self.next_size();
        let (since, first) = (Instant::now(), self.handed_in);
        let mut ends = Vec::with_capacity(size);
        let mut failed = None;
        self.encoder.clear();
        while ends.len() < size && self.encoder.bytes().len() < BYTES {
            // Short ones are encoded several at once.
            let is_short = self.encoder.bytes().len() < ends.len() * 64;
            self.pull((size - ends.len()).min(if is_short { GROUP } else { 1 }));
            if self.pulled.is_empty() {
                break;
            }
            let before = ends.len();
            let result = match &self.code {
                Ok(_) => {
                    self.encoder.pack_each(&self.pulled, &mut ends).map_err(|error| TaskError::encode(&error))
                }
                Err(error) => Err(error.clone()),
            };
            let encoded = ends.len() - before;
            self.handed_in += encoded as u64;
            if let Err(error) = result {
                self.pulled.drain(..(encoded + 1).min(self.pulled.len()));
                failed = Some((self.handed_in, error));
                self.handed_in += 1;
                break;
            }
            self.pulled.drain(..encoded);
            if self.encoder.has_handles() {
                self.send_alone(first, ends);
                return Fed::Some;
            }
        }
        if !ends.is_empty() {
            (self.size, self.len) = (ends.len() as u64, self.encoder.bytes().len());
        }
        self.send(first, ends, Vec::new());
        self.is_quick = since.elapsed() < QUICK;
        match failed {
            Some((place, error)) => Fed::Failed(place, error),
            None if self.handed_in > first => Fed::Some,
            None => Fed::Nothing,
        }
    }

    /// Pulls items until there are so many.
    fn pull(&mut self, count: usize) {
        if !self.is_over {
            let missing = count.saturating_sub(self.pulled.len());
            self.pulled.extend(self.items.by_ref().take(missing));
            self.is_over = self.pulled.len() < count;
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

    /// How many chunks for each worker may be on their way.
    fn ahead(&self) -> u64 {
        let is_chosen = self.options.as_ref().is_some_and(|options| options.chunk_size.is_some());
        let Some(pace) = self.arrivals.pace().filter(|_| is_chosen && self.len < LONG) else { return AHEAD };
        let (least, _) = self.core.size.trip();
        (least / pace.saturating_mul(self.size).max(1)).clamp(AHEAD, FAR_AHEAD)
    }

    fn has_room(&self, arrived: u64, given: u64) -> bool {
        let out = self.handed_in - arrived.min(self.handed_in);
        let kept = self.handed_in - given.min(self.handed_in);
        let most = self.ahead() * self.core.size.workers() as u64 * self.size.max(1);
        // What came and was not taken is bounded, too: one early result behind a late one must not pile up others.
        out < most && kept < 4 * most.max(32 * self.core.size.workers() as u64)
    }

    fn send(&mut self, first: u64, ends: Vec<usize>, fds: Vec<Arc<OwnedFd>>) {
        let Ok(code) = &self.code else { return };
        if ends.is_empty() {
            return;
        }
        let alone = !fds.is_empty();
        let bytes = self.encoder.bytes();
        let bytes = if bytes.len() > LONG && ends.len() == 1 { std::mem::take(bytes) } else { bytes.clone() };
        self.core.hand_in(Work {
            sink: Arc::clone(&self.sink),
            code: Arc::clone(code),
            options: self.options.clone(),
            framed: false,
            bytes,
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
}
