//! What callers and agents say to each other.
//!
//! A *caller* is a pool; an *agent* runs tasks on its host. A task is an envelope of the pool: elements of one function.
//!
//! 1. The caller puts a [`Task`] into the stream. An agent pulls it, says [`ToCaller::Took`], and takes it out of the
//!    stream: from then on it is the caller who watches over it, by the agent's beats.
//! 2. An agent runs a task at once if it is sure that nobody has had it: it was delivered for the first time, it came into
//!    the stream while this agent was listening, and the caller is known. Else it asks ([`ToCaller::Claim`]).
//! 3. The agent tells what became of elements ([`ToCaller::Answers`]), and keeps each answer until the caller has
//!    received it. An answer that was lost is sent again when the caller calls the roll, a long result that the server
//!    has lost is stored again when the caller asks for it ([`ToAgents::Missing`]).
//! 4. Both beat. Who is not heard of for a lease, the longer one of the two, is lost: a caller ends what a lost agent had, an agent what a lost caller
//!    wanted.
//! 5. After a break of its connection, when the stream is gone, or when a task lies there though an agent waits for one, a
//!    caller takes its tasks out of the stream, calls the roll ([`ToAgents::Beat`] with a new `asks`), and puts into the
//!    stream again what no agent has.

use multiproc_core::sys::child::End;
use multiproc_pool::backend::Failure;
use multiproc_pool::{Cause, TaskError, WorkerStatus};
use multiproc_process::ExitStatus;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Tells callers and agents apart: random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Id([u8; 12]);

impl Id {
    pub(crate) fn random() -> std::io::Result<Id> {
        let mut bytes = [0; 12];
        multiproc_core::sys::random::fill_random(&mut bytes)?;
        Ok(Id(bytes))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::names::hex(&self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// An envelope in the stream.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) caller: Id,
    pub(crate) number: u64,
    /// How often it was put into the stream.
    pub(crate) turn: u32,
    /// All tasks below this number have ended.
    pub(crate) floor: u64,
    pub(crate) body: Body,
}

/// Bytes, or where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Body {
    Inline(Vec<u8>),
    Stored(Stored),
}

/// Something long, in the stream of pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) name: String,
    /// Where its pieces are.
    pub(crate) places: Vec<u64>,
}

/// What is in a task's body.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Elements {
    pub(crate) runner: Vec<u8>,
    pub(crate) function: Vec<u8>,
    pub(crate) framed: bool,
    pub(crate) lens: Vec<u32>,
    pub(crate) arguments: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) attempt: u32,
    /// The state of workers that this is for; 0: none.
    pub(crate) init: u64,
}

/// What makes the state of a caller's workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) runner: Vec<u8>,
    pub(crate) function: Vec<u8>,
    pub(crate) arguments: Vec<u8>,
}

/// What agents must know of a caller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) caller: Id,
    /// Each is greater than the one before.
    pub(crate) beat: u64,
    pub(crate) floor: u64,
    /// How long it may be silent.
    pub(crate) lease: Duration,
    pub(crate) state: Option<State>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToAgents {
    /// A caller lives; who has not answered this roll call yet is to do so at once.
    Beat { hello: Hello, asks: u64 },
    /// A caller leaves: nothing of it is wanted any more.
    Bye { caller: Id },
    /// These elements are not wanted.
    Cancel { caller: Id, number: u64, elements: Vec<u32>, running: bool },
    /// These answers have arrived.
    Received { caller: Id, serials: Vec<u64> },
    /// What this answer speaks of is not on the server any more.
    Missing { caller: Id, serial: u64 },
    /// Whether a claim is granted.
    Claimed { hello: Hello, number: u64, turn: u32, granted: bool },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToCaller {
    /// An agent lives; this is all that it has of this caller.
    Beat { agent: Id, beat: u64, about: About, holds: Vec<u64>, answers: u64 },
    /// It leaves, and has nothing.
    Bye { agent: Id },
    /// It has taken these.
    Took { agent: Id, numbers: Vec<u64> },
    /// May it take this, which was delivered so often?
    Claim { agent: Id, number: u64, turn: u32, delivered: u64 },
    /// What became of elements.
    Answers { agent: Id, serial: u64, answers: Vec<Answer> },
}

/// What is to be known of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) host: String,
    pub(crate) process: u32,
    /// How long it may be silent.
    pub(crate) lease: Duration,
    pub(crate) restarts: u64,
    /// It takes no more.
    pub(crate) is_leaving: bool,
    /// How many tasks it has asked the stream for that have not come.
    pub(crate) wants: u32,
    pub(crate) workers: Vec<AboutWorker>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AboutWorker {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) is_ready: bool,
    pub(crate) has: u32,
    pub(crate) done: u64,
    pub(crate) idle: Duration,
    pub(crate) age: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) number: u64,
    pub(crate) part: Part,
}

/// What became of elements that follow each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    /// Results; the first `known` of them were told before.
    Results {
        first: u32,
        count: u32,
        known: u32,
        nanos: u64,
        bytes: Body,
    },
    Failed {
        element: u32,
        error: Ended,
    },
    /// None of them was begun: somebody else is to run them.
    GivenBack {
        first: u32,
        count: u32,
    },
    /// Nobody will ever be able to run it.
    Nothing {
        message: String,
    },
    /// Its arguments are not on the server any more: they have to be put there again.
    Lost,
}

/// No word about a failure is longer.
const LONGEST_WORD: usize = 32 << 10;

/// The beginning of a word about a failure, if all of it would be too long for a message.
fn shortened(mut word: String) -> String {
    if word.len() > LONGEST_WORD {
        word.truncate(word.floor_char_boundary(LONGEST_WORD));
        word.push_str(" [and more]");
    }
    word
}

impl Part {
    /// About how many bytes it takes in a message.
    pub(crate) fn len(&self) -> usize {
        let words = match self {
            Part::Results { bytes: Body::Inline(bytes), .. } => bytes.len(),
            Part::Failed { error: Ended::Panicked { message, location, backtrace }, .. } => {
                message.len() + location.len() + backtrace.len()
            }
            Part::Failed { error: Ended::Unsupported { message } | Ended::NoWorker { message }, .. }
            | Part::Nothing { message } => message.len(),
            _ => 0,
        };
        32 + words
    }

    /// The elements of which this is the first word.
    pub(crate) fn range(&self) -> std::ops::Range<u32> {
        match self {
            Part::Results { first, count, known, .. } => {
                first.saturating_add(*known)..first.saturating_add(*count)
            }
            Part::Failed { element, .. } => *element..element.saturating_add(1),
            Part::GivenBack { first, count } => *first..first.saturating_add(*count),
            Part::Nothing { .. } | Part::Lost => 0..0,
        }
    }
}

/// A [`TaskError`] as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ended {
    Panicked { message: String, location: String, backtrace: String },
    Died { code: Option<i32>, signal: Option<i32>, core_dumped: bool, cause: u8, peak: Option<u64> },
    TimedOut,
    Cancelled,
    Encode,
    Decode,
    Unsupported { message: String },
    NoWorker { message: String },
}

const CAUSES: [Cause; 8] = [
    Cause::Exit,
    Cause::Crash,
    Cause::MemoryLimit,
    Cause::OutOfMemory,
    Cause::Killed,
    Cause::Ended,
    Cause::Corrupt,
    Cause::HostLost,
];

impl Ended {
    /// What a task ends with whose host is lost.
    pub(crate) fn host_lost() -> Ended {
        let cause = CAUSES.iter().position(|cause| *cause == Cause::HostLost).unwrap_or_default() as u8;
        Ended::Died { code: None, signal: None, core_dumped: false, cause, peak: None }
    }
}

impl From<TaskError> for Ended {
    fn from(error: TaskError) -> Ended {
        match error {
            TaskError::Panicked { message, location, backtrace } => {
                let [message, location, backtrace] = [message, location, backtrace].map(shortened);
                Ended::Panicked { message, location, backtrace }
            }
            TaskError::WorkerDied { status } => {
                let cause = CAUSES.iter().position(|cause| *cause == status.cause());
                Ended::Died {
                    code: status.code(),
                    signal: status.signal(),
                    core_dumped: status.core_dumped(),
                    cause: cause.unwrap_or_default() as u8,
                    peak: status.peak_memory(),
                }
            }
            TaskError::TimedOut => Ended::TimedOut,
            TaskError::Cancelled | TaskError::Closed => Ended::Cancelled,
            TaskError::Encode => Ended::Encode,
            TaskError::Decode => Ended::Decode,
            TaskError::Unsupported { message } => Ended::Unsupported { message: shortened(message) },
            other => Ended::NoWorker { message: shortened(other.to_string()) },
        }
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Failure {
        Failure::Ended(match ended {
            Ended::Panicked { message, location, backtrace } => {
                TaskError::Panicked { message, location, backtrace }
            }
            Ended::Died { code, signal, core_dumped, cause, peak } => {
                let end = match (code, signal) {
                    (Some(code), _) => End::Exited(code),
                    (None, Some(signal)) => End::Signaled { signal, core_dumped },
                    (None, None) => End::Unknown,
                };
                let cause = CAUSES.get(usize::from(cause)).copied().unwrap_or(Cause::Killed);
                TaskError::WorkerDied { status: WorkerStatus::new(ExitStatus::new(end), cause, peak) }
            }
            Ended::TimedOut => TaskError::TimedOut,
            Ended::Cancelled => TaskError::Cancelled,
            Ended::Encode => TaskError::Encode,
            Ended::Decode => TaskError::Decode,
            Ended::Unsupported { message } => TaskError::Unsupported { message },
            Ended::NoWorker { message } => TaskError::NoWorker { message },
        })
    }
}

/// Asks all agents of a pool, whatever their build.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) asker: Id,
}

/// An agent tells whoever asks where it is, which build it is of, and how it stands.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Here {
    pub(crate) asker: Id,
    pub(crate) agent: Id,
    pub(crate) build: String,
    pub(crate) program: String,
    /// How many callers it knows, and how many envelopes of theirs it has.
    pub(crate) callers: u32,
    pub(crate) envelopes: u32,
    /// With the workers of all its pools.
    pub(crate) about: About,
}
