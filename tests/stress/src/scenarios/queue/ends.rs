//! Ends of channels: each is in one process alone, so that its drop or death is seen at the other.
//!
//! The victim's end is on its way in a queue until the victim takes it: nobody else has a copy.

use multiproc_queue::{ChannelRecvError, Queue, Receiver, Sender, SpscReceiver, SpscSender, channel, spsc};
use multiproc_shm::Shared;
use std::cell::{Cell, RefCell};

use super::history::{CHECKER, Forgiven, History, PREPARER, VICTIM};
use super::way::{Item, made};
use crate::control::Bracket;
use crate::crew::HANG;
use crate::memory::{Plain, shared};
use crate::scenario::{Found, Neighbours, Scenario, Stage, Tally};

/// The end that messages are sent from.
trait Sending: multiproc_core::Message {
    fn send(&self, item: Item) -> bool;
}

/// The end that messages come from.
trait Receiving: multiproc_core::Message {
    fn recv(&self) -> Option<Item>;
    /// Nothing if there is no sender any more.
    ///
    /// # Errors
    ///
    /// There still is one after a while.
    fn recv_soon(&self) -> Result<Option<Item>, String>;
}

impl Sending for Sender<Item> {
    fn send(&self, item: Item) -> bool {
        Sender::send(self, item).is_ok()
    }
}

impl Receiving for Receiver<Item> {
    fn recv(&self) -> Option<Item> {
        Receiver::recv(self).ok()
    }

    fn recv_soon(&self) -> Result<Option<Item>, String> {
        soon(self.recv_timeout(HANG))
    }
}

impl Sending for SpscSender<Item> {
    fn send(&self, item: Item) -> bool {
        SpscSender::send(self, item).is_ok()
    }
}

impl Receiving for SpscReceiver<Item> {
    fn recv(&self) -> Option<Item> {
        SpscReceiver::recv(self).ok()
    }

    fn recv_soon(&self) -> Result<Option<Item>, String> {
        soon(self.recv_timeout(HANG))
    }
}

fn soon(result: Result<Item, ChannelRecvError>) -> Result<Option<Item>, String> {
    match result {
        Ok(item) => Ok(Some(item)),
        Err(error) if error.is_disconnected() => Ok(None),
        Err(error) => Err(format!("the sender is gone, and its end is not: {error}")),
    }
}

/// What the victim does with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Puts or gets a message.
    Use,
    /// Drops it.
    Drop,
}

/// Makes both ends.
type Make<S, R> = fn(usize) -> std::io::Result<(S, R)>;

/// The victim has the sender, the others the receiver; or the other way round.
struct Ends<S, R> {
    name: &'static str,
    make: Make<S, R>,
    act: Act,
    victim_sends: bool,
    are_asleep: bool,
}

const CAPACITY: usize = 3;

impl<S: Sending, R: Receiving> Scenario for Ends<S, R> {
    fn name(&self) -> String {
        let act = match (self.act, self.victim_sends) {
            (Act::Use, true) => "send, alone at its end",
            (Act::Use, false) => "recv, alone at its end",
            (Act::Drop, true) => "sender dropped",
            (Act::Drop, false) => "receiver dropped",
        };
        let others = if self.victim_sends { "receiver" } else { "sender" };
        let beside = if self.are_asleep { format!(", {others} asleep") } else { String::new() };
        format!("{}/{act}{beside}", self.name)
    }

    fn neighbours(&self) -> Neighbours {
        if self.are_asleep { Neighbours::Asleep(1) } else { Neighbours::None }
    }

    fn newcomers(&self) -> usize {
        // There is one at the other end.
        usize::from(!self.are_asleep)
    }

    /// A process that is killed wakes nobody at the other end: the next bounded sleep finds it, as is documented.
    fn needs_bound(&self) -> bool {
        true
    }

    fn sleepers_need_bound(&self) -> bool {
        true
    }

    fn works_beside_a_pause(&self) -> bool {
        false
    }

    fn allows_doubles(&self) -> bool {
        false
    }

    fn stage(&self) -> Box<dyn Stage> {
        let (sender, receiver) = made((self.make)(CAPACITY));
        let stage = Staged {
            act: self.act,
            history: shared(History::new()),
            sender: RefCell::new(Some(sender)),
            receiver: RefCell::new(Some(receiver)),
            sends: made(Queue::bounded(1)),
            receives: made(Queue::bounded(1)),
            victim_sends: self.victim_sends,
            is_over: Cell::new(false),
        };
        if self.victim_sends {
            if let Some(sender) = stage.sender.take() {
                made(stage.sends.put(sender));
            }
        } else {
            let count = if self.are_asleep { CAPACITY } else { 1 };
            (0..count).for_each(|_| stage.send(PREPARER));
            if let Some(receiver) = stage.receiver.take() {
                made(stage.receives.put(receiver));
            }
        }
        Box::new(stage)
    }
}

struct Staged<S, R> {
    act: Act,
    history: Shared<Plain<History>>,
    sender: RefCell<Option<S>>,
    receiver: RefCell<Option<R>>,
    /// The victim's end until it takes it.
    sends: Queue<S>,
    receives: Queue<R>,
    victim_sends: bool,
    /// This process has found nobody at the other end.
    is_over: Cell<bool>,
}

impl<S: Sending, R: Receiving> Staged<S, R> {
    fn send(&self, who: usize) {
        let sender = self.sender.borrow();
        let Some(sender) = &*sender else { return };
        let history = &self.history.0;
        let number = history.begin(who, 1).start;
        if sender.send((number, number.to_le_bytes().to_vec(), None)) {
            history.done(who);
        } else {
            history.refused(who, 1);
            self.is_over.set(true);
        }
    }

    fn recv(&self, who: usize) {
        let receiver = self.receiver.borrow();
        let Some(receiver) = &*receiver else { return };
        self.history.0.taking(who, 1);
        let item = receiver.recv();
        self.is_over.set(item.is_none());
        self.note(who, item);
    }

    fn note(&self, who: usize, item: Option<Item>) {
        if let Some((number, body, _)) = item {
            assert!(body == number.to_le_bytes(), "a message that holds something else");
            self.history.0.took(who, number, false);
        }
        self.history.0.taken(who);
    }

    fn arrive(&self) {
        if self.victim_sends {
            self.sender.replace(self.sends.get().ok());
        } else {
            self.receiver.replace(self.receives.get().ok());
        }
    }
}

impl<S: Sending, R: Receiving> Stage for Staged<S, R> {
    fn victim(&self, bracket: &Bracket<'_>) {
        multiproc_core::sys::thread::process_id();
        self.arrive();
        match (self.act, self.victim_sends) {
            (Act::Use, true) => {
                bracket.begin();
                self.send(VICTIM);
                bracket.end();
            }
            (Act::Use, false) => {
                bracket.begin();
                self.recv(VICTIM);
                bracket.end();
            }
            (Act::Drop, _) => {
                let ends = (self.sender.take(), self.receiver.take());
                bracket.begin();
                drop(ends);
                bracket.end();
            }
        }
        // Whoever did not die goes now, and so does its end.
        drop((self.sender.take(), self.receiver.take()));
    }

    fn operate(&self, who: usize) -> Found {
        // The one at the other end waits for the victim's messages, or for room, until it learns that it is alone.
        if !self.is_over.get() {
            if self.victim_sends { self.recv(who) } else { self.send(who) }
        }
        Found::Clean
    }

    fn check(&self, _tally: &Tally) -> Result<(), String> {
        // What was sent to a receiver that is gone is gone with it.
        let receiver = self.receiver.borrow();
        let Some(receiver) = &*receiver else { return Ok(()) };
        while let Some(item) = receiver.recv_soon()? {
            self.history.0.taking(CHECKER, 1);
            self.note(CHECKER, Some(item));
        }
        self.history.0.verify(&Forgiven::default()).map(drop)
    }
}

/// All of this file.
pub(crate) fn all() -> Vec<Box<dyn Scenario>> {
    let mut all: Vec<Box<dyn Scenario>> = Vec::new();
    for act in [Act::Use, Act::Drop] {
        for victim_sends in [true, false] {
            for are_asleep in [false, true] {
                all.push(Box::new(Ends {
                    name: "channel",
                    make: channel as Make<Sender<Item>, Receiver<Item>>,
                    act,
                    victim_sends,
                    are_asleep,
                }));
                all.push(Box::new(Ends {
                    name: "spsc",
                    make: spsc as Make<SpscSender<Item>, SpscReceiver<Item>>,
                    act,
                    victim_sends,
                    are_asleep,
                }));
            }
        }
    }
    all
}
