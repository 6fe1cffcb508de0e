//! What a caller has out, who has it, and what has been told of it.
//!
//! It knows no connection and no clock but what it is told. Whatever comes in whatever order and however often: of each
//! element the pool hears once.

use crate::wire::{Body, Ended, Id, Part};
use multiproc_pool::backend::{EnvelopeId, Event, Results};
use std::collections::BTreeMap;
use std::time::Instant;

/// One envelope.
#[derive(Debug)]
pub(crate) struct Entry {
    count: u32,
    /// How many elements were told of, and which: from where to where.
    told: u32,
    known: BTreeMap<u32, u32>,
    /// The agent that has it.
    pub(crate) holder: Option<Id>,
    /// How often it was put into the stream, when that was last, and its place there.
    pub(crate) turn: u32,
    pub(crate) since: Instant,
    pub(crate) place: Option<u64>,
    pub(crate) body: Body,
    /// Elements whose end was asked for, of those that run if that was wanted.
    pub(crate) asked: Vec<(Vec<u32>, bool)>,
}

impl Entry {
    /// Elements of which nothing has come.
    pub(crate) fn missing(&self) -> Vec<u32> {
        let mut missing = Vec::new();
        let mut at = 0;
        for (first, end) in &self.known {
            missing.extend(at..*first);
            at = *end;
        }
        missing.extend(at..self.count);
        missing
    }
}

/// All that is out.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<u64, Entry>,
    top: u64,
}

impl Ledger {
    pub(crate) fn insert(&mut self, number: u64, count: u32, body: Body, now: Instant) {
        self.top = self.top.max(number + 1);
        let entry = Entry {
            count,
            told: 0,
            known: BTreeMap::new(),
            holder: None,
            turn: 0,
            since: now,
            place: None,
            body,
            asked: Vec::new(),
        };
        self.entries.insert(number, entry);
    }

    pub(crate) fn get(&mut self, number: u64) -> Option<&mut Entry> {
        self.entries.get_mut(&number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().map(|(number, entry)| (*number, entry))
    }

    /// All below this number have ended.
    pub(crate) fn floor(&self) -> u64 {
        self.entries.first_key_value().map_or(self.top, |(number, _)| *number)
    }

    /// Tells whether nobody else has it.
    pub(crate) fn is_of(&self, number: u64, agent: Id) -> bool {
        self.entries.get(&number).is_some_and(|entry| entry.holder.is_none_or(|holder| holder == agent))
    }

    /// The numbers of what an agent has.
    pub(crate) fn held_by(&self, agent: Id) -> Vec<u64> {
        self.iter().filter(|(_, entry)| entry.holder == Some(agent)).map(|(number, _)| number).collect()
    }

    /// Takes in what `agent` says, or we ourselves; adds to `events` what the pool is to hear. Gives the body of an
    /// envelope that has ended.
    pub(crate) fn tell(
        &mut self,
        agent: Option<Id>,
        number: u64,
        part: Part,
        events: &mut Vec<Event>,
    ) -> Option<Body> {
        let entry = self.entries.get_mut(&number)?;
        if agent.is_some() {
            // Who answers has it, even if its first word was lost; somebody else's answer comes too late.
            match entry.holder {
                None => entry.holder = agent,
                holder if holder != agent => return None,
                _ => {}
            }
        }
        let range = part.range();
        let before = entry.known.range(..=range.start).next_back();
        let behind = entry.known.range(range.start..).next();
        let is_known = before.is_some_and(|(_, end)| *end > range.start)
            || behind.is_some_and(|(first, _)| *first < range.end);
        if range.is_empty() || range.end > entry.count || is_known {
            return None;
        }
        entry.known.insert(range.start, range.end);
        entry.told += range.end - range.start;
        events.push(event(EnvelopeId(number), part));
        if entry.told < entry.count {
            return None;
        }
        self.entries.remove(&number).map(|entry| entry.body)
    }

    /// Has all that is missing of an envelope put together once more, since this agent could not get it.
    pub(crate) fn give_back(&mut self, agent: Id, number: u64, events: &mut Vec<Event>) -> Option<Body> {
        let missing = self.entries.get(&number)?.missing();
        let mut body = None;
        for first in missing {
            body = self.tell(Some(agent), number, Part::GivenBack { first, count: 1 }, events).or(body);
        }
        body
    }

    /// Ends all that is missing of an envelope.
    pub(crate) fn end(&mut self, number: u64, error: &Ended, events: &mut Vec<Event>) -> Option<Body> {
        let missing = self.entries.get(&number)?.missing();
        let mut body = None;
        for element in missing {
            body = self.tell(None, number, Part::Failed { element, error: error.clone() }, events).or(body);
        }
        body
    }
}

fn event(id: EnvelopeId, part: Part) -> Event {
    match part {
        Part::Results { first, count, known, nanos, bytes } => {
            let bytes = match bytes {
                Body::Inline(bytes) => bytes,
                Body::Stored(_) => Vec::new(),
            };
            Event::Results(Results { id, first, count, known, bytes, fds: Ok(Vec::new()), nanos })
        }
        Part::Failed { element, error } => Event::Failed { id, element, failure: error.into() },
        Part::GivenBack { first, count } => Event::GivenBack { id, first, count },
        // It has no elements, and is not told by this way.
        Part::Nothing { .. } | Part::Lost => Event::Changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use multiproc_pool::backend::Failure;

    fn results(first: u32, count: u32, known: u32) -> Part {
        Part::Results { first, count, known, nanos: 1, bytes: Body::Inline(vec![7]) }
    }

    /// What the pool heard: the first new element and how many.
    fn heard(events: &mut Vec<Event>) -> Vec<(u32, u32)> {
        let one = |event| match event {
            Event::Results(r) => (r.first + r.known, r.count - r.known),
            Event::Failed { element, .. } => (element, 1),
            Event::GivenBack { first, count, .. } => (first, count),
            other => panic!("{other:?}"),
        };
        events.drain(..).map(one).collect()
    }

    fn ledger(count: u32) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.insert(5, count, Body::Inline(vec![1]), Instant::now());
        ledger
    }

    #[test]
    fn each_element_once_whatever_comes() {
        let (mut ledger, mut events, agent) = (ledger(10), Vec::new(), Some(Id::random().unwrap()));
        assert_eq!(ledger.tell(agent, 5, results(4, 2, 0), &mut events), None);
        assert_eq!(ledger.tell(agent, 5, results(4, 2, 0), &mut events), None);
        ledger.tell(agent, 5, results(0, 3, 0), &mut events);
        ledger.tell(agent, 5, results(0, 3, 0), &mut events);
        // The first three were told: this is the fourth.
        ledger.tell(agent, 5, results(0, 4, 3), &mut events);
        assert_eq!(heard(&mut events), [(4, 2), (0, 3), (3, 1)]);
        // What overlaps, is beyond the end or of another envelope is nothing.
        for part in [results(5, 2, 0), results(2, 3, 0), results(8, 3, 0), results(6, 0, 0)] {
            assert_eq!(ledger.tell(agent, 5, part, &mut events), None);
        }
        assert_eq!(ledger.tell(agent, 6, results(6, 1, 0), &mut events), None);
        ledger.tell(agent, 5, Part::Failed { element: 7, error: Ended::TimedOut }, &mut events);
        assert_eq!(ledger.get(5).unwrap().missing(), [6, 8, 9]);
        let body = ledger.tell(agent, 5, Part::GivenBack { first: 8, count: 2 }, &mut events);
        assert_eq!(body, None);
        assert_eq!(ledger.tell(agent, 5, results(6, 1, 0), &mut events), Some(Body::Inline(vec![1])));
        assert_eq!(heard(&mut events), [(7, 1), (8, 2), (6, 1)]);
        assert_eq!(ledger.floor(), 6);
    }

    #[test]
    fn who_does_not_have_it_is_not_heard() {
        let (mut ledger, mut events) = (ledger(3), Vec::new());
        let [one, other] = [1, 2].map(|_| Some(Id::random().unwrap()));
        ledger.tell(one, 5, results(0, 1, 0), &mut events);
        ledger.tell(other, 5, results(1, 2, 0), &mut events);
        assert_eq!(heard(&mut events), [(0, 1)]);
        assert_eq!(ledger.held_by(one.unwrap()), [5]);
        assert!(ledger.end(5, &Ended::host_lost(), &mut events).is_some());
        assert!(matches!(
            &events[..],
            [Event::Failed { element: 1, failure: Failure::Ended(_), .. }, Event::Failed { element: 2, .. }]
        ));
        assert!(ledger.get(5).is_none());
        assert_eq!(ledger.end(5, &Ended::Cancelled, &mut events), None);
    }
}
