//! What takes tasks out of the stream, has them run, and tells what came of them.

use super::crew::{self, Crews};
use super::pulls::Pulls;
use super::signals;
use super::teller::{Key, Said, Teller, add};
use crate::error::ClusterError;
use crate::letters;
use crate::link::{INLINE, Link};
use crate::names::CONSUMER;
use crate::seal::Sort;
use crate::wire::{
    About, AboutWorker, Answer, Body, Elements, Ended, Hello, Here, Id, Part, Task, ToAgents, ToCaller,
};
use async_nats::connection::State as Connection;
use async_nats::{Message, StatusCode};
use futures_util::StreamExt;
use multiproc_core::codec;
use multiproc_pool::backend::{Hand, Order};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How often it looks after what it has.
const LOOK: Duration = Duration::from_millis(20);
/// After this, what has not begun is given to an agent that has nothing to do.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long tasks may take of which one more is taken for each worker than it can run.
const SHORT: Duration = Duration::from_millis(100);
/// How often a claim that is not answered is repeated.
const AGAIN: Duration = Duration::from_millis(500);
/// Who did nothing for so long was stopped.
const STALL: Duration = Duration::from_secs(1);
/// How many bytes of answers travel together.
const TOGETHER: usize = 128 << 10;

/// A caller, as far as it is known.
struct Caller {
    hello: Hello,
    heard: Instant,
    /// The last roll call that was answered.
    answers: u64,
    /// What was taken, from the floor on.
    taken: BTreeSet<u64>,
    /// What is not wanted, of tasks that are not here.
    unwanted: BTreeMap<u64, Vec<u32>>,
    /// Answers that it may not have received: which tasks they are of, and the message.
    unreceived: BTreeMap<u64, (Vec<u64>, Vec<u8>)>,
    serial: u64,
}

/// A task that was taken.
struct Held {
    hand: Option<Hand>,
    count: u32,
    told: u32,
    since: Instant,
    /// When it is to be looked at next whether something of it has not begun.
    look_at: Instant,
    is_returning: Arc<AtomicBool>,
}

/// A task that may be somebody else's.
struct Claim {
    task: Task,
    reply: String,
    delivered: u64,
    since: Instant,
    asked: Instant,
}

/// What came of something that was begun here.
enum Note {
    Prepared {
        mark: u64,
    },
    Fetched {
        key: Key,
        bytes: Result<Vec<u8>, String>,
    },
    Stored {
        key: Key,
        part: Part,
    },
    /// Somebody else has nothing to do, or nobody.
    OthersIdle,
    NobodyIdle,
}

struct Actor {
    link: Link,
    id: Id,
    name: String,
    host: String,
    crews: Crews,
    callers: BTreeMap<Id, Caller>,
    held: BTreeMap<Key, Held>,
    claims: BTreeMap<Key, Claim>,
    pulls: Pulls,
    /// What is in the stream up to here may have been somebody else's; `None` while that is being asked.
    mark: Option<u64>,
    /// How long a task takes.
    pace: Option<Duration>,
    beat: u64,
    beat_at: Instant,
    /// The workers were all ready when it was told last.
    is_ready: bool,
    is_leaving: bool,
    is_asking: bool,
    said: UnboundedSender<Said>,
    notes: UnboundedSender<Note>,
}

pub(super) async fn run(link: Link, crews: Crews, drain: Option<Duration>) -> Result<(), ClusterError> {
    let system = |what| {
        move |error: std::io::Error| {
            crate::error::Kind::System { what, why: error.to_string() }.because(error)
        }
    };
    let engine = |error: async_nats::SubscribeError| {
        crate::error::Kind::Engine { what: "listen to callers", why: error.to_string() }.because(error)
    };
    let id = Id::random().map_err(system("name the agent"))?;
    let name = id.to_string();
    let mut to_all = link.client.subscribe(link.names.agents()).await.map_err(engine)?;
    let mut to_one = link.client.subscribe(link.names.agent(&name)).await.map_err(engine)?;
    let mut who = link.client.subscribe(link.names.who()).await.map_err(engine)?;
    let mut tasks = link.client.subscribe(format!("{}.*", link.names.pulled(&name))).await.map_err(engine)?;
    let mut wishes = signals::listen().map_err(system("listen for SIGTERM"))?;
    let (said, mut saying) = unbounded_channel();
    let (notes, mut noted) = unbounded_channel();
    let mut breaks = link.breaks.clone();
    let now = Instant::now();
    let mut actor = Actor {
        link,
        id,
        name,
        host: host(),
        crews,
        callers: BTreeMap::new(),
        held: BTreeMap::new(),
        claims: BTreeMap::new(),
        pulls: Pulls::default(),
        mark: None,
        pace: None,
        beat: 0,
        beat_at: now,
        is_ready: false,
        is_leaving: false,
        is_asking: false,
        said,
        notes,
    };
    breaks.mark_unchanged();
    actor.prepare();
    let mut leave_at: Option<Instant> = None;
    let mut awake = Instant::now();
    tracing::info!(target: "multiproc::cluster", agent = %id, workers = actor.crews.workers, "the agent is there");
    loop {
        let is_still =
            actor.held.is_empty() && actor.claims.is_empty() && actor.is_ready && leave_at.is_none();
        let at = if is_still { actor.beat_at } else { actor.beat_at.min(Instant::now() + LOOK) };
        tokio::select! {
            Some(first) = saying.recv() => actor.answer(first, &mut saying).await,
            Some(message) = tasks.next() => {
                if awake.elapsed() > STALL {
                    actor.prepare();
                }
                actor.pulled(message).await;
            }
            Some(message) = to_one.next() => actor.hear(&message).await,
            Some(message) = to_all.next() => actor.hear(&message).await,
            Some(message) = who.next() => actor.tell_who(message).await,
            Some(note) = noted.recv() => actor.note(note).await,
            changed = breaks.changed() => {
                if changed.is_ok() {
                    actor.prepare();
                }
            }
            Some(()) = wishes.recv() => {
                if actor.begin_to_leave(&mut tasks, &mut leave_at, drain).await {
                    break;
                }
            }
            () = tokio::time::sleep_until(at.into()) => {}
        }
        let now = Instant::now();
        if now - awake > STALL {
            // We were stopped: what was handed to us may be somebody else's by now, and the others are as alive as ever.
            actor.prepare();
            actor.callers.values_mut().for_each(|caller| caller.heard = now);
        }
        actor.look(now).await;
        actor.pull(now).await;
        awake = Instant::now();
        if let Some(at) = leave_at {
            let is_done = actor.held.is_empty()
                && actor.claims.is_empty()
                && actor.callers.values().all(|caller| caller.unreceived.is_empty());
            if is_done || now >= at {
                break;
            }
        }
    }
    actor.leave().await;
    Ok(())
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "?".to_owned(), |name| name.trim().to_owned())
}

/// Parts of where a message is to be acknowledged: how often it was delivered, and its place in the stream.
fn delivery(reply: &str) -> Option<(u64, u64)> {
    let tokens: Vec<&str> = reply.split('.').collect();
    // Newer servers name a domain and an account in between.
    let from = match tokens.len() {
        9 => 4,
        11.. => 6,
        _ => return None,
    };
    Some((tokens.get(from)?.parse().ok()?, tokens.get(from + 1)?.parse().ok()?))
}

impl Actor {
    /// Sees that there is a stream; until it is, nothing is pulled, and all that comes is asked about.
    fn prepare(&mut self) {
        self.mark = None;
        self.pulls.clear();
        let (link, notes) = (self.link.clone(), self.notes.clone());
        tokio::task::spawn_local(async move {
            loop {
                match link.prepare().await {
                    Ok(mark) => {
                        let _ = notes.send(Note::Prepared { mark });
                        return;
                    }
                    Err(error) => {
                        if notes.is_closed() {
                            return;
                        }
                        tracing::info!(target: "multiproc::cluster", %error, "the stream of tasks cannot be used yet");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        });
    }

    /// Asks for as many tasks as there is room for.
    async fn pull(&mut self, now: Instant) {
        if self.mark.is_none() || self.is_leaving {
            return;
        }
        if self.pulls.expire(now) {
            self.prepare();
            return;
        }
        let depth = if self.pace.is_some_and(|pace| pace < SHORT) { 2 } else { 1 };
        let room = self.crews.workers * depth;
        let free = room.saturating_sub(self.held.len() + self.claims.len() + self.pulls.outstanding());
        if free == 0 {
            return;
        }
        let lasts = self.link.settings.lease.max(Duration::from_secs(1));
        let number = self.pulls.begin(free, lasts, now);
        let request = format!("{{\"batch\":{free},\"expires\":{}}}", lasts.as_nanos());
        let inbox = format!("{}.{number}", self.link.names.pulled(&self.name));
        let asked = self.link.client.publish_with_reply(self.link.names.pull(), inbox, request.into()).await;
        if asked.is_err() {
            self.pulls.ended(number);
        }
    }

    /// A task, or the end of a pull.
    async fn pulled(&mut self, message: Message) {
        let delivered = message.reply.as_ref().and_then(|reply| delivery(reply));
        let (Some((delivered, place)), Some(reply)) = (delivered, message.reply.as_ref()) else {
            let number = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
            self.pulls.ended(number.unwrap_or_default());
            let is_usual = matches!(message.status, Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT));
            if !is_usual && self.mark.is_some() {
                tracing::info!(target: "multiproc::cluster", status = ?message.status, "the stream of tasks is gone");
                self.prepare();
            }
            return;
        };
        self.pulls.came();
        let Some(task) = self.link.seal.open::<Task>(Sort::Task, &message.payload) else {
            self.acknowledge(reply.to_string()).await;
            return;
        };
        let key = (task.caller, task.number);
        let mut is_sure = delivered == 1 && self.mark.is_some_and(|mark| place > mark);
        match self.callers.get_mut(&task.caller) {
            Some(caller) => {
                caller.rise(task.floor);
                if task.number < caller.hello.floor || caller.taken.contains(&task.number) {
                    self.acknowledge(reply.to_string()).await;
                    return;
                }
            }
            None => is_sure = false,
        }
        if is_sure {
            self.take(task, reply.to_string()).await;
        } else {
            let now = Instant::now();
            let claim = Claim { task, reply: reply.to_string(), delivered, since: now, asked: now };
            self.ask(&claim).await;
            self.claims.insert(key, claim);
        }
    }

    async fn acknowledge(&self, reply: String) {
        let _ = self.link.client.publish(reply, "+ACK".into()).await;
    }

    async fn ask(&self, claim: &Claim) {
        let Task { caller, number, turn, .. } = claim.task;
        let message = ToCaller::Claim { agent: self.id, number, turn, delivered: claim.delivered };
        self.say(caller, &message).await;
    }

    async fn say(&self, caller: Id, message: &ToCaller) {
        self.link.send(self.link.names.caller(&caller.to_string()), Sort::ToCaller, message).await;
    }

    /// Takes a task out of the stream, and begins it.
    async fn take(&mut self, task: Task, reply: String) {
        let key = (task.caller, task.number);
        let Some(caller) = self.callers.get_mut(&task.caller) else { return };
        caller.taken.insert(task.number);
        // First the caller has to know; then the stream need not remember it.
        self.say(task.caller, &ToCaller::Took { agent: self.id, number: task.number }).await;
        self.acknowledge(reply).await;
        let now = Instant::now();
        let held = Held {
            hand: None,
            count: 0,
            told: 0,
            since: now,
            look_at: now + PATIENCE,
            is_returning: Arc::new(AtomicBool::new(false)),
        };
        self.held.insert(key, held);
        match task.body {
            Body::Inline(bytes) => self.begin(key, Ok(bytes)),
            stored @ Body::Stored(_) => {
                let (link, notes) = (self.link.clone(), self.notes.clone());
                tokio::task::spawn_local(async move {
                    let bytes = link.fetch(stored).await.map_err(|error| error.to_string());
                    let _ = notes.send(Note::Fetched { key, bytes });
                });
            }
        }
    }

    /// Hands a task to the pool.
    fn begin(&mut self, key: Key, bytes: Result<Vec<u8>, String>) {
        let Some(held) = self.held.get_mut(&key) else { return };
        let Some(caller) = self.callers.get_mut(&key.0) else {
            self.held.remove(&key);
            return;
        };
        let decoded = bytes.and_then(|bytes| {
            codec::decode::<Elements>(&bytes, Vec::new()).map_err(|error| error.to_string())
        });
        let elements = match decoded {
            Ok(elements) => elements,
            Err(why) => {
                // How many there are nobody can tell: the caller ends them all when nobody has them.
                tracing::error!(target: "multiproc::cluster", why, "the arguments of a task did not arrive");
                self.held.remove(&key);
                return;
            }
        };
        held.count = elements.lens.len() as u32;
        let said = self.said.clone();
        let told = Arc::new(Teller { key, said, is_returning: Arc::clone(&held.is_returning) });
        let unwanted = caller.unwanted.remove(&key.1);
        let is_unwanted = |element: &u32| {
            unwanted.as_ref().is_some_and(|unwanted| unwanted.is_empty() || unwanted.contains(element))
        };
        if (0..held.count).all(|element| is_unwanted(&element)) {
            (0..held.count).for_each(|element| {
                multiproc_pool::backend::Told::failed(&*told, element, multiproc_pool::TaskError::Cancelled);
            });
            return;
        }
        let state = caller.hello.state.as_ref().filter(|_| elements.init != 0);
        let port = match self.crews.get(state) {
            Ok(port) => port,
            Err(error) => {
                for element in 0..held.count {
                    let message = format!("its workers cannot be started on {}: {error}", self.host);
                    let error = multiproc_pool::TaskError::NoWorker { message };
                    multiproc_pool::backend::Told::failed(&*told, element, error);
                }
                return;
            }
        };
        let mut end = 0;
        let ends = elements.lens.iter().map(|len| {
            end += *len as usize;
            end
        });
        let order = Order {
            runner: elements.runner,
            function: elements.function,
            framed: elements.framed,
            ends: ends.collect(),
            arguments: elements.arguments,
            timeout: elements.timeout,
            grace: elements.grace,
            retries: 0,
        };
        let hand = port.hand_in(order, told);
        if unwanted.is_some() {
            hand.cancel(|element| is_unwanted(&element), true);
        }
        held.hand = Some(hand);
    }

    /// Tells callers what was said, several things at once.
    async fn answer(&mut self, first: Said, saying: &mut UnboundedReceiver<Said>) {
        let mut parts: BTreeMap<Id, Vec<(u64, Part)>> = BTreeMap::new();
        let mut len = 0;
        let mut next = Some(first);
        while let Some(Said { key, part }) = next {
            len += self.said(key, part, &mut parts);
            next = if len < TOGETHER { saying.try_recv().ok() } else { None };
        }
        for (caller, parts) in parts {
            self.send_answers(caller, parts).await;
        }
    }

    /// Counts what was said; gives its length.
    fn said(&mut self, key: Key, part: Part, parts: &mut BTreeMap<Id, Vec<(u64, Part)>>) -> usize {
        let Some(held) = self.held.get_mut(&key) else { return 0 };
        held.told += part.range().len() as u32;
        if held.told >= held.count {
            let took = held.since.elapsed();
            // Slower counts at once, faster in a few steps.
            self.pace =
                Some(self.pace.map_or(took, |pace| if took > pace { took } else { (pace + took) / 2 }));
        }
        match part {
            Part::Results { first, count, known, nanos, bytes: Body::Inline(bytes) }
                if bytes.len() > INLINE =>
            {
                let (link, notes) = (self.link.clone(), self.notes.clone());
                tokio::task::spawn_local(async move {
                    let name = format!("{}-{}-{first}-{known}", key.0, key.1);
                    match link.store(format!("{name}-result"), bytes).await {
                        Ok(bytes) => {
                            let part = Part::Results { first, count, known, nanos, bytes };
                            let _ = notes.send(Note::Stored { key, part });
                        }
                        Err(error) => {
                            let message = format!("its result cannot be stored: {error}");
                            for element in first + known..first + count {
                                let error = Ended::NoWorker { message: message.clone() };
                                let part = Part::Failed { element, error };
                                let _ = notes.send(Note::Stored { key, part });
                            }
                        }
                    }
                });
                0
            }
            part => {
                let len = match &part {
                    Part::Results { bytes: Body::Inline(bytes), .. } => bytes.len(),
                    _ => 0,
                };
                add(parts.entry(key.0).or_default(), key.1, part);
                len + 32
            }
        }
    }

    async fn send_answers(&mut self, id: Id, parts: Vec<(u64, Part)>) {
        let Some(caller) = self.callers.get_mut(&id) else { return };
        caller.serial += 1;
        let (agent, serial) = (self.id, caller.serial);
        let numbers: BTreeSet<u64> = parts.iter().map(|(number, _)| *number).collect();
        let answers = parts.into_iter().map(|(number, part)| Answer { number, part }).collect();
        let message = self.link.seal.seal(Sort::ToCaller, &ToCaller::Answers { agent, serial, answers });
        let subject = self.link.names.caller(&id.to_string());
        let _ = self.link.client.publish(subject, message.clone().into()).await;
        caller.unreceived.insert(serial, (numbers.iter().copied().collect(), message));
        for number in numbers {
            let key = (id, number);
            if self.held.get(&key).is_some_and(|held| held.count > 0 && held.told >= held.count) {
                self.held.remove(&key);
            }
        }
    }

    async fn note(&mut self, note: Note) {
        match note {
            Note::Prepared { mark } => self.mark = Some(mark),
            Note::Fetched { key, bytes } => self.begin(key, bytes),
            Note::Stored { key, part } => self.send_answers(key.0, vec![(key.1, part)]).await,
            Note::OthersIdle => {
                self.is_asking = false;
                self.give_back(PATIENCE);
            }
            Note::NobodyIdle => self.is_asking = false,
        }
    }

    /// Gives back what has waited for so long.
    fn give_back(&mut self, patience: Duration) {
        let now = Instant::now();
        for held in self.held.values_mut() {
            let Some(hand) = held.hand.as_ref().filter(|_| now - held.since >= patience) else { continue };
            held.is_returning.store(true, Ordering::Relaxed);
            hand.cancel(|_| true, false);
            held.is_returning.store(false, Ordering::Relaxed);
            held.look_at = now + (now - held.since).max(PATIENCE);
        }
    }

    async fn hear(&mut self, message: &Message) {
        let Some(message) = self.link.seal.open::<ToAgents>(Sort::ToAgents, &message.payload) else { return };
        match message {
            ToAgents::Beat { hello, asks } => {
                let (id, is_new) = (hello.caller, self.heard(hello));
                let Some(caller) = self.callers.get_mut(&id) else { return };
                let is_asked = asks > caller.answers;
                if is_asked {
                    caller.answers = asks;
                    for (_, message) in caller.unreceived.values() {
                        let subject = self.link.names.caller(&id.to_string());
                        let _ = self.link.client.publish(subject, message.clone().into()).await;
                    }
                }
                if is_new || is_asked {
                    self.beat_to(id).await;
                }
            }
            ToAgents::Bye { caller } => self.lose(caller, false),
            ToAgents::Cancel { caller, number, elements, running } => {
                self.cancel(caller, number, elements, running);
            }
            ToAgents::Received { caller, serials } => {
                if let Some(caller) = self.callers.get_mut(&caller) {
                    for serial in serials {
                        caller.unreceived.remove(&serial);
                    }
                }
            }
            ToAgents::Claimed { hello, number, turn, granted } => {
                let key = (hello.caller, number);
                self.heard(hello);
                let Some(claim) = self.claims.remove(&key) else { return };
                if claim.task.turn != turn {
                    self.claims.insert(key, claim);
                } else if granted {
                    self.take(claim.task, claim.reply).await;
                } else {
                    self.acknowledge(claim.reply).await;
                }
            }
        }
    }

    /// Notes that a caller lives; tells whether it was unknown.
    fn heard(&mut self, hello: Hello) -> bool {
        let now = Instant::now();
        match self.callers.get_mut(&hello.caller) {
            Some(caller) => {
                if hello.beat > caller.hello.beat {
                    caller.rise(hello.floor);
                    (caller.heard, caller.hello.beat, caller.hello.state) = (now, hello.beat, hello.state);
                }
                false
            }
            None => {
                let caller = Caller {
                    heard: now,
                    answers: 0,
                    taken: BTreeSet::new(),
                    unwanted: BTreeMap::new(),
                    unreceived: BTreeMap::new(),
                    serial: 0,
                    hello,
                };
                self.callers.insert(caller.hello.caller, caller);
                true
            }
        }
    }

    fn cancel(&mut self, id: Id, number: u64, elements: Vec<u32>, running: bool) {
        if let Some(Held { hand: Some(hand), .. }) = self.held.get(&(id, number)) {
            hand.cancel(|element| elements.is_empty() || elements.contains(&element), running);
            return;
        }
        if let Some(caller) = self.callers.get_mut(&id) {
            // Of what was answered the caller knows now.
            caller.unreceived.retain(|_, (numbers, _)| numbers.iter().any(|other| *other != number));
            if number >= caller.hello.floor
                && (self.held.contains_key(&(id, number)) || !caller.taken.contains(&number))
            {
                let unwanted = caller.unwanted.entry(number).or_default();
                if elements.is_empty() {
                    unwanted.clear();
                } else {
                    unwanted.extend(elements);
                }
            }
        }
    }

    /// Ends what a caller wanted that is gone.
    fn lose(&mut self, id: Id, is_silent: bool) {
        if self.callers.remove(&id).is_none() {
            return;
        }
        let keys: Vec<Key> = self.held.keys().filter(|(caller, _)| *caller == id).copied().collect();
        let tasks = keys.len();
        for key in keys {
            if let Some(Held { hand: Some(hand), .. }) = self.held.remove(&key) {
                hand.cancel(|_| true, true);
            }
        }
        self.claims.retain(|(caller, _), _| *caller != id);
        if is_silent {
            tracing::warn!(target: "multiproc::cluster", caller = %id, tasks, "a caller is lost");
            let link = self.link.clone();
            tokio::task::spawn_local(async move {
                let _ = link.purge(&id.to_string()).await;
                link.discard_all(&id.to_string()).await;
            });
        }
        let callers = &self.callers;
        self.crews
            .retain(|key| callers.values().any(|caller| crew::key_of(caller.hello.state.as_ref()) == key));
    }

    async fn tell_who(&mut self, message: Message) {
        let Some(reply) = message.reply else { return };
        if self.link.open_seal.open::<u8>(Sort::Who, &message.payload).is_none() {
            return;
        }
        let (build, host) = (self.link.names.build.clone(), self.host.clone());
        let here = self.link.open_seal.seal(Sort::Here, &Here { build, host, program: letters::program() });
        let _ = self.link.client.publish(reply, here.into()).await;
    }

    fn about(&self) -> About {
        let workers = self.crews.plain().map(|port| port.workers()).unwrap_or_default();
        let workers = workers.into_iter().map(|worker| AboutWorker {
            id: worker.id,
            name: worker.name,
            is_ready: worker.is_ready,
            has: worker.has as u32,
            done: worker.done,
            idle: worker.idle,
            age: worker.age,
        });
        About {
            host: self.host.clone(),
            process: std::process::id(),
            restarts: self.crews.restarts(),
            is_leaving: self.is_leaving,
            workers: workers.collect(),
        }
    }

    async fn beat_to(&mut self, id: Id) {
        let Some(caller) = self.callers.get(&id) else { return };
        self.beat += 1;
        let held = self.held.keys().filter(|(caller, _)| *caller == id).map(|(_, number)| *number);
        let unreceived = caller.unreceived.values().flat_map(|(numbers, _)| numbers.iter().copied());
        let holds: BTreeSet<u64> = held.chain(unreceived).collect();
        let message = ToCaller::Beat {
            agent: self.id,
            beat: self.beat,
            about: self.about(),
            holds: holds.into_iter().collect(),
            answers: caller.answers,
        };
        self.say(id, &message).await;
    }

    async fn beat_to_all(&mut self) {
        let ids: Vec<Id> = self.callers.keys().copied().collect();
        for id in ids {
            self.beat_to(id).await;
        }
    }

    /// What is to be done now and then.
    async fn look(&mut self, now: Instant) {
        let is_connected = self.link.client.connection_state() == Connection::Connected;
        if !is_connected {
            self.callers.values_mut().for_each(|caller| caller.heard = now);
        }
        if !self.is_ready {
            let workers = self.crews.plain().map(|port| port.workers()).unwrap_or_default();
            self.is_ready =
                workers.len() >= self.crews.workers && workers.iter().all(|worker| worker.is_ready);
            if self.is_ready {
                self.beat_at = now;
            }
        }
        if now >= self.beat_at {
            self.beat_at = now + self.link.settings.beat();
            if is_connected {
                self.beat_to_all().await;
            }
            let lease = self.link.settings.lease;
            let silent: Vec<Id> = self
                .callers
                .iter()
                .filter(|(_, caller)| now.saturating_duration_since(caller.heard) > lease)
                .map(|(id, _)| *id)
                .collect();
            for id in silent {
                self.lose(id, true);
            }
        }
        self.look_at_claims(now).await;
        if !self.is_leaving && !self.is_asking && self.held.values().any(|held| held.look_at <= now) {
            self.ask_for_idlers(now);
        }
    }

    async fn look_at_claims(&mut self, now: Instant) {
        let lease = self.link.settings.lease;
        let stale = self.claims.extract_if(.., |_, claim| now - claim.since > lease);
        let stale: Vec<String> = stale.map(|(_, claim)| claim.reply).collect();
        for reply in stale {
            // Whoever wanted it does not answer.
            self.acknowledge(reply).await;
        }
        let due: Vec<Key> =
            self.claims.iter().filter(|(_, claim)| now - claim.asked >= AGAIN).map(|(key, _)| *key).collect();
        for key in due {
            let Some(mut claim) = self.claims.remove(&key) else { continue };
            claim.asked = now;
            self.ask(&claim).await;
            self.claims.insert(key, claim);
        }
    }

    /// Asks the server whether another agent waits for tasks.
    fn ask_for_idlers(&mut self, now: Instant) {
        for held in self.held.values_mut().filter(|held| held.look_at <= now) {
            held.look_at = now + (now - held.since).max(PATIENCE);
        }
        self.is_asking = true;
        let (link, notes, own) = (self.link.clone(), self.notes.clone(), self.pulls.len() as u64);
        tokio::task::spawn_local(async move {
            let subject = format!("$JS.API.CONSUMER.INFO.{}.{CONSUMER}", link.names.stream);
            let waiting = match link.client.request(subject, "".into()).await {
                Ok(reply) => {
                    let text = String::from_utf8_lossy(&reply.payload).into_owned();
                    text.split_once("\"num_waiting\":")
                        .and_then(|(_, rest)| {
                            let end = rest.find(|c: char| !c.is_ascii_digit())?;
                            rest.get(..end)?.parse::<u64>().ok()
                        })
                        .unwrap_or_default()
                }
                Err(_) => 0,
            };
            let _ = notes.send(if waiting > own { Note::OthersIdle } else { Note::NobodyIdle });
        });
    }

    /// Takes no more; tells whether it is to end at once.
    async fn begin_to_leave(
        &mut self,
        tasks: &mut async_nats::Subscriber,
        leave_at: &mut Option<Instant>,
        drain: Option<Duration>,
    ) -> bool {
        if leave_at.is_some() {
            return true;
        }
        tracing::info!(target: "multiproc::cluster", tasks = self.held.len(), "the agent takes no more tasks");
        self.is_leaving = true;
        let far = Duration::from_secs(365 * 24 * 3600);
        *leave_at = Some(Instant::now() + drain.unwrap_or(far));
        // What is on its way comes still.
        let _ = tasks.drain().await;
        self.beat_to_all().await;
        self.give_back(Duration::ZERO);
        false
    }

    async fn leave(self) {
        let ids: Vec<Id> = self.callers.keys().copied().collect();
        for id in &ids {
            self.say(*id, &ToCaller::Bye { agent: self.id }).await;
        }
        let farewell = async {
            if ids.is_empty() {
                self.link.remove_if_idle().await;
            }
            let _ = self.link.client.flush().await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), farewell).await;
        self.crews.terminate();
        tracing::info!(target: "multiproc::cluster", agent = self.name, "the agent leaves");
    }
}

impl Caller {
    /// All below this have ended.
    fn rise(&mut self, floor: u64) {
        if floor > self.hello.floor {
            self.hello.floor = floor;
            self.taken = self.taken.split_off(&floor);
            self.unwanted = self.unwanted.split_off(&floor);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn deliveries_of_old_and_new_servers() {
        use super::delivery;
        assert_eq!(delivery("$JS.ACK.stream.agents.2.17.5.1700000000.0"), Some((2, 17)));
        assert_eq!(delivery("$JS.ACK.hub.account.stream.agents.3.18.5.1700000000.0"), Some((3, 18)));
        assert_eq!(delivery("$JS.ACK.hub.account.stream.agents.3.18.5.1700000000.0.token"), Some((3, 18)));
        assert_eq!(delivery("_INBOX.x"), None);
    }
}
