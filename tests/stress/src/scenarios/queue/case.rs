//! A scenario over a [`Line`], in the form of a table.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::history::{Account, RELIEF};
use super::line::Line;
use super::way::Way;
use crate::control::{Bracket, Gate};
use crate::scenario::{Found, Neighbours, Owed, Scenario, Stage, Tally};

/// What is done with a line; each part has the meaning of [`Stage`]'s or [`Scenario`]'s method of its name.
pub(crate) struct Case<W> {
    name: &'static str,
    make: fn() -> W,
    body: usize,
    with_handles: bool,
    is_ordered: bool,
    prepare: fn(&Line<W>),
    victim: fn(&Line<W>, &Bracket<'_>),
    operate: fn(&Line<W>, usize),
    wait: fn(&Line<W>, usize),
    hold: Option<fn(&Line<W>, &Gate<'_>)>,
    owed: fn(&Line<W>) -> Owed,
    relieve: fn(&Line<W>),
    check: fn(&Line<W>, &Tally) -> Result<(), String>,
    neighbours: Neighbours,
    works_beside_a_pause: bool,
    allows_pauses: bool,
    needs_bound: bool,
}

impl<W: Way> Case<W> {
    /// A case of an operation by a victim that is alone; survivors put and get.
    pub(crate) fn new(
        name: &'static str,
        make: fn() -> W,
        prepare: fn(&Line<W>),
        victim: fn(&Line<W>, &Bracket<'_>),
    ) -> Case<W> {
        Case {
            name,
            make,
            body: 24,
            with_handles: false,
            is_ordered: true,
            prepare,
            victim,
            operate: Line::turn_over,
            wait: Line::turn_over,
            hold: None,
            owed: |_| Owed::All,
            relieve: |_| {},
            check: |_, _| Ok(()),
            neighbours: Neighbours::None,
            works_beside_a_pause: true,
            allows_pauses: true,
            needs_bound: false,
        }
    }

    /// How long the messages are.
    pub(crate) fn body(self, body: usize) -> Self {
        Case { body, ..self }
    }

    /// Each message has a descriptor.
    pub(crate) fn with_handles(self) -> Self {
        Case { with_handles: true, ..self }
    }

    /// Messages are leased, so that they may be delivered again. Who comes after the death of one at a lease finds its
    /// lock when a short sleep ends.
    pub(crate) fn with_leases(self) -> Self {
        Case { is_ordered: false, needs_bound: true, ..self }
    }

    /// What survivors do.
    pub(crate) fn operate(self, operate: fn(&Line<W>, usize)) -> Self {
        Case { operate, ..self }
    }

    /// Beside others who do what survivors do.
    pub(crate) fn contended(self) -> Self {
        Case { neighbours: Neighbours::Contending(2), ..self }
    }

    /// These many wait for a message, when the victim begins.
    pub(crate) fn takers_asleep(self, count: usize) -> Self {
        let neighbours = Neighbours::Asleep(count);
        Case { neighbours, wait: take_one, owed: owed_to_takers, relieve: give_some, ..self }
            .waits_for_the_paused()
    }

    /// One waits for a message behind the victim, which does, too.
    pub(crate) fn taker_behind(self, hold: fn(&Line<W>, &Gate<'_>)) -> Self {
        Case { neighbours: Neighbours::AsleepBehind(1), hold: Some(hold), ..self.takers_asleep(1) }.behind()
    }

    /// These many wait for room, when the victim begins.
    pub(crate) fn givers_asleep(self, count: usize) -> Self {
        let neighbours = Neighbours::Asleep(count);
        Case { neighbours, wait: give_one, owed: owed_to_givers, relieve: take_some, ..self }
            .waits_for_the_paused()
    }

    /// One waits for room behind the victim, which does, too.
    pub(crate) fn giver_behind(self, hold: fn(&Line<W>, &Gate<'_>)) -> Self {
        Case { hold: Some(hold), ..self.givers_asleep(1) }.behind()
    }

    fn behind(self) -> Self {
        Case { neighbours: Neighbours::AsleepBehind(1), ..self }
    }

    /// Others sleep in something else.
    pub(crate) fn sleepers(
        self,
        neighbours: Neighbours,
        wait: fn(&Line<W>, usize),
        owed: fn(&Line<W>) -> Owed,
        relieve: fn(&Line<W>),
    ) -> Self {
        Case { neighbours, wait, owed, relieve, ..self }.waits_for_the_paused()
    }

    /// Which of those who sleep must wake by themselves, and what wakes the others.
    pub(crate) fn woken_by(self, owed: fn(&Line<W>) -> Owed, relieve: fn(&Line<W>)) -> Self {
        Case { owed, relieve, ..self }
    }

    /// What the victim waits for.
    pub(crate) fn holder(self, hold: fn(&Line<W>, &Gate<'_>)) -> Self {
        Case { hold: Some(hold), ..self }
    }

    /// What must hold in the end, beside the books.
    pub(crate) fn check(self, check: fn(&Line<W>, &Tally) -> Result<(), String>) -> Self {
        Case { check, ..self }
    }

    /// The others wait, while the victim stands still, until it goes on.
    pub(crate) fn waits_for_the_paused(self) -> Self {
        Case { works_beside_a_pause: false, ..self }
    }

    /// What the others do is not what one that still comes needs.
    pub(crate) fn without_pauses(self) -> Self {
        Case { allows_pauses: false, ..self }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// As a scenario.
    pub(crate) fn boxed(self) -> Box<dyn Scenario> {
        Box::new(Trying { case: Rc::new(self), effects: Rc::default() })
    }
}

/// How many messages those who relieve put or take: more than there are sleepers.
const SOME: usize = 4;

fn take_one<W: Way>(line: &Line<W>, who: usize) {
    line.get(who, 1);
}

fn give_one<W: Way>(line: &Line<W>, who: usize) {
    line.put(who, 1);
}

/// Nobody sleeps while there is a message.
pub(crate) fn owed_to_takers<W: Way>(line: &Line<W>) -> Owed {
    let has_one = line.way.len() > 0 || line.history.0.outstanding() > 0;
    if has_one { Owed::All } else { Owed::AtLeast(0) }
}

/// Nobody sleeps while there is room.
fn owed_to_givers<W: Way>(line: &Line<W>) -> Owed {
    if line.way.len() < line.way.capacity() { Owed::All } else { Owed::AtLeast(0) }
}

fn give_some<W: Way>(line: &Line<W>) {
    line.put(RELIEF, SOME);
}

fn take_some<W: Way>(line: &Line<W>) {
    (0..SOME).for_each(|_| {
        line.try_get(RELIEF);
    });
}

/// How much had happened when the victim was killed after so many instructions.
type Effects = Rc<RefCell<BTreeMap<usize, u64>>>;

struct Trying<W> {
    case: Rc<Case<W>>,
    effects: Effects,
}

impl<W: Way> Scenario for Trying<W> {
    fn name(&self) -> String {
        let handles =
            if self.case.with_handles && !self.case.name.contains("handles") { ", handles" } else { "" };
        format!("{}/{}{handles}", W::NAME, self.case.name)
    }

    fn neighbours(&self) -> Neighbours {
        self.case.neighbours
    }

    fn has_holder(&self) -> bool {
        self.case.hold.is_some()
    }

    fn needs_bound(&self) -> bool {
        self.case.needs_bound
    }

    fn works_beside_a_pause(&self) -> bool {
        self.case.works_beside_a_pause
    }

    fn allows_pauses(&self) -> bool {
        self.case.allows_pauses
    }

    fn is_control(&self) -> bool {
        W::IS_CONTROL
    }

    fn stage(&self) -> Box<dyn Stage> {
        let case = &self.case;
        let line = Line::new((case.make)(), case.body, case.with_handles, case.is_ordered);
        (case.prepare)(&line);
        Box::new(Staged { case: Rc::clone(case), line, effects: Rc::clone(&self.effects) })
    }
}

/// So many instructions a path may be longer or shorter from one time to the next: copying depends on where memory
/// lies.
const ALIKE: usize = 64;

struct Staged<W> {
    case: Rc<Case<W>>,
    line: Line<W>,
    effects: Effects,
}

impl<W: Way> Stage for Staged<W> {
    fn victim(&self, bracket: &Bracket<'_>) {
        // What a thread learns once is not part of an operation.
        multiproc_core::sys::thread::process_id();
        (self.case.victim)(&self.line, bracket);
    }

    fn operate(&self, who: usize) -> Found {
        (self.case.operate)(&self.line, who);
        Found::Clean
    }

    fn wait(&self, who: usize) -> Found {
        (self.case.wait)(&self.line, who);
        Found::Clean
    }

    fn hold(&self, gate: &Gate<'_>) {
        if let Some(hold) = self.case.hold {
            hold(&self.line, gate);
        }
    }

    fn owed(&self, _sleepers: usize) -> Owed {
        (self.case.owed)(&self.line)
    }

    fn relieve(&self) {
        (self.case.relieve)(&self.line);
    }

    fn check(&self, tally: &Tally) -> Result<(), String> {
        // What comes out may be nothing that anybody put.
        let checked = catch_unwind(AssertUnwindSafe(|| {
            let account = self.line.finish()?;
            (self.case.check)(&self.line, tally)?;
            Ok::<Account, String>(account)
        }));
        match checked {
            Ok(account) => self.check_commit(tally, account?),
            Err(_) => Err("a message is none, see above".to_owned()),
        }
    }
}

impl<W> Staged<W> {
    /// Killed later, no less has happened: there is one instruction before which it has not, and after which it has.
    fn check_commit(&self, tally: &Tally, account: Account) -> Result<(), String> {
        // Where the dead are looked for, the path depends on their numbers, and where it waits, on the time.
        let is_alone = self.case.neighbours == Neighbours::None && self.case.hold.is_none();
        let is_same = is_alone && self.case.is_ordered;
        let Some(steps) = tally.killed_after.filter(|_| is_same) else {
            return Ok(());
        };
        let happened = account.missing + account.came;
        let mut effects = self.effects.borrow_mut();
        let before = effects.range(..steps.saturating_sub(ALIKE)).next_back();
        let after = effects.range(steps + ALIKE..).next();
        let fits = before.is_none_or(|(_, before)| *before <= happened)
            && after.is_none_or(|(_, after)| *after >= happened);
        let words = format!("{happened} messages went in or out; killed at others: {before:?}, {after:?}");
        effects.insert(steps, happened);
        if fits { Ok(()) } else { Err(words) }
    }
}
