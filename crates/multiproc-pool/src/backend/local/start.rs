//! How workers come, and come again.

use super::worker::{Body, Gear, Life, Worker};
use super::{Local, WorkerKind};
use crate::backend::marks::Marks;
use crate::backend::wire::WorkerArgs;
use crate::backend::{Envelope, EnvelopeId, Event};
use crate::worker::{self, Runner};
use multiproc_core::codec;
use multiproc_pipe::Fd;
use multiproc_process::Process;
use multiproc_queue::link::Link;
use multiproc_shm::Shared;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many records a ring holds: envelopes are at most two, answers wait for room.
const CAPACITY: u32 = 256;
/// How many workers in a row may end before they are ready, until everything is refused.
const MAX_EARLY_DEATHS: u32 = 8;
/// The longest pause before a replacement is started.
const MAX_PAUSE: Duration = Duration::from_secs(1);

impl Local {
    /// Starts one more worker.
    pub(super) fn start_worker(&mut self) -> io::Result<()> {
        let number = self.started + 1;
        let name = format!("{}-{number}", self.options.name);
        let (tasks, results, marks) =
            (Link::new(CAPACITY)?, Link::new(CAPACITY)?, Shared::new(Marks::new())?);
        let gear = Gear { tasks, results, marks };
        let body = match self.options.kind {
            WorkerKind::Process => Body::Process(self.start_process(&name, &gear)?),
            WorkerKind::Thread => self.start_thread(&name, number as u32, &gear)?,
        };
        self.started = number;
        let mut worker = Worker::new(body, name, number, gear);
        if let Body::Process(process) = &worker.body {
            self.door.watch(process.as_fd(), number)?;
        }
        self.set_up(&mut worker)?;
        self.workers.push(worker);
        Ok(())
    }

    fn start_process(&self, name: &str, gear: &Gear) -> io::Result<Process<()>> {
        let mut builder = Process::builder().name(name.to_owned()).daemon(true);
        if let Some(method) = self.options.start_method {
            builder = builder.start_method(method);
        }
        if let Some(bytes) = self.options.memory_limit {
            builder = builder.memory_limit(bytes);
        }
        if let Some(cpus) = &self.options.pinned
            && let Some(cpu) = cpus.get(self.started as usize % cpus.len().max(1))
        {
            builder = builder.cpu_affinity(&[*cpu]);
        }
        for (key, value) in &self.options.env {
            builder = builder.env(key, value);
        }
        Ok(builder.spawn(self.args(gear)?, worker::process)?)
    }

    fn args(&self, gear: &Gear) -> io::Result<WorkerArgs> {
        let (board, bell) = self.door.half()?;
        Ok(WorkerArgs {
            tasks: gear.tasks.another()?,
            results: gear.results.another()?,
            marks: gear.marks.clone(),
            board,
            bell: Fd::new(bell),
            has_barriers: self.has_barriers,
        })
    }

    fn start_thread(&self, name: &str, id: u32, gear: &Gear) -> io::Result<Body> {
        let args = self.args(gear)?;
        let ended = Arc::new(AtomicBool::new(false));
        let (flag, door) = (Ended(Arc::clone(&ended)), Arc::clone(&self.door));
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let flag = flag;
            worker::work(args);
            drop(flag);
            door.ring();
        })?;
        Ok(Body::Thread(Some(thread), id, ended))
    }

    /// Has the worker make its state, or say that it is there.
    fn set_up(&self, worker: &mut Worker) -> io::Result<()> {
        let nothing = Runner::new(worker::ready);
        let runner = match &self.options.init {
            Some(init) => init.runner.clone(),
            None => codec::encode(&nothing).map_err(io::Error::other)?.bytes,
        };
        let init = self.options.init.as_ref();
        let envelope = Envelope {
            id: EnvelopeId(0),
            runner: &runner,
            function: init.map_or(&[], |init| &init.function),
            count: 0,
            arguments: init.map_or(&[], |init| &init.arguments.bytes),
            fds: init.map_or(&[], |init| &init.arguments.fds),
            // Says that there is no state to be made.
            framed: init.is_none(),
            timed: false,
            ends: &[],
            start: 0,
            timeout: None,
            grace: Duration::ZERO,
            waited: Duration::ZERO,
            attempt: 0,
        };
        worker
            .submit(&envelope)
            .map_err(|refusal| io::Error::other(format!("a worker's first task: {refusal:?}")))
    }

    /// Starts what is missing, unless it is too early after the last death; tells when to look again.
    pub(super) fn refill(&mut self, events: &mut Vec<Event>) -> Option<Instant> {
        let present = self.workers.iter().filter(|worker| worker.life != Life::Leaving).count();
        if present >= self.wanted {
            return None;
        }
        if Instant::now() < self.start_at {
            return Some(self.start_at);
        }
        for _ in present..self.wanted {
            if let Err(error) = self.start_worker() {
                tracing::error!(target: "multiproc::pool", pool = self.options.name, %error, "cannot start a worker");
                self.early_death(&format!("a worker cannot be started: {error}"), events);
                break;
            }
        }
        events.push(Event::Changed);
        (self.workers.len() < self.wanted).then_some(self.start_at)
    }

    /// Counts a worker that has done nothing; gives up when that happens too often.
    pub(super) fn early_death(&mut self, why: &str, events: &mut Vec<Event>) {
        self.early_deaths += 1;
        let pause = Duration::from_millis(1 << self.early_deaths.min(10)).min(MAX_PAUSE);
        self.start_at = Instant::now() + pause;
        // A worker that has proven itself will come to the tasks in the end.
        if self.early_deaths >= MAX_EARLY_DEATHS && self.workers.iter().all(|w| w.life == Life::Starting) {
            self.give_up(why, events);
        }
    }

    pub(super) fn give_up(&mut self, why: &str, events: &mut Vec<Event>) {
        self.given_up = Some(why.to_owned());
        events.push(Event::Impossible(Some(why.to_owned())));
    }
}

/// Says that a thread has ended, however it does.
struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        // Release: partner of the Acquire in `Local::look_after`.
        self.0.store(true, Ordering::Release);
    }
}
