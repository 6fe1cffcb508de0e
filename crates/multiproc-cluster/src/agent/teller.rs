//! What the local pool tells of a task's elements, on its way to the caller.

use crate::wire::{Body, Ended, Id, Part};
use multiproc_pool::TaskError;
use multiproc_pool::backend::{Results, Told};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::UnboundedSender;

/// Which task something is about.
pub(super) type Key = (Id, u64);

/// Something that was told.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) key: Key,
    pub(super) part: Part,
}

pub(super) struct Teller {
    pub(super) key: Key,
    pub(super) said: UnboundedSender<Said>,
    /// What is cancelled now is given back.
    pub(super) is_returning: Arc<AtomicBool>,
}

impl Teller {
    fn say(&self, part: Part) {
        // Nobody listens any more when the agent ends.
        let _ = self.said.send(Said { key: self.key, part });
    }
}

impl Told for Teller {
    fn results(&self, results: Results) {
        let Results { first, count, known, bytes, fds, nanos, .. } = results;
        if matches!(&fds, Ok(fds) if fds.is_empty()) {
            let bytes = Body::Inline(bytes);
            self.say(Part::Results { first, count, known, nanos, bytes });
            return;
        }
        for element in first + known..first + count {
            let message =
                "its result holds handles (files, connections, shared memory), which live on one machine";
            self.say(Part::Failed { element, error: Ended::Unsupported { message: message.to_owned() } });
        }
    }

    fn failed(&self, element: u32, error: TaskError) {
        if error.is_cancelled() && self.is_returning.load(Ordering::Relaxed) {
            self.say(Part::GivenBack { first: element, count: 1 });
        } else {
            self.say(Part::Failed { element, error: error.into() });
        }
    }
}

/// Adds a part to others, to the last one if both were given back and follow each other.
pub(super) fn add(parts: &mut Vec<(u64, Part)>, number: u64, part: Part) {
    if let (Some((last, Part::GivenBack { first, count })), Part::GivenBack { first: next, count: more }) =
        (parts.last_mut(), &part)
        && *last == number
        && *first + *count == *next
    {
        *count += more;
        return;
    }
    parts.push((number, part));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_together_is_told_together() {
        let mut parts = Vec::new();
        for (number, first) in [(1, 3), (1, 4), (1, 5), (1, 7), (2, 8)] {
            add(&mut parts, number, Part::GivenBack { first, count: 1 });
        }
        let counts: Vec<_> = parts.iter().map(|(number, part)| (*number, part.range())).collect();
        assert_eq!(counts, [(1, 3..6), (1, 7..8), (2, 8..9)]);
    }
}
