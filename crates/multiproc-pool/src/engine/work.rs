//! What is to be done, before it is handed to a backend and while it is there.

use crate::TaskError;
use crate::options::TaskOptions;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

/// What has come of elements of somebody's job, to be told to whoever waits; runs under the engine's lock.
pub(crate) trait Sink: Send + Sync {
    /// Results of elements that follow each other; the first `known` of them were given before.
    fn results(&self, given: Given, after: &mut After);
    /// An element has failed.
    fn failed(&self, element: u64, error: TaskError, after: &mut After);
}

/// Results of elements that follow each other.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) known: u32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) fds: io::Result<Vec<OwnedFd>>,
    /// How long those that are new took, where that is known.
    pub(crate) nanos: u64,
}

/// What is to be done once the lock is given back.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) wakers: Vec<std::task::Waker>,
    /// For the supervisor's thread.
    pub(crate) callbacks: Vec<Box<dyn FnOnce() + Send>>,
}

/// A function, as it travels.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) runner: Vec<u8>,
    pub(crate) function: Vec<u8>,
    /// Tells it from others: addresses of the runner and of the function.
    pub(crate) key: (usize, usize),
}

/// Elements of one function, with what is to be told of them.
pub(crate) struct Work {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) code: Arc<Code>,
    pub(crate) options: Option<Arc<TaskOptions>>,
    /// Each result has its length before it.
    pub(crate) framed: bool,
    /// The arguments behind each other, and where each ends.
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Vec<usize>,
    /// The descriptors of a single element.
    pub(crate) fds: Vec<Arc<OwnedFd>>,
    /// The number of the first element to the sink.
    pub(crate) base: u64,
    pub(crate) since: Instant,
    /// How often this was tried, how many workers died of it, and how many before they began it.
    pub(crate) attempts: u32,
    pub(crate) kills: u32,
    pub(crate) tries: u32,
    /// It cannot be sent together with others.
    pub(crate) alone: bool,
    /// As many elements may be sent together as is found to be good.
    pub(crate) is_divisible: bool,
}

impl Work {
    pub(crate) fn start_of(&self, element: u32) -> usize {
        (element as usize).checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0)
    }

    pub(crate) fn arguments(&self, from: u32, to: u32) -> &[u8] {
        let (start, end) = (self.start_of(from), self.start_of(to));
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// One element of it, to be tried again.
    pub(crate) fn single(&self, element: u32) -> Work {
        let bytes = self.arguments(element, element + 1).to_vec();
        Work {
            sink: Arc::clone(&self.sink),
            code: Arc::clone(&self.code),
            options: self.options.clone(),
            framed: self.framed,
            ends: vec![bytes.len()],
            bytes,
            fds: self.fds.clone(),
            base: self.base + u64::from(element),
            since: self.since,
            attempts: self.attempts,
            kills: self.kills,
            tries: self.tries,
            alone: true,
            is_divisible: true,
        }
    }
}

/// Elements of some work, from one up to another.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) work: Arc<Work>,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl Part {
    pub(crate) fn whole(work: Work) -> Part {
        let to = work.ends.len() as u32;
        Part { work: Arc::new(work), from: 0, to }
    }

    pub(crate) fn len(&self) -> u32 {
        self.to - self.from
    }

    pub(crate) fn priority(&self) -> i32 {
        self.work.options.as_ref().map_or(0, |options| options.priority)
    }

    /// The number of an element to the sink.
    pub(crate) fn number(&self, element: u32) -> u64 {
        self.work.base + u64::from(self.from + element)
    }

    /// Tells whether it is of that sink, and which of its elements are meant: all of them, or one.
    pub(crate) fn is_of(&self, sink: &Arc<dyn Sink>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.work.sink), Arc::as_ptr(sink))
    }
}

/// A part that a backend has.
pub(crate) struct Chunk {
    pub(crate) part: Part,
    /// How many elements have been answered, in their order.
    pub(crate) answered: u32,
    /// The element whose time is up, or that is cancelled, and what that is called.
    pub(crate) ended: Option<(u32, TaskError)>,
    /// What a distant backend told of elements behind those: from where to where.
    pub(crate) ahead: BTreeMap<u32, u32>,
    /// Elements whose end was asked for where that takes its time.
    pub(crate) asked: BTreeSet<u32>,
}

impl Chunk {
    pub(crate) fn new(part: Part) -> Chunk {
        Chunk { part, answered: 0, ended: None, ahead: BTreeMap::new(), asked: BTreeSet::new() }
    }

    /// Notes that elements were told of; tells whether those were the last ones.
    pub(crate) fn note(&mut self, from: u32, to: u32) -> bool {
        if from > self.answered {
            self.ahead.insert(from, to);
        } else {
            self.answered = self.answered.max(to);
            while let Some(to) = self.ahead.remove(&self.answered) {
                self.answered = to;
            }
        }
        self.answered >= self.part.len()
    }

    /// The elements of which nothing was told: from where to where.
    pub(crate) fn open(&self) -> Vec<(u32, u32)> {
        let mut open = Vec::with_capacity(1);
        let mut from = self.answered;
        for (first, to) in &self.ahead {
            open.push((from, *first));
            from = *to;
        }
        open.push((from, self.part.len()));
        open
    }
}
