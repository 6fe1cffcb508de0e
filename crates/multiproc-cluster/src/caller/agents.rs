//! What a caller knows of agents, and what follows when one comes, asks or is lost.

use super::actor::Actor;
use super::ledger::Entry;
use crate::letters;
use crate::seal::Sort;
use crate::wire::{About, Ended, Here, Id, ToAgents, Who};
use async_nats::Message;
use multiproc_pool::backend::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// An agent, as far as it is known.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) about: About,
    /// When it was heard of last, and the number of its last beat.
    pub(super) heard: Instant,
    pub(super) beat: u64,
    /// The last roll call that it has answered, and what it had then.
    pub(super) answers: u64,
    pub(super) holds: BTreeSet<u64>,
    /// Answers whose long results are being fetched, and how often that has failed.
    pub(super) long: BTreeMap<u64, Long>,
}

/// An answer whose results are long.
#[derive(Debug, Default)]
pub(super) struct Long {
    pub(super) is_coming: bool,
    pub(super) failed: u32,
}

impl Actor {
    /// What is known of an agent; who was never heard of is watched from its first word on.
    pub(super) fn meet(&mut self, id: Id) -> &mut Agent {
        self.agents.entry(id).or_insert_with(|| Agent {
            about: About::default(),
            heard: Instant::now(),
            beat: 0,
            answers: 0,
            holds: BTreeSet::new(),
            long: BTreeMap::new(),
        })
    }

    pub(super) async fn claim(&mut self, agent: Id, number: u64, turn: u32, delivered: u64) {
        if self.roll.is_some() {
            // It will ask again.
            return;
        }
        let lost_at = self.lost_at;
        let mut granted = false;
        let mut is_lost = false;
        if let Some(entry) = self.ledger.get(number)
            && entry.turn == turn
            && entry.holder.is_none_or(|holder| holder == agent)
        {
            // Who had it before may have begun it.
            is_lost = delivered > 1 && entry.holder.is_none() && lost_at.is_some_and(|at| at >= entry.since);
            if !is_lost {
                (granted, entry.holder) = (true, Some(agent));
            }
        }
        if is_lost {
            self.end(number, &Ended::host_lost());
        }
        let hello = self.hello();
        self.say(Some(agent), &ToAgents::Claimed { hello, number, turn, granted }).await;
        if granted {
            self.ask_again(agent, number).await;
        }
    }

    pub(super) async fn beat_of(&mut self, id: Id, beat: u64, about: About, holds: Vec<u64>, answers: u64) {
        let now = Instant::now();
        let agent = self.meet(id);
        if beat <= agent.beat {
            return;
        }
        let is_new = agent.beat == 0;
        (agent.beat, agent.heard, agent.answers) = (beat, now, answers);
        agent.holds = holds.iter().copied().collect();
        let has_changed = agent.about != about;
        agent.about = about;
        if is_new {
            tracing::info!(target: "multiproc::cluster", agent = %id, host = agent.about.host, "an agent is there");
        }
        if is_new || has_changed {
            self.events.push(Event::Changed);
        }
        if std::mem::take(&mut self.is_impossible) {
            self.events.push(Event::Impossible(None));
        }
        for number in holds {
            let holder = self.ledger.get(number).map(|entry| entry.holder);
            match holder {
                Some(Some(holder)) if holder == id => {}
                Some(None) if self.roll.is_none() => {
                    if let Some(entry) = self.ledger.get(number) {
                        entry.holder = Some(id);
                    }
                }
                Some(None) => {}
                // It was lost and came back, or answers of which it does not know yet have arrived.
                Some(Some(_)) | None => self.ask_to_cancel(Some(id), number, Vec::new(), true).await,
            }
        }
        if let Some(roll) = &self.roll {
            roll.measure(answers, &self.shared);
        }
        self.try_to_finish_roll().await;
    }

    /// An agent tells which build it is of.
    pub(super) fn other(&mut self, message: &Message) {
        let Some(here) = self.link.open_of_all::<Here>(Sort::Here, message) else { return };
        if here.asker == self.id && here.build != self.link.names.build {
            self.others.insert(format!("build {} ({}) on {}", here.build, here.program, here.about.host));
        }
    }

    pub(super) fn lose(&mut self, id: Id, now: Instant) {
        let Some(agent) = self.agents.remove(&id) else { return };
        let lost = self.ledger.held_by(id);
        let (host, tasks) = (agent.about.host, lost.len());
        tracing::warn!(target: "multiproc::cluster", agent = %id, host, tasks, "an agent is lost");
        self.lost_at = Some(now);
        for number in lost {
            self.end(number, &Ended::host_lost());
        }
        self.events.push(Event::Changed);
    }

    /// Where nobody is left who could be given a task that a lost agent may just have got, it ends.
    pub(super) fn give_up_what_the_lost_may_have(&mut self, now: Instant) {
        let Some(lost_at) = self.lost_at.filter(|_| self.agents.is_empty() && self.roll.is_none()) else {
            return;
        };
        if now.saturating_duration_since(lost_at) < self.link.settings.lease {
            return;
        }
        let is_in_doubt = |entry: &Entry| entry.turn > 0 && entry.holder.is_none() && entry.since <= lost_at;
        let doubtful = self.ledger.iter().filter(|(_, entry)| is_in_doubt(entry)).map(|(number, _)| number);
        for number in doubtful.collect::<Vec<u64>>() {
            self.end(number, &Ended::host_lost());
        }
    }

    /// Where there is work and no agent of this build for a lease, those of other builds are the reason.
    pub(super) async fn look_for_others(&mut self, now: Instant, here_at: &str) {
        let is_alone = self.agents.is_empty() && self.shared.is_waiting.load(Ordering::Relaxed);
        if !is_alone {
            (self.alone, self.others) = (None, BTreeSet::new());
            return;
        }
        let since = *self.alone.get_or_insert(now);
        if !self.others.is_empty() && now - since > self.link.settings.lease && !self.is_impossible {
            let others: Vec<&str> = self.others.iter().map(String::as_str).collect();
            let names = &self.link.names;
            let why = format!(
                "no agent of pool `{}` runs this build, {} ({}); there is {}: start agents of the same executable",
                names.pool,
                names.build,
                letters::program(),
                others.join(", ")
            );
            self.is_impossible = true;
            self.events.push(Event::Impossible(Some(why)));
        }
        let who = self.link.names.who();
        let message = self.link.open_seal.seal(Sort::Who, &who, &Who { asker: self.id });
        let _ = self.link.client.publish_with_reply(who, here_at.to_owned(), message.into()).await;
    }
}
