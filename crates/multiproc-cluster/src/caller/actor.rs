//! What watches over the tasks that are out.

use super::Shared;
use super::agents::Agent;
use super::ledger::Ledger;
use super::roll::Roll;
use crate::letters;
use crate::link::{Link, number_after};
use crate::names::Names;
use crate::seal::Sort;
use crate::wire::{Answer, Body, Ended, Hello, Id, Part, State, Task, ToAgents, ToCaller};
use futures_util::StreamExt;
use multiproc_pool::backend::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// How long the arrival of an answer may stay unsaid, and how many.
const UNSAID: Duration = Duration::from_millis(30);
const MANY: usize = 64;
/// How often a long result is asked for: as often as a server may lose it.
const FETCHES: u32 = 8;
/// How long the server may take to say that it has stored a task.
const STORED: Duration = Duration::from_secs(3);

/// What the pool wants.
#[derive(Debug)]
pub(super) enum Command {
    Submit { number: u64, count: u32, body: Vec<u8> },
    Cancel { number: u64, elements: Vec<u32>, running: bool },
    Bury { runner: Vec<u8>, function: Vec<u8>, arguments: Vec<u8>, error: String },
    Leave,
}

/// What came of something that was begun here.
#[derive(Debug)]
pub(super) enum Note {
    /// A long body is on the server.
    Stored { number: u64, body: Result<Body, String> },
    /// What a long result became; nothing: it is not on the server any more.
    Fetched { agent: Id, serial: u64, answers: Option<Vec<Answer>> },
    /// The stream is there, and nothing of ours in it.
    Prepared { asks: u64 },
    /// A task was taken out of the stream, or not.
    Deleted { number: u64, turn: u32, is_out: bool },
}

pub(super) struct Actor {
    pub(super) link: Link,
    pub(super) id: Id,
    pub(super) name: String,
    state: Option<State>,
    pub(super) shared: Arc<Shared>,
    pub(super) ledger: Ledger,
    pub(super) agents: BTreeMap<Id, Agent>,
    /// When an agent was lost last.
    pub(super) lost_at: Option<Instant>,
    beat: u64,
    pub(super) asks: u64,
    /// While there is one, nothing is put into the stream.
    pub(super) roll: Option<Roll>,
    /// When the last one began.
    pub(super) rolled_at: Option<Instant>,
    /// What is to go into the stream when it may.
    pub(super) unsent: BTreeSet<u64>,
    /// Answers that have arrived, of which their agents do not know yet.
    received: BTreeMap<Id, Vec<u64>>,
    unsaid: Option<Instant>,
    beat_at: Instant,
    /// Since when there are tasks and nobody for them, and what others are there.
    pub(super) alone: Option<Instant>,
    pub(super) others: BTreeSet<String>,
    pub(super) is_impossible: bool,
    /// Letters on their way.
    burials: JoinSet<()>,
    pub(super) notes: UnboundedSender<Note>,
    pub(super) events: Vec<Event>,
}

impl Actor {
    pub(super) async fn run(
        link: Link,
        id: Id,
        state: Option<State>,
        shared: Arc<Shared>,
        mut commands: UnboundedReceiver<Command>,
    ) {
        let (notes, mut noted) = unbounded_channel();
        let name = id.to_string();
        let inbox = link.client.subscribe(link.names.caller(&name)).await;
        let stored = link.client.subscribe(format!("{}.*.*", link.names.stored(&name))).await;
        let here_at = format!("{}.here", link.names.caller(&name));
        let here = link.client.subscribe(here_at.clone()).await;
        let mut breaks = link.breaks.clone();
        let now = Instant::now();
        let mut actor = Actor {
            link,
            id,
            name,
            state,
            shared,
            ledger: Ledger::default(),
            agents: BTreeMap::new(),
            lost_at: None,
            beat: 0,
            asks: 0,
            roll: None,
            rolled_at: None,
            unsent: BTreeSet::new(),
            received: BTreeMap::new(),
            unsaid: None,
            beat_at: now,
            alone: None,
            others: BTreeSet::new(),
            is_impossible: false,
            burials: JoinSet::new(),
            notes,
            events: Vec::new(),
        };
        if let (Ok(mut inbox), Ok(mut stored), Ok(mut here)) = (inbox, stored, here) {
            breaks.mark_unchanged();
            actor.call_roll();
            let mut awake = Instant::now();
            loop {
                let at = actor.unsaid.map_or(actor.beat_at, |unsaid| unsaid.min(actor.beat_at)).max(awake);
                tokio::select! {
                    command = commands.recv() => match command {
                        Some(Command::Leave) | None => break,
                        Some(command) => actor.command(command).await,
                    },
                    Some(message) = inbox.next() => {
                        let opened = actor.link.open::<ToCaller>(Sort::ToCaller, &message);
                        if let Some(message) = opened {
                            actor.hear(message).await;
                        }
                    }
                    Some(message) = stored.next() => actor.stored(&message),
                    Some(message) = here.next() => actor.other(&message),
                    Some(note) = noted.recv() => actor.note(note).await,
                    changed = breaks.changed() => {
                        if changed.is_err() {
                            break;
                        }
                        actor.call_roll();
                    }
                    () = tokio::time::sleep_until(at.into()) => {}
                }
                let now = Instant::now();
                if actor.link.settings.is_late(at, now) {
                    // We were stopped, not they; and they may have given us up.
                    actor.agents.values_mut().for_each(|agent| agent.heard = now);
                    actor.call_roll();
                }
                actor.tick(now, &here_at).await;
                actor.deliver();
                awake = Instant::now();
            }
        }
        actor.leave().await;
    }

    pub(super) fn hello(&mut self) -> Hello {
        self.beat += 1;
        Hello {
            caller: self.id,
            beat: self.beat,
            floor: self.ledger.floor(),
            lease: self.link.settings.lease,
            state: self.state.clone(),
        }
    }

    /// Gives the pool what there is for it.
    fn deliver(&mut self) {
        if self.events.is_empty() {
            return;
        }
        let has_changed = self.events.iter().any(|event| matches!(event, Event::Changed));
        {
            let mut seen = self.shared.seen.lock();
            seen.events.append(&mut self.events);
            if has_changed {
                seen.agents = self.agents.values().map(|agent| agent.about.clone()).collect();
            }
        }
        self.shared.door.announce();
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Submit { number, count, body } => {
                let is_long = body.len() > crate::blobs::INLINE;
                self.ledger.insert(number, count, Body::Inline(Vec::new()), Instant::now());
                if is_long {
                    let (link, notes) = (self.link.clone(), self.notes.clone());
                    let name = format!("{}.{number}", self.name);
                    tokio::task::spawn_local(async move {
                        let sealed = link.seal_blob(&name, body).await;
                        let stored = link.store(&name, &sealed).await;
                        let body = stored.map(Body::Stored).map_err(|error| error.to_string());
                        let _ = notes.send(Note::Stored { number, body });
                    });
                } else {
                    if let Some(entry) = self.ledger.get(number) {
                        entry.body = Body::Inline(body);
                    }
                    self.put(number).await;
                }
            }
            Command::Cancel { number, elements, running } => self.cancel(number, elements, running).await,
            Command::Bury { runner, function, arguments, error } => {
                let link = self.link.clone();
                self.burials.spawn_local(async move {
                    letters::bury(&link, runner, function, arguments, error).await;
                });
            }
            Command::Leave => {}
        }
    }

    /// Puts a task into the stream, or keeps it until that may be.
    pub(super) async fn put(&mut self, number: u64) {
        if self.roll.is_some() {
            self.unsent.insert(number);
            return;
        }
        let floor = self.ledger.floor();
        let Some(entry) = self.ledger.get(number) else { return };
        entry.turn += 1;
        (entry.since, entry.place, entry.holder) = (Instant::now(), None, None);
        let task = Task { caller: self.id, number, turn: entry.turn, floor, body: entry.body.clone() };
        let names = &self.link.names;
        let subject = names.task(&self.name);
        let message = self.link.seal.seal(Sort::Task, &subject, &task);
        let reply = format!("{}.{number}.{}", names.stored(&self.name), entry.turn);
        let put = self.link.client.publish_with_reply(subject, reply, message.into()).await;
        if let Err(error) = put {
            tracing::debug!(target: "multiproc::cluster", %error, number, "a task cannot be sent");
            self.call_roll();
        }
    }

    /// The server says what became of a task that was put into the stream.
    fn stored(&mut self, message: &async_nats::Message) {
        let mut tokens = message.subject.rsplit('.');
        let mut number = || tokens.next().and_then(|token| token.parse::<u64>().ok());
        let (Some(turn), Some(number)) = (number(), number()) else { return };
        let text = String::from_utf8_lossy(&message.payload);
        let place = number_after(&text, "\"seq\":");
        let Some(entry) = self.ledger.get(number).filter(|entry| u64::from(entry.turn) == turn) else {
            return;
        };
        match place {
            Some(place) if !text.contains("\"error\"") => {
                entry.place = Some(place);
                // An agent is as far from the server as we are, for all that is known.
                self.shared.seen.lock().learn(entry.since.elapsed() * 2);
            }
            _ => {
                tracing::info!(target: "multiproc::cluster", number, %text, "the stream of tasks is gone or full");
                self.call_roll();
            }
        }
    }

    async fn cancel(&mut self, number: u64, mut elements: Vec<u32>, running: bool) {
        let can_put = self.unsent.contains(&number);
        let Some(entry) = self.ledger.get(number) else { return };
        let missing = entry.missing();
        if elements.is_empty() {
            elements.clone_from(&missing);
        }
        entry.asked.push((elements.clone(), running));
        let is_whole = missing.iter().all(|element| elements.contains(element));
        if let Some(holder) = entry.holder {
            self.ask_to_cancel(Some(holder), number, elements, running).await;
        } else if is_whole && can_put {
            self.end(number, &Ended::Cancelled);
        } else if is_whole && let Some(place) = entry.place {
            let turn = entry.turn;
            let (link, notes) = (self.link.clone(), self.notes.clone());
            tokio::task::spawn_local(async move {
                let request = format!("{{\"seq\":{place}}}");
                let reply = link.client.request(Names::delete(&link.names.stream), request.into()).await;
                let is_out = reply
                    .is_ok_and(|reply| String::from_utf8_lossy(&reply.payload).contains("\"success\":true"));
                let _ = notes.send(Note::Deleted { number, turn, is_out });
            });
        } else {
            self.ask_to_cancel(None, number, elements, running).await;
        }
    }

    pub(super) async fn ask_to_cancel(
        &self,
        agent: Option<Id>,
        number: u64,
        elements: Vec<u32>,
        running: bool,
    ) {
        let message = ToAgents::Cancel { caller: self.id, number, elements, running };
        self.say(agent, &message).await;
    }

    /// Says something to an agent, or to all.
    pub(super) async fn say(&self, agent: Option<Id>, message: &ToAgents) {
        let names = &self.link.names;
        let subject = agent.map_or_else(|| names.agents(), |agent| names.agent(&agent.to_string()));
        self.link.send(subject, Sort::ToAgents, message).await;
    }

    /// What was asked of a task before somebody had it.
    pub(super) async fn ask_again(&mut self, agent: Id, number: u64) {
        let asked = self.ledger.get(number).map(|entry| entry.asked.clone()).unwrap_or_default();
        for (elements, running) in asked {
            self.ask_to_cancel(Some(agent), number, elements, running).await;
        }
    }

    /// Ends a task here.
    pub(super) fn end(&mut self, number: u64, error: &Ended) {
        self.unsent.remove(&number);
        let body = self.ledger.end(number, error, &mut self.events);
        self.discard(body);
    }

    fn discard(&self, body: Option<Body>) {
        if let Some(Body::Stored(stored)) = body {
            let link = self.link.clone();
            tokio::task::spawn_local(async move { link.discard(&stored.name).await });
        }
    }

    async fn note(&mut self, note: Note) {
        match note {
            Note::Stored { number, body: Ok(body) } => match self.ledger.get(number) {
                Some(entry) => {
                    entry.body = body;
                    self.put(number).await;
                }
                None => self.discard(Some(body)),
            },
            Note::Stored { number, body: Err(message) } => {
                self.end(number, &Ended::NoWorker { message });
            }
            Note::Fetched { agent, serial, answers } => self.fetched(agent, serial, answers).await,
            Note::Prepared { asks } => self.prepared(asks).await,
            Note::Deleted { number, turn, is_out } => {
                let Some(entry) = self.ledger.get(number).filter(|entry| entry.turn == turn) else { return };
                let holder = entry.holder;
                if is_out && holder.is_none() {
                    self.end(number, &Ended::Cancelled);
                } else if let Some(agent) = holder {
                    self.ask_again(agent, number).await;
                } else if let Some((elements, running)) = entry.asked.last().cloned() {
                    // Somebody has just got it.
                    self.ask_to_cancel(None, number, elements, running).await;
                }
            }
        }
    }

    async fn hear(&mut self, message: ToCaller) {
        match message {
            ToCaller::Beat { agent, beat, about, holds, answers } => {
                self.beat_of(agent, beat, about, holds, answers).await;
            }
            ToCaller::Bye { agent } => {
                if self.agents.remove(&agent).is_some() {
                    self.events.push(Event::Changed);
                }
                for number in self.ledger.held_by(agent) {
                    self.end(number, &Ended::host_lost());
                }
                self.try_to_finish_roll().await;
            }
            ToCaller::Took { agent, numbers } => {
                self.meet(agent);
                for number in numbers {
                    match self.ledger.get(number) {
                        Some(entry) if entry.holder.is_none_or(|holder| holder == agent) => {
                            entry.holder = Some(agent);
                            self.ask_again(agent, number).await;
                        }
                        // It has ended or is somebody else's: whoever has taken it nevertheless is to drop it.
                        _ => self.ask_to_cancel(Some(agent), number, Vec::new(), true).await,
                    }
                }
            }
            ToCaller::Claim { agent, number, turn, delivered } => {
                self.meet(agent);
                self.claim(agent, number, turn, delivered).await;
            }
            ToCaller::Answers { agent, serial, answers } => {
                self.meet(agent).heard = Instant::now();
                match <[Answer; 1]>::try_from(answers) {
                    Ok([answer]) => self.answer(agent, serial, answer),
                    Err(answers) => self.answered(agent, serial, answers),
                }
            }
        }
    }

    /// Takes in an answer that came by itself; a long result is fetched first, and removed from the server.
    fn answer(&mut self, agent: Id, serial: u64, answer: Answer) {
        let Answer {
            number,
            part: Part::Results { first, count, known, nanos, bytes: Body::Stored(stored) },
        } = answer
        else {
            return self.answered(agent, serial, vec![answer]);
        };
        let range = first.saturating_add(known)..first.saturating_add(count);
        let is_wanted = self.ledger.get(number).is_some_and(|entry| entry.missing().contains(&range.start));
        if !is_wanted {
            self.discard(Some(Body::Stored(stored)));
            return self.answered(agent, serial, Vec::new());
        }
        let long = self.meet(agent).long.entry(serial).or_default();
        if std::mem::replace(&mut long.is_coming, true) {
            return;
        }
        let is_last = long.failed + 1 >= FETCHES;
        let (link, notes) = (self.link.clone(), self.notes.clone());
        tokio::task::spawn_local(async move {
            let answers = match link.fetch(&stored).await {
                Ok(bytes) => {
                    let part = Part::Results { first, count, known, nanos, bytes: Body::Inline(bytes) };
                    Some(vec![Answer { number, part }])
                }
                Err(error) if is_last => {
                    let message = format!("its result is lost: {error}");
                    let failed = range.map(|element| {
                        let error = Ended::NoWorker { message: message.clone() };
                        Answer { number, part: Part::Failed { element, error } }
                    });
                    Some(failed.collect())
                }
                Err(_) => None,
            };
            let is_over = answers.is_some();
            let _ = notes.send(Note::Fetched { agent, serial, answers });
            if is_over {
                link.discard(&stored.name).await;
            }
        });
    }

    /// A long result is here, or has to be put on the server again.
    async fn fetched(&mut self, agent: Id, serial: u64, answers: Option<Vec<Answer>>) {
        if let Some(answers) = answers {
            if let Some(known) = self.agents.get_mut(&agent) {
                known.long.remove(&serial);
            }
            self.answered(agent, serial, answers);
        } else if let Some(long) = self.agents.get_mut(&agent).and_then(|known| known.long.get_mut(&serial)) {
            (long.is_coming, long.failed) = (false, long.failed + 1);
            self.say(Some(agent), &ToAgents::Missing { caller: self.id, serial }).await;
        }
    }

    fn answered(&mut self, agent: Id, serial: u64, answers: Vec<Answer>) {
        for Answer { number, part } in answers {
            match part {
                Part::Nothing { message } => {
                    if self.ledger.is_of(number, agent) {
                        self.end(number, &Ended::NoWorker { message });
                    }
                    continue;
                }
                Part::Lost => {
                    let body = self.ledger.give_back(agent, number, &mut self.events);
                    self.discard(body);
                    continue;
                }
                _ => {}
            }
            let body = self.ledger.tell(Some(agent), number, part, &mut self.events);
            self.discard(body);
        }
        let unsaid = self.received.entry(agent).or_default();
        unsaid.push(serial);
        let at = if unsaid.len() >= MANY { Instant::now() } else { Instant::now() + UNSAID };
        self.unsaid = Some(self.unsaid.map_or(at, |before| before.min(at)));
    }

    async fn tick(&mut self, now: Instant, here_at: &str) {
        if self.unsaid.is_some_and(|at| at <= now) {
            self.unsaid = None;
            for (agent, serials) in std::mem::take(&mut self.received) {
                self.say(Some(agent), &ToAgents::Received { caller: self.id, serials }).await;
            }
        }
        if now < self.beat_at {
            return;
        }
        while self.burials.try_join_next().is_some() {}
        self.beat_at = now + self.link.settings.beat();
        if self.link.client.connection_state() != async_nats::connection::State::Connected {
            self.agents.values_mut().for_each(|agent| agent.heard = now);
            return;
        }
        // Of a roll call that is being prepared nobody may hear yet.
        let asks = if self.roll.as_ref().is_some_and(|roll| !roll.is_asked()) { 0 } else { self.asks };
        let hello = self.hello();
        self.say(None, &ToAgents::Beat { hello, asks }).await;
        for id in self.link.settings.silent(&self.agents, now, |agent| (agent.heard, agent.about.lease)) {
            self.lose(id, now);
        }
        self.give_up_what_the_lost_may_have(now);
        // Somebody asks for tasks: what lies in the stream for long is not there any more, or cannot be had.
        let is_wanted = self.agents.values().any(|agent| agent.about.wants > 0 && !agent.about.is_leaving);
        let long = self.link.settings.lease * 2;
        let is_late = |entry: &super::ledger::Entry| {
            let limit = match entry.place {
                None => STORED,
                Some(_) if is_wanted => long,
                Some(_) => return false,
            };
            entry.turn > 0 && entry.holder.is_none() && now - entry.since > limit
        };
        if self.roll.is_none() && self.ledger.iter().any(|(_, entry)| is_late(entry)) {
            self.call_roll();
        }
        self.try_to_finish_roll().await;
        self.look_for_others(now, here_at).await;
    }

    async fn leave(mut self) {
        let link = self.link.clone();
        if link.client.connection_state() == async_nats::connection::State::Connected {
            self.say(None, &ToAgents::Bye { caller: self.id }).await;
            let farewell = async {
                while self.burials.join_next().await.is_some() {}
                let _ = link.purge(&self.name).await;
                let stored = self.ledger.iter().filter_map(|(_, entry)| match &entry.body {
                    Body::Stored(stored) => Some(stored.clone()),
                    Body::Inline(_) => None,
                });
                for stored in stored.collect::<Vec<_>>() {
                    link.discard(&stored.name).await;
                }
                if self.agents.is_empty() {
                    link.remove_if_empty().await;
                }
                let _ = link.client.flush().await;
            };
            let _ = tokio::time::timeout(super::PATIENCE, farewell).await;
        }
        self.events.clear();
        self.shared.seen.lock().is_over = true;
        self.shared.came.notify_all();
        self.shared.door.announce();
    }
}
