//! When workers go: after so much work, too much memory, too long a life, or nothing to do.

use super::Local;
use super::worker::{Body, Life, Worker};
use multiproc_core::sys::process;
use std::time::{Duration, Instant};

/// How often resident memory is looked at.
const SAMPLE: Duration = Duration::from_millis(100);

impl Local {
    /// Lets go who is to go; tells when to look again.
    pub(super) fn recycle(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let mut at = |when: Instant| next = Some(next.map_or(when, |next| next.min(when)));
        let samples = self.options.max_resident.is_some() && now >= self.sampled + SAMPLE;
        if samples {
            self.sampled = now;
        }
        let mut idle_leavers = match self.options.min_workers {
            Some(least) => self.workers.iter().filter(|w| is_working(w)).count().saturating_sub(least),
            None => 0,
        };
        let mut shrunk = 0;
        for worker in self.workers.iter_mut().filter(|worker| worker.life == Life::Ready) {
            let reason = if is_over(self.options.max_age, now, worker.started) {
                Some("age")
            } else if samples && is_too_large(worker, self.options.max_resident) {
                Some("resident memory")
            } else if idle_leavers > 0
                && worker.has.is_empty()
                && is_over(Some(self.options.idle_timeout), now, worker.idle_since)
            {
                idle_leavers -= 1;
                shrunk += 1;
                Some("idleness")
            } else {
                None
            };
            if let Some(reason) = reason {
                tracing::info!(target: "multiproc::pool", worker = worker.name, reason, "worker is recycled");
                // What it has not begun is taken back by whoever finds that it waits.
                worker.close();
                continue;
            }
            if let Some(age) = self.options.max_age {
                at(worker.started + age);
            }
            if idle_leavers > 0 {
                // Nobody tells when one that is busy begins to idle.
                let since = if worker.has.is_empty() { worker.idle_since } else { now };
                at(since + self.options.idle_timeout);
            }
        }
        self.wanted -= shrunk.min(self.wanted);
        if self.options.max_resident.is_some() && !self.workers.is_empty() {
            at(self.sampled + SAMPLE);
        }
        next
    }
}

fn is_working(worker: &Worker) -> bool {
    matches!(worker.life, Life::Ready | Life::Starting)
}

fn is_over(limit: Option<Duration>, now: Instant, since: Instant) -> bool {
    limit.is_some_and(|limit| now.saturating_duration_since(since) >= limit)
}

fn is_too_large(worker: &Worker, most: Option<u64>) -> bool {
    match (&worker.body, most) {
        (Body::Process(process), Some(most)) => {
            process::resident(process.id()).is_some_and(|resident| resident > most)
        }
        _ => false,
    }
}
