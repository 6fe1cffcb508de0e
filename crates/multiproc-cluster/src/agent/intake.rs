//! From the stream to the pool of this host.

use super::actor::{Actor, Claim, Handed, Held, Note, PATIENCE, QUICK, SHORT};
use super::teller::{Key, Teller};
use crate::caller::depth;
use crate::seal::Sort;
use crate::wire::{Body, Elements, Id, Part, Task, ToCaller};
use async_nats::{Message, StatusCode, Subscriber};
use futures_util::{FutureExt, StreamExt};
use multiproc_core::codec;
use multiproc_pool::TaskError;
use multiproc_pool::backend::{Order, Told};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// How often a claim that is not answered is repeated.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a word may take to leave this process.
const FLUSH: Duration = Duration::from_millis(500);

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
    pub(super) fn prepare(&mut self) {
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
    pub(super) async fn pull(&mut self, now: Instant) {
        if self.mark.is_none() || self.is_leaving {
            return;
        }
        if self.pulls.expire(now) {
            self.prepare();
            return;
        }
        let depth = match self.pace {
            Some(pace) if pace < QUICK => depth(QUICK, pace),
            Some(pace) if pace < SHORT => 2,
            _ => 1,
        };
        let room = self.crews.workers * depth;
        let free = room.saturating_sub(self.held.len() + self.claims.len() + self.pulls.outstanding());
        // Many are asked for together: none yet, while enough of those that were asked for may still come.
        if free == 0 || (free < room / 4 && self.pulls.outstanding() > 0) {
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

    /// Takes what has come, several tasks at once: one word and one flush for all of them.
    pub(super) async fn pulled(&mut self, first: Message, tasks: &mut Subscriber) {
        let mut sure = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            sure.extend(self.look_at_message(message).await);
            next = tasks.next().now_or_never().flatten();
        }
        self.take(sure).await;
    }

    /// A task, or the end of a pull; gives a task that is surely ours.
    async fn look_at_message(&mut self, message: Message) -> Option<(Task, String)> {
        let delivered = message.reply.as_ref().and_then(|reply| delivery(reply));
        let (Some((delivered, place)), Some(reply)) = (delivered, message.reply.as_ref()) else {
            let number = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
            self.pulls.ended(number.unwrap_or_default());
            let is_usual = matches!(message.status, Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT));
            if !is_usual && self.mark.is_some() {
                tracing::info!(target: "multiproc::cluster", status = ?message.status, "the stream of tasks is gone");
                self.prepare();
            }
            return None;
        };
        self.pulls.came();
        if self.is_leaving {
            // It was on its way: somebody else's.
            let _ = self.link.client.publish(reply.clone(), "-NAK".into()).await;
            return None;
        }
        let Some(task) = self.link.open::<Task>(Sort::Task, &message) else {
            self.acknowledge(reply.to_string()).await;
            return None;
        };
        let key = (task.caller, task.number);
        let mut is_sure = delivered == 1 && self.mark.is_some_and(|mark| place > mark);
        match self.callers.get_mut(&task.caller) {
            Some(caller) => {
                caller.rise(task.floor);
                if task.number < caller.hello.floor || caller.taken.contains(task.number) {
                    self.acknowledge(reply.to_string()).await;
                    return None;
                }
                is_sure &= caller.taken.is_complete_at(task.number);
                if is_sure {
                    caller.taken.insert(task.number);
                }
            }
            None => is_sure = false,
        }
        if is_sure {
            return Some((task, reply.to_string()));
        }
        let now = Instant::now();
        let claim = Claim { task, reply: reply.to_string(), delivered, since: now, asked: now };
        self.ask(&claim).await;
        self.claims.insert(key, claim);
        None
    }

    pub(super) async fn acknowledge(&self, reply: String) {
        let _ = self.link.client.publish(reply, "+ACK".into()).await;
    }

    pub(super) async fn ask(&self, claim: &Claim) {
        let Task { caller, number, turn, .. } = claim.task;
        let message = ToCaller::Claim { agent: self.id, number, turn, delivered: claim.delivered };
        self.say(caller, &message).await;
    }

    pub(super) async fn say(&self, caller: Id, message: &ToCaller) {
        self.link.send(self.link.names.caller(&caller.to_string()), Sort::ToCaller, message).await;
    }

    /// Takes tasks out of the stream, and begins them.
    pub(super) async fn take(&mut self, mut tasks: Vec<(Task, String)>) {
        tasks.retain(|(task, _)| self.callers.contains_key(&task.caller));
        if tasks.is_empty() {
            return;
        }
        let mut numbers: BTreeMap<Id, Vec<u64>> = BTreeMap::new();
        for (task, _) in &tasks {
            numbers.entry(task.caller).or_default().push(task.number);
        }
        // First the callers have to know; then the stream need not remember them.
        for (caller, numbers) in numbers {
            self.say(caller, &ToCaller::Took { agent: self.id, numbers }).await;
        }
        for (_, reply) in &tasks {
            self.acknowledge(reply.clone()).await;
        }
        // All is on its way before one begins: whoever is killed or stopped now has said that it has them.
        let _ = tokio::time::timeout(FLUSH, self.link.client.flush()).await;
        for (task, _) in tasks {
            self.hold(task);
        }
    }

    /// Begins what was taken.
    fn hold(&mut self, task: Task) {
        let key = (task.caller, task.number);
        let held = Held {
            handed: None,
            count: 0,
            told: 0,
            ran: Duration::ZERO,
            since: Instant::now(),
            is_returning: Arc::new(AtomicBool::new(false)),
        };
        self.held.insert(key, held);
        match task.body {
            Body::Inline(bytes) => self.begin(key, Ok(bytes)),
            Body::Stored(stored) => {
                let (link, notes) = (self.link.clone(), self.notes.clone());
                tokio::task::spawn_local(async move {
                    let bytes = link.fetch(&stored).await.map_err(|error| error.to_string());
                    let _ = notes.send(Note::Fetched { key, bytes });
                });
            }
        }
    }

    /// Hands a task to the pool.
    pub(super) fn begin(&mut self, key: Key, bytes: Result<Vec<u8>, String>) {
        let Some(held) = self.held.get_mut(&key) else { return };
        let Some(caller) = self.callers.get_mut(&key.0) else {
            self.held.remove(&key);
            return;
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(why) => {
                tracing::warn!(target: "multiproc::cluster", why, "the arguments of a task did not arrive");
                self.held.remove(&key);
                let _ = self.notes.send(Note::Unrun { key, part: Part::Lost });
                return;
            }
        };
        let elements = match codec::decode::<Elements>(&bytes, Vec::new()) {
            Ok(elements) => elements,
            Err(error) => {
                let why = error.to_string();
                tracing::error!(target: "multiproc::cluster", why, "the arguments of a task cannot be read");
                self.held.remove(&key);
                let message = format!("its arguments did not arrive on {}: {why}", self.host);
                let _ = self.notes.send(Note::Unrun { key, part: Part::Nothing { message } });
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
                told.failed(element, TaskError::Cancelled);
            });
            return;
        }
        let state = caller.hello.state.as_ref().filter(|_| elements.init != 0);
        let port = match self.crews.get(state) {
            Ok(port) => port,
            Err(error) => {
                for element in 0..held.count {
                    let message = format!("its workers cannot be started on {}: {error}", self.host);
                    told.failed(element, TaskError::NoWorker { message });
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
        let now = Instant::now();
        let patience = (now - held.since).max(PATIENCE);
        held.handed = Some(Handed { hand, since: now, patience, look_at: now + patience });
    }

    pub(super) async fn look_at_claims(&mut self, now: Instant) {
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
