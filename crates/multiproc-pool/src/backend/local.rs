//! Worker processes on this machine.
//!
//! Each worker has a socket of its own, so that a dying one holds nothing that others need. What lies in a worker's
//! socket is known here: when it dies, the task that it had begun (it marks it in shared memory) ends with an error,
//! and those that it had not begun go to others. They also go to others when the worker is busy with a long task
//! while another has nothing to do.
//!
//! A socket holds no more than fits its buffer, so that handing a task over never waits. How many tasks lie in it
//! follows the time that they take: one while that is not known, more when they are short.

use super::wire::{Answer, AnswerKind, Marks, Task, WorkerArgs};
use super::{Backend, Envelope, Event, Outcome, Payload, Shutdown, TaskId, worker};
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::{Bell, Deadline};
use multiproc_pipe::Fd;
use multiproc_pipe::frame::{FrameError, Reader};
use multiproc_pipe::parcel;
use multiproc_process::{ExitStatus, Process, StartMethod};
use multiproc_shm::Shared;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Work that may lie in a worker's socket.
const AHEAD: Duration = Duration::from_micros(500);
/// The most tasks in a worker's socket.
const MAX_AHEAD: usize = 32;
/// The most bytes in a worker's socket; a parcel has at most 32 KiB and the system's buffers hold about 200.
const MAX_BYTES: usize = 64 << 10;
/// What a task costs in a socket's buffer beside its bytes.
const OVERHEAD: usize = 1 << 10;
/// What a descriptor counts for: those that are in flight are limited for all of a user's processes together.
const DESCRIPTOR: usize = 4 << 10;
/// How long a task runs before those behind it are given to a worker that has nothing to do.
const PATIENCE: Duration = Duration::from_millis(1);
/// How many workers may end before they begin a task, until it is given up.
const MAX_TRIES: u32 = 5;
/// How many workers in a row may end before they have done anything, until every task is given up.
const MAX_EARLY_DEATHS: u32 = 8;
/// The pause after a want of descriptors that will pass, and the longest before a replacement is started.
const PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How workers are made.
#[derive(Clone, Debug)]
pub(crate) struct LocalOptions {
    pub(crate) workers: usize,
    pub(crate) name: String,
    pub(crate) start_method: Option<StartMethod>,
    pub(crate) memory_limit: Option<u64>,
}

/// The backend of worker processes on this machine.
#[derive(Debug)]
pub(crate) struct Local {
    options: LocalOptions,
    workers: Vec<Worker>,
    /// Workers ever started, for their names.
    started: u64,
    /// Taken, and not in a worker's socket.
    waiting: VecDeque<Held>,
    /// Workers that ended in a row before which nothing was done.
    early_deaths: u32,
    /// No worker can be started, and why: until one has done something, tasks are refused.
    given_up: Option<String>,
    /// No worker is started before this.
    start_at: Instant,
    /// No task is handed out before this.
    hand_at: Instant,
}

/// A task that has not been answered.
#[derive(Debug)]
struct Held {
    envelope: Envelope,
    /// Workers that ended before they began it.
    tries: u32,
}

#[derive(Debug)]
struct Worker {
    process: Process<()>,
    socket: OwnedFd,
    reader: Reader,
    marks: Shared<Marks>,
    /// What is in its socket or under way, in order, each with its place in the worker's stream and its weight.
    has: VecDeque<(u64, usize, Held)>,
    next_place: u64,
    weight: usize,
    /// How long a task takes, averaged over the last few; `None` while nothing has been done.
    pace: Option<Duration>,
    last_answer: Instant,
}

impl Local {
    pub(crate) fn start(options: LocalOptions) -> io::Result<Local> {
        let mut local = Local {
            workers: Vec::with_capacity(options.workers),
            options,
            started: 0,
            waiting: VecDeque::new(),
            early_deaths: 0,
            given_up: None,
            start_at: Instant::now(),
            hand_at: Instant::now(),
        };
        while local.workers.len() < local.options.workers {
            if let Err(error) = local.start_worker() {
                local.shut_down(Shutdown::Now);
                return Err(error);
            }
        }
        Ok(local)
    }

    pub(crate) fn ids(&self) -> Vec<u32> {
        self.workers.iter().map(|worker| worker.process.id()).collect()
    }

    fn start_worker(&mut self) -> io::Result<()> {
        let (socket, theirs) = fd::with_descriptors(fd::socket_pair)?;
        let marks = Shared::new(Marks { begun: AtomicU64::new(0), taken_back: AtomicU64::new(0) })?;
        self.started += 1;
        let mut builder =
            Process::builder().name(format!("{}-{}", self.options.name, self.started)).daemon(true);
        if let Some(method) = self.options.start_method {
            builder = builder.start_method(method);
        }
        if let Some(bytes) = self.options.memory_limit {
            builder = builder.memory_limit(bytes);
        }
        let args = WorkerArgs { socket: Fd::new(theirs), marks: marks.clone() };
        let process = builder.spawn(args, worker::run)?;
        self.workers.push(Worker {
            process,
            socket,
            reader: Reader::new(),
            marks,
            has: VecDeque::new(),
            next_place: 1,
            weight: 0,
            pace: None,
            last_answer: Instant::now(),
        });
        Ok(())
    }

    /// Starts what is missing, unless it is too early after the last death.
    fn refill(&mut self, events: &mut Vec<Event>) {
        if self.workers.len() == self.options.workers || Instant::now() < self.start_at {
            return;
        }
        while self.workers.len() < self.options.workers {
            if let Err(error) = self.start_worker() {
                tracing::error!(target: "multiproc::pool", pool = self.options.name, %error, "cannot start a worker");
                self.early_death(&format!("a worker cannot be started: {error}"));
                break;
            }
        }
        events.push(Event::Workers(self.ids()));
    }

    /// Counts a worker that has done nothing; gives up when that happens too often.
    fn early_death(&mut self, why: &str) {
        self.early_deaths += 1;
        let pause = Duration::from_millis(1 << self.early_deaths.min(10)).min(MAX_PAUSE);
        self.start_at = Instant::now() + pause;
        // A worker that has proven itself will come to the tasks in the end.
        if self.early_deaths >= MAX_EARLY_DEATHS && self.workers.iter().all(|worker| worker.pace.is_none()) {
            self.given_up = Some(why.to_owned());
        }
    }

    /// Hands waiting tasks to workers that have room, the least busy first.
    fn hand_out(&mut self, events: &mut Vec<Event>) {
        if let Some(why) = &self.given_up {
            let refused = self.waiting.drain(..).map(|held| held.envelope.id);
            events.extend(refused.map(|id| Event::Done(id, Outcome::NoWorker(why.clone()))));
            return;
        }
        while Instant::now() >= self.hand_at {
            let under_way = self.workers.iter().any(|worker| !worker.has.is_empty());
            let free = self
                .workers
                .iter_mut()
                .filter(|worker| worker.room() > 0)
                .min_by_key(|worker| worker.has.len());
            let Some(worker) = free else { return };
            let Some(held) = self.waiting.pop_front() else { return };
            let id = held.envelope.id;
            match worker.hand(held) {
                Ok(()) => {}
                // Descriptors in flight are counted for the whole user: they become fewer when ours are received.
                Err((held, error)) if under_way && fd::is_out_of_descriptors(&error) => {
                    self.waiting.push_front(held);
                    self.hand_at = Instant::now() + PAUSE;
                }
                Err((_, error)) => {
                    let why = format!("the arguments cannot be handed over: {error}");
                    events.push(Event::Done(id, Outcome::NotSent(why)));
                }
            }
        }
    }

    /// Takes tasks back from workers that are busy with another one, if some worker has nothing to do; tells when to
    /// look again.
    fn balance(&mut self) -> Option<Instant> {
        let idle = self.workers.iter().any(|worker| worker.has.is_empty());
        if !idle || !self.waiting.is_empty() {
            return None;
        }
        let mut look = None;
        for worker in &mut self.workers {
            if worker.has.len() < 2 {
                continue;
            }
            let due = worker.last_answer + PATIENCE;
            if due > Instant::now() {
                look = Some(look.map_or(due, |look: Instant| look.min(due)));
            } else {
                self.waiting.extend(worker.take_back());
            }
        }
        look
    }

    /// Reads what one worker has answered, and buries it if it is dead.
    fn attend(&mut self, index: usize, ended: bool, events: &mut Vec<Event>) {
        let worker = &mut self.workers[index];
        let was_new = worker.pace.is_none();
        let stream = worker.collect(events);
        let is_new = worker.pace.is_none();
        if was_new && !is_new {
            self.early_deaths = 0;
            self.given_up = None;
        }
        // The socket alone does not tell of a death: a process that the worker started may hold it open.
        if matches!(stream, Stream::Open) && !ended {
            return;
        }
        let worker = self.workers.swap_remove(index);
        let name = worker.process.name().to_owned();
        let Buried { status, why, begun, rest } = worker.bury();
        tracing::warn!(target: "multiproc::pool", worker = name, %status, why, "worker died");
        let blamed = !begun.is_empty();
        for id in begun {
            events.push(Event::Done(id, Outcome::WorkerDied(status)));
        }
        let mut first = true;
        for mut held in rest.into_iter().rev().collect::<Vec<_>>() {
            // The one that was next may be what it died of.
            held.tries += u32::from(!blamed && std::mem::take(&mut first));
            self.waiting.push_front(held);
        }
        if !blamed
            && let Some(held) = self.waiting.front()
            && held.tries >= MAX_TRIES
        {
            let why = format!("{MAX_TRIES} workers ended before they could begin it: {why}");
            events.push(Event::Done(held.envelope.id, Outcome::NoWorker(why)));
            self.waiting.pop_front();
        }
        if !blamed && is_new {
            self.early_death(&format!("workers end before they do anything: {why}"));
        }
        events.push(Event::Workers(self.ids()));
    }
}

impl Backend for Local {
    fn credit(&self) -> usize {
        if self.given_up.is_some() {
            return usize::MAX;
        }
        let room: usize = self.workers.iter().map(Worker::room).sum();
        room.saturating_sub(self.waiting.len())
    }

    fn submit(&mut self, envelope: Envelope) {
        self.waiting.push_back(Held { envelope, tries: 0 });
    }

    fn take_back(&mut self, id: TaskId) -> bool {
        if let Some(index) = self.waiting.iter().position(|held| held.envelope.id == id) {
            self.waiting.remove(index);
            return true;
        }
        let holder =
            self.workers.iter_mut().find(|worker| worker.has.iter().any(|(.., held)| held.envelope.id == id));
        let Some(worker) = holder else { return false };
        let mut back = worker.take_back();
        let before = back.len();
        back.retain(|held| held.envelope.id != id);
        let found = back.len() < before;
        back.into_iter().rev().for_each(|held| self.waiting.push_front(held));
        found
    }

    fn poll(&mut self, bell: &Bell, deadline: Deadline, events: &mut Vec<Event>) -> io::Result<()> {
        self.refill(events);
        self.hand_out(events);
        let look = self.balance();
        self.hand_out(events);
        let deadline = if events.is_empty() {
            let start = (self.workers.len() < self.options.workers).then_some(self.start_at);
            let hand = (!self.waiting.is_empty()).then_some(self.hand_at).filter(|at| *at > Instant::now());
            let wishes = [look, start, hand, deadline.instant()];
            wishes.into_iter().flatten().min().map_or(Deadline::NEVER, Deadline::at)
        } else {
            Deadline::now()
        };
        let polled: Vec<_> = [bell.as_fd()]
            .into_iter()
            .chain(self.workers.iter().flat_map(|worker| [worker.socket.as_fd(), worker.process.as_fd()]))
            .map(|fd| (fd, Interest::Read))
            .collect();
        let ready = fd::poll(&polled, deadline)?;
        // From the last to the first, since one that is buried gives its place to the last.
        for index in (0..self.workers.len()).rev() {
            let (socket, process) = (ready[1 + 2 * index], ready[2 + 2 * index]);
            if socket || process {
                self.attend(index, process, events);
            }
        }
        Ok(())
    }

    fn shut_down(&mut self, how: Shutdown) {
        if how == Shutdown::Now {
            for worker in &self.workers {
                let _ = worker.process.kill();
            }
        }
        // The end of their streams: there is no more to do. All of them first, so that they leave side by side.
        let processes: Vec<_> = self.workers.drain(..).map(|worker| worker.process).collect();
        for process in processes {
            let _ = process.wait();
        }
    }
}

#[derive(Debug)]
enum Stream {
    Open,
    Ended,
}

/// What is left of a worker.
struct Buried {
    status: ExitStatus,
    /// What it said of its end, or how it ended.
    why: String,
    /// The tasks that it had begun: one, or more where answers were lost.
    begun: Vec<TaskId>,
    rest: VecDeque<Held>,
}

impl Worker {
    /// How many more tasks may be put into its socket.
    fn room(&self) -> usize {
        let limit = match self.pace {
            None => 1,
            Some(pace) => {
                let fit = AHEAD.as_nanos() / pace.as_nanos().max(1);
                usize::try_from(fit).unwrap_or(MAX_AHEAD).clamp(1, MAX_AHEAD)
            }
        };
        if self.weight >= MAX_BYTES { 0 } else { limit.saturating_sub(self.has.len()) }
    }

    /// Puts a task into the worker's socket, or gives it back with the reason why it cannot be sent.
    fn hand(&mut self, held: Held) -> Result<(), (Held, io::Error)> {
        let Envelope { call, arguments, .. } = &held.envelope;
        let task = Task { place: self.next_place, call: *call };
        match parcel::send(&self.socket, &task, arguments, false) {
            Ok(()) => {}
            // It is dead: in a moment its tasks are given to others, this one too.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                if matches!(error.kind(), io::ErrorKind::WriteZero | io::ErrorKind::WouldBlock) {
                    // Half a task may lie in its socket, which is of no use any more.
                    let _ = self.process.kill();
                }
                return Err((held, error));
            }
        }
        if self.has.is_empty() {
            self.last_answer = Instant::now();
        }
        let weight = OVERHEAD + arguments.bytes.len().min(32 << 10) + arguments.fds.len() * DESCRIPTOR;
        self.weight += weight;
        self.has.push_back((self.next_place, weight, held));
        self.next_place += 1;
        Ok(())
    }

    /// Takes back what the worker has not begun.
    fn take_back(&mut self) -> VecDeque<Held> {
        // TAKE-BACK: SeqCst, partner of `worker::run`. Each side writes its own word and then reads the other's: what
        // we do not see begun here, the worker will see taken back.
        self.marks.taken_back.store(self.next_place - 1, Ordering::SeqCst);
        let begun = self.marks.begun.load(Ordering::SeqCst);
        let at = self.has.iter().position(|(place, ..)| *place > begun).unwrap_or(self.has.len());
        let back: VecDeque<_> = self.has.split_off(at);
        self.weight -= back.iter().map(|(_, weight, _)| weight).sum::<usize>();
        back.into_iter().map(|(.., held)| held).collect()
    }

    /// Reads answers until there are no more for now.
    fn collect(&mut self, events: &mut Vec<Event>) -> Stream {
        loop {
            let mut parcel = match parcel::recv(&mut self.reader, &self.socket, Deadline::now()) {
                Ok(parcel) => parcel,
                Err(FrameError::TimedOut) => return Stream::Open,
                Err(FrameError::Eof | FrameError::Torn { .. }) => return Stream::Ended,
                Err(error) => {
                    // An answer came, and cannot be read: its task is done, and must not be done again.
                    if let Some((_, weight, held)) = self.has.pop_front() {
                        self.weight -= weight;
                        let why = format!("the answer cannot be received: {error}");
                        events.push(Event::Done(held.envelope.id, Outcome::NotReceived(why)));
                    }
                    return Stream::Ended;
                }
            };
            let Ok(Answer { place, outcome }) = parcel.take_head() else { return Stream::Ended };
            let known = self.has.front().is_some_and(|(front, ..)| *front == place);
            if !known {
                if matches!(outcome, AnswerKind::Skipped) {
                    continue; // taken back, and with another worker by now
                }
                return Stream::Ended; // an answer that nobody asked for: the task wrote on our socket
            }
            let Some((_, weight, held)) = self.has.pop_front() else { return Stream::Ended };
            self.weight -= weight;
            let now = Instant::now();
            let took = now - self.last_answer;
            self.last_answer = now;
            let outcome = match outcome {
                AnswerKind::Skipped => {
                    events.push(Event::Returned(held.envelope));
                    continue;
                }
                AnswerKind::Returned => Outcome::Returned(Payload::new(parcel)),
                AnswerKind::Panicked(panic) => Outcome::Panicked(panic),
                AnswerKind::NotDecoded(why) => Outcome::NotDecoded(why),
                AnswerKind::NotEncoded(why) => Outcome::NotEncoded(why),
            };
            self.pace = Some(self.pace.map_or(took, |pace| (pace * 7 + took) / 8));
            events.push(Event::Done(held.envelope.id, outcome));
        }
    }

    /// Sees the worker's end.
    fn bury(self) -> Buried {
        // A worker without a socket is of no use, alive or not.
        let _ = self.process.kill();
        let status = self.process.wait().unwrap_or_else(|_| ExitStatus::unknown());
        // Relaxed: what a dead process has written is in memory in the order of its program.
        let begun_place = self.marks.begun.load(Ordering::Relaxed);
        let (begun, rest): (Vec<_>, Vec<_>) =
            self.has.into_iter().partition(|(place, ..)| *place <= begun_place);
        Buried {
            status,
            why: self.process.join().err().map_or_else(|| status.to_string(), |error| error.to_string()),
            begun: begun.into_iter().map(|(.., held)| held.envelope.id).collect(),
            rest: rest.into_iter().map(|(.., held)| held).collect(),
        }
    }
}
