//! What pool and worker say to each other.

use multiproc_pipe::Fd;
use multiproc_process::{Panic, Remote};
use multiproc_shm::Shared;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;

/// The mark of a worker that is running no task.
pub(crate) const IDLE: u64 = u64::MAX;

/// The arguments of a worker process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerArgs {
    /// The worker's end of its socket.
    pub(crate) socket: Fd<OwnedFd>,
    /// Where the worker marks which task it has begun, so that its death is blamed on that one alone.
    pub(crate) running: Shared<AtomicU64>,
}

/// Pool to worker; the body of the parcel is the encoded arguments.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) id: u64,
    pub(crate) call: Remote,
}

/// Worker to pool; the body of the parcel is the encoded result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) id: u64,
    pub(crate) outcome: AnswerKind,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum AnswerKind {
    Returned,
    Panicked(Panic),
    NotDecoded(String),
    NotEncoded(String),
}
