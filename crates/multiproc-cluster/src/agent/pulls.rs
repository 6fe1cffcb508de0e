//! What an agent has asked the stream for and not got yet.
//!
//! A pull asks for some messages and stands until they have come or its time is up, which the server says in a message
//! without a payload. A server that has gone says nothing: then the pull ends by our own clock.

use std::time::{Duration, Instant};

#[derive(Debug)]
struct Pull {
    number: u64,
    left: usize,
    ends: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Pulls {
    pulls: Vec<Pull>,
    next: u64,
}

/// How much later than the server we give a pull up.
const LATE: Duration = Duration::from_secs(2);

impl Pulls {
    /// How many messages may still come.
    pub(super) fn outstanding(&self) -> usize {
        self.pulls.iter().map(|pull| pull.left).sum()
    }

    /// How many pulls stand.
    pub(super) fn len(&self) -> usize {
        self.pulls.len()
    }

    /// Notes a pull of so many; gives its number.
    pub(super) fn begin(&mut self, count: usize, lasts: Duration, now: Instant) -> u64 {
        self.next += 1;
        self.pulls.push(Pull { number: self.next, left: count, ends: now + lasts + LATE });
        self.next
    }

    /// A message came; the server serves the oldest pull first.
    pub(super) fn came(&mut self) {
        if let Some(pull) = self.pulls.first_mut() {
            pull.left -= 1;
        }
        self.pulls.retain(|pull| pull.left > 0);
    }

    /// The server says that a pull has ended.
    pub(super) fn ended(&mut self, number: u64) {
        self.pulls.retain(|pull| pull.number != number);
    }

    /// Gives up those of which the server says nothing; tells whether there were any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.pulls.len();
        self.pulls.retain(|pull| pull.ends > now);
        self.pulls.len() < before
    }

    pub(super) fn clear(&mut self) {
        self.pulls.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_come_is_counted() {
        let (mut pulls, now) = (Pulls::default(), Instant::now());
        let one = pulls.begin(2, Duration::from_secs(1), now);
        let other = pulls.begin(3, Duration::from_secs(5), now);
        assert_eq!((pulls.outstanding(), pulls.len()), (5, 2));
        pulls.came();
        pulls.came();
        pulls.came();
        assert_eq!((pulls.outstanding(), pulls.len()), (2, 1));
        pulls.ended(one);
        assert_eq!(pulls.outstanding(), 2);
        assert!(!pulls.expire(now + Duration::from_secs(6)));
        assert!(pulls.expire(now + Duration::from_secs(8)));
        pulls.ended(other);
        pulls.came();
        assert_eq!(pulls.outstanding(), 0);
    }
}
