//! Ends of a link that are processes, or threads for the peers that have nothing else: started and pinned for each
//! round, held until all are there, and timed from the first one's beginning to the last one's end.

use crate::Result;
use crate::place::{Placement, stay};
use crate::sys;
use multiproc_core::Message;
use multiproc_process::{Func, Process, StartMethod};
use multiproc_shm::Shared;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any round should take.
pub(crate) const HANG: Duration = Duration::from_secs(60);
/// How long is waited for one end before the others are looked at.
const GLANCE: Duration = Duration::from_secs(1);

/// How long a processor's clock needs to become fast, in milliseconds; see [`set_warm_up`].
static WARM: AtomicU64 = AtomicU64::new(60);

/// What an end tells, or why it could not do its work.
pub(crate) type Told = std::result::Result<Done, String>;

/// What an end does with its part of the link.
pub(crate) type Work<A> = Func<(A, Gate), Told>;

/// The ends of a link, and what each does with its part.
pub(crate) type Crew<A> = Vec<(A, fn((A, Gate)) -> Told)>;

/// What an end did.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Done {
    began: u64,
    ended: u64,
    /// Of what it received, for the check.
    sum: u64,
    /// What it measured itself.
    pub(crate) figure: f64,
}

/// Where an end waits for the others.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Gate {
    arrived: Shared<AtomicU32>,
    ends: u32,
    cpu: Option<usize>,
    warm: u64,
    /// How many operations the link does.
    pub(crate) count: u64,
}

/// What all ends did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    nanoseconds: u64,
    pub(crate) sum: u64,
    /// The sum of what the ends measured themselves.
    pub(crate) figure: f64,
}

impl Gate {
    /// Waits for the others and then does the work, which gives the sum and a figure if it takes one.
    pub(crate) fn pass(self, work: impl FnOnce(u64) -> std::result::Result<(u64, f64), String>) -> Told {
        warm_up(Duration::from_millis(self.warm));
        // Relaxed: nothing but the moment is agreed upon.
        self.arrived.fetch_add(1, Ordering::Relaxed);
        while self.arrived.load(Ordering::Relaxed) < self.ends {
            thread::yield_now();
        }
        let began = sys::now();
        let (sum, figure) = work(self.count)?;
        Ok(Done { began, ended: sys::now(), sum, figure })
    }
}

/// Keeps the processor busy until its clock is as fast as it gets: one that has rested is up to three times slower for
/// some ten milliseconds, which would count for whoever starts processes.
fn warm_up(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::black_box(begun);
    }
}

/// Says how long each end keeps its processor busy before it begins, in milliseconds.
pub(crate) fn set_warm_up(milliseconds: u64) {
    // Relaxed: set before anything is measured, by the thread that measures.
    WARM.store(milliseconds, Ordering::Relaxed);
}

/// For ends that are other programs.
pub(crate) fn warm_up_time() -> u64 {
    WARM.load(Ordering::Relaxed)
}

impl Outcome {
    fn of(done: &[Done]) -> Outcome {
        let began = done.iter().map(|done| done.began).min().unwrap_or(0);
        let ended = done.iter().map(|done| done.ended).max().unwrap_or(0);
        Outcome {
            nanoseconds: ended.saturating_sub(began),
            sum: done.iter().map(|done| done.sum).sum(),
            figure: done.iter().map(|done| done.figure).sum(),
        }
    }

    /// The cost of one of so many operations.
    pub(crate) fn each(&self, count: u64) -> f64 {
        self.nanoseconds as f64 / count.max(1) as f64
    }
}

/// Runs ends in processes.
pub(crate) fn processes<A: Message>(
    placement: Placement,
    count: u64,
    ends: Vec<(A, Work<A>)>,
) -> Result<Outcome> {
    let gates = gates(placement, count, ends.len())?;
    let mut running = Running(Vec::new());
    for ((with, work), gate) in ends.into_iter().zip(gates) {
        let process = Process::builder().daemon(true).start_method(StartMethod::ForkServer);
        running.0.push(process.spawn((with, work, gate), end)?);
    }
    let (began, mut done) = (Instant::now(), Vec::new());
    while let Some(last) = running.0.last() {
        last.wait_timeout(GLANCE)?;
        // Whoever it is: one that waits for another that has failed does so for ever.
        if let Some(ended) = running.0.iter().position(|end| !end.is_alive()) {
            done.push(running.0.swap_remove(ended).join()??);
        } else if began.elapsed() > HANG {
            return Err(
                format!("{} ends were not done after {HANG:?}, and were killed", running.0.len()).into()
            );
        }
    }
    Ok(Outcome::of(&done))
}

/// The ends of a round: none outlives it, whatever came of it, and keeps a processor from those measured next.
struct Running(Vec<Process<Told>>);

impl Drop for Running {
    fn drop(&mut self) {
        for end in &self.0 {
            // One that has ended by itself needs neither.
            let _ = end.kill();
            let _ = end.wait();
        }
    }
}

fn end<A: Message>((with, work, gate): (A, Work<A>, Gate)) -> Told {
    stay(gate.cpu)?;
    work.call((with, gate))
}

/// Runs ends in threads.
pub(crate) fn threads<A: Send>(placement: Placement, count: u64, ends: Crew<A>) -> Result<Outcome> {
    let gates = gates(placement, count, ends.len())?;
    let done: std::result::Result<Vec<Done>, String> = thread::scope(|scope| {
        let threads: Vec<_> = ends
            .into_iter()
            .zip(gates)
            .map(|((with, work), gate)| {
                scope.spawn(move || {
                    stay(gate.cpu)?;
                    work((with, gate))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "an end panicked".to_owned())?).collect()
    });
    Ok(Outcome::of(&done?))
}

fn gates(placement: Placement, count: u64, ends: usize) -> Result<Vec<Gate>> {
    let arrived = Shared::new(AtomicU32::new(0))?;
    let (all, warm) = (ends as u32, warm_up_time());
    let gate = |end| Gate { arrived: arrived.clone(), ends: all, cpu: placement.cpu(end), warm, count };
    Ok((0..ends).map(gate).collect())
}
