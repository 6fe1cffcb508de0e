//! Tasks that were given up, kept on the server until somebody has looked at them.

use crate::blobs::INLINE;
use crate::error::{ClusterError, Kind};
use crate::link::Link;
use crate::room::Room;
use crate::seal::Sort;
use async_nats::jetstream::stream::RawMessageErrorKind;
use multiproc_pool::backend::{Order, Port, Results, Told};
use multiproc_pool::{Pool, TaskError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is on the server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Letter {
    runner: Vec<u8>,
    function: Vec<u8>,
    arguments: Vec<u8>,
    error: String,
    program: String,
    /// Seconds since 1970.
    when: u64,
}

/// A letter, and its place in the stream.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) place: u64,
    letter: Letter,
}

/// A task that cost too many workers or hosts and was given up; see [`Nats::dead_letters`](crate::Nats::dead_letters).
///
/// # Examples
///
/// ```no_run
/// use multiproc_cluster::Nats;
/// use multiproc_pool::Pool;
///
/// let nats = Nats::connect("nats://127.0.0.1:4222")?;
/// let pool = Pool::builder().backend(nats.clone()).build()?;
/// for letter in nats.dead_letters()? {
///     println!("{} of {} at {:?}: {}", letter.number(), letter.program(), letter.when(), letter.error());
///     if letter.arguments().is_empty() {
///         letter.discard()?;
///     } else {
///         letter.put_back(&pool); // the cause was removed: once more
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DeadLetter {
    pub(crate) found: Found,
    pub(crate) room: Arc<Room>,
}

impl DeadLetter {
    pub(crate) fn new(found: Found, room: Arc<Room>) -> DeadLetter {
        DeadLetter { found, room }
    }

    /// The number of the letter: it stays, and no other has it.
    pub fn number(&self) -> u64 {
        self.found.place
    }

    /// What it ended with last.
    pub fn error(&self) -> &str {
        &self.found.letter.error
    }

    /// The program that wanted it.
    pub fn program(&self) -> &str {
        &self.found.letter.program
    }

    /// When it was given up, by the clock of the host where that was.
    pub fn when(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.found.letter.when)
    }

    /// Its arguments, as they are encoded.
    pub fn arguments(&self) -> &[u8] {
        &self.found.letter.arguments
    }
}

impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("number", &self.number())
            .field("error", &self.error())
            .finish_non_exhaustive()
    }
}

/// The name of this program.
pub(crate) fn program() -> String {
    std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_default()
}

pub(crate) async fn bury(link: &Link, runner: Vec<u8>, function: Vec<u8>, arguments: Vec<u8>, error: String) {
    if arguments.len() > 2 * INLINE {
        let len = arguments.len();
        tracing::warn!(target: "multiproc::cluster", len, "a task is given up; its arguments are too long to be kept");
        return;
    }
    let when = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let letter = Letter { runner, function, arguments, error, program: program(), when };
    if let Err(error) = link.letters().await {
        tracing::warn!(target: "multiproc::cluster", %error, "a task is given up and cannot be kept");
        return;
    }
    let subject = link.names.dead();
    let message = link.seal.seal(Sort::Letter, &subject, &letter);
    let kept = match link.js.publish(subject, message.into()).await {
        Ok(told) => told.await,
        Err(error) => Err(error),
    };
    match kept {
        Ok(_) => {
            tracing::warn!(target: "multiproc::cluster", error = letter.error, "a task is given up, and kept as a dead letter");
        }
        Err(error) => {
            tracing::warn!(target: "multiproc::cluster", %error, "a task is given up and cannot be kept");
        }
    }
}

fn failed(what: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> ClusterError {
    Kind::Engine { what, why: error.to_string() }.because(error)
}

pub(crate) async fn list(link: &Link) -> Result<Vec<Found>, ClusterError> {
    let mut stream = link.letters().await?;
    let state = stream.info().await.map_err(|e| failed("look at the dead letters", e))?.state.clone();
    let mut found = Vec::new();
    if state.messages == 0 {
        return Ok(found);
    }
    for place in state.first_sequence..=state.last_sequence {
        let message = match stream.get_raw_message(place).await {
            Ok(message) => message,
            // It was removed.
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => continue,
            Err(error) => return Err(failed("look at the dead letters", error)),
        };
        if let Some(letter) = link.seal.open::<Letter>(Sort::Letter, &link.names.dead(), &message.payload) {
            found.push(Found { place, letter });
        }
    }
    Ok(found)
}

pub(crate) async fn remove(link: &Link, place: u64) -> Result<(), ClusterError> {
    let stream = link.letters().await?;
    stream.delete_message(place).await.map_err(|e| failed("remove a dead letter", e))?;
    Ok(())
}

/// How often one that was put back is tried again, so that it comes back if it is deadly still.
const RETRIES: u32 = 5;

/// What takes a letter off the list whose task has ended: not before, or it could be lost with this program.
struct Again {
    room: Arc<Room>,
    place: u64,
}

impl Again {
    fn remove(&self) {
        let place = self.place;
        self.room.begin(async move |link| {
            if let Err(error) = remove(&link, place).await {
                tracing::warn!(target: "multiproc::cluster", %error, "a dead letter stays, though its task has ended");
            }
        });
    }
}

impl Told for Again {
    fn results(&self, _: Results) {
        self.remove();
    }

    fn failed(&self, _: u32, error: TaskError) {
        tracing::warn!(target: "multiproc::cluster", %error, "a task that was put back has failed again");
        if error.is_worker_death() {
            // There is a new letter of it.
            self.remove();
        }
    }
}

/// Has a letter's task run.
pub(crate) fn run<S: 'static>(letter: DeadLetter, pool: &Pool<S>) {
    let DeadLetter { found: Found { place, letter }, room } = letter;
    let Letter { runner, function, arguments, .. } = letter;
    let ends = vec![arguments.len()];
    let order = Order {
        runner,
        function,
        framed: true,
        arguments,
        ends,
        timeout: None,
        grace: Duration::from_millis(10),
        retries: RETRIES,
    };
    Port::of(pool).hand_in(order, Arc::new(Again { room, place }));
}
