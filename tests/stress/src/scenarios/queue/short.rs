//! What happens at the ends of chunks, and what the dead leave in the depot: over chunks of a few words.

use std::sync::atomic::Ordering;

use super::belt::{ROOM, sound::Belt};
use super::case::Case;
use super::depot::Flaw;
use super::history::{HOLDER, PREPARER, RELIEF};
use super::line::Line;
use super::paths::{full, get, get_over_the_end, none, put, two};
use super::way::{Given, Leasing, Taken, Tried, Way};
use crate::control::{Bracket, Gate};
use crate::crew::HANG;
use crate::os;
use crate::scenario::{Owed, Scenario, Tally};

/// As many chunks as it takes to write a few messages while each chunk is used many times.
pub(crate) const CHUNKS: usize = 12;
/// Few enough to run out of.
const FEW: usize = 3;
/// So many that memory is given back.
const MANY: usize = 1100;

type Short = Belt<CHUNKS>;

/// The length of a message that takes so many words.
const fn words(count: usize) -> usize {
    // The head, and the number.
    (count - 2) * 8
}

/// All of this file.
pub(crate) fn all() -> Vec<Box<dyn Scenario>> {
    vec![
        case("put, over a chunk's end", words(4), four_words_in, put).boxed(),
        case("put, over a chunk's end, contended", words(4), four_words_in, put).contended().boxed(),
        case("put, up to a chunk's end", words(6), none, put).boxed(),
        case("put, from a chunk's end", words(6), a_chunk_in, put).boxed(),
        case("put, its head at a chunk's end", words(5), five_words_in, put).boxed(),
        case("put, chained", words(3 * ROOM), none, put).boxed(),
        case("put, chained, contended", words(3 * ROOM), none, put).contended().boxed(),
        Case::new("put, chained, takers asleep", Short::bounded_to::<5>, none, put)
            .body(words(2 * ROOM))
            .takers_asleep(2)
            .boxed(),
        get_over_the_end::<Belt<FEW>>().boxed(),
        case("get, from a chunk's end", words(6), two_from_the_end, get).boxed(),
        case("get, chained", words(3 * ROOM), one, get).boxed(),
        case("get, chained, contended", words(2 * ROOM), one, get).contended().boxed(),
        waits_for_a_chunk().boxed(),
        trim().boxed(),
        dead_sender("put with handles, after one died in it", put).boxed(),
        dead_sender("get with handles, after one died in a put", get).boxed(),
    ]
}

fn case(
    name: &'static str,
    body: usize,
    prepare: fn(&Line<Short>),
    victim: fn(&Line<Short>, &Bracket<'_>),
) -> Case<Short> {
    Case::new(name, Short::bounded_to::<3>, prepare, victim).body(body)
}

/// Wrong depots below the sound ring.
pub(crate) fn wrong_depots() -> Vec<Case<Wrong>> {
    let handles = |case: Case<Wrong>| case.with_handles().check(depot_is_empty);
    vec![
        handles(Case::new("packet taken before the head", early, two, get)),
        handles(Case::new("packet of the dead delivered", any, two, put)),
        handles(Case::new("packet left", keeping, two, put)),
    ]
}

fn one(line: &Line<Short>) {
    line.put(PREPARER, 1);
}

/// Head and tail stand behind so many words of the first chunk.
fn advance(line: &Line<Short>, count: usize) {
    let given = line.given_of(PREPARER, 1, words(count));
    line.put_given(PREPARER, given);
    line.get(PREPARER, 1);
}

fn four_words_in(line: &Line<Short>) {
    advance(line, 4);
}

fn five_words_in(line: &Line<Short>) {
    advance(line, 5);
}

fn a_chunk_in(line: &Line<Short>) {
    advance(line, ROOM);
}

fn two_from_the_end(line: &Line<Short>) {
    advance(line, ROOM);
    two(line);
}

/// There is a place for one more message, and no chunk.
fn waits_for_a_chunk() -> Case<Belt<FEW>> {
    fn take_three_at_the_gate(line: &Line<Belt<FEW>>, gate: &Gate<'_>) {
        gate.wait(0);
        for _ in 0..3 {
            line.get(HOLDER, 1);
        }
    }
    Case::new("put waits for a chunk, another behind", Belt::<FEW>::bounded_to::<100>, full, put)
        .body(words(5))
        .giver_behind(take_three_at_the_gate)
        // One that has taken all has made room for two.
        .woken_by(
            |line| if line.way.len() == 0 { Owed::All } else { Owed::AtLeast(0) },
            |line| {
                line.drain_as(RELIEF);
            },
        )
}

/// The queue was long, and the next who empties it gives memory back.
fn trim() -> Case<Belt<MANY>> {
    Case::new("get, trim", Belt::<MANY>::bounded_to::<8>, was_long, get).check(|line, tally| {
        let memory = line.way.ring.memory();
        match memory.0.0.releases.load(Ordering::Relaxed) {
            0 if tally.is_victim_done => Err("nothing was given back".to_owned()),
            _ => Ok(()),
        }
    })
}

fn was_long(line: &Line<Belt<MANY>>) {
    let given = line.given_of(PREPARER, 1, words(1060 * ROOM));
    line.put_given(PREPARER, given);
    // Ending a lease is what does not give back.
    if let Some((lease, taken)) = line.lease() {
        line.history.0.taking(PREPARER, 1);
        line.way.end(lease, true);
        line.note_done(PREPARER, &taken);
    }
    line.put(PREPARER, 1);
}

/// A producer died between its send to the depot and its commit.
fn dead_sender(name: &'static str, victim: fn(&Line<Short>, &Bracket<'_>)) -> Case<Short> {
    Case::new(name, Short::bounded_to::<4>, after_a_dead_sender, victim)
        .with_handles()
        .check(|line, _| if line.way.depot.is_empty() { Ok(()) } else { Err("packets are left".to_owned()) })
}

fn after_a_dead_sender(line: &Line<Short>) {
    two(line);
    let pid = os::spawn(|| {
        line.way.depot.die_after_send();
        line.put(RELIEF, 1);
    });
    os::wait(pid, HANG);
}

/// A ring below which a depot is wrong.
pub(crate) struct Wrong(Short);

fn early() -> Wrong {
    Wrong(Belt::new(4, Flaw::TakesEarly))
}

fn any() -> Wrong {
    Wrong(Belt::new(4, Flaw::TakesAny))
}

fn keeping() -> Wrong {
    Wrong(Belt::new(4, Flaw::KeepsAll))
}

fn depot_is_empty(line: &Line<Wrong>, _: &Tally) -> Result<(), String> {
    if line.way.0.depot.is_empty() { Ok(()) } else { Err("packets are left".to_owned()) }
}

impl Way for Wrong {
    const NAME: &'static str = "wrong depot";
    const IS_CONTROL: bool = true;

    fn bounded(capacity: usize) -> Self {
        Wrong(Belt::bounded(capacity))
    }

    fn put(&self, messages: Vec<Given>) -> bool {
        self.0.put(messages)
    }

    fn try_put(&self, message: Given) -> Tried {
        self.0.try_put(message)
    }

    fn get(&self, most: usize) -> Vec<Taken> {
        self.0.get(most)
    }

    fn try_get(&self) -> Option<Taken> {
        self.0.try_get()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn is_handle(handle: (u64, u64), number: u64, given: (u64, u64)) -> bool {
        <Short as Way>::is_handle(handle, number, given)
    }

    fn settle(&self) {
        self.0.settle();
    }

    fn check_empty(&self) -> Result<(), String> {
        self.0.check_empty()
    }
}
