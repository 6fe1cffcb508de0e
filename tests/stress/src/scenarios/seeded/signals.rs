//! Wake-ups that get lost.

use multiproc_core::sync::futex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::trial::Trial;
use crate::control::Bracket;
use crate::scenario::{Found, Neighbours, Owed, Scenario};

const SET: u32 = 1;
const SLEEPERS: u32 = 2;

/// A flag to wait for.
struct WrongEvent(AtomicU32);

impl WrongEvent {
    /// Wakes whoever has said that it sleeps, in a step of its own.
    fn set(&self) {
        let before = self.0.swap(SET, Ordering::Release);
        if before & SLEEPERS != 0 {
            futex::wake((&self.0).into(), u32::MAX);
        }
    }

    /// Forgets who has said that it sleeps, also if the event was not set.
    fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    fn wait(&self) {
        loop {
            let before = self.0.fetch_or(SLEEPERS, Ordering::Acquire);
            if before & SET != 0 {
                return;
            }
            futex::wait((&self.0).into(), SLEEPERS, None);
        }
    }
}

fn event(name: &'static str, victim: fn(&WrongEvent, &Bracket<'_>)) -> Trial<WrongEvent> {
    Trial::new(
        name,
        || WrongEvent(AtomicU32::new(0)),
        victim,
        |event, _| {
            event.set();
            Found::Clean
        },
    )
    .beside(Neighbours::Asleep(2))
    .sleepers(
        |event, _| {
            event.wait();
            Found::Clean
        },
        |event, _| if event.0.load(Ordering::Acquire) & SET != 0 { Owed::All } else { Owed::AtLeast(0) },
        WrongEvent::set,
    )
    .control()
}

fn events() -> [Trial<WrongEvent>; 2] {
    [
        event("wrong event: separate wake", |event, bracket| {
            bracket.begin();
            event.set();
            bracket.end();
        }),
        event("wrong event: sleepers cleared", |event, bracket| {
            bracket.begin();
            event.clear();
            bracket.end();
        }),
    ]
}

/// Tokens to wait for: who is woken for one may die before it takes it, and nobody else is woken.
struct WrongTokens {
    count: AtomicU32,
    changes: AtomicU32,
}

impl WrongTokens {
    fn add(&self) {
        self.count.fetch_add(1, Ordering::Release);
        self.changes.fetch_add(1, Ordering::Release);
        futex::wake((&self.changes).into(), 1);
    }

    fn take(&self) {
        loop {
            let changes = self.changes.load(Ordering::Acquire);
            let less = |count: u32| count.checked_sub(1);
            if self.count.fetch_update(Ordering::Acquire, Ordering::Relaxed, less).is_ok() {
                return;
            }
            futex::wait((&self.changes).into(), changes, None);
        }
    }
}

fn tokens() -> Trial<WrongTokens> {
    Trial::new(
        "wrong condition: wakes one",
        || WrongTokens { count: AtomicU32::new(0), changes: AtomicU32::new(0) },
        |tokens, bracket| {
            bracket.begin();
            tokens.take();
            bracket.end();
        },
        |tokens, _| {
            tokens.add();
            tokens.take();
            Found::Clean
        },
    )
    .beside(Neighbours::AsleepBehind(1))
    .sleepers(
        |tokens, _| {
            tokens.take();
            Found::Clean
        },
        |tokens, _| Owed::AtLeast(tokens.count.load(Ordering::Acquire) as usize),
        WrongTokens::add,
    )
    .holder(|tokens, gate| {
        gate.wait(0);
        tokens.add();
    })
    .without_pauses()
    .control()
}

/// Parties that meet: the last one opens the door in two steps.
struct WrongBarrier {
    arrived: AtomicU32,
    meetings: AtomicU32,
}

const PARTIES: u32 = 3;

impl WrongBarrier {
    fn wait(&self) {
        let meetings = self.meetings.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == PARTIES {
            self.arrived.store(0, Ordering::Release);
            self.open();
        }
        while self.meetings.load(Ordering::Acquire) == meetings {
            futex::wait((&self.meetings).into(), meetings, None);
        }
    }

    fn open(&self) {
        self.meetings.fetch_add(1, Ordering::Release);
        futex::wake((&self.meetings).into(), u32::MAX);
    }
}

fn barrier() -> Trial<WrongBarrier> {
    Trial::new(
        "wrong barrier: opened late",
        || WrongBarrier { arrived: AtomicU32::new(0), meetings: AtomicU32::new(0) },
        |barrier, bracket| {
            bracket.begin();
            barrier.wait();
            bracket.end();
        },
        |barrier, _| {
            barrier.wait();
            Found::Clean
        },
    )
    .beside(Neighbours::Asleep(2))
    .sleepers(
        |barrier, _| {
            barrier.wait();
            Found::Clean
        },
        |barrier, _| match barrier.arrived.load(Ordering::Acquire) {
            0 => Owed::All,
            _ => Owed::AtLeast(0),
        },
        |barrier| {
            barrier.arrived.store(0, Ordering::Release);
            barrier.open();
        },
    )
    .waits_for_the_paused()
    .control()
}

/// A number to wait for: it is said that it has changed, and then it is changed.
struct WrongCell {
    value: AtomicU32,
    changes: AtomicU32,
}

impl WrongCell {
    fn publish(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        futex::wake((&self.changes).into(), u32::MAX);
        self.value.fetch_add(1, Ordering::Release);
    }

    fn wait(&self) {
        loop {
            let changes = self.changes.load(Ordering::Acquire);
            if self.value.load(Ordering::Acquire) > 0 {
                return;
            }
            futex::wait((&self.changes).into(), changes, None);
        }
    }
}

fn cell() -> Trial<WrongCell> {
    Trial::new(
        "wrong cell: said before it is done",
        || WrongCell { value: AtomicU32::new(0), changes: AtomicU32::new(0) },
        |cell, bracket| {
            bracket.begin();
            cell.publish();
            bracket.end();
        },
        |cell, _| {
            cell.publish();
            Found::Clean
        },
    )
    .beside(Neighbours::Asleep(2))
    .sleepers(
        |cell, _| {
            cell.wait();
            Found::Clean
        },
        |cell, _| if cell.value.load(Ordering::Acquire) > 0 { Owed::All } else { Owed::AtLeast(0) },
        WrongCell::publish,
    )
    .waits_for_the_paused()
    .control()
}

/// All of this file.
pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    let mut all: Vec<Box<dyn Scenario>> = vec![Box::new(tokens()), Box::new(barrier()), Box::new(cell())];
    all.extend(events().map(|event| Box::new(event) as Box<dyn Scenario>));
    all
}
