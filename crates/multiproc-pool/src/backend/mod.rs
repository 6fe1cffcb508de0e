//! The seam between the typed pool and what runs its tasks.
//!
//! Above it are types, order, retries and futures; below it opaque envelopes, and events about them. A backend takes
//! what its credit allows and never waits; whatever becomes of an envelope's elements is told by events, of each of
//! them exactly once: a result, a failure, or that what ran them is lost. What a backend cannot do its capabilities
//! say, which are looked at when the pool is built.
//!
//! It is for the crates of this workspace: nothing here is promised to stay as it is.

mod caps;
mod door;
mod local;
pub(crate) mod marks;
mod port;
pub(crate) mod wire;

pub use crate::board::{BUSY, Board, IDLE, LEAVING, STARTING};
pub use caps::{Caps, Trip};
pub use door::Door;
pub(crate) use door::{Knocker, Seen};
pub use local::Init;
pub(crate) use local::{Local, LocalOptions, WorkerKind};
pub use port::{Hand, Order, Port, Told};

use crate::TaskError;
use crate::death::WorkerStatus;
use crate::stats::WorkerTimes;
use multiproc_process::Panic;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Numbers what is handed to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnvelopeId(pub u64);

/// Elements of one function, without types.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    pub id: EnvelopeId,
    /// The code that knows the types, and the function: as they travel.
    pub runner: &'a [u8],
    pub function: &'a [u8],
    /// How many elements there are, and their arguments behind each other.
    pub count: u32,
    pub arguments: &'a [u8],
    /// The descriptors of a single element's arguments.
    pub fds: &'a [Arc<OwnedFd>],
    /// Each result has its length before it.
    pub framed: bool,
    /// Somebody will ask how long an element has been running.
    pub timed: bool,
    /// Where each element's arguments end, counted from where the first one's would with `start` bytes before it.
    pub ends: &'a [usize],
    pub start: usize,
    /// How long an element may take, and how long it has to come to its end then.
    pub timeout: Option<Duration>,
    pub grace: Duration,
    /// How long its elements have waited for this.
    pub waited: Duration,
    /// How often its elements were tried before.
    pub attempt: u32,
}

/// Why an envelope was not taken.
#[derive(Debug)]
pub enum Refusal {
    /// Not now.
    Busy,
    /// Not ever: the arguments cannot be handed over.
    NotSent(String),
}

/// What has become of one element, other than a result.
#[derive(Debug)]
pub enum Failure {
    Panicked(Panic),
    /// The arguments could not be decoded.
    NotDecoded(String),
    /// The result could not be encoded.
    NotEncoded(String),
    /// It came to an end elsewhere, where a pool has named it already.
    Ended(TaskError),
}

/// Results of elements that follow each other.
#[derive(Debug)]
pub struct Results {
    pub id: EnvelopeId,
    pub first: u32,
    pub count: u32,
    /// How many of them were told before.
    pub known: u32,
    pub bytes: Vec<u8>,
    /// The descriptors of a single one.
    pub fds: io::Result<Vec<OwnedFd>>,
    /// How long those that are new took.
    pub nanos: u64,
}

/// What a backend has to tell.
#[derive(Debug)]
pub enum Event {
    Results(Results),
    Failed {
        id: EnvelopeId,
        element: u32,
        failure: Failure,
    },
    /// One of its elements cannot be decoded: none was begun.
    Undecodable(EnvelopeId),
    /// What had it is gone; so many of its elements had been begun. `opened`: it had got so far as to look at it.
    Lost {
        id: EnvelopeId,
        begun: u32,
        opened: bool,
        death: Arc<WorkerStatus>,
    },
    /// So many elements, of which none was begun, are given back to be run elsewhere.
    GivenBack {
        id: EnvelopeId,
        first: u32,
        count: u32,
    },
    /// Nothing can be run, and why; `None`: it can again.
    Impossible(Option<String>),
    /// Who works has changed.
    Changed,
}

/// How far an envelope is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// How many of its elements have been begun.
    pub begun: u32,
    /// For how long the last of them has been running.
    pub running: Duration,
}

/// How a backend ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing is under way: the workers may leave.
    Drained,
    /// Now, whatever they are doing.
    Now,
}

/// What is known of one worker.
#[derive(Clone, Debug, Default)]
pub struct WorkerInfo {
    pub id: u32,
    pub name: String,
    pub is_ready: bool,
    pub has: usize,
    pub done: u64,
    pub idle: Duration,
    pub age: Duration,
    pub times: WorkerTimes,
}

/// What runs envelopes. Nothing here waits; for events one waits at its [`Door`].
pub trait Backend: Send {
    fn caps(&self) -> Caps;

    /// Where it tells that there are events.
    fn door(&self) -> &Arc<Door>;

    /// How many envelopes it would take now.
    fn credit(&self, expected: Option<Duration>) -> usize;

    /// How many elements the next envelope may have.
    fn most(&self) -> u32 {
        u32::MAX
    }

    /// How many workers have nothing to do.
    fn idle(&self) -> usize;

    /// Takes an envelope.
    ///
    /// # Errors
    ///
    /// See [`Refusal`].
    fn submit(&mut self, envelope: &Envelope<'_>) -> Result<(), Refusal>;

    /// Takes back what has not been begun of an envelope, and of all that its worker was to do after it; tells how many
    /// elements of each had been begun.
    fn take_back(&mut self, id: EnvelopeId) -> Vec<(EnvelopeId, u32)>;

    /// The envelopes that wait behind others which take long.
    fn stragglers(&self, now: Instant, patience: Duration) -> Vec<EnvelopeId>;

    /// How far an envelope is.
    fn progress(&self, id: EnvelopeId) -> Option<Progress>;

    /// Asks the element that is running to stop, and ends what runs it if it does not within `grace`.
    fn stop(&mut self, id: EnvelopeId, grace: Duration);

    /// Collects what has been told.
    fn collect(&mut self, events: &mut Vec<Event>);

    /// Buries the dead, replaces them, ends what is to end; tells when it wants to be called again.
    fn attend(&mut self, events: &mut Vec<Event>) -> Option<Instant>;

    /// Collects results that a worker has not sent yet because it is busy with another element.
    fn harvest(&mut self, events: &mut Vec<Event>);

    fn workers(&self) -> Vec<WorkerInfo>;

    /// How many workers died.
    fn restarts(&self) -> u64;

    /// Shows watchers its workers, and tells how many it has shown.
    fn show(&self, board: &Board) -> usize {
        let _ = board;
        0
    }

    /// Lets workers that are not needed go down to the least number, or has so many come as there is work for.
    fn want(&mut self, tasks: usize);

    /// Asks for the end of elements of an envelope that is out of reach for the calls above, of those that are running
    /// only if `running`; each of them is told of by an event.
    fn cancel(&mut self, id: EnvelopeId, elements: &[u32], running: bool) {
        let _ = (id, elements, running);
    }

    /// What a trip costs, and what is worth one.
    fn trip(&self) -> Trip {
        Trip::default()
    }

    /// Keeps an element that cost too many workers for whoever wants to look at it.
    fn bury(&mut self, letter: Letter<'_>) {
        let _ = letter;
    }

    /// Lets the workers leave, or ends them, and waits for that until then; tells whether all are gone.
    fn try_shut_down(&mut self, how: Shutdown, deadline: Option<Instant>) -> bool;

    /// Does the same, and kills who is not gone by then.
    fn shut_down(&mut self, how: Shutdown, deadline: Option<Instant>) -> bool;
}

/// A task that is given up.
#[derive(Debug)]
pub struct Letter<'a> {
    pub runner: &'a [u8],
    pub function: &'a [u8],
    pub arguments: &'a [u8],
    pub error: &'a TaskError,
}

/// Makes a backend when its pool is built.
pub trait Start: fmt::Debug + Send {
    /// What the backend will be able to do.
    fn caps(&self) -> Caps;

    /// Starts it; `init` makes the state of each worker.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    fn start(self: Box<Self>, init: Option<Init>) -> io::Result<Box<dyn Backend>>;
}
