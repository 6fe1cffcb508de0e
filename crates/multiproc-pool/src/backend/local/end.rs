//! How workers end, and what is told of it.

use super::worker::{Body, Life, Worker};
use super::{Local, Shutdown};
use crate::backend::Event;
use crate::death::{Cause, WorkerStatus};
use multiproc_core::sys::{child, process};
use multiproc_process::{ExitStatus, JoinError, Process};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const SIGKILL: i32 = 9;
/// Signals of one's own doing: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS.
const CRASHES: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];
const SIGABRT: i32 = 6;

/// Kills a worker process and whatever it has started.
fn kill(process: &Process<()>) {
    // Its number is its own still: it has not been waited for.
    let _ = process::signal_group(process.id(), SIGKILL);
    let _ = process.kill();
}

/// What a worker said that could not begin.
fn why_not_started(body: Body) -> Option<String> {
    match body {
        Body::Process(process) => match process.join() {
            Err(JoinError::NotStarted { message }) => Some(message),
            _ => None,
        },
        Body::Thread(..) => None,
    }
}

impl Local {
    /// Kills a worker whose time is up, and buries one that is dead.
    pub(super) fn look_after(&mut self, index: usize, ready: &[u64], events: &mut Vec<Event>) {
        let worker = &mut self.workers[index];
        let is_late = matches!(worker.life, Life::Stopping(at) if at <= Instant::now());
        if let Body::Process(process) = &worker.body
            && (is_late || worker.is_corrupt && worker.life != Life::Killed)
        {
            kill(process);
            worker.life = Life::Killed;
        }
        let has_ended = match &worker.body {
            Body::Process(_) => ready.contains(&worker.token),
            // Acquire: partner of the Release in the drop of `Ended`.
            Body::Thread(_, _, ended) => ended.load(Ordering::Acquire),
        };
        if has_ended {
            self.bury(index, events);
        }
    }

    fn bury(&mut self, index: usize, events: &mut Vec<Event>) {
        let mut worker = self.workers.swap_remove(index);
        // What it had told, and what it had written down.
        worker.inspect();
        worker.collect(events);
        worker.harvest(events);
        let status = self.status_of(&mut worker);
        let is_early = worker.life == Life::Starting;
        let is_in_order = worker.life == Life::Leaving && worker.has.is_empty();
        if is_in_order {
            tracing::debug!(target: "multiproc::pool", worker = worker.name, %status, "worker left");
        } else {
            self.restarts += 1;
            tracing::warn!(target: "multiproc::pool", worker = worker.name, %status, "worker died");
        }
        let death = Arc::new(status);
        for held in &worker.has {
            let (id, begun, opened) = (held.id, worker.begun(held), worker.has_opened(held));
            events.push(Event::Lost { id, begun, opened, death: Arc::clone(&death) });
        }
        if let Some(why) = &worker.not_ready {
            self.start_at = Instant::now() + Duration::from_secs(1);
            self.give_up(&format!("the initializer failed: {why}"), events);
        } else if is_early && status.cause() != Cause::Killed {
            let why = why_not_started(worker.body).unwrap_or_else(|| status.to_string());
            self.early_death(&format!("workers end before they can begin: {why}"), events);
        }
        events.push(Event::Changed);
    }

    fn status_of(&mut self, worker: &mut Worker) -> WorkerStatus {
        let process = match &mut worker.body {
            Body::Thread(thread, ..) => {
                let panicked = thread.take().is_some_and(|thread| thread.join().is_err());
                let cause = if panicked { Cause::Crash } else { Cause::Exit };
                return WorkerStatus::new(ExitStatus::unknown(), cause, None);
            }
            Body::Process(process) => process,
        };
        self.door.unwatch(process.as_fd());
        // Its children go with it; none of the pool's own processes is among them.
        let _ = process::signal_group(process.id(), SIGKILL);
        let peak = child::peak_memory(process.as_fd());
        let status = process.wait().unwrap_or_else(|_| ExitStatus::unknown());
        let is_limited = self.options.memory_limit.is_some();
        let cause = match status.signal() {
            _ if worker.is_corrupt => Cause::Corrupt,
            _ if worker.life == Life::Killed || matches!(worker.life, Life::Stopping(_)) => Cause::Ended,
            None => Cause::Exit,
            Some(SIGABRT) if is_limited => Cause::MemoryLimit,
            Some(signal) if CRASHES.contains(&signal) => Cause::Crash,
            Some(SIGKILL) if self.was_oom() => Cause::OutOfMemory,
            Some(_) => Cause::Killed,
        };
        WorkerStatus::new(status, cause, peak)
    }

    /// Tells whether the kernel has killed something of ours for want of memory since the last look.
    fn was_oom(&mut self) -> bool {
        let now = self.oom_kills.and_then(|_| process::oom_kills());
        let before = std::mem::replace(&mut self.oom_kills, now);
        before.zip(now).is_some_and(|(before, now)| now > before)
    }

    /// Has all workers end; tells whether they are gone, and kills those that are not.
    pub(super) fn end_all(&mut self, how: Shutdown, deadline: Option<Instant>) -> bool {
        let are_gone = self.wait_for_all(how, deadline);
        if !are_gone {
            self.wait_for_all(Shutdown::Now, None);
        }
        are_gone
    }

    /// Has all workers end, and waits for them until the deadline; tells whether they are gone.
    pub(super) fn wait_for_all(&mut self, how: Shutdown, deadline: Option<Instant>) -> bool {
        self.wanted = 0;
        for worker in &mut self.workers {
            worker.close();
            if how == Shutdown::Now
                && let Body::Process(process) = &worker.body
            {
                kill(process);
            }
        }
        let door = &self.door;
        self.workers.retain_mut(|worker| match &mut worker.body {
            Body::Process(process) => {
                let has_ended = match deadline {
                    Some(at) => {
                        let left = at.saturating_duration_since(Instant::now());
                        matches!(process.wait_timeout(left), Ok(Some(_)) | Err(_))
                    }
                    None => process.wait().is_ok(),
                };
                if has_ended {
                    door.unwatch(process.as_fd());
                }
                !has_ended
            }
            Body::Thread(thread, _, ended) => {
                // Acquire: partner of the Release in the drop of `Ended`.
                let is_awaited = how == Shutdown::Drained && deadline.is_none();
                if is_awaited || ended.load(Ordering::Acquire) {
                    let _ = thread.take().map(std::thread::JoinHandle::join);
                    return false;
                }
                // A thread that does not come to its end cannot be ended: it is left alone.
                how == Shutdown::Drained
            }
        });
        self.workers.is_empty()
    }
}
