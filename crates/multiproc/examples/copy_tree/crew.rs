//! The pool at work: everything that this program asks of it is in this file.

use crate::job;
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::report::Report;
use multiproc::Pool;
use std::error::Error;
use std::num::NonZeroUsize;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a program that ctrl-C ended, as shells count it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Set by ctrl-C. Nothing else is published by it, so relaxed accesses do.
static STOP: AtomicBool = AtomicBool::new(false);

/// Tells whether somebody pressed ctrl-C.
pub(crate) fn interrupted() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Does all jobs of the plan. When it returns no worker is left, and no temporary file.
pub(crate) fn copy(
    plan: Plan,
    workers: NonZeroUsize,
    ledger: &Ledger,
    report: &Report,
) -> Result<(), Box<dyn Error>> {
    let pool = Arc::new(Pool::new(workers.get())?);
    stop_at_interrupt(Arc::clone(&pool))?;

    // The pool asks the plan for jobs only a little ahead of its workers, so a tree of any size takes little memory.
    // The job of a worker that died has no result here; it stays in the ledger.
    for done in pool.imap_unordered(plan, job::run).flatten() {
        ledger.settle(done, report);
    }
    // The death may have had nothing to do with the job (the memory ran out, somebody sent a signal): once more.
    for job in ledger.left() {
        match pool.apply(job.clone(), job::run) {
            _ if interrupted() => break,
            Ok(done) => ledger.settle(done, report),
            Err(error) => ledger.fail(&job, format!("tried twice: {error}"), report),
        }
    }

    if interrupted() {
        pool.terminate();
    }
    pool.join();
    ledger.abandon(report);
    Ok(())
}

/// Ends the pool at ctrl-C: its outstanding results are errors at once, so [`copy`] goes on to clean up.
fn stop_at_interrupt(pool: Arc<Pool>) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if STOP.swap(true, Ordering::Relaxed) {
            // The second time: somebody is in a hurry. The workers end with this process.
            process::exit(INTERRUPTED.into());
        }
        pool.terminate();
    })
}
