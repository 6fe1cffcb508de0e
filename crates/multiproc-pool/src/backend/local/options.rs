//! How workers are made.

use multiproc_core::codec::Encoded;
use multiproc_process::StartMethod;
use std::time::Duration;

/// What workers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerKind {
    Process,
    Thread,
}

/// What makes a worker's state.
#[derive(Debug)]
pub struct Init {
    pub runner: Vec<u8>,
    pub function: Vec<u8>,
    pub arguments: Encoded,
}

/// How workers are made, and when they go.
#[derive(Debug)]
pub(crate) struct LocalOptions {
    pub(crate) kind: WorkerKind,
    pub(crate) workers: usize,
    /// The least number, where they come and go with the work.
    pub(crate) min_workers: Option<usize>,
    pub(crate) name: String,
    pub(crate) start_method: Option<StartMethod>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) init: Option<Init>,
    /// Each worker on one processor, in turns.
    pub(crate) pinned: Option<Vec<usize>>,
    /// After so many tasks, above so many bytes in memory, after so long, a worker is replaced.
    pub(crate) tasks_per_worker: Option<u64>,
    pub(crate) max_resident: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    /// After so long without work, one beyond the least number leaves.
    pub(crate) idle_timeout: Duration,
    /// Children that terminal signals do not reach.
    pub(crate) env: Vec<(String, String)>,
}
