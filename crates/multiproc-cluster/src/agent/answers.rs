//! From the pool of this host to the callers.

use super::actor::{Actor, Note};
use super::teller::{Key, Said, add};
use crate::blobs::INLINE;
use crate::seal::Sort;
use crate::wire::{Answer, Body, Ended, Id, Part, ToCaller};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc::UnboundedReceiver;

/// How many bytes of answers travel together.
const TOGETHER: usize = 128 << 10;

impl Actor {
    /// Tells callers what was said, several things at once.
    pub(super) async fn answer(&mut self, first: Said, saying: &mut UnboundedReceiver<Said>) {
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
    pub(super) fn said(&mut self, key: Key, part: Part, parts: &mut BTreeMap<Id, Vec<(u64, Part)>>) -> usize {
        if !self.held.contains_key(&key) {
            return 0;
        }
        match part {
            Part::Results { first, count, known, nanos, bytes: Body::Inline(bytes) }
                if bytes.len() > INLINE =>
            {
                let (link, notes) = (self.link.clone(), self.notes.clone());
                tokio::task::spawn_local(async move {
                    match link.store(format!("{}.{}-{first}-{known}", key.0, key.1), bytes).await {
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
                let len = part.len();
                add(parts.entry(key.0).or_default(), key.1, part);
                len
            }
        }
    }

    pub(super) async fn send_answers(&mut self, id: Id, parts: Vec<(u64, Part)>) {
        let Some(caller) = self.callers.get_mut(&id) else { return };
        for (number, part) in &parts {
            // Not before: what is stored first is this agent's until it has been told.
            let Some(held) = self.held.get_mut(&(id, *number)) else { continue };
            held.told += part.range().len() as u32;
            if held.count > 0 && held.told >= held.count {
                let took = held.since.elapsed();
                // Slower counts at once, faster in a few steps.
                self.pace =
                    Some(self.pace.map_or(took, |pace| if took > pace { took } else { (pace + took) / 2 }));
            }
        }
        caller.serial += 1;
        let (agent, serial) = (self.id, caller.serial);
        let numbers: BTreeSet<u64> = parts.iter().map(|(number, _)| *number).collect();
        let answers = parts.into_iter().map(|(number, part)| Answer { number, part }).collect();
        let subject = self.link.names.caller(&id.to_string());
        let answers = ToCaller::Answers { agent, serial, answers };
        let message = self.link.seal.seal(Sort::ToCaller, &subject, &answers);
        let _ = self.link.client.publish(subject, message.clone().into()).await;
        caller.unreceived.insert(serial, (numbers.iter().copied().collect(), message));
        for number in numbers {
            let key = (id, number);
            if self.held.get(&key).is_some_and(|held| held.count > 0 && held.told >= held.count) {
                self.held.remove(&key);
            }
        }
    }
}
