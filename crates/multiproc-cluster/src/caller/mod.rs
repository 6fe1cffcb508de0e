//! The caller's side: a backend of the pool whose workers are elsewhere.

mod actor;
mod agents;
mod ledger;
mod roll;

use crate::blobs::INLINE;
use crate::room::Room;
use crate::wire::{About, Elements, Id, State};
use actor::{Actor, Command};
use multiproc_core::codec;
use multiproc_pool::backend::{
    Backend, Caps, Door, Envelope, EnvelopeId, Event, Init, Letter, Progress, Refusal, Shutdown, Trip,
    WorkerInfo,
};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How long something may take of which a worker gets a second one before it is done.
const SHORT: Duration = Duration::from_millis(100);
/// How many envelopes each worker gets that take less than their way, at least and at most.
const DEEP: usize = 16;
const DEEPEST: usize = 256;
/// How many bytes of arguments each worker gets ahead.
const BYTES: usize = 32 << 20;

/// How long the other side may take to hear that a caller leaves.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many envelopes that take so long are so much work; never few, or each has a way of its own.
pub(crate) fn depth(work: Duration, each: Duration) -> usize {
    let many = work.as_nanos() / each.as_nanos().max(1);
    usize::try_from(many).unwrap_or(DEEPEST).clamp(DEEP, DEEPEST)
}

/// What can be done by whoever runs tasks elsewhere.
pub(crate) const CAPS: Caps = Caps {
    kills_running: true,
    isolates: true,
    limits: false,
    elastic: false,
    carries_handles: false,
    recycles: false,
    is_distant: true,
};

/// What the actor tells the pool.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) events: Vec<Event>,
    pub(crate) agents: Vec<About>,
    /// How long a message takes there and back.
    pub(crate) trip: Option<Duration>,
    pub(crate) is_over: bool,
}

impl Seen {
    /// How long a message takes there and back, as far as is known.
    fn way(&self) -> Duration {
        self.trip.unwrap_or(Duration::from_micros(500))
    }

    /// Learns from a message that took so long. It may have waited for its turn: the quick ones tell of the way, the slow
    /// ones when there are many.
    fn learn(&mut self, took: Duration) {
        let before = self.way();
        self.trip = Some(took.min(before + before / 16));
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) door: Arc<Door>,
    pub(crate) seen: Mutex<Seen>,
    pub(crate) came: Condvar,
    /// The pool has tasks and nobody to give them to.
    pub(crate) is_waiting: AtomicBool,
}

/// The backend.
pub(crate) struct Distant {
    room: Arc<Room>,
    shared: Arc<Shared>,
    commands: UnboundedSender<Command>,
    /// Elements of each envelope of which nothing was told, and its bytes; and those of all.
    left: HashMap<EnvelopeId, (u32, usize)>,
    bytes: usize,
    /// What tells the state of workers from that of other callers.
    init: u64,
    /// Somebody was asked to end this, and when.
    leaving: Option<Instant>,
}

impl Distant {
    pub(crate) fn start(room: Arc<Room>, init: Option<Init>) -> io::Result<Distant> {
        let shared = Arc::new(Shared {
            door: Arc::new(Door::new()?),
            seen: Mutex::default(),
            came: Condvar::new(),
            is_waiting: AtomicBool::new(false),
        });
        let state = match init {
            None => None,
            Some(Init { arguments, .. }) if !arguments.fds.is_empty() => {
                let why = "the initializer's arguments hold handles, which live on one machine";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            Some(Init { arguments, .. }) if arguments.bytes.len() > INLINE => {
                let why = format!(
                    "the initializer's arguments take {} bytes, and those of a cluster may take {INLINE}: have it read \
                     them from a file, or send them with each task",
                    arguments.bytes.len()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            Some(Init { runner, function, arguments }) => {
                Some(State { runner, function, arguments: arguments.bytes })
            }
        };
        let id = Id::random()?;
        let (commands, inbox) = unbounded_channel();
        let (own, has_state) = (Arc::clone(&shared), state.is_some());
        room.begin(move |link| Actor::run(link, id, state, own, inbox));
        let init = if has_state { 1 } else { 0 };
        Ok(Distant { room, shared, commands, left: HashMap::new(), bytes: 0, init, leaving: None })
    }

    fn send(&self, command: Command) {
        // It ends last; who sends to it afterwards has nothing to say any more.
        let _ = self.commands.send(command);
    }

    fn count(&mut self, id: EnvelopeId, told: u32) {
        let Some((left, bytes)) = self.left.get_mut(&id) else { return };
        *left = left.saturating_sub(told);
        if *left == 0 {
            self.bytes -= *bytes;
            self.left.remove(&id);
        }
    }
}

impl Backend for Distant {
    fn caps(&self) -> Caps {
        CAPS
    }

    fn door(&self) -> &Arc<Door> {
        &self.shared.door
    }

    fn credit(&self, expected: Option<Duration>) -> usize {
        let seen = self.shared.seen.lock();
        let ready = |about: &About| about.workers.iter().filter(|worker| worker.is_ready).count();
        let workers: usize = seen.agents.iter().filter(|about| !about.is_leaving).map(ready).sum();
        let depth = match expected {
            // The server has to keep what nobody has taken.
            Some(_) if self.bytes > workers * BYTES => 1,
            // What takes less than its way goes without a pause.
            Some(expected) if expected < seen.way() => depth(seen.way(), expected),
            Some(expected) if expected < SHORT => 2,
            _ => 1,
        };
        (workers * depth).saturating_sub(self.left.len())
    }

    fn idle(&self) -> usize {
        0
    }

    fn submit(&mut self, envelope: &Envelope<'_>) -> Result<(), Refusal> {
        if u32::try_from(envelope.arguments.len()).is_err() {
            return Err(Refusal::NotSent(
                "the arguments of a task for other hosts take less than 4 GiB".to_owned(),
            ));
        }
        let mut before = envelope.start;
        let lens = envelope.ends.iter().map(|end| {
            let len = end - before;
            before = *end;
            len as u32
        });
        let elements = Elements {
            runner: envelope.runner.to_vec(),
            function: envelope.function.to_vec(),
            framed: envelope.framed,
            lens: lens.collect(),
            arguments: envelope.arguments.to_vec(),
            timeout: envelope.timeout,
            grace: envelope.grace,
            attempt: envelope.attempt,
            init: self.init,
        };
        let body = codec::encode(&elements).map_err(|error| Refusal::NotSent(error.to_string()))?.bytes;
        let len = body.len();
        self.send(Command::Submit { number: envelope.id.0, count: envelope.count, body });
        self.left.insert(envelope.id, (envelope.count, len));
        self.bytes += len;
        Ok(())
    }

    fn take_back(&mut self, _: EnvelopeId) -> Vec<(EnvelopeId, u32)> {
        Vec::new()
    }

    fn stragglers(&self, _: Instant, _: Duration) -> Vec<EnvelopeId> {
        Vec::new()
    }

    fn progress(&self, _: EnvelopeId) -> Option<Progress> {
        None
    }

    fn stop(&mut self, id: EnvelopeId, _: Duration) {
        self.send(Command::Cancel { number: id.0, elements: Vec::new(), running: true });
    }

    fn collect(&mut self, events: &mut Vec<Event>) {
        let came = {
            let mut seen = self.shared.seen.lock();
            if seen.events.is_empty() {
                return;
            }
            std::mem::take(&mut seen.events)
        };
        for event in &came {
            match event {
                Event::Results(results) => self.count(results.id, results.count - results.known),
                Event::Failed { id, .. } => self.count(*id, 1),
                Event::GivenBack { id, count, .. } => self.count(*id, *count),
                _ => {}
            }
        }
        events.extend(came);
    }

    fn attend(&mut self, _: &mut Vec<Event>) -> Option<Instant> {
        None
    }

    fn harvest(&mut self, _: &mut Vec<Event>) {}

    fn workers(&self) -> Vec<WorkerInfo> {
        let seen = self.shared.seen.lock();
        let all = seen.agents.iter().flat_map(|about| {
            about.workers.iter().map(|worker| WorkerInfo {
                id: worker.id,
                name: format!("{}/{}/{}", about.host, about.process, worker.name),
                is_ready: worker.is_ready,
                has: worker.has as usize,
                done: worker.done,
                idle: worker.idle,
                age: worker.age,
                times: Default::default(),
            })
        });
        all.collect()
    }

    fn restarts(&self) -> u64 {
        self.shared.seen.lock().agents.iter().map(|about| about.restarts).sum()
    }

    fn want(&mut self, tasks: usize) {
        self.shared.is_waiting.store(tasks > 0, Ordering::Relaxed);
    }

    fn cancel(&mut self, id: EnvelopeId, elements: &[u32], running: bool) {
        self.send(Command::Cancel { number: id.0, elements: elements.to_vec(), running });
    }

    fn trip(&self) -> Trip {
        // A way there and back is to be a small part of what an envelope takes, but nobody is to wait for long.
        let trip = self.shared.seen.lock().way();
        let least = (trip * 2).clamp(Duration::from_micros(200), Duration::from_millis(50));
        let enough = (trip * 20).clamp(Duration::from_millis(2), Duration::from_millis(250));
        Trip { least, enough }
    }

    fn bury(&mut self, letter: Letter<'_>) {
        self.send(Command::Bury {
            runner: letter.runner.to_vec(),
            function: letter.function.to_vec(),
            arguments: letter.arguments.to_vec(),
            error: letter.error.to_string(),
        });
    }

    fn try_shut_down(&mut self, _: Shutdown, deadline: Option<Instant>) -> bool {
        let now = Instant::now();
        let since = *self.leaving.get_or_insert(now);
        if since == now {
            self.send(Command::Leave);
        }
        // A server that cannot be reached need not hear of it: the lease of a caller runs out.
        let until = since + PATIENCE;
        let until = deadline.map_or(until, |deadline| deadline.min(until));
        let mut seen = self.shared.seen.lock();
        while !seen.is_over {
            if self.shared.came.wait_until(&mut seen, until).timed_out() {
                return Instant::now() >= since + PATIENCE;
            }
        }
        true
    }

    fn shut_down(&mut self, how: Shutdown, deadline: Option<Instant>) -> bool {
        self.try_shut_down(how, deadline)
    }
}

impl std::fmt::Debug for Distant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Distant").field("room", &self.room).field("under_way", &self.left.len()).finish()
    }
}
