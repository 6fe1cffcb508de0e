//! What takes tasks out of the stream, has them run, and tells what came of them.

use super::callers::{Caller, Long};
use super::crew::Crews;
use super::pulls::Pulls;
use super::signals;
use super::teller::{Key, Said};
use crate::error::{ClusterError, Kind};
use crate::letters;
use crate::link::{Link, number_after};
use crate::names::CONSUMER;
use crate::seal::Sort;
use crate::wire::{Here, Id, Part, Task, ToCaller, Who};
use async_nats::Message;
use async_nats::connection::State as Connection;
use futures_util::StreamExt;
use multiproc_pool::backend::Hand;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How often it looks after what it has.
const LOOK: Duration = Duration::from_millis(20);
/// After this, what has not begun is given to an agent that has nothing to do, if it did not take longer to come here.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);
/// How long tasks may take of which one more is taken for each worker than it can run.
pub(super) const SHORT: Duration = Duration::from_millis(100);
/// How long they may take of which a worker gets as many as callers give it.
pub(super) const QUICK: Duration = Duration::from_millis(2);

/// A task that was taken.
pub(super) struct Held {
    /// The pool has it; before that its arguments are on their way.
    pub(super) handed: Option<Handed>,
    pub(super) count: u32,
    pub(super) told: u32,
    /// How long what was told of has run.
    pub(super) ran: Duration,
    pub(super) since: Instant,
    pub(super) is_returning: Arc<AtomicBool>,
}

/// A task that the pool has.
pub(super) struct Handed {
    pub(super) hand: Hand,
    pub(super) since: Instant,
    /// How long it may wait here before it is offered to others. To give it away costs what it cost to get it: who waits
    /// for so long first pays at most twice, and what has just come is not sent back and forth between those who are free.
    pub(super) patience: Duration,
    /// When it is to be looked at next whether something of it has not begun.
    pub(super) look_at: Instant,
}

impl Handed {
    /// It is looked at next when it has waited for twice as long.
    fn look_later(&mut self, now: Instant) {
        self.look_at = now + (now - self.since).max(self.patience);
    }
}

/// A task that may be somebody else's.
pub(super) struct Claim {
    pub(super) task: Task,
    pub(super) reply: String,
    pub(super) delivered: u64,
    pub(super) since: Instant,
    pub(super) asked: Instant,
}

/// What came of something that was begun here.
pub(super) enum Note {
    Prepared {
        mark: u64,
    },
    Fetched {
        key: Key,
        bytes: Result<Vec<u8>, String>,
    },
    /// It cannot be begun.
    Unrun {
        key: Key,
        part: Part,
    },
    /// A long result is on the server, or could not be put there; again, in the place of an earlier answer.
    Stored {
        caller: Id,
        again: Option<u64>,
        parts: Vec<(u64, Part)>,
        long: Option<Long>,
    },
    /// Somebody else has nothing to do, or nobody.
    OthersIdle,
    NobodyIdle,
}

pub(super) struct Actor {
    pub(super) link: Link,
    pub(super) id: Id,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) crews: Crews,
    pub(super) callers: BTreeMap<Id, Caller>,
    pub(super) held: BTreeMap<Key, Held>,
    pub(super) claims: BTreeMap<Key, Claim>,
    pub(super) pulls: Pulls,
    /// What is in the stream up to here may have been somebody else's; `None` while that is being asked.
    pub(super) mark: Option<u64>,
    /// How long a task takes.
    pub(super) pace: Option<Duration>,
    pub(super) beat: u64,
    pub(super) beat_at: Instant,
    /// The workers were all ready when it was told last.
    pub(super) is_ready: bool,
    pub(super) is_leaving: bool,
    pub(super) is_asking: bool,
    pub(super) said: UnboundedSender<Said>,
    pub(super) notes: UnboundedSender<Note>,
}

pub(super) async fn run(link: Link, crews: Crews, drain: Option<Duration>) -> Result<(), ClusterError> {
    let system =
        |what| move |error: std::io::Error| Kind::System { what, why: error.to_string() }.because(error);
    let engine = |error: async_nats::SubscribeError| {
        Kind::Engine { what: "listen to callers", why: error.to_string() }.because(error)
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
        let at = if is_still { actor.beat_at } else { actor.beat_at.min(Instant::now() + LOOK) }.max(awake);
        tokio::select! {
            Some(first) = saying.recv() => actor.answer(first, &mut saying).await,
            Some(message) = tasks.next() => {
                if actor.link.settings.is_late(at, Instant::now()) {
                    actor.prepare();
                }
                actor.pulled(message, &mut tasks).await;
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
        if actor.link.settings.is_late(at, now) {
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

impl Actor {
    async fn note(&mut self, note: Note) {
        match note {
            Note::Prepared { mark } => self.mark = Some(mark),
            Note::Fetched { key, bytes } => self.begin(key, bytes),
            Note::Unrun { key, part } => self.send_answers(key.0, vec![(key.1, part)], None).await,
            Note::Stored { caller, again, parts, long } => {
                self.send_stored(caller, again, parts, long).await;
            }
            Note::OthersIdle => {
                self.is_asking = false;
                self.give_back(|handed, now| now - handed.since >= handed.patience);
            }
            Note::NobodyIdle => self.is_asking = false,
        }
    }

    /// Gives back what has not begun, of what is chosen.
    fn give_back(&mut self, is_chosen: impl Fn(&Handed, Instant) -> bool) {
        let now = Instant::now();
        for held in self.held.values_mut() {
            let Some(handed) = held.handed.as_mut().filter(|handed| is_chosen(handed, now)) else { continue };
            held.is_returning.store(true, Ordering::Relaxed);
            handed.hand.cancel(|_| true, false);
            held.is_returning.store(false, Ordering::Relaxed);
            handed.look_later(now);
        }
    }

    async fn tell_who(&mut self, message: Message) {
        let Some(reply) = message.reply.clone() else { return };
        let Some(who) = self.link.open_of_all::<Who>(Sort::Who, &message) else { return };
        let here = Here {
            asker: who.asker,
            agent: self.id,
            build: self.link.names.build.clone(),
            program: letters::program(),
            callers: self.callers.len() as u32,
            envelopes: (self.held.len() + self.claims.len()) as u32,
            about: self.about(self.crews.all()),
        };
        let here = self.link.open_seal.seal(Sort::Here, &reply, &here);
        let _ = self.link.client.publish(reply, here.into()).await;
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
            for id in
                self.link.settings.silent(&self.callers, now, |caller| (caller.heard, caller.hello.lease))
            {
                self.lose(id, true);
            }
        }
        self.look_at_claims(now).await;
        if !self.is_leaving && !self.is_asking {
            self.ask_for_idlers(now);
        }
    }

    /// Asks the server whether another agent waits for tasks, if there is something to give to it.
    fn ask_for_idlers(&mut self, now: Instant) {
        let handed = self.held.values_mut().filter_map(|held| held.handed.as_mut());
        for handed in handed.filter(|handed| handed.look_at <= now) {
            handed.look_later(now);
            self.is_asking = true;
        }
        if !self.is_asking {
            return;
        }
        let (link, notes, own) = (self.link.clone(), self.notes.clone(), self.pulls.len() as u64);
        tokio::task::spawn_local(async move {
            let subject = format!("$JS.API.CONSUMER.INFO.{}.{CONSUMER}", link.names.stream);
            let waiting = match link.client.request(subject, "".into()).await {
                Ok(reply) => {
                    let text = String::from_utf8_lossy(&reply.payload);
                    number_after(&text, "\"num_waiting\":").unwrap_or_default()
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
        self.give_back(|_, _| true);
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
