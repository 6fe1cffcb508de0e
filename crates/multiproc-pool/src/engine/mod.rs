//! What knows what is to be done, who has it, and whom to tell: below the types, above the backend.
//!
//! It has no thread of its own. Whoever waits for a result works it: takes what was handed in, collects what the
//! workers have told, hands out what is next. So a call and its answer take two wake-ups and no third party. Where
//! nobody waits, the supervisor's thread does the same, and it alone does what takes time or what nobody waits for.

mod collect;
mod core;
mod pace;
mod queue;
mod size;
mod supervisor;
mod work;

pub(crate) use core::{Core, Ending};
pub(crate) use size::Size;
pub(crate) use work::{After, Code, Given, Part, Sink, Work};

use crate::TaskError;
use crate::backend::{Backend, Envelope, EnvelopeId, Refusal};
use crate::board::Board;
use crate::options::TaskOptions;
use crate::stats::Recorder;
use multiproc_shm::Shared;
use pace::Paces;
use queue::Queue;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use work::Chunk;

/// How long something runs before those behind it are given to a worker that has nothing to do.
const PATIENCE: Duration = Duration::from_millis(1);
const MOST_PATIENCE: Duration = Duration::from_millis(128);
/// How often a work may be given to workers that end before they begin it: of their own doing, and killed by somebody.
const MAX_TRIES: u32 = SURE * 5;
const SURE: u32 = 4;

pub(crate) struct Engine {
    pub(crate) backend: Box<dyn Backend>,
    queue: Queue,
    chunks: HashMap<EnvelopeId, Chunk>,
    next: u64,
    paces: Paces,
    /// Nothing can be run, and why.
    impossible: Option<String>,
    /// How many workers one task may cost.
    max_kills: u32,
    /// When those who wait behind others are looked at, and how long it is until then.
    look_at: Option<Instant>,
    patience: Duration,
    /// The first time at which an element's time may be up.
    expire_at: Option<Instant>,
    /// When the backend wants to be attended to.
    attend_at: Option<Instant>,
    /// When the supervisor wakes by itself.
    pub(crate) wakes_at: Option<Instant>,
    pub(crate) recorder: Recorder,
    pub(crate) ids: Vec<u32>,
    events: Vec<crate::backend::Event>,
    /// No more is handed out.
    pub(crate) is_over: bool,
    /// What this backend cannot take.
    refused: Vec<Part>,
    /// Buffers of arguments that are done with.
    spares: Vec<Vec<u8>>,
    carries_handles: bool,
    pub(crate) size: Arc<Size>,
    /// What watchers see.
    pub(crate) board: Option<Shared<Board>>,
}

impl Engine {
    pub(crate) fn new(backend: Box<dyn Backend>, max_kills: u32, size: Arc<Size>) -> Engine {
        let ids = backend.workers().into_iter().map(|worker| worker.id).collect();
        Engine {
            carries_handles: backend.caps().carries_handles,
            size,
            board: None,
            refused: Vec::new(),
            spares: Vec::new(),
            backend,
            queue: Queue::default(),
            chunks: HashMap::new(),
            next: 1,
            paces: Paces::default(),
            impossible: None,
            max_kills,
            look_at: None,
            patience: PATIENCE,
            expire_at: None,
            attend_at: None,
            wakes_at: None,
            recorder: Recorder::default(),
            ids,
            events: Vec::new(),
            is_over: false,
        }
    }

    /// Tells whether there is nothing left to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.chunks.is_empty()
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.elements()
    }

    pub(crate) fn under_way(&self) -> usize {
        self.chunks.values().flat_map(Chunk::open).map(|(from, to)| (to - from) as usize).sum()
    }

    /// When it is to be worked again though nobody has told anything.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        [self.look_at, self.expire_at].into_iter().flatten().min()
    }

    /// When the backend is to be attended to, too.
    pub(crate) fn next_attention(&self) -> Option<Instant> {
        [self.next_time(), self.attend_at].into_iter().flatten().min()
    }

    /// Tells whether there is something to do at a time through which the supervisor would sleep.
    pub(crate) fn is_due_before_the_supervisor(&self) -> bool {
        self.next_time().is_some_and(|at| self.wakes_at.is_none_or(|wakes_at| at < wakes_at))
    }

    pub(crate) fn push(&mut self, work: Work) {
        if !work.fds.is_empty() && !self.carries_handles {
            self.refused.push(Part::whole(work));
            return;
        }
        self.queue.push(Part::whole(work));
    }

    /// Gives away the buffers of arguments that are done with.
    pub(crate) fn take_spares(&mut self) -> std::vec::Drain<'_, Vec<u8>> {
        self.spares.drain(..)
    }

    /// Does everything that can be done now without waiting.
    pub(crate) fn work(&mut self, after: &mut After) {
        let mut events = std::mem::take(&mut self.events);
        self.backend.collect(&mut events);
        self.handle(&mut events, after);
        let now = self.next_time().map(|_| Instant::now());
        if let Some(now) = now {
            self.expire(now);
            self.look(now, &mut events, after);
        }
        self.events = events;
        self.hand_out(after);
        self.show();
    }

    /// Shows watchers how it stands.
    pub(crate) fn show(&self) {
        let Some(board) = &self.board else { return };
        board.done.store(self.recorder.ended, Ordering::Relaxed);
        board.failed.store(self.recorder.failed, Ordering::Relaxed);
        board.queued.store(self.queued() as u64, Ordering::Relaxed);
        board.under_way.store(self.under_way() as u64, Ordering::Relaxed);
        board.restarts.store(self.backend.restarts(), Ordering::Relaxed);
        let workers = self.backend.show(board);
        board.workers.store(workers as u64, Ordering::Relaxed);
    }

    /// Does what takes time.
    pub(crate) fn attend(&mut self, after: &mut After) {
        let mut events = std::mem::take(&mut self.events);
        self.attend_at = self.backend.attend(&mut events);
        let is_news = !events.is_empty();
        self.handle(&mut events, after);
        self.events = events;
        self.hand_out(after);
        self.show();
        if is_news {
            // Of a death no worker tells who sleeps at the door until its result is there.
            self.backend.door().announce();
        }
    }

    /// Hands over what waits, as far as there are workers for it.
    pub(crate) fn hand_out(&mut self, after: &mut After) {
        if self.is_over {
            return;
        }
        if let Some(why) = &self.impossible {
            let why = why.clone();
            for part in self.queue.drain() {
                fail_all(&part, &TaskError::NoWorker { message: why.clone() }, after);
            }
            return;
        }
        for part in std::mem::take(&mut self.refused) {
            let message = "it holds handles (files, connections, shared memory), which live on one machine: \
                           send what is in them, or the name of a file that all hosts see";
            fail_all(&part, &TaskError::Unsupported { message: message.to_owned() }, after);
        }
        if self.queue.is_empty() {
            return;
        }
        self.backend.want(self.queue.elements());
        let trip = self.backend.trip();
        while let Some(part) = self.queue.pop() {
            let pace = self.paces.of(part.work.code.key);
            // What somebody has put together may be less than what is worth a trip.
            let expected = pace.as_ref().map(|pace| {
                let whole = pace.chunk_time(trip);
                if part.work.is_divisible { whole } else { whole.min(pace.element * part.len()) }
            });
            if self.backend.credit(expected) == 0 {
                self.queue.push_first(part);
                break;
            }
            let workers = self.ids.len().max(1) as u32;
            let most = if part.work.alone {
                1
            } else if part.work.is_divisible {
                // What is not known goes one by one.
                pace.map_or(1, |pace| pace.size(part.len() as usize + self.queue.elements(), workers, trip))
            } else {
                // Who has put it together knew what is good for it.
                part.len()
            };
            if !self.hand(part, most.min(self.backend.most()), after) {
                break;
            }
        }
    }

    /// Hands over the first elements of a part; tells whether to go on.
    fn hand(&mut self, part: Part, most: u32, after: &mut After) -> bool {
        let Part { work, from, to } = part;
        let until = from + most.min(to - from);
        let id = EnvelopeId(self.next);
        let timeout = work.options.as_ref().and_then(|options| options.timeout);
        let envelope = Envelope {
            id,
            runner: &work.code.runner,
            function: &work.code.function,
            count: until - from,
            arguments: work.arguments(from, until),
            fds: &work.fds,
            framed: work.framed,
            timed: timeout.is_some(),
            ends: work.ends.get(from as usize..until as usize).unwrap_or_default(),
            start: work.start_of(from),
            timeout,
            grace: work.options.as_ref().map_or(TaskOptions::GRACE, |options| options.grace),
            waited: work.since.elapsed(),
            attempt: work.attempts,
        };
        let is_over = match self.backend.submit(&envelope) {
            Ok(()) => {
                self.next += 1;
                let now = Instant::now();
                self.recorder.handed(until - from, envelope.waited, envelope.arguments.len());
                if let Some(timeout) = timeout {
                    let at = later(now, timeout);
                    self.expire_at = Some(self.expire_at.map_or(at, |before| before.min(at)));
                }
                self.patience = PATIENCE;
                let at = now + PATIENCE;
                self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
                let part = Part { work: Arc::clone(&work), from, to: until };
                self.chunks.insert(id, Chunk::new(part));
                false
            }
            Err(Refusal::Busy) => {
                self.queue.push_first(Part { work, from, to });
                // Nothing may tell when there is room, as when handles are on their way.
                let at = Instant::now() + PATIENCE;
                self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
                return false;
            }
            Err(Refusal::NotSent(why)) => {
                tracing::error!(target: "multiproc::pool", why, "cannot hand over the arguments of a task");
                fail_all(&Part { work: Arc::clone(&work), from, to: until }, &TaskError::Encode, after);
                false
            }
        };
        self.queue.push_first(Part { work, from: until, to });
        !is_over
    }

    /// Looks after those who wait behind others, and collects what busy workers have not sent.
    fn look(&mut self, now: Instant, events: &mut Vec<crate::backend::Event>, after: &mut After) {
        if self.look_at.is_none_or(|at| at > now) {
            return;
        }
        self.backend.harvest(events);
        self.handle(events, after);
        if self.queue.is_empty() && self.backend.idle() > 0 {
            for id in self.backend.stragglers(now, PATIENCE) {
                self.take_back(id);
            }
        }
        self.patience = (self.patience * 2).min(MOST_PATIENCE);
        self.look_at = (!self.chunks.is_empty() || !self.queue.is_empty()).then(|| now + self.patience);
    }

    /// Takes back what was not begun of an envelope and of those behind it.
    fn take_back(&mut self, id: EnvelopeId) {
        for (id, begun) in self.backend.take_back(id).into_iter().rev() {
            let Some(chunk) = self.chunks.get_mut(&id) else { continue };
            let Part { work, from, to } = &mut chunk.part;
            let rest = Part { work: Arc::clone(work), from: *from + begun, to: *to };
            *to = *from + begun;
            if chunk.answered == begun {
                self.chunks.remove(&id);
            }
            self.queue.push_first(rest);
        }
    }

    /// Ends the elements whose time is up.
    fn expire(&mut self, now: Instant) {
        if self.expire_at.is_none_or(|at| at > now) {
            return;
        }
        self.expire_at = None;
        let timed = |options: &Option<Arc<TaskOptions>>| options.as_ref().and_then(|options| options.timeout);
        let late: Vec<(EnvelopeId, Duration)> = self
            .chunks
            .iter()
            .filter(|(_, chunk)| chunk.ended.is_none())
            .filter_map(|(id, chunk)| Some((*id, timed(&chunk.part.work.options)?)))
            .collect();
        for (id, timeout) in late {
            let Some(progress) = self.backend.progress(id) else { continue };
            let is_late = progress.begun > 0 && progress.running >= timeout;
            if is_late {
                self.stop(id, progress.begun - 1, TaskError::TimedOut);
                continue;
            }
            let left = timeout.saturating_sub(progress.running).max(Duration::from_micros(200));
            let at = later(now, left);
            self.expire_at = Some(self.expire_at.map_or(at, |before| before.min(at)));
        }
    }

    /// Ends an element that is running.
    fn stop(&mut self, id: EnvelopeId, element: u32, called: TaskError) {
        // Nothing else may be hit: what comes after it runs elsewhere.
        self.take_back(id);
        let Some(chunk) = self.chunks.get_mut(&id) else { return };
        let grace = chunk.part.work.options.as_ref().map_or(TaskOptions::GRACE, |options| options.grace);
        chunk.ended = Some((element, called));
        self.backend.stop(id, grace);
    }

    /// Cancels the elements of a sink that `is_meant`: those that wait, and those that run if `running`. Tells whether
    /// there were any.
    pub(crate) fn cancel(
        &mut self,
        sink: &Arc<dyn Sink>,
        is_meant: impl Fn(u64) -> bool + Copy,
        running: bool,
        after: &mut After,
    ) -> bool {
        let is_distant = self.backend.caps().is_distant;
        // What workers have and have not begun comes back into the queue.
        let theirs: Vec<EnvelopeId> =
            self.chunks.iter().filter(|(_, chunk)| chunk.part.is_of(sink)).map(|(id, _)| *id).collect();
        for id in &theirs {
            let is_one = self.chunks.get(id).is_some_and(|chunk| {
                (chunk.answered..chunk.part.len()).any(|element| is_meant(chunk.part.number(element)))
            });
            if is_one && !is_distant {
                self.take_back(*id);
            }
        }
        let removed = self.queue.remove(sink, is_meant);
        for number in &removed {
            sink.failed(*number, TaskError::Cancelled, after);
        }
        let mut any = !removed.is_empty();
        if is_distant {
            for id in theirs {
                any |= self.ask_back(id, is_meant, running);
            }
            self.hand_out(after);
            return any;
        }
        for id in theirs.into_iter().filter(|_| running) {
            let Some(chunk) = self.chunks.get(&id).filter(|chunk| chunk.ended.is_none()) else { continue };
            let last = chunk.part.len().saturating_sub(1);
            if chunk.answered <= last
                && is_meant(chunk.part.number(last))
                && self.backend.caps().kills_running
            {
                self.stop(id, last, TaskError::Cancelled);
                any = true;
            }
        }
        self.hand_out(after);
        any
    }

    /// Asks for the end of elements that are out of reach; tells whether there are any that were not asked for before.
    fn ask_back(&mut self, id: EnvelopeId, is_meant: impl Fn(u64) -> bool, running: bool) -> bool {
        let Some(chunk) = self.chunks.get_mut(&id) else { return false };
        let open = chunk.open();
        let meant: Vec<u32> = open
            .into_iter()
            .flat_map(|(from, to)| from..to)
            .filter(|element| is_meant(chunk.part.number(*element)) && chunk.asked.insert(*element))
            .collect();
        if !meant.is_empty() {
            self.backend.cancel(id, &meant, running);
        }
        !meant.is_empty()
    }

    /// Cancels all that no worker has begun.
    pub(crate) fn cancel_queued(&mut self, after: &mut After) {
        let ids: Vec<EnvelopeId> = self.chunks.keys().copied().collect();
        let is_distant = self.backend.caps().is_distant;
        for id in ids {
            if is_distant {
                self.ask_back(id, |_| true, false);
            } else {
                self.take_back(id);
            }
        }
        for part in self.queue.drain() {
            fail_all(&part, &TaskError::Cancelled, after);
        }
    }

    /// Ends everything that has no result with an error.
    pub(crate) fn abandon(&mut self, error: &TaskError, after: &mut After) {
        for part in self.queue.drain() {
            fail_all(&part, error, after);
        }
        for (_, chunk) in self.chunks.drain() {
            for (first, end) in chunk.open() {
                let Part { work, from, .. } = &chunk.part;
                fail_all(&Part { work: Arc::clone(work), from: from + first, to: from + end }, error, after);
            }
        }
    }
}

/// That much later; of what is longer than a clock can tell, some decades.
pub(crate) fn later(now: Instant, time: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    now + time.min(LONG)
}

/// Ends all elements of a part with an error.
pub(crate) fn fail_all(part: &Part, error: &TaskError, after: &mut After) {
    for element in 0..part.len() {
        part.work.sink.failed(part.number(element), error.clone(), after);
    }
}
