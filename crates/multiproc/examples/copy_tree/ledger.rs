//! The jobs that are under way, so that one whose worker died is known by being left over.

use crate::job::{Done, Job, Work};
use crate::report::Report;
use crate::tree::{self, Whole};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

/// What was handed out and has not come back.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    jobs: RefCell<BTreeMap<u64, (Job, Whole)>>,
}

impl Ledger {
    pub(crate) fn open(&self, job: Job, whole: Whole) {
        self.jobs.borrow_mut().insert(job.number, (job, whole));
    }

    /// The jobs that are open now.
    pub(crate) fn left(&self) -> Vec<Job> {
        self.jobs.borrow().values().map(|(job, _)| job.clone()).collect()
    }

    /// Closes a job with what became of it.
    pub(crate) fn settle(&self, done: Done, report: &Report) {
        let Some((job, whole)) = self.jobs.borrow_mut().remove(&done.number) else { return };
        match (done.result, &whole) {
            (Ok(bytes), _) => report.done(job.work, bytes),
            // One line for a file, however many of its ranges failed.
            (Err(error), Whole::Large(large)) if large.give_up() => {
                report.error(Path::new(&job.source), error)
            }
            (Err(_), Whole::Large(_)) => {}
            (Err(error), Whole::Folder(_)) => report.error(Path::new(&job.source), error),
        }
        tree::release(whole, report);
    }

    /// Gives up what is open, with nothing left of it. No worker may be alive any more.
    pub(crate) fn abandon(&self, report: &Report) {
        let jobs = self.jobs.take();
        for (job, whole) in jobs.into_values() {
            match &whole {
                Whole::Large(large) => _ = large.give_up(),
                Whole::Folder(_) => tree::remove(Path::new(&job.partial), report),
            }
            tree::release(whole, report);
        }
    }

    /// Closes a job that no worker could do; a dead one has not cleaned up.
    pub(crate) fn fail(&self, job: &Job, why: String, report: &Report) {
        if !matches!(job.work, Work::Range { .. }) {
            tree::remove(Path::new(&job.partial), report);
        }
        self.settle(Done { number: job.number, result: Err(why) }, report);
    }
}
