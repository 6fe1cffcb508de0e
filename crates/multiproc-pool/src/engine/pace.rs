//! How long a function takes, learned from each result, and how many elements are worth one trip.

use crate::backend::Trip;
use std::collections::HashMap;
use std::time::Duration;

/// The most elements in one chunk.
pub(crate) const MOST: u32 = 4096;
/// Functions whose pace is known.
const KNOWN: usize = 1024;

/// How long an element of a function takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) element: Duration,
}

impl Pace {
    /// How many elements are to be sent together, where so many wait for so many workers.
    pub(crate) fn size(&self, waiting: usize, workers: u32, trip: Trip) -> u32 {
        let fit = |time: Duration| (time.as_nanos() / self.element.as_nanos().max(1)) as usize;
        let fair = waiting / (2 * workers as usize);
        let size = fair.max(fit(trip.least)).min(fit(trip.enough)).clamp(1, MOST as usize);
        u32::try_from(size).unwrap_or(MOST)
    }

    /// How long such a chunk takes.
    pub(crate) fn chunk_time(&self, trip: Trip) -> Duration {
        self.element.max(trip.least)
    }
}

/// What is known of functions, each by the addresses of its code.
#[derive(Debug, Default)]
pub(crate) struct Paces(HashMap<(usize, usize), Pace>);

impl Paces {
    pub(crate) fn of(&self, key: (usize, usize)) -> Option<Pace> {
        self.0.get(&key).copied()
    }

    /// Learns from so many elements.
    pub(crate) fn learn(&mut self, key: (usize, usize), count: u32, nanos: u64) {
        if nanos == 0 || count == 0 {
            return;
        }
        if self.0.len() > KNOWN {
            self.0.clear();
        }
        let element = Duration::from_nanos(nanos / u64::from(count));
        let pace = self.0.entry(key).or_insert(Pace { element });
        // Slower counts at once, faster in a few steps: too much in one chunk is worse than too little.
        pace.element = if element > pace.element { element } else { (pace.element + element) / 2 };
    }
}
