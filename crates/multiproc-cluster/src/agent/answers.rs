//! From the pool of this host to the callers.

use super::actor::{Actor, Note};
use super::callers::{Long, Sent};
use super::teller::{Key, Said, add};
use crate::blobs::INLINE;
use crate::link::Link;
use crate::seal::Sort;
use crate::wire::{Answer, Body, Ended, Id, Part, ToCaller};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

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
            self.send_answers(caller, parts, None).await;
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
                let result = Part::Results { first, count, known, nanos, bytes: Body::Inline(Vec::new()) };
                tokio::task::spawn_local(async move {
                    let name = format!("{}.{}-{first}-{known}", key.0, key.1);
                    let sealed = link.seal_blob(&name, bytes).await;
                    let long = Long { number: key.1, result, name, sealed };
                    store(link, notes, key.0, None, long).await;
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

    /// Sends answers.
    pub(super) async fn send_answers(&mut self, id: Id, parts: Vec<(u64, Part)>, long: Option<Long>) {
        for (number, part) in &parts {
            // Not before: what is stored first is this agent's until it has been told.
            let key = (id, *number);
            let Some(held) = self.held.get_mut(&key) else { continue };
            held.told += part.range().len() as u32;
            if let Part::Results { nanos, .. } = part {
                held.ran += Duration::from_nanos(*nanos);
            }
            if held.count > 0 && held.told >= held.count {
                let took = if held.ran.is_zero() { held.since.elapsed() } else { held.ran };
                // Slower counts at once, faster in a few steps.
                self.pace =
                    Some(self.pace.map_or(took, |pace| if took > pace { took } else { (pace + took) / 2 }));
                self.held.remove(&key);
            }
        }
        let Some(caller) = self.callers.get_mut(&id) else { return };
        caller.serial += 1;
        let serial = caller.serial;
        self.send(id, serial, parts, long).await;
    }

    /// What is long was stored, or could not be.
    pub(super) async fn send_stored(
        &mut self,
        id: Id,
        again: Option<u64>,
        parts: Vec<(u64, Part)>,
        long: Option<Long>,
    ) {
        let Some(serial) = again else { return self.send_answers(id, parts, long).await };
        let caller = self.callers.get(&id);
        if caller.is_some_and(|caller| caller.unreceived.contains_key(&serial)) {
            self.send(id, serial, parts, long).await;
        } else if let Some(Long { name, .. }) = long {
            // Its caller has got it meanwhile.
            let link = self.link.clone();
            tokio::task::spawn_local(async move { link.discard(&name).await });
        }
    }

    async fn send(&mut self, id: Id, serial: u64, parts: Vec<(u64, Part)>, long: Option<Long>) {
        let Some(caller) = self.callers.get_mut(&id) else { return };
        let numbers = parts.iter().map(|(number, _)| *number).collect();
        let answers = parts.into_iter().map(|(number, part)| Answer { number, part }).collect();
        let subject = self.link.names.caller(&id.to_string());
        let answers = ToCaller::Answers { agent: self.id, serial, answers };
        let message = self.link.seal.seal(Sort::ToCaller, &subject, &answers);
        let _ = self.link.client.publish(subject, message.clone().into()).await;
        caller.unreceived.insert(serial, Sent { numbers, message, long });
    }

    /// Puts on the server again what it has lost before its caller got it.
    pub(super) fn store_again(&self, id: Id, serial: u64) {
        let sent = self.callers.get(&id).and_then(|caller| caller.unreceived.get(&serial));
        if let Some(long) = sent.and_then(|sent| sent.long.clone()) {
            tokio::task::spawn_local(store(self.link.clone(), self.notes.clone(), id, Some(serial), long));
        }
    }
}

/// Stores something long; what is to be told of it becomes a note.
async fn store(link: Link, notes: UnboundedSender<Note>, caller: Id, again: Option<u64>, long: Long) {
    let Part::Results { first, count, known, nanos, .. } = long.result else { return };
    let number = long.number;
    let (parts, long) = match link.store(&long.name, &long.sealed).await {
        Ok(stored) => {
            let bytes = Body::Stored(stored);
            (vec![(number, Part::Results { first, count, known, nanos, bytes })], Some(long))
        }
        Err(error) => {
            let message = format!("its result cannot be stored: {error}");
            let failed = (first + known..first + count).map(|element| {
                let error = Ended::NoWorker { message: message.clone() };
                (number, Part::Failed { element, error })
            });
            (failed.collect(), None)
        }
    };
    let _ = notes.send(Note::Stored { caller, again, parts, long });
}
