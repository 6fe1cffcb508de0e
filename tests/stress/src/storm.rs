//! Kills at random times: several processes work without a pause, and are killed and replaced all the time.

use multiproc_core::sync::sleep_without_bound;
use multiproc_shm::Shared;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::crew::{HANG, Watch};
use crate::memory::{Plain, shared};
use crate::os::{self, Change, Pid};
use crate::run::{Numbers, millis};

/// How many work at once.
pub(crate) const WORKERS: usize = 4;
/// How long, in microseconds, until the next one is killed, at most.
const APART: u64 = 600;
/// How many are killed if nobody says how long it may take.
const KILLS: u64 = 1500;

/// What several processes do for as long as they live, and what must be true of it.
pub(crate) trait Weather: Send + Sync + 'static {
    /// How the storm is called.
    const NAME: &'static str;
    /// Who comes just after a death finds it when its first short sleep ends, as is documented.
    const NEEDS_BOUND: bool = false;

    /// As it is before anybody works.
    fn new() -> Self;
    /// Called once where it lies, before there is another process.
    fn prepare(&self) {}
    /// Done by a worker that comes, perhaps in the place of one that was killed.
    fn come(&self, _who: usize) {}
    /// One operation; tells whether it was done. What it waits for may not come any more when it is over.
    fn work(&self, who: usize, over: &Over) -> bool;
    /// Lets go who waits for others; called again and again when it is over.
    fn release(&self) {}
    /// Looks whether everything is as it must be after everybody has ended.
    ///
    /// # Errors
    ///
    /// Says what is lost.
    fn check(&self, done: &Done) -> Result<(), String>;
}

/// Whether the storm is over.
#[derive(Debug, Default)]
pub(crate) struct Over(AtomicU64);

impl Over {
    /// Nothing new is to be begun.
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }
}

/// What was done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// The operations, by worker; one during which the worker was killed is in nobody's.
    pub(crate) by: [u64; WORKERS],
    /// How many were killed.
    pub(crate) kills: u64,
}

impl Done {
    /// The operations of some workers.
    pub(crate) fn of(&self, whose: impl Fn(usize) -> bool) -> u64 {
        self.by.iter().enumerate().filter(|(who, _)| whose(*who)).map(|(_, done)| done).sum()
    }

    /// Says so if a number is not that of some workers' operations, with one more for each kill at most.
    ///
    /// # Errors
    ///
    /// It is another.
    pub(crate) fn agrees(
        &self,
        what: &str,
        number: u64,
        whose: impl Fn(usize) -> bool,
    ) -> Result<(), String> {
        let least = self.of(whose);
        let most = least + self.kills;
        if (least..=most).contains(&number) {
            Ok(())
        } else {
            Err(format!("{what}: {number}, and not {least} to {most}"))
        }
    }
}

/// What came of a storm.
#[derive(Debug, Default)]
pub(crate) struct Storm {
    pub(crate) kills: u64,
    pub(crate) operations: u64,
    /// How long it took.
    pub(crate) took: Duration,
    /// The longest time in which nobody did an operation.
    pub(crate) stall: Duration,
    /// What is wrong.
    pub(crate) failure: Option<String>,
}

/// A storm to run for a while, or until enough have been killed.
pub(crate) type Run = fn(Option<Duration>) -> Storm;

struct State<W> {
    weather: W,
    /// Operations, by worker.
    done: [AtomicU64; WORKERS],
    over: Over,
}

/// Runs a storm.
pub(crate) fn storm<W: Weather>(time: Option<Duration>) -> Storm {
    let state = shared(State {
        weather: W::new(),
        done: [const { AtomicU64::new(0) }; WORKERS],
        over: Over::default(),
    });
    state.0.weather.prepare();
    let mut storm = Storm::default();
    let mut workers: Vec<Pid> = (0..WORKERS).map(|who| work(&state, who)).collect();
    let mut numbers = Numbers::new(1);
    let started = Instant::now();
    let (mut seen, mut stood) = (0, Watch::new());
    while time.map_or(storm.kills < KILLS, |time| started.elapsed() < time) && storm.failure.is_none() {
        os::wait_for_any(Duration::from_micros(numbers.below(APART)));
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
        storm.stall = storm.stall.max(stood.elapsed());
        if done != seen {
            (seen, stood) = (done, Watch::new());
        } else if stood.elapsed() > HANG {
            storm.failure = Some(format!("nobody went on after {done} operations"));
        }
    }
    storm.took = started.elapsed();
    let failure = end(&state, workers);
    storm.failure = storm.failure.or(failure);
    let by = [0, 1, 2, 3].map(|who: usize| state.0.done[who].load(Ordering::Acquire));
    storm.operations = by.iter().sum();
    if storm.failure.is_none() {
        storm.failure = state.0.weather.check(&Done { by, kills: storm.kills }).err();
    }
    storm
}

/// Has everybody end; tells what is wrong with that.
fn end<W: Weather>(state: &Shared<Plain<State<W>>>, workers: Vec<Pid>) -> Option<String> {
    state.0.over.0.store(1, Ordering::Release);
    let mut failure = None;
    for worker in workers {
        let began = Instant::now();
        let end = loop {
            state.0.weather.release();
            match os::wait(worker, HANG / 1000) {
                None if began.elapsed() < HANG => {}
                end => break end,
            }
        };
        match end {
            Some(Change::Exited(0)) => {}
            Some(end) => failure = Some(format!("a worker failed: {end:?}")),
            None => {
                os::kill_and_reap(worker);
                failure.get_or_insert("a worker does not end".to_owned());
            }
        }
    }
    failure
}

impl<W> State<W> {
    fn operations(&self) -> u64 {
        self.done.iter().map(|done| done.load(Ordering::Acquire)).sum()
    }
}

fn work<W: Weather>(state: &Shared<Plain<State<W>>>, who: usize) -> Pid {
    os::spawn(|| {
        os::come_second();
        sleep_without_bound(!W::NEEDS_BOUND);
        let Plain(state) = &**state;
        state.weather.come(who);
        while !state.over.is_so() {
            if state.weather.work(who, &state.over) {
                state.done[who].fetch_add(1, Ordering::Release);
            }
        }
    })
}

impl std::fmt::Display for Storm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} kills at {:.0} per second, {} operations, longest stall {:.1} ms, {}",
            self.kills,
            self.kills as f64 / self.took.as_secs_f64().max(1e-3),
            self.operations,
            millis(self.stall),
            self.failure.as_deref().unwrap_or("nothing lost")
        )
    }
}
