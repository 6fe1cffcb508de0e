//! The seam between the typed pool and what runs its tasks.
//!
//! Above it are types, order, and futures; below it opaque envelopes, and events about them. A backend takes what its
//! credit allows and never blocks; whatever becomes of an envelope, exactly one [`Event::Done`] tells it. It hides
//! from the layer above which worker has what: an envelope that a dying worker had not begun is given to another.

mod local;
mod wire;
mod worker;

pub(crate) use local::{Local, LocalOptions};

use multiproc_core::codec::{self, DecodeError, Encoded};
use multiproc_core::{Bell, Deadline, Message};
use multiproc_pipe::parcel::Parcel;
use multiproc_process::{ExitStatus, Panic, Remote};
use std::io;

/// Numbers the tasks of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TaskId(pub(crate) u64);

/// A task without types.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) id: TaskId,
    pub(crate) call: Remote,
    pub(crate) arguments: Encoded,
}

/// How a task ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Returned(Payload),
    Panicked(Panic),
    /// The arguments could not be decoded by the worker.
    NotDecoded(String),
    /// The result could not be encoded.
    NotEncoded(String),
    /// The worker ended while it ran the task.
    WorkerDied(ExitStatus),
    /// The arguments cannot be handed to a worker.
    NotSent(String),
    /// The task is done, and its answer cannot be received.
    NotReceived(String),
    /// No worker can be started.
    NoWorker(String),
}

/// An encoded result.
#[derive(Debug)]
pub(crate) struct Payload {
    parcel: Parcel,
}

impl Payload {
    pub(crate) fn new(parcel: Parcel) -> Payload {
        Payload { parcel }
    }

    pub(crate) fn decode<R: Message>(mut self) -> Result<R, DecodeError> {
        let fds = self.parcel.take_fds();
        codec::decode(self.parcel.body(), fds)
    }
}

/// What a backend has to tell.
#[derive(Debug)]
pub(crate) enum Event {
    /// A task has ended.
    Done(TaskId, Outcome),
    /// A task that was taken has not been begun: it is to be submitted again.
    Returned(Envelope),
    /// The numbers of the worker processes have changed.
    Workers(Vec<u32>),
}

/// How a backend ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// Nothing is under way: the workers may leave.
    Drained,
    /// Now, whatever they are doing.
    Now,
}

/// What runs the tasks. One thread owns it and calls everything here.
pub(crate) trait Backend: Send {
    /// How many envelopes it would take now.
    fn credit(&self) -> usize;

    /// Takes an envelope; only while there is credit.
    fn submit(&mut self, envelope: Envelope);

    /// Takes a task back that has not been begun; tells whether it could. Then nothing more is told of it.
    fn take_back(&mut self, id: TaskId) -> bool;

    /// Waits for something to happen until the deadline, or for `bell` to ring, and tells what did.
    fn poll(&mut self, bell: &Bell, deadline: Deadline, events: &mut Vec<Event>) -> io::Result<()>;

    /// Ends the workers and waits for their end.
    fn shut_down(&mut self, how: Shutdown);
}
