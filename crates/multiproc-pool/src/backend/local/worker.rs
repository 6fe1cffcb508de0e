//! One worker, seen from the pool.

use crate::backend::marks::{Marks, pair};
use crate::backend::wire::{AnswerHead, AnswerKind, FRAMED, TIMED, TaskHead};
use crate::backend::{Envelope, EnvelopeId, Event, Failure, Progress, Refusal, Results};
use crate::stats::WorkerTimes;
use multiproc_core::sys::clock;
use multiproc_core::{Deadline, codec};
use multiproc_process::Process;
use multiproc_queue::link::{Link, LinkError, Taken};
use multiproc_shm::Shared;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The largest buffer that is kept: asking for it again means as many page faults as it has pages.
const LARGEST_KEPT: usize = 4 << 20;
/// What is long enough not to be copied more often than it must be.
const LONG: usize = 4 << 10;

/// What a worker is.
#[derive(Debug)]
pub(super) enum Body {
    Process(Process<()>),
    /// A thread, its number, and whether it has ended.
    Thread(Option<JoinHandle<()>>, u32, Arc<AtomicBool>),
}

/// How far a worker is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It has not said that it is ready.
    Starting,
    Ready,
    /// It gets nothing more, and leaves when it has done what it has.
    Leaving,
    /// It has been asked to stop what it is running, and is killed at that time.
    Stopping(Instant),
    /// It is being killed by us.
    Killed,
}

/// An envelope in its ring, or under way.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) id: EnvelopeId,
    pub(super) place: u64,
    /// How many elements it has; fewer after some were taken back.
    pub(super) count: u32,
    /// How many of them have been answered, in their order.
    pub(super) answered: u32,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) body: Body,
    pub(super) name: String,
    pub(super) token: u64,
    tasks: Link,
    results: Link,
    pub(super) marks: Shared<Marks>,
    pub(super) has: VecDeque<Held>,
    pub(super) life: Life,
    next_place: u64,
    /// Elements that it was given, for its recycling.
    pub(super) given: u64,
    pub(super) done: u64,
    pub(super) started: Instant,
    /// When it had nothing to do any more.
    pub(super) idle_since: Instant,
    pub(super) last_answer: Instant,
    /// Why it says that it is not ready.
    pub(super) not_ready: Option<String>,
    pub(super) is_corrupt: bool,
    /// The pool's ends of the two rings as it has left them, and up to what place it took back.
    ends: (u64, u64),
    taken_back: u64,
    pub(super) times: WorkerTimes,
    taken: Taken,
    scratch: Vec<u8>,
}

/// The links and words of a worker that is to be started.
pub(super) struct Gear {
    pub(super) tasks: Link,
    pub(super) results: Link,
    pub(super) marks: Shared<Marks>,
}

impl Worker {
    pub(super) fn new(body: Body, name: String, token: u64, gear: Gear) -> Worker {
        let now = Instant::now();
        let ends = (gear.tasks.ends().0, gear.results.ends().1);
        Worker {
            body,
            name,
            token,
            tasks: gear.tasks,
            results: gear.results,
            marks: gear.marks,
            has: VecDeque::new(),
            life: Life::Starting,
            next_place: 1,
            given: 0,
            done: 0,
            started: now,
            idle_since: now,
            last_answer: now,
            not_ready: None,
            is_corrupt: false,
            ends,
            taken_back: 0,
            times: WorkerTimes::default(),
            taken: Taken::default(),
            scratch: Vec::new(),
        }
    }

    pub(super) fn id(&self) -> u32 {
        match &self.body {
            Body::Process(process) => process.id(),
            Body::Thread(_, id, _) => *id,
        }
    }

    /// Puts an envelope into its ring.
    pub(super) fn submit(&mut self, envelope: &Envelope<'_>) -> Result<(), Refusal> {
        self.scratch.clear();
        let flags = if envelope.framed { FRAMED } else { 0 } | if envelope.timed { TIMED } else { 0 };
        let head = TaskHead {
            place: self.next_place,
            count: envelope.count,
            flags,
            runner_len: envelope.runner.len() as u32,
            function_len: envelope.function.len() as u32,
        };
        head.write(&mut self.scratch);
        for part in [envelope.runner, envelope.function] {
            self.scratch.extend_from_slice(part);
        }
        let result = if envelope.arguments.len() > LONG && envelope.fds.is_empty() {
            // Long ones go from where they are into the ring.
            self.tasks.put_both(&mut self.scratch, envelope.arguments, Deadline::now())
        } else {
            self.scratch.extend_from_slice(envelope.arguments);
            self.tasks.put(&mut self.scratch, envelope.fds.to_vec(), Deadline::now())
        };
        if self.scratch.capacity() > LARGEST_KEPT {
            self.scratch = Vec::new();
        }
        match result {
            Ok(()) => {}
            Err(LinkError::Failed(error)) => return Err(Refusal::NotSent(error.to_string())),
            Err(LinkError::Corrupt(_)) => {
                self.is_corrupt = true;
                return Err(Refusal::Busy);
            }
            Err(LinkError::Busy | LinkError::Closed) => return Err(Refusal::Busy),
        }
        self.ends.0 = self.tasks.ends().0;
        let now = Instant::now();
        if self.has.is_empty() {
            self.last_answer = now;
        }
        // What makes it ready is not an envelope of anybody's.
        if envelope.count > 0 {
            if self.has.is_empty() {
                self.times.idle.add(now.saturating_duration_since(self.idle_since), 1);
            }
            self.times.wait.add(envelope.waited, envelope.count.into());
            self.has.push_back(Held {
                id: envelope.id,
                place: self.next_place,
                count: envelope.count,
                answered: 0,
            });
        }
        self.given += u64::from(envelope.count);
        self.next_place += 1;
        Ok(())
    }

    /// Tells it that there will be no more.
    pub(super) fn close(&mut self) {
        self.tasks.close();
        if self.life == Life::Ready || self.life == Life::Starting {
            self.life = Life::Leaving;
        }
    }

    /// Collects what it has answered.
    pub(super) fn collect(&mut self, events: &mut Vec<Event>) {
        while !self.is_corrupt && !self.results.is_empty() {
            let mut taken = std::mem::take(&mut self.taken);
            match self.results.take(64, Deadline::now(), &mut taken) {
                Ok(()) => taken.for_each(|bytes, fds| self.answered(bytes, fds, events)),
                Err(LinkError::Busy) => break,
                Err(_) => self.is_corrupt = true,
            }
            self.ends.1 = self.results.ends().1;
            self.taken = taken;
        }
    }

    /// Looks whether what only the pool writes is as the pool has left it, which a task may have written over. Then its
    /// worker could wait for ever for what was done long ago; but for the marks, which are put right.
    pub(super) fn inspect(&mut self) {
        self.is_corrupt |= self.ends != (self.tasks.ends().0, self.results.ends().1);
        self.put_right();
    }

    fn put_right(&self) {
        if self.marks.taken_back.load(Ordering::Relaxed) != self.taken_back {
            self.marks.taken_back.store(self.taken_back, Ordering::Relaxed);
        }
    }

    fn answered(&mut self, bytes: &[u8], fds: io::Result<Vec<OwnedFd>>, events: &mut Vec<Event>) {
        let Some((head, body)) = AnswerHead::read(bytes) else {
            self.is_corrupt = true;
            return;
        };
        self.last_answer = Instant::now();
        match head.kind {
            AnswerKind::Ready => {
                if self.life == Life::Starting {
                    self.life = Life::Ready;
                    self.idle_since = self.last_answer;
                    events.push(Event::Changed);
                }
                return;
            }
            AnswerKind::NotReady => {
                self.not_ready = Some(String::from_utf8_lossy(body).into_owned());
                return;
            }
            _ => {}
        }
        let text = || String::from_utf8_lossy(body).into_owned();
        let failure = match head.kind {
            AnswerKind::Returned => {
                self.results_of(head, body, fds, events);
                return;
            }
            AnswerKind::Panicked => match codec::decode(body, Vec::new()) {
                Ok(panic) => Failure::Panicked(panic),
                Err(error) => Failure::NotDecoded(format!("its panic cannot be read: {error}")),
            },
            AnswerKind::NotDecoded => Failure::NotDecoded(text()),
            AnswerKind::NotEncoded => Failure::NotEncoded(text()),
            AnswerKind::Skipped => {
                self.skipped(&head, events);
                return;
            }
            AnswerKind::Undecodable => {
                if let Some(index) = self.has.iter().position(|held| held.place == head.place)
                    && let Some(held) = self.has.remove(index)
                {
                    events.push(Event::Undecodable(held.id));
                }
                self.rest();
                return;
            }
            AnswerKind::Ready | AnswerKind::NotReady => return,
        };
        if let Some(id) = self.advance(head.place, head.first, 1) {
            events.push(Event::Failed { id, element: head.first, failure });
        }
    }

    fn results_of(
        &mut self,
        head: AnswerHead,
        body: &[u8],
        fds: io::Result<Vec<OwnedFd>>,
        events: &mut Vec<Event>,
    ) {
        let Some(held) = self.has.iter().find(|held| held.place == head.place) else { return };
        let (answered, end) = (held.answered, head.first.saturating_add(head.count));
        if head.first > answered || end > held.count || head.count == 0 {
            self.is_corrupt = true;
            return;
        }
        if head.serializing > 0 && held.count > 0 {
            let each = u64::from(head.serializing) / u64::from(held.count);
            self.times.serialize.add(Duration::from_nanos(each), held.count.into());
        }
        // What was taken out of the journal has been told: only the others are new.
        let known = (answered - head.first).min(head.count);
        if let Some(id) = self.advance(head.place, answered, head.count - known)
            && known < head.count
        {
            let new = u64::from(head.count - known);
            self.times.run.add(Duration::from_nanos(head.nanos / new), new);
            let (first, count, bytes) = (head.first, head.count, body.to_vec());
            events.push(Event::Results(Results { id, first, count, known, bytes, fds, nanos: head.nanos }));
        }
    }

    /// It has run nothing of a chunk from an element on, whatever its marks looked like when that was taken back: it
    /// may have been at the next chunk by then.
    fn skipped(&mut self, head: &AnswerHead, events: &mut Vec<Event>) {
        self.put_right();
        let Some(index) = self.has.iter().position(|held| held.place == head.place) else { return };
        if self.has[index].answered != head.first {
            self.is_corrupt = true;
            return;
        }
        if let Some(held) = self.has.remove(index) {
            let (first, count) = (head.first, held.count - head.first);
            events.push(Event::GivenBack { id: held.id, first, count });
        }
        self.rest();
    }

    /// Counts elements as answered, if they are the next ones.
    fn advance(&mut self, place: u64, first: u32, count: u32) -> Option<EnvelopeId> {
        let index = self.has.iter().position(|held| held.place == place)?;
        let held = &mut self.has[index];
        if first != held.answered || count > held.count - held.answered {
            self.is_corrupt = true;
            return None;
        }
        held.answered += count;
        let id = held.id;
        self.done += u64::from(count);
        if held.answered == held.count {
            self.has.remove(index);
        }
        self.rest();
        Some(id)
    }

    /// Notes that it has nothing to do, if so.
    fn rest(&mut self) {
        if self.has.is_empty() {
            self.idle_since = Instant::now();
            if matches!(self.life, Life::Stopping(_)) {
                // It stopped in time.
                self.marks.stop.store(0, Ordering::Relaxed);
                self.life = Life::Ready;
            }
        }
    }

    /// What it has not sent yet, while it runs another element or after its death.
    pub(super) fn harvest(&mut self, events: &mut Vec<Event>) {
        self.inspect();
        if self.is_corrupt {
            return;
        }
        let Some(found) = self.marks.journal() else { return };
        let Some(held) = self.has.iter().find(|held| held.place as u32 == found.place) else { return };
        let end = found.first.saturating_add(found.count);
        if found.first > held.answered || end <= held.answered || end > held.count {
            return;
        }
        let (place, id, answered) = (held.place, held.id, held.answered);
        if self.advance(place, answered, end - answered).is_some() {
            let (first, count, known) = (found.first, found.count, answered - found.first);
            let (bytes, fds) = (found.bytes, Ok(Vec::new()));
            // How long they took is told with those that come after them.
            self.times.run.add(Duration::ZERO, u64::from(count - known));
            events.push(Event::Results(Results { id, first, count, known, bytes, fds, nanos: 0 }));
        }
    }

    /// How many elements of a held envelope have been begun.
    pub(super) fn begun(&self, held: &Held) -> u32 {
        if self.is_corrupt {
            // Its marks tell nothing. All of the first that is not answered may have been run, and none behind it.
            let is_first = self.has.front().is_some_and(|first| first.place == held.place);
            return if is_first { held.count } else { held.answered };
        }
        let (place, begun) = self.marks.begun();
        if place == held.place as u32 {
            begun.clamp(held.answered, held.count)
        } else if place.wrapping_sub(held.place as u32) < 1 << 31 {
            // It is at one behind this: all of this was run, and its last answers are on their way. Or it was taken
            // back in this very moment, and the answer that says so is.
            held.count
        } else {
            held.answered
        }
    }

    /// Tells whether a held envelope is the one that it looked at last.
    pub(super) fn has_opened(&self, held: &Held) -> bool {
        self.marks.begun().0 == held.place as u32
    }

    pub(super) fn progress(&self, held: &Held) -> Progress {
        let begun = self.begun(held);
        let since = self.marks.since.load(Ordering::Relaxed);
        let running = if begun > held.answered { clock::nanos().saturating_sub(since) } else { 0 };
        Progress { begun, running: Duration::from_nanos(running) }
    }

    /// Has it run nothing more of what it has; tells how many elements of each envelope have been begun.
    ///
    /// `passed` is [`Marks::take_back`]'s.
    pub(super) fn take_back(&mut self, passed: impl FnOnce() -> bool) -> Vec<(EnvelopeId, u32)> {
        self.taken_back = self.next_place - 1;
        self.marks.take_back(self.taken_back, passed);
        let begun: Vec<(EnvelopeId, u32)> = self.has.iter().map(|held| (held.id, self.begun(held))).collect();
        for (held, (_, begun)) in self.has.iter_mut().zip(&begun) {
            held.count = *begun;
        }
        self.has.retain(|held| held.answered < held.count);
        if self.has.is_empty() {
            self.idle_since = Instant::now();
        }
        begun
    }

    /// Raises the flag for the element that is running.
    pub(super) fn ask_to_stop(&self, place: u64, begun: u32) {
        self.marks.stop.store(pair(place, begun), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
