//! Kills at random times: several processes work without a pause, and are killed and replaced all the time.

use multiproc_core::sync::sleep_without_bound;
use multiproc_shm::Shared;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::crew::HANG;
use crate::memory::{Plain, shared};
use crate::os::{self, Change, Pid};
use crate::run::{Numbers, millis};
use crate::scenarios::{Guarded, Subject};

/// How many work at once.
const WORKERS: usize = 4;
/// How long one works before the next is killed, at most.
const LIFE: u64 = 600;

/// What came of a storm.
#[derive(Debug, Default)]
pub(crate) struct Storm {
    pub(crate) kills: u64,
    operations: u64,
    /// The longest time in which nobody did an operation.
    stall: Duration,
    /// What is wrong.
    pub(crate) failure: Option<String>,
}

/// A storm to run for a while.
pub(crate) type Run = fn(Duration) -> Storm;

struct State<L> {
    guarded: Guarded<L>,
    /// Operations, by worker; an operation that was killed is in nobody's.
    done: [AtomicU64; WORKERS],
    stops: AtomicU64,
}

/// Runs a storm over one subject.
pub(crate) fn storm<L: Subject>(time: Duration) -> Storm {
    let state = shared(State {
        guarded: Guarded::<L>::new(),
        done: [const { AtomicU64::new(0) }; WORKERS],
        stops: AtomicU64::new(0),
    });
    state.0.guarded.lock.prepare();
    let mut storm = Storm::default();
    let mut workers: Vec<Pid> = (0..WORKERS).map(|who| work(&state, who)).collect();
    let mut numbers = Numbers::new(1);
    let started = Instant::now();
    let (mut seen, mut moved) = (0, Instant::now());
    while started.elapsed() < time && storm.failure.is_none() {
        os::wait_for_any(Duration::from_micros(numbers.below(LIFE)));
        let who = numbers.below(WORKERS as u64) as usize;
        if let Some(end) = os::poll(workers[who]) {
            workers.remove(who);
            storm.failure = Some(format!("a worker failed: {end:?}"));
            break;
        }
        os::kill_and_reap(workers[who]);
        storm.kills += 1;
        workers[who] = work(&state, who);
        let done = state.0.operations();
        if done != seen {
            storm.stall = storm.stall.max(moved.elapsed());
            (seen, moved) = (done, Instant::now());
        } else if moved.elapsed() > HANG {
            storm.failure = Some(format!("nobody went on after {done} operations"));
        }
    }
    state.0.stops.store(1, Ordering::Release);
    for worker in workers {
        match os::wait(worker, HANG) {
            Some(Change::Exited(0)) => {}
            Some(end) => storm.failure = Some(format!("a worker failed: {end:?}")),
            None => {
                os::kill_and_reap(worker);
                storm.failure.get_or_insert("a worker does not end".to_owned());
            }
        }
    }
    storm.operations = state.0.operations();
    if storm.failure.is_none() {
        // The last of the dead may have had nobody come after it.
        state.0.guarded.change(|| {});
        storm.operations += 1;
        storm.failure = state.0.guarded.verify(storm.operations, storm.operations + storm.kills).err();
    }
    storm
}

impl<L> State<L> {
    fn operations(&self) -> u64 {
        self.done.iter().map(|done| done.load(Ordering::Acquire)).sum()
    }
}

fn work<L: Subject>(state: &Shared<Plain<State<L>>>, who: usize) -> Pid {
    os::spawn(|| {
        os::come_second();
        sleep_without_bound(!L::NEEDS_BOUND);
        while state.0.stops.load(Ordering::Acquire) == 0 {
            state.0.guarded.change(|| {});
            state.0.done[who].fetch_add(1, Ordering::Release);
        }
    })
}

impl std::fmt::Display for Storm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} kills, {} operations, longest stall {:.1} ms, {}",
            self.kills,
            self.operations,
            millis(self.stall),
            self.failure.as_deref().unwrap_or("nothing lost")
        )
    }
}
