//! What a pool tells of itself.

use crate::engine::Engine;
use crate::options::TaskOptions;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How many classes a histogram has: each is twice as long as the one before, from 1 ns on.
const CLASSES: usize = 48;

/// How often something took how long, in classes of which each is twice as long as the one before.
///
/// ```
/// let pool = multiproc_pool::Pool::new(2)?;
/// pool.map(0..100u32, |n| n).unwrap();
/// let run = pool.stats().run;
/// assert_eq!(run.count(), 100);
/// assert!(run.quantile(0.5) <= run.quantile(0.99));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    classes: [u64; CLASSES],
    total: Duration,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { classes: [0; CLASSES], total: Duration::ZERO }
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, each: Duration, count: u64) {
        let class = (u64::BITS - u64::try_from(each.as_nanos()).unwrap_or(u64::MAX).leading_zeros()) as usize;
        self.classes[class.min(CLASSES - 1)] += count;
        self.total += each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// How long all of them took together.
    pub fn total(&self) -> Duration {
        self.total
    }

    /// How long one of them took on the average.
    pub fn mean(&self) -> Duration {
        match self.count() {
            0 => Duration::ZERO,
            count => Duration::from_nanos((self.total.as_nanos() / u128::from(count)) as u64),
        }
    }

    /// The end of the class in which that share of all lies (0.5: the median).
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share.clamp(0.0, 1.0)).ceil() as u64;
        let mut seen = 0;
        for (class, count) in self.classes.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return Duration::from_nanos(1 << class);
            }
        }
        Duration::ZERO
    }

    /// The classes that are not empty: their ends, and how many lie in each.
    pub fn classes(&self) -> impl Iterator<Item = (Duration, u64)> {
        let ends = self.classes.iter().enumerate().filter(|(_, count)| **count > 0);
        ends.map(|(class, count)| (Duration::from_nanos(1 << class), *count))
    }
}

/// What the engine counts.
#[derive(Default)]
pub(crate) struct Recorder {
    wait: Histogram,
    run: Histogram,
    bytes_out: u64,
    bytes_in: u64,
    pub(crate) failed: u64,
    /// Tasks that are done, as `run` has them by class.
    pub(crate) ended: u64,
    slowest: Vec<(Duration, Option<String>)>,
}

/// How many of the slowest tasks are kept.
const SLOWEST: usize = 10;

impl Recorder {
    pub(crate) fn handed(&mut self, count: u32, waited: Duration, bytes: usize) {
        self.wait.add(waited, count.into());
        self.bytes_out += bytes as u64;
    }

    pub(crate) fn done(&mut self, count: u32, nanos: u64, bytes: usize, options: &Option<Arc<TaskOptions>>) {
        let each = Duration::from_nanos(nanos / u64::from(count.max(1)));
        self.run.add(each, count.into());
        self.ended += u64::from(count);
        self.bytes_in += bytes as u64;
        if self.slowest.len() < SLOWEST || self.slowest.last().is_some_and(|(time, _)| *time < each) {
            let name = options.as_ref().and_then(|options| options.progress.clone());
            let place = self.slowest.partition_point(|(time, _)| *time >= each);
            self.slowest.insert(place, (each, name));
            self.slowest.truncate(SLOWEST);
        }
    }

    pub(crate) fn failed(&mut self) {
        self.failed += 1;
    }
}

/// What a pool has done and what it is doing; see [`Pool::stats`](crate::Pool::stats).
///
/// # Examples
///
/// ```
/// use multiproc_pool::Pool;
///
/// let pool = Pool::new(2)?;
/// pool.map(1..=100u64, |n| n * n).unwrap();
/// let stats = pool.stats();
/// assert_eq!((stats.queued, stats.failed, stats.restarts, stats.workers.len()), (0, 0, 0, 2));
/// assert_eq!(stats.run.count(), 100);
/// println!("{:?} each, {:?} in all", stats.run.mean(), stats.run.total());
/// for (end, count) in stats.run.classes() {
///     println!("{count} below {end:?}");
/// }
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// From the hand-in to the hand-over to a worker.
    pub wait: Histogram,
    /// In a worker: decoding the arguments, the function, encoding the result. Of tasks that were sent together, the
    /// average of these counts for each.
    pub run: Histogram,
    /// The slowest tasks, the slowest first, with the name that [`progress`](crate::TaskOptions::progress) gave them.
    pub slowest: Vec<(Duration, Option<String>)>,
    /// Tasks that wait for a worker, and that workers have.
    pub queued: usize,
    /// Tasks that workers have.
    pub under_way: usize,
    /// Tasks that panicked, or whose worker died; a retry counts again.
    pub failed: u64,
    /// Bytes of arguments and of results.
    pub bytes_out: u64,
    /// Bytes of results.
    pub bytes_in: u64,
    /// Workers that died and were replaced.
    pub restarts: u64,
    /// The workers.
    pub workers: Vec<WorkerStats>,
}

/// What is known of one worker.
///
/// # Examples
///
/// ```
/// use multiproc_pool::Pool;
///
/// let pool = Pool::builder().workers(1).name("copier").build()?;
/// pool.map(1..=10u64, |n| n * n).unwrap();
/// let worker = &pool.stats().workers[0];
/// assert!(worker.is_ready && worker.done == 10);
/// println!("{} ({}): idle for {:?} of {:?}", worker.name, worker.id, worker.idle, worker.age);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Its process, or of a thread its number in the pool.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// It has begun, and its state is made.
    pub is_ready: bool,
    /// It has something to do.
    pub is_busy: bool,
    /// Tasks that it has done.
    pub done: u64,
    /// How long it had nothing to do.
    pub idle: Duration,
    /// How old it is.
    pub age: Duration,
    /// What it spent its time on. A worker of another host does not tell.
    pub times: WorkerTimes,
}

/// What a worker has spent its time on.
///
/// ```
/// use multiproc_pool::Pool;
///
/// let pool = Pool::builder().workers(1).build()?;
/// pool.map(1..=10u64, |n| n * n).unwrap();
/// let times = &pool.stats().workers[0].times;
/// assert_eq!((times.run.count(), times.serialize.count()), (10, 10));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WorkerTimes {
    /// How long its tasks waited, from the hand-in to the hand-over to it.
    pub wait: Histogram,
    /// How long they ran, as in [`PoolStats::run`].
    pub run: Histogram,
    /// Of that, decoding the arguments; of a task that was sent alone, encoding the result as well. Of tasks that were
    /// sent together, the average of these counts for each.
    pub serialize: Histogram,
    /// How long it had nothing to do each time.
    pub idle: Histogram,
}

impl PoolStats {
    pub(crate) fn of(engine: &Engine) -> PoolStats {
        let recorder = &engine.recorder;
        let workers = engine.backend.workers().into_iter().map(|info| WorkerStats {
            id: info.id,
            name: info.name,
            is_ready: info.is_ready,
            is_busy: info.has > 0,
            done: info.done,
            idle: info.idle,
            age: info.age,
            times: info.times,
        });
        PoolStats {
            wait: recorder.wait.clone(),
            run: recorder.run.clone(),
            slowest: recorder.slowest.clone(),
            queued: engine.queued(),
            under_way: engine.under_way(),
            failed: recorder.failed,
            bytes_out: recorder.bytes_out,
            bytes_in: recorder.bytes_in,
            restarts: engine.backend.restarts(),
            workers: workers.collect(),
        }
    }
}

impl fmt::Display for PoolStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} done, {} failed, {} queued, {} under way; {} restarts; {} B out, {} B in",
            self.run.count(),
            self.failed,
            self.queued,
            self.under_way,
            self.restarts,
            self.bytes_out,
            self.bytes_in
        )?;
        for (name, times) in [("wait", &self.wait), ("run", &self.run)] {
            let [half, most] = [0.5, 0.99].map(|share| times.quantile(share));
            writeln!(f, "{name}: mean {:?}, half below {half:?}, 99 % below {most:?}", times.mean())?;
        }
        for worker in &self.workers {
            let state = match (worker.is_ready, worker.is_busy) {
                (false, _) => "starting",
                (_, true) => "busy",
                _ => "idle",
            };
            writeln!(
                f,
                "{} ({}): {state}, {} done, idle for {:?}; a task runs for {:?}, of which {:?} to be decoded",
                worker.name,
                worker.id,
                worker.done,
                worker.idle,
                worker.times.run.mean(),
                worker.times.serialize.mean()
            )?;
        }
        Ok(())
    }
}
