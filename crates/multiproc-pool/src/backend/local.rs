//! Worker processes on this machine.
//!
//! Each worker has a socket of its own, so that a dying one holds nothing that others need. What lies in a worker's
//! socket is known here: when it dies, the task that it had begun (it marks it in shared memory) ends with an error,
//! and those that it had not begun go to others.
//!
//! A socket holds no more than fits its buffer, so that handing a task over never waits. How many tasks lie in it
//! follows the time that they take: one while that is not known, more when they are short.

use super::wire::{Answer, AnswerKind, IDLE, Task, WorkerArgs};
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
/// How often in a row workers may end before they have done anything, until waiting tasks are given up.
const MAX_EARLY_DEATHS: u32 = 8;
/// The longest pause before a replacement is started.
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
    /// Taken, and not handed to a worker: what a dead one had not begun, and what came while none was ready.
    waiting: VecDeque<Envelope>,
    /// Worker deaths in a row before which nothing was done.
    early_deaths: u32,
    /// No replacement is started before this.
    pause: Option<Instant>,
}

#[derive(Debug)]
struct Worker {
    process: Process<()>,
    socket: OwnedFd,
    reader: Reader,
    running: Shared<AtomicU64>,
    /// What is in its socket or under way, in order.
    has: VecDeque<(Envelope, usize)>,
    bytes: usize,
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
            pause: None,
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
        let running = Shared::new(AtomicU64::new(IDLE))?;
        self.started += 1;
        let mut builder =
            Process::builder().name(format!("{}-{}", self.options.name, self.started)).daemon(true);
        if let Some(method) = self.options.start_method {
            builder = builder.start_method(method);
        }
        if let Some(bytes) = self.options.memory_limit {
            builder = builder.memory_limit(bytes);
        }
        let process =
            builder.spawn(WorkerArgs { socket: Fd::new(theirs), running: running.clone() }, worker::run)?;
        self.workers.push(Worker {
            process,
            socket,
            reader: Reader::new(),
            running,
            has: VecDeque::new(),
            bytes: 0,
            pace: None,
            last_answer: Instant::now(),
        });
        Ok(())
    }

    /// Starts what is missing, unless it is too early after the last death.
    fn refill(&mut self, events: &mut Vec<Event>) {
        if self.workers.len() == self.options.workers
            || self.pause.is_some_and(|until| Instant::now() < until)
        {
            return;
        }
        self.pause = None;
        while self.workers.len() < self.options.workers {
            if let Err(error) = self.start_worker() {
                tracing::error!(target: "multiproc::pool", pool = self.options.name, %error, "cannot start a worker");
                self.early_death(&format!("a worker cannot be started: {error}"), events);
                break;
            }
        }
        events.push(Event::Workers(self.ids()));
    }

    /// Counts a worker that has done nothing; gives up what waits when that happens too often.
    fn early_death(&mut self, why: &str, events: &mut Vec<Event>) {
        self.early_deaths += 1;
        let pause = Duration::from_millis(1 << self.early_deaths.min(10)).min(MAX_PAUSE);
        self.pause = Some(Instant::now() + pause);
        // A worker that has proven itself will come to them in the end.
        if self.early_deaths >= MAX_EARLY_DEATHS && self.workers.iter().all(|worker| worker.pace.is_none()) {
            for envelope in self.waiting.drain(..) {
                events.push(Event::Done(envelope.id, Outcome::NoWorker(why.to_owned())));
            }
        }
    }

    /// Hands waiting envelopes to workers that have room, the least busy first.
    fn hand_out(&mut self, events: &mut Vec<Event>) {
        loop {
            let free = self
                .workers
                .iter_mut()
                .filter(|worker| worker.room() > 0)
                .min_by_key(|worker| worker.has.len());
            let Some(worker) = free else { return };
            let Some(envelope) = self.waiting.pop_front() else { return };
            let id = envelope.id;
            if let Err(why) = worker.hand(envelope) {
                events.push(Event::Done(id, Outcome::NotSent(why)));
            }
        }
    }

    /// Reads what one worker has answered, and buries it if it is dead.
    fn attend(&mut self, index: usize, ended: bool, events: &mut Vec<Event>) {
        let worker = &mut self.workers[index];
        let was_new = worker.pace.is_none();
        let stream = worker.collect(events);
        let is_new = worker.pace.is_none();
        if was_new && !is_new {
            self.early_deaths = 0;
        }
        // The socket alone does not tell of a death: a process that the worker started may hold it open.
        if stream == Stream::Open && !ended {
            return;
        }
        let worker = self.workers.swap_remove(index);
        let name = worker.process.name().to_owned();
        let (status, begun, rest) = worker.bury();
        tracing::warn!(target: "multiproc::pool", worker = name, %status, "worker died");
        rest.into_iter().rev().for_each(|envelope| self.waiting.push_front(envelope));
        if let Some(id) = begun {
            events.push(Event::Done(id, Outcome::WorkerDied(status)));
        } else if is_new {
            self.early_death(&format!("workers end before they do anything ({status})"), events);
        }
        events.push(Event::Workers(self.ids()));
    }
}

impl Backend for Local {
    fn credit(&self) -> usize {
        let room: usize = self.workers.iter().map(Worker::room).sum();
        // While workers are being replaced a few may wait here, so that a pool without any keeps asking.
        room.max(usize::from(self.workers.is_empty())).saturating_sub(self.waiting.len())
    }

    fn submit(&mut self, envelope: Envelope) {
        self.waiting.push_back(envelope);
    }

    fn poll(&mut self, bell: &Bell, deadline: Deadline, events: &mut Vec<Event>) -> io::Result<()> {
        self.refill(events);
        self.hand_out(events);
        let deadline = match (self.pause, deadline.instant()) {
            _ if !events.is_empty() => Deadline::now(),
            (Some(pause), Some(at)) => Deadline::at(pause.min(at)),
            (Some(pause), None) => Deadline::at(pause),
            (None, _) => deadline,
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
        self.refill(events);
        self.hand_out(events);
        Ok(())
    }

    fn shut_down(&mut self, how: Shutdown) {
        if how == Shutdown::Now {
            for worker in &self.workers {
                let _ = worker.process.kill();
            }
        }
        for Worker { process, socket, .. } in self.workers.drain(..) {
            // The end of its stream: there is no more to do.
            drop(socket);
            let _ = process.wait();
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Stream {
    Open,
    Ended,
}

impl Worker {
    fn limit(&self) -> usize {
        match self.pace {
            None => 1,
            Some(pace) => {
                let fit = AHEAD.as_nanos() / pace.as_nanos().max(1);
                usize::try_from(fit).unwrap_or(MAX_AHEAD).clamp(1, MAX_AHEAD)
            }
        }
    }

    fn room(&self) -> usize {
        if self.bytes >= MAX_BYTES { 0 } else { self.limit().saturating_sub(self.has.len()) }
    }

    /// Puts a task into the worker's socket.
    ///
    /// # Errors
    ///
    /// The task cannot be sent to any worker, and why.
    fn hand(&mut self, envelope: Envelope) -> Result<(), String> {
        let task = Task { id: envelope.id.0, call: envelope.call };
        if self.has.is_empty() {
            self.last_answer = Instant::now();
        }
        match parcel::send(&self.socket, &task, &envelope.arguments, false) {
            Ok(()) => {}
            // It is dead: in a moment its tasks are given to others, this one too.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                if matches!(error.kind(), io::ErrorKind::WriteZero | io::ErrorKind::WouldBlock) {
                    // Half a task may lie in its socket, which is of no use any more.
                    let _ = self.process.kill();
                }
                return Err(format!("the arguments cannot be handed over: {error}"));
            }
        }
        let bytes = OVERHEAD + envelope.arguments.bytes.len().min(32 << 10);
        self.bytes += bytes;
        self.has.push_back((envelope, bytes));
        Ok(())
    }

    /// Reads answers until there are no more for now.
    fn collect(&mut self, events: &mut Vec<Event>) -> Stream {
        loop {
            let mut parcel = match parcel::recv(&mut self.reader, &self.socket, Deadline::now()) {
                Ok(parcel) => parcel,
                Err(FrameError::TimedOut) => return Stream::Open,
                Err(_) => return Stream::Ended,
            };
            let Ok(Answer { id, outcome }) = parcel.take_head() else { return Stream::Ended };
            match self.has.front() {
                Some((envelope, _)) if envelope.id.0 == id => {}
                _ => return Stream::Ended, // an answer that nobody asked for: the task wrote on our socket
            }
            if let Some((_, bytes)) = self.has.pop_front() {
                self.bytes -= bytes;
            }
            let now = Instant::now();
            let took = now - self.last_answer;
            self.pace = Some(self.pace.map_or(took, |pace| (pace * 7 + took) / 8));
            self.last_answer = now;
            let outcome = match outcome {
                AnswerKind::Returned => Outcome::Returned(Payload::new(parcel)),
                AnswerKind::Panicked(panic) => Outcome::Panicked(panic),
                AnswerKind::NotDecoded(why) => Outcome::NotDecoded(why),
                AnswerKind::NotEncoded(why) => Outcome::NotEncoded(why),
            };
            events.push(Event::Done(TaskId(id), outcome));
        }
    }

    /// Sees the worker's end: how it ended, which task it had begun, and what else it had.
    fn bury(self) -> (ExitStatus, Option<TaskId>, VecDeque<Envelope>) {
        // A worker without a socket is of no use, alive or not.
        let _ = self.process.kill();
        let status = self.process.wait().unwrap_or_else(|_| ExitStatus::unknown());
        // RUNNING: Relaxed, see the worker.
        let running = self.running.load(Ordering::Relaxed);
        let mut rest: VecDeque<Envelope> = self.has.into_iter().map(|(envelope, _)| envelope).collect();
        let begun = rest.front().map(|envelope| envelope.id).filter(|id| id.0 == running);
        if begun.is_some() {
            rest.pop_front();
        }
        (status, begun, rest)
    }
}
