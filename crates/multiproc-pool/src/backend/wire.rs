//! What pool and worker say to each other.

use multiproc_pipe::Fd;
use multiproc_process::{Panic, Remote};
use multiproc_shm::{Shared, ShmSafe};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;

/// The words that a worker and the pool share. Tasks are named by their place in the worker's stream, from 1.
#[derive(Debug, ShmSafe)]
#[repr(C)]
pub(crate) struct Marks {
    /// Written by the worker: the last task that it has begun, so that its death is blamed on that one, and none that
    /// it has begun is given to another.
    pub(crate) begun: AtomicU64,
    /// Written by the pool: tasks up to this one that the worker has not begun are taken back.
    pub(crate) taken_back: AtomicU64,
}

/// The arguments of a worker process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerArgs {
    /// The worker's end of its socket.
    pub(crate) socket: Fd<OwnedFd>,
    pub(crate) marks: Shared<Marks>,
}

/// Pool to worker; the body of the parcel is the encoded arguments.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) place: u64,
    pub(crate) call: Remote,
}

/// Worker to pool; the body of the parcel is the encoded result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) place: u64,
    pub(crate) outcome: AnswerKind,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum AnswerKind {
    /// It was taken back before it was begun.
    Skipped,
    Returned,
    Panicked(Panic),
    NotDecoded(String),
    NotEncoded(String),
}
