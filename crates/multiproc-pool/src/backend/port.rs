//! The other way in: tasks without types, for who runs those that come from elsewhere.

use super::{Results, WorkerInfo};
use crate::TaskError;
use crate::engine::{After, Code, Core, Given, Sink, Work};
use crate::options::TaskOptions;
use crate::pool::Pool;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::EnvelopeId;

/// Elements of one function, as an [`Envelope`](super::Envelope) held them.
#[derive(Debug)]
pub struct Order {
    pub runner: Vec<u8>,
    pub function: Vec<u8>,
    pub framed: bool,
    /// The arguments behind each other, and where each ends.
    pub arguments: Vec<u8>,
    pub ends: Vec<usize>,
    pub timeout: Option<Duration>,
    pub grace: Duration,
    /// As of [`TaskOptions::retries`](crate::TaskOptions::retries).
    pub retries: u32,
}

/// What is told of an order's elements: of each of them once.
pub trait Told: Send + Sync {
    /// Results of elements that follow each other; their envelope's number means nothing.
    fn results(&self, results: Results);
    /// An element has failed.
    fn failed(&self, element: u32, error: TaskError);
}

struct Outward(Arc<dyn Told>);

impl Sink for Outward {
    fn results(&self, given: Given, _: &mut After) {
        let Given { first, count, known, bytes, fds, nanos } = given;
        self.0.results(Results { id: EnvelopeId(0), first: first as u32, count, known, bytes, fds, nanos });
    }

    fn failed(&self, element: u64, error: TaskError, _: &mut After) {
        self.0.failed(element as u32, error);
    }
}

/// A pool seen by who brings tasks without types.
#[derive(Clone, Debug)]
pub struct Port {
    core: Arc<Core>,
}

impl Port {
    /// Opens a pool.
    pub fn of<S: 'static>(pool: &Pool<S>) -> Port {
        Port { core: Arc::clone(pool.core()) }
    }

    /// Has an order done; whoever calls this works the pool meanwhile.
    pub fn hand_in(&self, order: Order, told: Arc<dyn Told>) -> Hand {
        let Order { runner, function, framed, arguments, ends, timeout, grace, retries } = order;
        let mut hasher = DefaultHasher::new();
        (&runner, &function).hash(&mut hasher);
        let key = (hasher.finish() as usize, 0);
        let mut options = TaskOptions::new().grace(grace).retries(retries);
        options.timeout = timeout;
        let sink: Arc<dyn Sink> = Arc::new(Outward(told));
        let work = Work {
            sink: Arc::clone(&sink),
            code: Arc::new(Code { runner, function, key }),
            options: (timeout.is_some() || retries > 0).then(|| Arc::new(options)),
            framed,
            alone: false,
            bytes: arguments,
            ends,
            fds: Vec::new(),
            base: 0,
            since: Instant::now(),
            attempts: 0,
            kills: 0,
            tries: 0,
            is_divisible: true,
        };
        self.core.hand_in(work);
        self.core.pump();
        // Whoever sleeps has to look when something is late from now on.
        self.core.announce();
        Hand { core: Arc::clone(&self.core), sink }
    }

    /// The workers as they are now.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.core.engine.lock().backend.workers()
    }

    /// How many workers were lost so far.
    pub fn restarts(&self) -> u64 {
        self.core.engine.lock().backend.restarts()
    }

    /// How many tasks wait for a worker.
    pub fn queued(&self) -> usize {
        self.core.engine.lock().queued()
    }
}

/// An order that was handed in.
pub struct Hand {
    core: Arc<Core>,
    sink: Arc<dyn Sink>,
}

impl Hand {
    /// Cancels the elements that are meant and not begun, and those that are running if `running`; tells whether there
    /// were any.
    pub fn cancel(&self, is_meant: impl Fn(u32) -> bool + Copy, running: bool) -> bool {
        self.core.cancel(&self.sink, |element| is_meant(element as u32), running)
    }
}

impl fmt::Debug for Hand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hand").finish_non_exhaustive()
    }
}
