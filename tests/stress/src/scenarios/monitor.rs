//! The raw words below the primitives: a published number, and a lock with one.

use multiproc_core::Deadline;
use multiproc_sync::raw::{DeathBell, Lock, Monitor, WaitCell};

use super::trial::Trial;
use crate::control::Bracket;
use crate::scenario::{Found, Neighbours, Owed, Scenario, Tally};

/// A cell and what belongs to it, as a primitive has them.
#[derive(Default)]
struct Cell {
    lock: Lock,
    cell: WaitCell,
    bell: DeathBell,
}

impl Cell {
    fn add_one(&self) -> Found {
        // Without a deadline it is always taken.
        let Some(locked) = self.lock.lock(Deadline::NEVER) else { return Found::Clean };
        let found = locked.acquired;
        self.cell.publish(self.cell.read_as_writer() + 1);
        self.lock.unlock(locked);
        if found == multiproc_sync::raw::Acquired::OwnerDied { Found::Dead } else { Found::Clean }
    }

    fn wait_for(&self, value: u64) -> Found {
        self.cell.wait(&self.bell, Deadline::NEVER, || self.cell.read() >= value, || {});
        Found::Clean
    }
}

fn publish_alone() -> Trial<Cell> {
    Trial::new(
        "WaitCell/publish",
        Cell::default,
        |cell, bracket| {
            bracket.begin();
            cell.add_one();
            bracket.end();
        },
        |cell, _| cell.add_one(),
    )
    .check(|cell, tally| {
        let (value, least) = (cell.cell.read(), tally.operations + u64::from(tally.is_victim_done));
        between(value, least, least + tally.killed)
    })
}

fn publish_to_sleepers() -> Trial<Cell> {
    Trial::new(
        "WaitCell/publish, sleepers",
        Cell::default,
        |cell, bracket| {
            bracket.begin();
            cell.add_one();
            bracket.end();
        },
        |cell, _| cell.add_one(),
    )
    .beside(Neighbours::Asleep(2))
    .sleepers(
        |cell, _| cell.wait_for(1),
        |cell, _| if cell.cell.read() > 0 { Owed::All } else { Owed::AtLeast(0) },
        |cell| {
            if cell.cell.read() == 0 {
                cell.add_one();
            }
        },
    )
    .check(|cell, tally| between(cell.cell.read(), tally.operations + 1, tally.operations + 1))
}

fn wait_woken() -> Trial<Cell> {
    Trial::new(
        "WaitCell/wait, sleeper behind",
        Cell::default,
        |cell, bracket| {
            bracket.begin();
            cell.wait_for(1);
            bracket.end();
        },
        |cell, _| cell.add_one(),
    )
    .beside(Neighbours::AsleepBehind(1))
    .sleepers(|cell, _| cell.wait_for(1), |_, _| Owed::All, |_| {})
    .holder(|cell, gate| {
        gate.wait(0);
        cell.add_one();
    })
    .check(|cell, tally| {
        // By the holder; a second one who is killed may have done its own.
        let least = tally.operations + 1;
        between(cell.cell.read(), least, least + tally.killed.saturating_sub(1))
    })
}

fn enter_alone(name: &'static str, neighbours: Neighbours) -> Trial<Monitor> {
    fn add_one(monitor: &Monitor) -> Found {
        let entered = monitor.enter();
        entered.publish(entered.value() + 1);
        Found::Clean
    }
    fn victim(monitor: &Monitor, bracket: &Bracket<'_>) {
        bracket.begin();
        add_one(monitor);
        bracket.end();
    }
    fn check(monitor: &Monitor, tally: &Tally) -> Result<(), String> {
        let least = tally.operations + u64::from(tally.is_victim_done);
        between(monitor.value(), least, least + tally.killed)
    }
    // Who comes just after a death finds it when its first short sleep ends, as is documented.
    Trial::new(name, Monitor::default, victim, |monitor, _| add_one(monitor))
        .beside(neighbours)
        .check(check)
        .with_bound()
}

fn enter_with_sleepers() -> Trial<Monitor> {
    enter_alone("Monitor/enter, publish, sleepers", Neighbours::Asleep(2))
        .sleepers(
            |monitor, _| {
                monitor.wait(Deadline::NEVER, |value| value > 0, || {});
                Found::Clean
            },
            |monitor, _| if monitor.value() > 0 { Owed::All } else { Owed::AtLeast(0) },
            |monitor| {
                let entered = monitor.enter();
                if entered.value() == 0 {
                    entered.publish(1);
                }
            },
        )
        .check(|monitor, tally| between(monitor.value(), tally.operations + 1, tally.operations + 1))
}

/// All of this file.
pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    vec![
        Box::new(publish_alone()),
        Box::new(publish_to_sleepers()),
        Box::new(wait_woken()),
        Box::new(enter_alone("Monitor/enter, publish", Neighbours::None)),
        Box::new(enter_alone("Monitor/enter, publish, contended", Neighbours::Contending(2))),
        Box::new(enter_with_sleepers()),
    ]
}

/// Says so if a number is another than it must be.
pub(super) fn between(value: u64, least: u64, most: u64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("it is {value}, and not {least} to {most}"))
    }
}
