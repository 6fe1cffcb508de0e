//! What an agent knows of callers, hears from them and tells them of itself.

use super::actor::{Actor, Held};
use super::crew;
use super::teller::Key;
use crate::seal::Sort;
use crate::wire::{About, AboutWorker, Hello, Id, Part, ToAgents, ToCaller};
use async_nats::Message;
use bytes::Bytes;
use multiproc_pool::backend::Port;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// So many tasks are remembered as taken; of what is older its caller is asked.
const MANY: usize = 10_000;

/// What was taken of a caller.
#[derive(Debug, Default)]
pub(super) struct Taken {
    numbers: BTreeSet<u64>,
    /// What was taken below this number is not known any more.
    from: u64,
}

impl Taken {
    pub(super) fn insert(&mut self, number: u64) {
        self.numbers.insert(number);
        if self.numbers.len() > MANY
            && let Some(half) = self.numbers.iter().nth(MANY / 2).copied()
        {
            self.numbers = self.numbers.split_off(&half);
            self.from = half;
        }
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.numbers.contains(&number)
    }

    /// Tells whether a number that is not known was never taken.
    pub(super) fn is_complete_at(&self, number: u64) -> bool {
        number >= self.from
    }

    fn rise(&mut self, floor: u64) {
        self.numbers = self.numbers.split_off(&floor);
    }
}

/// A caller, as far as it is known.
pub(super) struct Caller {
    pub(super) hello: Hello,
    pub(super) heard: Instant,
    /// The last roll call that was answered.
    pub(super) answers: u64,
    /// What was taken, from the floor on.
    pub(super) taken: Taken,
    /// What is not wanted, of tasks that are not here; no elements are all of them.
    pub(super) unwanted: BTreeMap<u64, Vec<u32>>,
    /// Answers that it may not have received.
    pub(super) unreceived: BTreeMap<u64, Sent>,
    pub(super) serial: u64,
}

/// Answers that were sent.
pub(super) struct Sent {
    /// Which tasks they are of.
    pub(super) numbers: BTreeSet<u64>,
    pub(super) message: Vec<u8>,
    pub(super) long: Option<Long>,
}

/// A result that lies on the server, which may lose it before its caller has got it.
#[derive(Clone)]
pub(super) struct Long {
    pub(super) number: u64,
    /// Without its bytes.
    pub(super) result: Part,
    /// What it is called there, and its bytes.
    pub(super) name: String,
    pub(super) sealed: Bytes,
}

impl Caller {
    /// All below this have ended.
    pub(super) fn rise(&mut self, floor: u64) {
        if floor > self.hello.floor {
            self.hello.floor = floor;
            self.taken.rise(floor);
            self.unwanted = self.unwanted.split_off(&floor);
        }
    }
}

impl Actor {
    pub(super) async fn hear(&mut self, message: &Message) {
        let Some(message) = self.link.open::<ToAgents>(Sort::ToAgents, message) else { return };
        match message {
            ToAgents::Beat { hello, asks } => {
                let (id, is_new) = (hello.caller, self.heard(hello));
                let Some(caller) = self.callers.get_mut(&id) else { return };
                let is_asked = asks > caller.answers;
                if is_asked {
                    caller.answers = asks;
                    for Sent { message, .. } in caller.unreceived.values() {
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
            ToAgents::Missing { caller, serial } => self.store_again(caller, serial),
            ToAgents::Claimed { hello, number, turn, granted } => {
                let key = (hello.caller, number);
                let caller = hello.caller;
                self.heard(hello);
                let Some(claim) = self.claims.remove(&key) else { return };
                if claim.task.turn != turn {
                    self.claims.insert(key, claim);
                } else if granted {
                    if let Some(caller) = self.callers.get_mut(&caller) {
                        caller.taken.insert(number);
                    }
                    self.take(vec![(claim.task, claim.reply)]).await;
                } else {
                    self.acknowledge(claim.reply).await;
                }
            }
        }
    }

    /// Notes that a caller lives; tells whether it was unknown.
    pub(super) fn heard(&mut self, hello: Hello) -> bool {
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
                    taken: Taken::default(),
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

    pub(super) fn cancel(&mut self, id: Id, number: u64, elements: Vec<u32>, running: bool) {
        if let Some(Held { handed: Some(handed), .. }) = self.held.get(&(id, number)) {
            handed.hand.cancel(|element| elements.is_empty() || elements.contains(&element), running);
            return;
        }
        if let Some(caller) = self.callers.get_mut(&id) {
            if elements.is_empty() {
                // Of what was answered the caller knows now.
                caller.unreceived.retain(|_, sent| sent.numbers.iter().any(|other| *other != number));
            }
            if number >= caller.hello.floor
                && (self.held.contains_key(&(id, number)) || !caller.taken.contains(number))
            {
                match caller.unwanted.entry(number) {
                    Entry::Vacant(place) => {
                        place.insert(elements);
                    }
                    Entry::Occupied(mut unwanted) if elements.is_empty() => unwanted.get_mut().clear(),
                    // None of them at all is wanted.
                    Entry::Occupied(unwanted) if unwanted.get().is_empty() => {}
                    Entry::Occupied(mut unwanted) => unwanted.get_mut().extend(elements),
                }
            }
        }
    }

    /// Ends what a caller wanted that is gone.
    pub(super) fn lose(&mut self, id: Id, is_silent: bool) {
        if self.callers.remove(&id).is_none() {
            return;
        }
        let keys: Vec<Key> = self.held.keys().filter(|(caller, _)| *caller == id).copied().collect();
        let tasks = keys.len();
        for key in keys {
            if let Some(Held { handed: Some(handed), .. }) = self.held.remove(&key) {
                handed.hand.cancel(|_| true, true);
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

    /// What is to be known of this agent, with the workers of these pools.
    pub(super) fn about<'a>(&self, pools: impl IntoIterator<Item = &'a Port>) -> About {
        let workers = pools.into_iter().flat_map(Port::workers).map(|worker| AboutWorker {
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
            lease: self.link.settings.lease,
            restarts: self.crews.restarts(),
            is_leaving: self.is_leaving,
            wants: self.pulls.outstanding() as u32,
            workers: workers.collect(),
        }
    }

    pub(super) async fn beat_to(&mut self, id: Id) {
        let Some(caller) = self.callers.get(&id) else { return };
        self.beat += 1;
        let held = self.held.keys().filter(|(caller, _)| *caller == id).map(|(_, number)| *number);
        let unreceived = caller.unreceived.values().flat_map(|sent| sent.numbers.iter().copied());
        let holds: BTreeSet<u64> = held.chain(unreceived).collect();
        // Before there are workers with its state, those without are what it may count on.
        let own = self.crews.of(caller.hello.state.as_ref());
        let own = own.filter(|port| port.workers().iter().any(|worker| worker.is_ready));
        let message = ToCaller::Beat {
            agent: self.id,
            beat: self.beat,
            about: self.about(own.or_else(|| self.crews.plain())),
            holds: holds.into_iter().collect(),
            answers: caller.answers,
        };
        self.say(id, &message).await;
    }

    pub(super) async fn beat_to_all(&mut self) {
        let ids: Vec<Id> = self.callers.keys().copied().collect();
        for id in ids {
            self.beat_to(id).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_forgotten_before_it_becomes_much() {
        let mut taken = Taken::default();
        (0..3 * MANY as u64).for_each(|number| taken.insert(2 * number));
        assert!(taken.numbers.len() <= MANY);
        let last = 2 * (3 * MANY as u64 - 1);
        assert!(taken.contains(last) && !taken.contains(last - 1) && taken.is_complete_at(last - 1));
        // Of what is old nobody knows: its caller does.
        assert!(!taken.contains(0) && !taken.is_complete_at(0));
        taken.rise(last);
        assert!(taken.contains(last) && taken.numbers.len() == 1);
    }
}
