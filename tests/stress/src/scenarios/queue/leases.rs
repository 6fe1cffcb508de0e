//! Leases, closing, and waiting until all is done.

use super::case::Case;
use super::history::{HOLDER, PREPARER, RELIEF, VICTIM};
use super::line::Line;
use super::paths::{full, get, give_two_at_the_gate, none, two};
use super::way::{Leasing, Taken};
use crate::control::{Bracket, Gate};
use crate::crew::HANG;
use crate::os;
use crate::scenario::{Neighbours, Owed, Scenario};

/// All of this file.
pub(crate) fn all<W: Leasing>() -> Vec<Box<dyn Scenario>> {
    let mut all: Vec<Box<dyn Scenario>> = leases::<W>().into_iter().map(Case::boxed).collect();
    all.extend([
        Case::new("get, closed after one died with a lease", W::bounded_to::<4>, closed_with_a_lease, get)
            .with_leases()
            .boxed(),
        close::<W>("close", none).boxed(),
        close::<W>("close, takers asleep", none).takers_asleep(2).ends_with(close_it).boxed(),
        close::<W>("close, givers asleep", full).givers_asleep(2).ends_with(close_it).boxed(),
        join_waits::<W>().boxed(),
    ]);
    all
}

fn leases<W: Leasing>() -> Vec<Case<W>> {
    let case = |name, prepare: fn(&Line<W>), victim: fn(&Line<W>, &Bracket<'_>)| {
        Case::new(name, W::bounded_to::<8>, prepare, victim).operate(Line::lease_over).with_leases()
    };
    vec![
        case("lease", two, lease),
        case("lease, contended", two, lease).contended(),
        case("lease waits, taker behind", none, lease).taker_behind(give_two_at_the_gate),
        case("lease, delivered again", one_returned, lease),
        case("get, delivered again", one_returned, get),
        case("lease, done", two, done),
        case("lease, done, contended", two, done).contended(),
        done_with_joiners::<W>(),
        case("lease, dropped", two, give_back),
        case("lease, dropped, contended", two, give_back).contended(),
        held_from_sleepers::<W>(),
        dropped_to_sleepers::<W>(),
    ]
}

/// The holder of a lease dies at its work, while others wait for a message.
pub(crate) fn held_from_sleepers<W: Leasing>() -> Case<W> {
    fn hold<W: Leasing>(line: &Line<W>, bracket: &Bracket<'_>) {
        let Some((lease, taken)) = line.lease() else { return };
        bracket.begin();
        line.look_at(&taken);
        bracket.end();
        line.way.end(lease, false);
    }
    Case::new("lease, held, takers asleep", W::bounded_to::<8>, one, hold)
        .operate(Line::lease_over)
        .with_leases()
        .takers_asleep(2)
}

/// A message comes back, or its holder dies, while others wait for one.
pub(crate) fn dropped_to_sleepers<W: Leasing>() -> Case<W> {
    Case::new("lease, dropped, takers asleep", W::bounded_to::<8>, one, give_back)
        .operate(Line::lease_over)
        .with_leases()
        .takers_asleep(2)
}

/// A message is done while others wait for that.
pub(crate) fn done_with_joiners<W: Leasing>() -> Case<W> {
    Case::new("lease, done, joiners asleep", W::bounded_to::<8>, one, done)
        .operate(Line::lease_over)
        .with_leases()
        .sleepers(Neighbours::Asleep(2), join_too, owed_to_joiners, finish_all)
}

/// A lease, alone.
pub(crate) fn lease_alone<W: Leasing>() -> Case<W> {
    Case::new("lease", W::bounded_to::<8>, two, lease).operate(Line::lease_over).with_leases()
}

/// A lease is given back, while the others use each chunk many times.
pub(crate) fn give_back_alone<W: Leasing>() -> Case<W> {
    Case::new("lease, dropped", W::bounded_to::<8>, two, give_back).operate(Line::lease_over).with_leases()
}

/// With handles, which are kept until the lease ends. Those who come after a death lease nothing, and yet nothing stays.
pub(crate) fn with_handles<W: Leasing>() -> Vec<Box<dyn Scenario>> {
    let mut all = leases::<W>();
    all.retain(|case| case.name().starts_with("lease, d") || case.name() == "lease");
    all.into_iter().map(|case| case.with_handles().operate(Line::turn_over).boxed()).collect()
}

fn one<W: Leasing>(line: &Line<W>) {
    line.put(PREPARER, 1);
}

/// Its only message was leased by one who died, and then it was closed.
fn closed_with_a_lease<W: Leasing>(line: &Line<W>) {
    one(line);
    let pid = os::spawn(|| {
        let _lease = line.lease();
        os::leave();
    });
    os::wait(pid, HANG);
    line.way.close();
}

/// The first of two messages was leased and came back.
fn one_returned<W: Leasing>(line: &Line<W>) {
    two(line);
    if let Some((lease, _)) = line.lease() {
        line.way.end(lease, false);
    }
}

fn lease<W: Leasing>(line: &Line<W>, bracket: &Bracket<'_>) {
    bracket.begin();
    let leased = line.way.lease();
    bracket.end();
    if let Some((lease, taken)) = leased {
        line.look_at(&taken);
        end(line, lease, &taken);
    }
}

fn end<W: Leasing>(line: &Line<W>, lease: W::Lease, taken: &Taken) {
    line.history.0.taking(VICTIM, 1);
    line.way.end(lease, true);
    line.note_done(VICTIM, taken);
}

fn done<W: Leasing>(line: &Line<W>, bracket: &Bracket<'_>) {
    let Some((lease, taken)) = line.lease() else { return };
    line.history.0.taking(VICTIM, 1);
    bracket.begin();
    line.way.end(lease, true);
    bracket.end();
    line.note_done(VICTIM, &taken);
}

fn give_back<W: Leasing>(line: &Line<W>, bracket: &Bracket<'_>) {
    let Some((lease, _)) = line.lease() else { return };
    bracket.begin();
    line.way.end(lease, false);
    bracket.end();
}

fn close<W: Leasing>(name: &'static str, prepare: fn(&Line<W>)) -> Case<W> {
    Case::new(name, W::bounded_to::<4>, prepare, |line, bracket| {
        bracket.begin();
        line.way.close();
        bracket.end();
    })
    .check(|line, tally| {
        if line.way.is_closed() || !tally.is_victim_done {
            Ok(())
        } else {
            Err("it was closed, and is open".to_owned())
        }
    })
}

fn close_it<W: Leasing>(line: &Line<W>) {
    line.way.close();
}

fn owed_when_closed<W: Leasing>(line: &Line<W>) -> Owed {
    if line.way.is_closed() { Owed::All } else { Owed::AtLeast(0) }
}

impl<W: Leasing> Case<W> {
    /// The sleepers are woken by the close, and by nothing else.
    fn ends_with(self, relieve: fn(&Line<W>)) -> Self {
        self.woken_by(owed_when_closed, relieve)
    }
}

/// The victim waits until all is done; the holder does it.
fn join_waits<W: Leasing>() -> Case<W> {
    fn join<W: Leasing>(line: &Line<W>, bracket: &Bracket<'_>) {
        bracket.begin();
        line.way.join();
        bracket.end();
    }
    fn take_one_at_the_gate<W: Leasing>(line: &Line<W>, gate: &Gate<'_>) {
        gate.wait(0);
        line.get(HOLDER, 1);
    }
    Case::new("join waits, another behind", W::bounded_to::<8>, one, join)
        .sleepers(Neighbours::AsleepBehind(1), join_too, owed_to_joiners, finish_all)
        .holder(take_one_at_the_gate)
        .waits_for_the_paused()
}

fn join_too<W: Leasing>(line: &Line<W>, _: usize) {
    line.way.join();
}

fn owed_to_joiners<W: Leasing>(line: &Line<W>) -> Owed {
    if line.way.is_done() { Owed::All } else { Owed::AtLeast(0) }
}

/// Takes what came back.
fn finish_all<W: Leasing>(line: &Line<W>) {
    line.drain_as(RELIEF);
}
