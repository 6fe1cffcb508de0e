//! The roll call: after a break nobody knows what has arrived, so everybody is asked.
//!
//! The caller's tasks are taken out of the stream, so that nobody gets one any more. Then all agents that it knows say
//! what they have. What nobody has is put into the stream again, unless an agent was lost meanwhile: that one may have
//! begun it.

use super::Shared;
use super::actor::{Actor, Note};
use crate::wire::{Body, Ended, Id, ToAgents};
use multiproc_pool::backend::Event;
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// The pause after an attempt to prepare the stream that failed, and between one roll call and the next.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Roll {
    asks: u64,
    /// When the question went out.
    asked: Option<Instant>,
    /// What takes the tasks out of the stream: not beyond this roll call, when others are in it again.
    preparing: AbortHandle,
}

impl Drop for Roll {
    fn drop(&mut self) {
        self.preparing.abort();
    }
}

impl Roll {
    /// Tells whether the question went out.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Learns from an answer how far the others are.
    pub(super) fn measure(&self, answers: u64, shared: &Shared) {
        if answers == self.asks
            && let Some(asked) = self.asked
        {
            shared.seen.lock().learn(asked.elapsed());
        }
    }
}

impl Actor {
    /// Begins a roll call; one that is under way begins anew.
    pub(super) fn call_roll(&mut self) {
        self.asks += 1;
        let asks = self.asks;
        let now = Instant::now();
        let begin_at = self.rolled_at.map_or(now, |before| now.max(before + PAUSE));
        self.rolled_at = Some(begin_at);
        let (link, name, notes) = (self.link.clone(), self.name.clone(), self.notes.clone());
        let preparing = tokio::task::spawn_local(async move {
            tokio::time::sleep_until(begin_at.into()).await;
            let mut is_told = false;
            loop {
                let result = match link.prepare().await {
                    Ok(_) => link.purge(&name).await,
                    Err(error) => Err(error),
                };
                let Err(error) = result else { break };
                if notes.is_closed() {
                    return;
                }
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(target: "multiproc::cluster", %error, "the stream of tasks cannot be used yet");
                }
                tokio::time::sleep(PAUSE).await;
            }
            let _ = notes.send(Note::Prepared { asks });
        });
        self.roll = Some(Roll { asks, asked: None, preparing: preparing.abort_handle() });
    }

    /// Nothing of ours is in the stream: asks who has what.
    pub(super) async fn prepared(&mut self, asks: u64) {
        let Some(roll) = self.roll.as_mut().filter(|roll| roll.asks == asks) else { return };
        let now = Instant::now();
        roll.asked = Some(now);
        self.agents.values_mut().for_each(|agent| agent.heard = now);
        let hello = self.hello();
        self.say(None, &ToAgents::Beat { hello, asks }).await;
        self.try_to_finish_roll().await;
    }

    /// Ends the roll call if all have answered that are not lost.
    pub(super) async fn try_to_finish_roll(&mut self) {
        let is_complete = self.roll.as_ref().is_some_and(|roll| {
            roll.asked.is_some() && self.agents.values().all(|agent| agent.answers >= roll.asks)
        });
        if !is_complete {
            return;
        }
        let Some(roll) = self.roll.take() else { return };
        let numbers: Vec<u64> = self.ledger.iter().map(|(number, _)| number).collect();
        for number in numbers {
            let found: Option<Id> =
                self.agents.iter().find(|(_, agent)| agent.holds.contains(&number)).map(|(id, _)| *id);
            let lost_at = self.lost_at;
            let Some(entry) = self.ledger.get(number) else { continue };
            let was_put = entry.turn > 0 && !self.unsent.contains(&number);
            let is_lost = match (found, entry.holder) {
                (Some(agent), None) => {
                    entry.holder = Some(agent);
                    false
                }
                (Some(agent), Some(holder)) => agent != holder,
                // Who had it does not know of it any more.
                (None, Some(_)) => true,
                (None, None) => was_put && lost_at.is_some_and(|at| at >= entry.since),
            };
            let has_body = !matches!(&entry.body, Body::Inline(bytes) if bytes.is_empty());
            let missing = entry.missing();
            let is_unwanted =
                missing.iter().all(|element| entry.asked.iter().any(|(asked, _)| asked.contains(element)));
            if is_lost {
                self.end(number, &Ended::host_lost());
            } else if found.is_none() && is_unwanted {
                self.end(number, &Ended::Cancelled);
            } else if found.is_none() && has_body {
                self.unsent.insert(number);
            }
        }
        let again = self.unsent.len();
        tracing::debug!(target: "multiproc::cluster", asks = roll.asks, agents = self.agents.len(), again, "the roll was called");
        for number in std::mem::take(&mut self.unsent) {
            self.put(number).await;
        }
        self.events.push(Event::Changed);
    }
}
