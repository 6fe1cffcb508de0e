//! Workers on this machine: processes, or threads.
//!
//! Each worker has two rings of its own, so that a dying one holds nothing that others need. What it has is known here:
//! when it dies, the element that it had begun is told as lost, and those that it had not begun go to others.
//!
//! A ring holds at most one envelope beside the one under way, and that only if it will not take long.

mod end;
mod options;
mod recycle;
mod start;
mod worker;

pub use options::Init;
pub(crate) use options::{LocalOptions, WorkerKind};

use super::{BUSY, Board, IDLE, LEAVING, STARTING};
use super::{Backend, Caps, Door, Envelope, EnvelopeId, Event, Progress, Refusal, Shutdown, WorkerInfo};
use crate::engine::later;
use multiproc_core::sys::{barrier, process};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use worker::{Body, Life, Worker};

/// How long something may take behind which another envelope is put.
const SHORT: Duration = Duration::from_millis(20);

const SIGTERM: i32 = 15;

/// The backend of workers on this machine.
pub(crate) struct Local {
    options: LocalOptions,
    door: Arc<Door>,
    workers: Vec<Worker>,
    /// Workers ever started, for their names and tokens.
    started: u64,
    has_barriers: bool,
    /// How many workers there are to be.
    wanted: usize,
    /// Workers that ended in a row before which nothing was done.
    early_deaths: u32,
    /// No worker can be started, and why: until one is ready, nothing can be run.
    given_up: Option<String>,
    /// No worker is started before this.
    start_at: Instant,
    /// When resident memory was looked at last.
    sampled: Instant,
    oom_kills: Option<u64>,
    restarts: u64,
}

impl Local {
    pub(crate) fn start(options: LocalOptions, door: Arc<Door>) -> io::Result<Local> {
        let now = Instant::now();
        let wanted = options.min_workers.unwrap_or(options.workers);
        let has_barriers = options.kind == WorkerKind::Process && barrier::is_available();
        let oom_kills = if options.kind == WorkerKind::Process { process::oom_kills() } else { None };
        let mut local = Local {
            workers: Vec::with_capacity(options.workers),
            options,
            door,
            started: 0,
            has_barriers,
            wanted,
            early_deaths: 0,
            given_up: None,
            start_at: now,
            sampled: now,
            oom_kills,
            restarts: 0,
        };
        while local.workers.len() < local.wanted {
            if let Err(error) = local.start_worker() {
                local.shut_down(Shutdown::Now, None);
                return Err(error);
            }
        }
        Ok(local)
    }

    /// What workers of that kind can do.
    pub(crate) fn caps_of(kind: WorkerKind) -> Caps {
        let is_process = kind == WorkerKind::Process;
        Caps {
            kills_running: is_process,
            isolates: is_process,
            limits: is_process,
            elastic: true,
            carries_handles: true,
            recycles: true,
            is_distant: false,
        }
    }

    /// Has each worker tell what there is, and the supervisor look at whom that made its business: whoever calls this
    /// may be somebody else, during whose work the supervisor sleeps.
    fn hear(&mut self, tell: fn(&mut Worker, &mut Vec<Event>), events: &mut Vec<Event>) {
        let mut is_due = false;
        for worker in &mut self.workers {
            let (was_starting, was_ready) = (worker.life == Life::Starting, worker.life == Life::Ready);
            tell(worker, events);
            let has_come = !was_ready && worker.life == Life::Ready;
            if was_starting && has_come {
                self.early_deaths = 0;
                if self.given_up.take().is_some() {
                    events.push(Event::Impossible(None));
                }
            }
            // When it is to go was not asked while it was starting, or stopping.
            is_due |= has_come;
            // Nothing more can be exchanged with it.
            is_due |=
                worker.is_corrupt && worker.life != Life::Killed && matches!(worker.body, Body::Process(_));
        }
        if is_due {
            self.door.ring();
        }
    }

    /// The worker that has an envelope, and where it stands with it.
    fn holder(&self, id: EnvelopeId) -> Option<(usize, usize)> {
        self.workers
            .iter()
            .enumerate()
            .find_map(|(index, worker)| Some((index, worker.has.iter().position(|held| held.id == id)?)))
    }
}

impl Local {
    /// Who gets the next envelope.
    fn next_taker(&self) -> Option<usize> {
        let is_free =
            |worker: &Worker| worker.life == Life::Ready && worker.has.len() < 2 && !worker.is_corrupt;
        let free = self.workers.iter().enumerate().filter(|(_, worker)| is_free(worker));
        free.min_by_key(|(_, worker)| worker.has.len()).map(|(index, _)| index)
    }
}

impl Backend for Local {
    fn caps(&self) -> Caps {
        Local::caps_of(self.options.kind)
    }

    fn door(&self) -> &Arc<Door> {
        &self.door
    }

    fn credit(&self, expected: Option<Duration>) -> usize {
        if self.given_up.is_some() {
            return 0;
        }
        let depth = if expected.is_some_and(|expected| expected < SHORT) { 2 } else { 1 };
        self.workers.iter().filter(|w| w.life == Life::Ready).map(|w| depth - w.has.len().min(depth)).sum()
    }

    fn most(&self) -> u32 {
        let Some(most) = self.options.tasks_per_worker else { return u32::MAX };
        let given = self.next_taker().map_or(0, |index| self.workers[index].given);
        u32::try_from(most.saturating_sub(given)).unwrap_or(u32::MAX).max(1)
    }

    fn idle(&self) -> usize {
        self.workers.iter().filter(|worker| worker.life == Life::Ready && worker.has.is_empty()).count()
    }

    fn submit(&mut self, envelope: &Envelope<'_>) -> Result<(), Refusal> {
        let Some(index) = self.next_taker() else { return Err(Refusal::Busy) };
        let worker = &mut self.workers[index];
        worker.submit(envelope)?;
        if self.options.tasks_per_worker.is_some_and(|most| worker.given >= most) {
            worker.close();
            // Its replacement comes while it is at this.
            self.door.ring();
        }
        Ok(())
    }

    fn take_back(&mut self, id: EnvelopeId) -> Vec<(EnvelopeId, u32)> {
        let Some((index, _)) = self.holder(id) else { return Vec::new() };
        let has_barriers = self.has_barriers;
        // Where a filter has forbidden barriers since, nothing can be taken back.
        if has_barriers && !barrier::everywhere() {
            return Vec::new();
        }
        self.workers[index].take_back(|| has_barriers && barrier::everywhere())
    }

    fn stragglers(&self, now: Instant, patience: Duration) -> Vec<EnvelopeId> {
        let is_slow = |worker: &&Worker| now.saturating_duration_since(worker.last_answer) >= patience;
        let busy = self.workers.iter().filter(is_slow).filter_map(|worker| {
            let first = worker.has.front()?;
            // Of one whose arguments are being decoded nothing is taken: others would have to decode them anew.
            let is_decoding = worker.has_opened(first) && worker.begun(first) == 0;
            let has_more = worker.has.len() > 1 || worker.begun(first) < first.count;
            (has_more && !is_decoding).then_some(first.id)
        });
        busy.collect()
    }

    fn progress(&self, id: EnvelopeId) -> Option<Progress> {
        let (index, position) = self.holder(id)?;
        let worker = self.workers.get(index)?;
        // Only the first is under way.
        if position > 0 {
            return Some(Progress { begun: 0, running: Duration::ZERO });
        }
        Some(worker.progress(worker.has.get(position)?))
    }

    fn stop(&mut self, id: EnvelopeId, grace: Duration) {
        let Some((index, position)) = self.holder(id) else { return };
        if self.options.kind == WorkerKind::Thread && grace.is_zero() {
            tracing::debug!(target: "multiproc::pool", "a thread can only be asked to stop");
        }
        let Some(worker) = self.workers.get_mut(index) else { return };
        let Some(held) = worker.has.get(position) else { return };
        worker.ask_to_stop(held.place, worker.begun(held));
        if let Body::Process(process) = &worker.body {
            if !grace.is_zero() && process::catches(process.id(), SIGTERM.unsigned_abs()) {
                let _ = process.terminate();
            }
            worker.life = Life::Stopping(later(Instant::now(), grace));
        }
        self.door.ring();
    }

    fn collect(&mut self, events: &mut Vec<Event>) {
        self.hear(Worker::collect, events);
    }

    fn attend(&mut self, events: &mut Vec<Event>) -> Option<Instant> {
        let ready = self.door.ready();
        for index in (0..self.workers.len()).rev() {
            self.look_after(index, &ready, events);
        }
        let recycling = self.recycle();
        let refill = self.refill(events);
        let kills = self.workers.iter().filter_map(|worker| match worker.life {
            Life::Stopping(at) => Some(at),
            _ => None,
        });
        kills.chain(recycling).chain(refill).min()
    }

    fn harvest(&mut self, events: &mut Vec<Event>) {
        self.hear(Worker::harvest, events);
    }

    fn workers(&self) -> Vec<WorkerInfo> {
        let info = |worker: &Worker| WorkerInfo {
            id: worker.id(),
            name: worker.name.clone(),
            is_ready: worker.life == Life::Ready,
            has: worker.has.len(),
            done: worker.done,
            idle: Duration::from_nanos(worker.marks.idle.load(Ordering::Relaxed)),
            age: worker.started.elapsed(),
            times: worker.times.clone(),
        };
        self.workers.iter().map(info).collect()
    }

    fn restarts(&self) -> u64 {
        self.restarts
    }

    fn show(&self, board: &Board) -> usize {
        for (place, worker) in self.workers.iter().enumerate() {
            let state = match (&worker.life, worker.has.is_empty()) {
                (Life::Starting, _) => STARTING,
                (Life::Ready | Life::Stopping(_), true) => IDLE,
                (Life::Ready | Life::Stopping(_), false) => BUSY,
                (Life::Leaving | Life::Killed, _) => LEAVING,
            };
            board.seat(place, worker.id(), state, worker.done);
        }
        self.workers.len()
    }

    fn want(&mut self, tasks: usize) {
        if let Some(least) = self.options.min_workers {
            let busy = self.workers.iter().filter(|worker| !worker.has.is_empty()).count();
            let wanted = busy.saturating_add(tasks).clamp(least, self.options.workers);
            if wanted > self.wanted {
                self.wanted = wanted;
                self.door.ring();
            }
        }
    }

    fn try_shut_down(&mut self, how: Shutdown, deadline: Option<Instant>) -> bool {
        self.wait_for_all(how, deadline)
    }

    fn shut_down(&mut self, how: Shutdown, deadline: Option<Instant>) -> bool {
        self.end_all(how, deadline)
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("workers", &self.workers).finish_non_exhaustive()
    }
}
