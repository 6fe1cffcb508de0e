//! What each process has put and taken, in shared memory, and what must be true of it in the end.
//!
//! A message is a number: who put it, and which of that process' messages it is, counted from 1. A put is noted before
//! and after, so that what was accepted is known, and what may have been. Each taken number sets a bit, so that one
//! that comes twice is found by who takes it. A killed taker may have had what it did not note: so many at most as
//! its call could take, and that is the only thing that may be missing.

use std::ops::{Range, RangeInclusive};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::control::SEATS;

/// Whoever can put or take, by number; the first are the survivors' seats.
pub(crate) const PEOPLE: usize = 16;
/// The victim.
pub(crate) const VICTIM: usize = SEATS;
/// Who relieves sleepers.
pub(crate) const RELIEF: usize = SEATS + 1;
/// Who prepares a point.
pub(crate) const PREPARER: usize = SEATS + 2;
/// Who looks at it in the end.
pub(crate) const CHECKER: usize = SEATS + 3;
/// The holder, whose place is the last survivor's.
pub(crate) const HOLDER: usize = SEATS - 1;
/// The recoverer that is killed, too.
pub(crate) const RECOVERER: usize = SEATS - 2;

/// How many messages one process can put.
const MOST: usize = 1 << 16;

/// Everybody's books; all zeros is an empty one.
pub(crate) struct History {
    producers: [Producer; PEOPLE],
    consumers: [Consumer; PEOPLE],
}

struct Producer {
    /// So many it has tried to put, or is trying to.
    begun: AtomicU64,
    /// So many were accepted.
    done: AtomicU64,
    seen: [AtomicU64; MOST / 64],
}

struct Consumer {
    /// How many it may have taken and not noted.
    taking: AtomicU64,
    /// The last number that it took of each producer.
    last: [AtomicU64; PEOPLE],
}

/// What the dead may have left undone, beside what stands in the books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forgiven {
    /// So many they may have taken.
    taken: u64,
    /// Those that they may have put, by producer.
    puts: Vec<(usize, RangeInclusive<u64>)>,
}

/// What the books say in the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    /// Accepted, and taken by nobody who noted it: the dead had them.
    pub(crate) missing: u64,
    /// Of the victim's messages, those that were taken.
    pub(crate) came: u64,
}

impl History {
    /// Empty books.
    pub(crate) fn new() -> History {
        History {
            producers: [const {
                Producer {
                    begun: AtomicU64::new(0),
                    done: AtomicU64::new(0),
                    seen: [const { AtomicU64::new(0) }; MOST / 64],
                }
            }; PEOPLE],
            consumers: [const {
                Consumer { taking: AtomicU64::new(0), last: [const { AtomicU64::new(0) }; PEOPLE] }
            }; PEOPLE],
        }
    }

    /// Notes that somebody begins to put so many, and gives their numbers.
    pub(crate) fn begin(&self, who: usize, count: usize) -> Range<u64> {
        let begun = &self.producers[who].begun;
        let first = begun.load(Ordering::Relaxed) + 1;
        let last = first + count as u64;
        assert!(last <= MOST as u64, "more messages than the books have room for");
        begun.store(last - 1, Ordering::Release);
        number(who, first)..number(who, last)
    }

    /// Notes that all were accepted that it had begun to put.
    pub(crate) fn done(&self, who: usize) {
        let producer = &self.producers[who];
        producer.done.store(producer.begun.load(Ordering::Relaxed), Ordering::Release);
    }

    /// Tells whether somebody can hardly put any more.
    pub(crate) fn is_nearly_full(&self, who: usize) -> bool {
        self.producers[who].begun.load(Ordering::Relaxed) + 512 > MOST as u64
    }

    /// Closes the books of one who was killed, and opens them for another in its place.
    pub(crate) fn forgive(&self, who: usize, forgiven: &mut Forgiven) {
        let producer = &self.producers[who];
        let (done, begun) = (producer.done.load(Ordering::Acquire), producer.begun.load(Ordering::Acquire));
        if begun > done {
            forgiven.puts.push((who, done + 1..=begun));
            self.done(who);
        }
        forgiven.taken += self.consumers[who].taking.swap(0, Ordering::AcqRel);
    }

    /// Notes that the last ones were refused: they are put under other numbers, if at all.
    pub(crate) fn refused(&self, who: usize, count: usize) {
        let producer = &self.producers[who];
        let begun = producer.begun.load(Ordering::Relaxed) - count as u64;
        producer.begun.store(begun, Ordering::Release);
    }

    /// Notes that somebody is about to take so many at most.
    pub(crate) fn taking(&self, who: usize, most: usize) {
        self.consumers[who].taking.store(most as u64, Ordering::Release);
    }

    /// Notes that it has noted all that it took.
    pub(crate) fn taken(&self, who: usize) {
        self.taking(who, 0);
    }

    /// Notes a message; one that was delivered before may come out of order.
    ///
    /// # Panics
    ///
    /// It came twice, out of order, or was never put.
    pub(crate) fn took(&self, who: usize, message: u64, is_redelivered: bool) {
        let (from, count) = ((message >> 32) as usize, message & u64::from(u32::MAX));
        let producer = self.producers.get(from);
        let begun = producer.map_or(0, |producer| producer.begun.load(Ordering::Acquire));
        let Some(producer) = producer.filter(|_| (1..=begun).contains(&count)) else {
            panic!("message {message:#x} was never put");
        };
        let (word, bit) = (&producer.seen[count as usize / 64], 1 << (count % 64));
        let seen = word.fetch_or(bit, Ordering::AcqRel);
        assert!(seen & bit == 0, "message {count} of {from} came twice");
        if !is_redelivered {
            let last = self.consumers[who].last[from].swap(count, Ordering::Relaxed);
            assert!(last < count, "message {count} of {from} came after {last}");
        }
    }

    /// How many messages lie somewhere and are nobody's, as far as the books tell: accepted, not noted by anybody,
    /// and not what one of the dead may have had.
    pub(crate) fn outstanding(&self) -> u64 {
        let mut outstanding = 0;
        for producer in &self.producers {
            let done = producer.done.load(Ordering::Acquire);
            outstanding += done.saturating_sub(producer.seen(1, done));
        }
        let dead = [VICTIM, RECOVERER].map(|who| self.consumers[who].taking.load(Ordering::Acquire));
        outstanding.saturating_sub(dead[0] + dead[1])
    }

    /// Looks whether all is as it must be, once everything was taken.
    ///
    /// # Errors
    ///
    /// Says what is lost.
    pub(crate) fn verify(&self, forgiven: &Forgiven) -> Result<Account, String> {
        let mut account = Account::default();
        let mut words = String::new();
        let taking = self.consumers.iter().map(|consumer| consumer.taking.load(Ordering::Acquire));
        let may_miss = taking.sum::<u64>() + forgiven.taken;
        for (from, producer) in self.producers.iter().enumerate() {
            let (done, begun) =
                (producer.done.load(Ordering::Acquire), producer.begun.load(Ordering::Acquire));
            let mut missing = done - producer.seen(1, done);
            for (_, range) in forgiven.puts.iter().filter(|(who, _)| *who == from) {
                missing -= range.end() + 1 - range.start() - producer.seen(*range.start(), *range.end());
            }
            if missing > 0 {
                words += &format!(" {missing} of {from}");
            }
            account.missing += missing;
            let unreturned = producer.seen(done + 1, begun);
            // A call puts one after the other; only a dead taker can have made a hole.
            if may_miss == 0 && producer.seen(done + 1, done + unreturned) != unreturned {
                return Err(format!(
                    "of the last {} messages of {from} those behind others came",
                    begun - done
                ));
            }
        }
        let victim = &self.producers[VICTIM];
        account.came = victim.seen(1, victim.begun.load(Ordering::Acquire));
        if account.missing > may_miss {
            return Err(format!("messages are lost:{words}; the dead may have taken {may_miss}"));
        }
        Ok(account)
    }
}

impl Producer {
    /// How many of these have been seen; both ends count.
    fn seen(&self, first: u64, last: u64) -> u64 {
        let is_seen = |count: &u64| {
            let word = self.seen[*count as usize / 64].load(Ordering::Acquire);
            word >> (count % 64) & 1 == 1
        };
        (first..=last).filter(is_seen).count() as u64
    }
}

fn number(who: usize, count: u64) -> u64 {
    (who as u64) << 32 | count
}
