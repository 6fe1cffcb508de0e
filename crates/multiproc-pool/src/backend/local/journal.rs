//! The results that a worker has written down and not sent.

use crate::backend::wire::{JOURNAL, Marks};
use std::sync::atomic::Ordering;

/// Results out of a journal.
pub(super) struct Found {
    /// The lower half of their chunk's place.
    pub(super) place: u32,
    pub(super) first: u32,
    pub(super) count: u32,
    pub(super) bytes: Vec<u8>,
}

/// Reads a journal, of a worker that is dead or of one at work; `None` if there is nothing in it.
///
/// One at work only appends, until it begins anew; then what was read does not count.
pub(super) fn read(marks: &Marks) -> Option<Found> {
    // JOURNAL: Acquire, partner of the Release in `Desk::note` and `Desk::flush`.
    let at = marks.journal_at.load(Ordering::Acquire);
    // JOURNAL: Acquire, as above: the words that it counts are seen.
    let filled = marks.journal_len.load(Ordering::Acquire);
    let (count, len) = ((filled >> 32) as u32, filled as u32 as usize);
    if count == 0 || len > JOURNAL * 8 {
        return None;
    }
    let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
    for word in &marks.journal[..len.div_ceil(8)] {
        // JOURNAL: Acquire, so that the looks below come after it.
        bytes.extend(word.load(Ordering::Acquire).to_le_bytes());
    }
    bytes.truncate(len);
    let again = marks.journal_len.load(Ordering::Acquire); // JOURNAL: Acquire, as above
    let is_same = marks.journal_at.load(Ordering::Relaxed) == at && again >> 32 >= u64::from(count);
    is_same.then_some(Found { place: (at >> 32) as u32, first: at as u32, count, bytes })
}
