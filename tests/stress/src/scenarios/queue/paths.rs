//! Putting and getting, the same for queues, channels and the ring.

use super::case::Case;
use super::history::{HOLDER, PREPARER, VICTIM};
use super::line::Line;
use super::way::{Tried, Way};
use crate::control::{Bracket, Gate};
use crate::scenario::Scenario;

/// What puts and gets are called in a list.
pub(crate) fn all<W: Way>() -> Vec<Box<dyn Scenario>> {
    vec![
        put_alone::<W>().boxed(),
        Case::new("put, contended", W::bounded_to::<8>, two, put).contended().boxed(),
        put_to_sleepers::<W>().boxed(),
        Case::new("put, the last that fits", W::bounded_to::<3>, two, put).boxed(),
        Case::new("put waits for room, another behind", W::bounded_to::<4>, full, put)
            .giver_behind(take_two_at_the_gate)
            .boxed(),
        get_alone::<W>().boxed(),
        put_small::<W>().boxed(),
        Case::new("get, contended", W::bounded_to::<8>, two, get).contended().boxed(),
        get_with_sleepers::<W>().boxed(),
        Case::new("get waits for a message, another behind", W::bounded_to::<8>, none, get)
            .taker_behind(give_two_at_the_gate)
            .boxed(),
        Case::new("put_many", W::bounded_to::<8>, two, put_three).boxed(),
        Case::new("put_many, takers asleep", W::bounded_to::<8>, none, put_three).takers_asleep(2).boxed(),
        Case::new("put_many of more than there is room for", W::bounded_to::<4>, two, put_five)
            .holder(take_all_at_the_gate)
            // Nobody would take the rest.
            .without_pauses()
            .boxed(),
        Case::new("get_many", W::bounded_to::<8>, full, get_three).boxed(),
        Case::new("get_many, givers asleep", W::bounded_to::<4>, full, get_three).givers_asleep(2).boxed(),
    ]
}

/// A put into a queue with room.
pub(crate) fn put_alone<W: Way>() -> Case<W> {
    Case::new("put", W::bounded_to::<8>, two, put)
}

/// A get where there are messages.
pub(crate) fn get_alone<W: Way>() -> Case<W> {
    Case::new("get", W::bounded_to::<8>, two, get)
}

/// A put of as little as there is.
pub(crate) fn put_small<W: Way>() -> Case<W> {
    Case::new("put, small", W::bounded_to::<8>, two, put).body(0)
}

/// A get of a message that lies over the end of a chunk, where chunks are short.
pub(crate) fn get_over_the_end<W: Way>() -> Case<W> {
    fn two_behind_one<W: Way>(line: &Line<W>) {
        line.put(PREPARER, 1);
        line.get(PREPARER, 1);
        two(line);
    }
    Case::new("get, over a chunk's end", W::bounded_to::<100>, two_behind_one, get)
}

/// A get of a message that has handles.
pub(crate) fn get_with_handles<W: Way>() -> Case<W> {
    Case::new("get with handles", W::bounded_to::<8>, two, get).with_handles()
}

/// A put that wakes who waits for a message.
pub(crate) fn put_to_sleepers<W: Way>() -> Case<W> {
    Case::new("put, takers asleep", W::bounded_to::<8>, none, put).takers_asleep(2)
}

/// A get that wakes who waits for room.
pub(crate) fn get_with_sleepers<W: Way>() -> Case<W> {
    Case::new("get, givers asleep", W::bounded_to::<4>, full, get).givers_asleep(2)
}

/// What has handles.
pub(crate) fn with_handles<W: Way>() -> Vec<Box<dyn Scenario>> {
    let alone = Case::new("put with handles", W::bounded_to::<8>, two, put);
    let contended = Case::new("put with handles, contended", W::bounded_to::<8>, two, put).contended();
    let asleep = Case::new("put with handles, takers asleep", W::bounded_to::<8>, none, put).takers_asleep(2);
    let many = Case::new("put_many with handles", W::bounded_to::<8>, two, put_three);
    let get_alone = get_with_handles();
    let get_contended = Case::new("get with handles, contended", W::bounded_to::<8>, two, get).contended();
    [alone, contended, asleep, many, get_alone, get_contended].map(|case| case.with_handles().boxed()).into()
}

/// Nothing is in it.
pub(crate) fn none<W: Way>(_: &Line<W>) {}

/// Two messages are in it.
pub(crate) fn two<W: Way>(line: &Line<W>) {
    line.put(PREPARER, 2);
}

/// It is full.
pub(crate) fn full<W: Way>(line: &Line<W>) {
    while line.try_put(PREPARER) == Tried::Done {}
}

/// Puts one message.
pub(crate) fn put<W: Way>(line: &Line<W>, bracket: &Bracket<'_>) {
    put_some(line, bracket, 1);
}

fn put_three<W: Way>(line: &Line<W>, bracket: &Bracket<'_>) {
    put_some(line, bracket, 3);
}

fn put_five<W: Way>(line: &Line<W>, bracket: &Bracket<'_>) {
    put_some(line, bracket, 5);
}

fn put_some<W: Way>(line: &Line<W>, bracket: &Bracket<'_>, count: usize) {
    let given = line.given(VICTIM, count);
    bracket.begin();
    line.put_given(VICTIM, given);
    bracket.end();
}

/// Gets one message.
pub(crate) fn get<W: Way>(line: &Line<W>, bracket: &Bracket<'_>) {
    get_some(line, bracket, 1);
}

fn get_three<W: Way>(line: &Line<W>, bracket: &Bracket<'_>) {
    get_some(line, bracket, 3);
}

fn get_some<W: Way>(line: &Line<W>, bracket: &Bracket<'_>, most: usize) {
    line.history.0.taking(VICTIM, most);
    bracket.begin();
    let taken = line.way.get(most);
    bracket.end();
    line.note(VICTIM, taken);
}

/// Makes room for two who wait.
pub(crate) fn take_two_at_the_gate<W: Way>(line: &Line<W>, gate: &Gate<'_>) {
    gate.wait(0);
    line.get(HOLDER, 1);
    line.get(HOLDER, 1);
}

fn take_all_at_the_gate<W: Way>(line: &Line<W>, gate: &Gate<'_>) {
    gate.wait(0);
    while line.try_get(HOLDER) > 0 {}
}

/// Puts messages for two who wait.
pub(crate) fn give_two_at_the_gate<W: Way>(line: &Line<W>, gate: &Gate<'_>) {
    gate.wait(0);
    line.put(HOLDER, 1);
    line.put(HOLDER, 1);
}
