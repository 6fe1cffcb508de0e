//! Kills at random times of those who put into queues and take from them, with a look at every message.
//!
//! Producers and consumers work without a pause, and are killed and replaced all the time. The books tell what each had
//! put and taken: nothing that was accepted may be missing but what a killed consumer may have had in its hands, nothing
//! may come twice, and those of one producer come in their order. It goes in rounds, each with a fresh queue: in the
//! end of one the queue is closed and drained, in the end of the next all consumers are killed.

use multiproc_core::sync::sleep_without_bound;
use multiproc_queue::Queue;
use multiproc_shm::Shared;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::crew::{HANG, Watch};
use crate::memory::{Plain, shared};
use crate::os::{self, Change, Pid};
use crate::run::Numbers;
use crate::scenarios::queue::{Item, Leasing, Line, SHORT_CHUNKS, ShortChunks, Way};
use crate::storm::{Run, Storm};

const PRODUCERS: usize = 2;
const WORKERS: usize = 4;
/// How long, in microseconds, until the next one is killed, at most.
const APART: u64 = 400;
/// How many are killed in a round.
const ROUND: u64 = 150;
/// How long nothing may go on: on a busy machine one is killed before it has come to anything, and so is the next.
const STILL: Duration = Duration::from_secs(5);
/// How much a producer does in its life at most, so that there is room for that in the books.
const LIFE: usize = 600;
/// How many are killed if nobody says how long it may take.
const KILLS: u64 = 5000;

/// All storms of this file, each with its name.
pub(crate) fn all() -> Vec<(&'static str, Run)> {
    vec![
        ("Queue, bounded", |time| {
            storm(&Traffic { capacity: 4, ..PLAIN }, Queue::<Item>::bounded_or_not, time)
        }),
        ("Queue, unbounded, batches", |time| {
            storm(&Traffic { capacity: 0, batches: true, ..PLAIN }, Queue::<Item>::bounded_or_not, time)
        }),
        ("Queue, leases", |time| {
            storm(&Traffic { leases: true, ..PLAIN }, Queue::<Item>::bounded_or_not, time)
        }),
        ("Queue, handles", |time| {
            storm(&Traffic { handles: true, ..PLAIN }, Queue::<Item>::bounded_or_not, time)
        }),
        ("Queue, all at once", |time| {
            let all = Traffic { batches: true, leases: true, handles: true, ..PLAIN };
            storm(&all, Queue::<Item>::bounded_or_not, time)
        }),
        ("ring of short chunks, all at once", |time| {
            storm(&Traffic { batches: true, leases: true, ..PLAIN }, ShortChunks::bounded, time)
        }),
    ]
}

/// What goes through a queue in a storm.
struct Traffic {
    /// 0 is as many messages as there is memory for.
    capacity: usize,
    batches: bool,
    leases: bool,
    handles: bool,
}

const PLAIN: Traffic = Traffic { capacity: 8, batches: false, leases: false, handles: false };

/// A queue with a bound or without.
trait BoundedOrNot {
    fn bounded_or_not(capacity: usize) -> Self;
}

impl BoundedOrNot for Queue<Item> {
    fn bounded_or_not(capacity: usize) -> Self {
        if capacity > 0 {
            return Way::bounded(capacity);
        }
        match Queue::unbounded() {
            Ok(queue) => queue,
            Err(error) => panic!("no queue: {error}"),
        }
    }
}

/// What the workers of a round have in common.
struct Round {
    /// Producers are to end.
    is_over: AtomicU64,
    /// Operations, by worker.
    done: [AtomicU64; WORKERS],
}

fn storm<W: Leasing>(traffic: &Traffic, make: fn(usize) -> W, time: Option<Duration>) -> Storm {
    let mut storm = Storm::default();
    let mut numbers = Numbers::new(SHORT_CHUNKS as u64);
    let started = Instant::now();
    let mut rounds = 0;
    while time.map_or(storm.kills < KILLS, |time| started.elapsed() < time) && storm.failure.is_none() {
        let line = Line::new(make(traffic.capacity), 24, traffic.handles, !traffic.leases);
        let result = round(&line, traffic, &mut numbers, rounds % 2 == 0, &mut storm);
        storm.failure = result.and_then(|()| line.finish().map(drop)).err();
        rounds += 1;
    }
    storm.took = started.elapsed();
    storm
}

fn round<W: Leasing>(
    line: &Line<W>,
    traffic: &Traffic,
    numbers: &mut Numbers,
    closes: bool,
    storm: &mut Storm,
) -> Result<(), String> {
    let round = shared(Round { is_over: AtomicU64::new(0), done: [const { AtomicU64::new(0) }; WORKERS] });
    let mut crew = Crew {
        workers: (0..WORKERS)
            .map(|who| Some(work(line, traffic, &round, who, numbers.below(u64::MAX))))
            .collect(),
    };
    let operations = || round.0.done.iter().map(|done| done.load(Ordering::Acquire)).sum::<u64>();
    let (mut seen, mut stood) = (0, Watch::new());
    let last = storm.kills + ROUND;
    while storm.kills < last && !(0..PRODUCERS).any(|who| line.history.0.is_nearly_full(who)) {
        os::wait_for_any(Duration::from_micros(numbers.below(APART)));
        let who = numbers.below(WORKERS as u64) as usize;
        crew.kill(line, who)?;
        storm.kills += 1;
        crew.workers[who] = Some(work(line, traffic, &round, who, numbers.below(u64::MAX)));
        let done = operations();
        storm.stall = storm.stall.max(stood.elapsed());
        if done != seen {
            (seen, stood) = (done, Watch::new());
        } else if stood.elapsed() > STILL {
            return Err(format!("nobody went on after {done} operations, {} messages in it", line.way.len()));
        }
    }
    round.0.is_over.store(1, Ordering::Release);
    (0..PRODUCERS).try_for_each(|who| crew.wait(who))?;
    if closes {
        line.way.close();
        (PRODUCERS..WORKERS).try_for_each(|who| crew.wait(who))?;
    } else {
        for who in PRODUCERS..WORKERS {
            crew.kill(line, who)?;
            storm.kills += 1;
        }
    }
    storm.operations += operations();
    Ok(())
}

/// Those who work; all of them are gone when this is dropped.
struct Crew {
    workers: Vec<Option<Pid>>,
}

impl Crew {
    fn kill<W: Leasing>(&mut self, line: &Line<W>, who: usize) -> Result<(), String> {
        let Some(pid) = self.workers[who].take() else { return Ok(()) };
        if let Some(end) = os::poll(pid) {
            return Err(format!("a worker failed: {end:?}"));
        }
        os::kill_and_reap(pid);
        line.forgive(who);
        Ok(())
    }

    /// Waits until a worker ends by itself.
    fn wait(&mut self, who: usize) -> Result<(), String> {
        let Some(pid) = self.workers[who].take() else { return Ok(()) };
        let mut watch = Watch::new();
        loop {
            match os::wait(pid, HANG / 1000) {
                Some(Change::Exited(0)) => return Ok(()),
                Some(end) => return Err(format!("a worker failed: {end:?}")),
                None if watch.elapsed() < STILL => {}
                None => {
                    self.workers[who] = Some(pid);
                    let whose = if who < PRODUCERS { "a producer" } else { "a consumer" };
                    return Err(format!("{whose} does not end"));
                }
            }
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.workers.drain(..).flatten().for_each(os::kill_and_reap);
    }
}

fn work<W: Leasing>(
    line: &Line<W>,
    traffic: &Traffic,
    round: &Shared<Plain<Round>>,
    who: usize,
    seed: u64,
) -> Pid {
    os::spawn(|| {
        os::come_second();
        // Who leases after a death finds it when a short sleep ends, as is documented.
        sleep_without_bound(!traffic.leases);
        let Plain(round) = &**round;
        let mut numbers = Numbers::new(seed);
        let is_over = || round.is_over.load(Ordering::Acquire) != 0;
        for life in 0.. {
            if who >= PRODUCERS {
                if !take(line, traffic, who, &mut numbers) {
                    break;
                }
            } else if is_over() {
                break;
            } else if life > LIFE {
                os::wait_for_any(Duration::from_millis(1));
                continue;
            } else {
                give(line, traffic, who, &mut numbers);
            }
            round.done[who].fetch_add(1, Ordering::Release);
        }
    })
}

fn give<W: Leasing>(line: &Line<W>, traffic: &Traffic, who: usize, numbers: &mut Numbers) {
    match numbers.below(4) {
        0 if traffic.batches => line.put(who, 3),
        1 => {
            line.try_put(who);
        }
        _ => line.put(who, 1),
    }
}

/// Tells whether there may be more.
fn take<W: Leasing>(line: &Line<W>, traffic: &Traffic, who: usize, numbers: &mut Numbers) -> bool {
    match numbers.below(4) {
        0 if traffic.batches => line.get(who, 4) > 0,
        1 | 2 if traffic.leases => {
            let Some((lease, taken)) = line.lease() else { return false };
            let is_done = numbers.below(3) > 0;
            if is_done {
                line.history.0.taking(who, 1);
            }
            line.way.end(lease, is_done);
            if is_done {
                line.note_done(who, &taken);
            }
            true
        }
        _ => line.get(who, 1) > 0,
    }
}
