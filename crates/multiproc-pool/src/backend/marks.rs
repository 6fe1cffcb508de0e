//! The words that a worker and its pool share, and the order in which either writes and reads them.
//!
//! `tests/loom.rs` includes this file, and tries every order that the memory model allows.
//!
//! # What is begun, and what is taken back
//!
//! The worker tells by `begun` which element it runs, before it begins, so that a death can be blamed on that one. The
//! pool takes back what has not been begun by raising `taken_back`: elements of chunks up to that place which are not
//! begun by then go to others. Each side writes its own word and then reads the other's; see
//! `multiproc_core::sys::barrier` for how only the pool pays for that.
//!
//! # The journal
//!
//! Results leave a worker several at a time. Until they do they stand in the journal as well, in the order of their
//! elements: `journal_at` says from which element on, `journal_len` how many there are and how long. A worker's death
//! loses none of them.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, fence};
#[cfg(not(loom))]
use multiproc_shm::ShmSafe;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, fence};
use std::sync::atomic::{Ordering, compiler_fence};

/// How many words the journal has.
pub(crate) const JOURNAL: usize = if cfg!(loom) { 2 } else { 2048 };

/// The words that a worker and the pool share.
#[derive(Debug)]
#[cfg_attr(not(loom), derive(ShmSafe))]
#[repr(C)]
pub(crate) struct Marks {
    /// Written by the worker: the chunk's place (its lower half) and how many of its elements have been begun.
    pub(crate) begun: AtomicU64,
    /// Written by the worker, where the elements have a deadline: when the last one was begun, in nanoseconds.
    pub(crate) since: AtomicU64,
    /// Written by the worker: the place and the first element of what is in the journal.
    pub(crate) journal_at: AtomicU64,
    /// Written by the worker: how many results are in the journal, and their length in bytes.
    pub(crate) journal_len: AtomicU64,
    /// Written by the worker: nanoseconds without work.
    pub(crate) idle: AtomicU64,
    pub(crate) reserved: [u64; 3],
    /// Written by the pool: what is not begun of chunks up to this place is not to be run.
    pub(crate) taken_back: AtomicU64,
    /// Written by the pool: the element that is asked to stop, as in `begun`.
    pub(crate) stop: AtomicU64,
    pub(crate) reserved_too: [u64; 6],
    /// Written by the worker: results as they are encoded.
    pub(crate) journal: [AtomicU64; JOURNAL],
}

/// Two halves of a word.
#[inline]
pub(crate) fn pair(high: u64, low: u32) -> u64 {
    high << 32 | u64::from(low)
}

/// Results out of a journal.
#[derive(Debug)]
pub(crate) struct Found {
    /// The lower half of their chunk's place.
    pub(crate) place: u32,
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Marks {
    pub(crate) fn new() -> Marks {
        let zero = || AtomicU64::new(0);
        Marks {
            begun: zero(),
            since: zero(),
            journal_at: zero(),
            journal_len: zero(),
            idle: zero(),
            reserved: [0; 3],
            taken_back: zero(),
            stop: zero(),
            reserved_too: [0; 6],
            journal: std::array::from_fn(|_| zero()),
        }
    }

    /// The worker begins an element; not so if it was taken back, and then nothing of this chunk is to be run any more.
    #[inline]
    pub(crate) fn begin(&self, place: u64, element: u32, has_barriers: bool) -> bool {
        // TAKE-BACK: Release, partner of the Acquire in `begun`: what was done before the element is seen.
        self.begun.store(pair(place, element + 1), Ordering::Release);
        if has_barriers {
            // TAKE-BACK: partner of the barrier that the pool has us pass between its store and its load: either this
            // load sees that store, or that load sees the store above.
            compiler_fence(Ordering::SeqCst);
        } else {
            // TAKE-BACK: SeqCst, partner of the one in `take_back`: as above.
            fence(Ordering::SeqCst);
        }
        self.taken_back.load(Ordering::Relaxed) < place
    }

    /// The place of the chunk that the worker is at (its lower half), and how many of its elements it has begun.
    #[inline]
    pub(crate) fn begun(&self) -> (u32, u32) {
        // TAKE-BACK: Acquire, partner of the Release in `begin`.
        let begun = self.begun.load(Ordering::Acquire);
        ((begun >> 32) as u32, begun as u32)
    }

    /// The pool takes back what is not begun of chunks up to a place; what is, [`begun`](Marks::begun) tells then.
    ///
    /// `passed` has every worker that has barriers pass one, and tells whether it did.
    pub(crate) fn take_back(&self, place: u64, passed: impl FnOnce() -> bool) {
        self.taken_back.store(place, Ordering::Relaxed);
        if !passed() {
            // TAKE-BACK: SeqCst, partner of the one in `begin`: either its load sees the store above, or the load of
            // `begun` sees its store.
            fence(Ordering::SeqCst);
        }
    }

    /// The worker's journal is from now on of another chunk, or of elements behind the last.
    #[inline]
    pub(crate) fn open_journal(&self, place: u64, first: u32) {
        // JOURNAL: Release, partner of the first Acquire in `journal`: who sees this sees that the last was emptied.
        self.journal_at.store(pair(place, first), Ordering::Release);
        // JOURNAL: Release, partner of the Acquire of the words in `journal`: who sees one that is written from now on
        // sees whose it is.
        fence(Ordering::Release);
    }

    /// Has what was written into the journal count.
    #[inline]
    pub(crate) fn tell_journal(&self, count: u32, len: u32) {
        // JOURNAL: Release, partner of the Acquire in `journal`: the words before it are seen.
        self.journal_len.store(pair(count.into(), len), Ordering::Release);
    }

    /// What was in the journal is in the ring. Both for a moment harms nobody.
    #[inline]
    pub(crate) fn empty_journal(&self) {
        self.tell_journal(0, 0);
    }

    /// Reads the journal, of a worker that is dead or of one at work; `None` if there is nothing in it.
    ///
    /// One at work only appends, until it begins anew; then what was read does not count.
    pub(crate) fn journal(&self) -> Option<Found> {
        // JOURNAL: Acquire, partner of the Release in `open_journal`.
        let at = self.journal_at.load(Ordering::Acquire);
        // JOURNAL: Acquire, partner of the Release in `tell_journal`: the words that it counts are seen.
        let filled = self.journal_len.load(Ordering::Acquire);
        let (count, len) = ((filled >> 32) as u32, filled as u32 as usize);
        if count == 0 || len > JOURNAL * 8 {
            return None;
        }
        let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
        for word in &self.journal[..len.div_ceil(8)] {
            // JOURNAL: Acquire, partner of the fence in `open_journal`: of a word of another chunk the look below tells.
            bytes.extend(word.load(Ordering::Acquire).to_le_bytes());
        }
        bytes.truncate(len);
        let is_same = self.journal_at.load(Ordering::Relaxed) == at;
        is_same.then_some(Found { place: (at >> 32) as u32, first: at as u32, count, bytes })
    }
}
