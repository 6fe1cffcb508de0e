//! The threads of the server: all wait for one set of descriptors, and who is told does the work.
//!
//! So a call runs on the thread that has read it, and no thread is woken for another. There are a few at first. One
//! more is started when none waits; beyond some, only when none has come back for a while, because all are in calls that
//! take long. Those go again when there is nothing to do for them.

use super::Server;
use multiproc_core::Deadline;
use multiproc_core::sys::epoll::Event;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How long all may be busy before there is one more.
const PATIENCE: Duration = Duration::from_millis(3);
/// How many more there are at once: where a machine has too much to do, more threads would not get more done.
const MOST: usize = 4;
/// How long one of those may have nothing to do.
const IDLE: Duration = Duration::from_secs(5);
/// How many quiet looks end the watch.
const QUIET: u32 = 50;

/// How many threads there are, and what they are at.
#[derive(Debug)]
pub(crate) struct Workers {
    total: AtomicUsize,
    idle: AtomicUsize,
    /// How often a thread has come back for more.
    turns: AtomicU64,
    base: usize,
    max: usize,
    is_watched: AtomicBool,
    watch: Mutex<()>,
    crowded: Condvar,
}

impl Workers {
    pub(crate) fn new(max: usize) -> Workers {
        let cores = multiproc_process::cpu_count();
        Workers {
            total: AtomicUsize::new(1),
            idle: AtomicUsize::new(0),
            turns: AtomicU64::new(0),
            base: (2 * cores).clamp(2, 16).min(max),
            max: max.max(2),
            is_watched: AtomicBool::new(false),
            watch: Mutex::new(()),
            crowded: Condvar::new(),
        }
    }

    /// Tells whether others wait where this thread would wait for something of its own.
    pub(crate) fn can_spare_one(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > 0
    }

    /// Counts that a thread came back for more.
    pub(crate) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// How many threads there are.
    pub(crate) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// One thread less waits.
    fn leave(&self, server: &Arc<Server>) {
        if self.idle.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        if self.total() < self.base {
            Workers::start(server);
        } else if !self.is_watched.swap(true, Ordering::Relaxed) {
            // The watch looks again with this lock before it sleeps.
            let _guard = self.watch.lock();
            self.crowded.notify_one();
        }
    }

    /// Starts one more; where the system gives none, those that there are go on.
    fn start(server: &Arc<Server>) {
        let workers = &server.workers;
        if workers.total.fetch_add(1, Ordering::Relaxed) >= workers.max {
            workers.total.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let served = Arc::clone(server);
        let started = thread::Builder::new().name("manager-worker".to_owned()).spawn(move || work(&served));
        if let Err(error) = started {
            workers.total.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(target: "multiproc::manager", %error, "no thread to be had");
        }
    }

    /// Takes care that there are threads enough, for ever.
    pub(crate) fn watch(server: &Arc<Server>) {
        let workers = &server.workers;
        loop {
            {
                let mut guard = workers.watch.lock();
                while !workers.is_watched.load(Ordering::Relaxed) {
                    workers.crowded.wait(&mut guard);
                }
            }
            let (mut quiet, mut more) = (0, 1);
            while quiet < QUIET {
                let before = workers.turns.load(Ordering::Relaxed);
                thread::sleep(PATIENCE);
                let is_stuck = workers.turns.load(Ordering::Relaxed) == before;
                if workers.idle.load(Ordering::Relaxed) > 0 {
                    (quiet, more) = (quiet + 1, 1);
                } else if is_stuck {
                    (0..more).for_each(|_| Workers::start(server));
                    (quiet, more) = (0, (more * 2).min(MOST));
                }
            }
            workers.is_watched.store(false, Ordering::Relaxed);
            // Who has found the watch awake a moment ago relies on it.
            if workers.idle.load(Ordering::Relaxed) == 0 {
                workers.is_watched.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Works until the server stops, or there is nothing to do for too many.
pub(crate) fn work(server: &Arc<Server>) {
    let workers = &server.workers;
    loop {
        workers.turn();
        workers.idle.fetch_add(1, Ordering::Relaxed);
        let is_extra = workers.total() > workers.base;
        let deadline = if is_extra { Deadline::after(IDLE) } else { Deadline::NEVER };
        let event = server.poller.wait(deadline);
        workers.leave(server);
        match event {
            Ok(Event::Token(token)) => {
                if !server.ready(token) {
                    break;
                }
            }
            Ok(Event::Timer) => server.timers.expire(server),
            Ok(Event::TimedOut) => {
                let less = |total| (total > workers.base).then(|| total - 1);
                let left = workers.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
                // The main thread stays.
                if left.is_ok() && thread::current().name() == Some("manager-worker") {
                    return;
                }
                if left.is_ok() {
                    workers.total.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(error) => {
                tracing::error!(target: "multiproc::manager", %error, "the server cannot go on");
                break;
            }
        }
        server.run_what_was_put_off();
    }
    workers.total.fetch_sub(1, Ordering::Relaxed);
}
