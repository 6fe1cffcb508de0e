//! Queues that travel: a handle arrives through another queue, is used, and goes.

use multiproc_queue::Queue;

use super::case::Case;
use super::history::{CHECKER, VICTIM};
use super::line::Line;
use super::paths::two;
use super::way::{Given, Item, Taken, Tried, Way, made};
use crate::control::Bracket;
use crate::scenario::Scenario;

/// A queue, and another one that handles to it travel through.
struct Travelling {
    queue: Queue<Item>,
    carrier: Queue<Queue<Item>>,
}

impl Travelling {
    fn arrive(&self) -> Queue<Item> {
        made(self.carrier.get())
    }
}

impl Way for Travelling {
    const NAME: &'static str = "Queue in a queue";

    fn bounded(capacity: usize) -> Self {
        let queue = made(Queue::bounded(capacity));
        let carrier = made(Queue::bounded(capacity));
        (0..2).for_each(|_| made(carrier.put(queue.clone())));
        Travelling { queue, carrier }
    }

    fn put(&self, messages: Vec<Given>) -> bool {
        Way::put(&self.queue, messages)
    }

    fn try_put(&self, message: Given) -> Tried {
        Way::try_put(&self.queue, message)
    }

    fn get(&self, most: usize) -> Vec<Taken> {
        Way::get(&self.queue, most)
    }

    fn try_get(&self) -> Option<Taken> {
        Way::try_get(&self.queue)
    }

    fn len(&self) -> usize {
        Way::len(&self.queue)
    }

    fn capacity(&self) -> usize {
        Way::capacity(&self.queue)
    }

    fn check_empty(&self) -> Result<(), String> {
        self.queue.check_empty()
    }
}

/// All of this file.
pub(crate) fn all() -> Vec<Box<dyn Scenario>> {
    vec![
        case("send a handle", |line, bracket| {
            bracket.begin();
            made(line.way.carrier.put(line.way.queue.clone()));
            bracket.end();
        })
        .boxed(),
        case("attach", attach).boxed(),
        case("attach, contended", attach).contended().boxed(),
        case("first put through a fresh handle", |line, bracket| {
            let queue = line.way.arrive();
            let given = line.given(VICTIM, 1);
            bracket.begin();
            let is_open = Way::put(&queue, given);
            bracket.end();
            assert!(is_open, "it was never closed");
            line.history.0.done(VICTIM);
        })
        .boxed(),
        case("detach", |line, bracket| {
            let queue = line.way.arrive();
            look(line, &queue, VICTIM);
            bracket.begin();
            drop(queue);
            bracket.end();
        })
        .boxed(),
    ]
}

fn case(name: &'static str, victim: fn(&Line<Travelling>, &Bracket<'_>)) -> Case<Travelling> {
    Case::new(name, Travelling::bounded_to::<8>, two, victim).operate(travel).check(|line, _| {
        while let Ok(queue) = line.way.carrier.try_get() {
            look(line, &queue, CHECKER);
        }
        if line.way.carrier.is_empty() { Ok(()) } else { Err("handles are left on their way".to_owned()) }
    })
}

fn attach(line: &Line<Travelling>, bracket: &Bracket<'_>) {
    bracket.begin();
    let queue = line.way.arrive();
    bracket.end();
    look(line, &queue, VICTIM);
}

/// Sends a handle on its way, takes one, and turns messages over through that.
fn travel(line: &Line<Travelling>, who: usize) {
    made(line.way.carrier.put(line.way.queue.clone()));
    let queue = line.way.arrive();
    line.put(who, 1);
    line.history.0.taking(who, 1);
    let taken = Way::get(&queue, 1);
    line.note(who, taken);
}

/// Puts and gets through a handle that has arrived.
fn look(line: &Line<Travelling>, queue: &Queue<Item>, who: usize) {
    let given = line.given(who, 1);
    assert!(Way::put(queue, given), "it was never closed");
    line.history.0.done(who);
    line.get(who, 1);
}
