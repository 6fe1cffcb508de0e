use crate::heap;
use multiproc_core::Message;
use multiproc_core::codec;
use multiproc_core::sys::memory::{file_info, read_exact_at, write_all_at};
use multiproc_tests::Limit;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long one kind may take; the whole of it is asked for on purpose.
pub(crate) const LIMIT: Limit = Limit(Duration::from_secs(3600));
/// How many images of each kind if nobody says.
const FEW: u64 = 300;
/// How long the use of one image may take: a few waits of less than a millisecond, on a machine that does much else.
const SLOW: Duration = Duration::from_secs(60);
/// More than anything here asks for with good reason.
const LARGE: usize = 8 << 20;

/// Numbers that look random and are the same in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// A word as broken programs write them, other than the old one.
    fn word(&mut self, old: u64) -> u64 {
        let new = match self.below(10) {
            0 => 0,
            1 => u64::MAX,
            2 => old ^ 1 << self.below(64),
            3 => old.wrapping_add(1),
            4 => old.wrapping_sub(1),
            5 => self.below(1000),
            6 => self.next() << 32 | old & 0xffff_ffff,
            7 => old & !0xffff_ffff | self.next() >> 32,
            // Numbers that exist: this process'.
            8 => old & !0xffff_ffff | u64::from(std::process::id()),
            _ => self.next(),
        };
        if new == old { !old } else { new }
    }
}

/// Shared memory as its bytes.
pub(crate) struct Memory(pub(crate) OwnedFd);

impl Memory {
    /// The memory of something that travels as a handle, or the descriptor at another place of its message.
    pub(crate) fn of<T: Message>(value: &T) -> Memory {
        Memory(codec::encode(value).unwrap().fds[0].try_clone().unwrap())
    }

    pub(crate) fn len(&self) -> u64 {
        file_info(&self.0).unwrap().len
    }

    /// How much of it is there.
    pub(crate) fn allocated(&self) -> u64 {
        file_info(&self.0).unwrap().allocated
    }

    /// A word, or what there is of it at the end.
    pub(crate) fn word(&self, at: u64) -> u64 {
        let mut word = [0; 8];
        let len = self.len().saturating_sub(at).min(8) as usize;
        read_exact_at(&self.0, &mut word[..len], at).unwrap();
        u64::from_ne_bytes(word)
    }

    fn set_word(&self, at: u64, word: u64) {
        let len = self.len().saturating_sub(at).min(8) as usize;
        write_all_at(&self.0, &word.to_ne_bytes()[..len], at).unwrap();
    }

    /// Overwrites one to three words of these places, where something is more often than where nothing is; but for
    /// those that are spared.
    pub(crate) fn damage(&self, random: &mut Random, places: &[Range<u64>], spared: &[u64]) {
        for _ in 0..=random.below(3) {
            let place = &places[random.below(places.len() as u64) as usize];
            let at = loop {
                let at = place.start + random.below((place.end - place.start) / 8) * 8;
                if !spared.contains(&at) && (random.one_in(20) || self.word(at) != 0) {
                    break at;
                }
            };
            self.set_word(at, random.word(self.word(at)));
        }
    }
}

/// What came of all images of one kind.
#[derive(Default)]
pub(crate) struct Tally {
    /// How many could not be attached to.
    pub(crate) refused: u64,
    /// How many operations gave an answer, and how many an error.
    pub(crate) answers: u64,
    pub(crate) errors: u64,
    slowest: Duration,
    largest: usize,
}

impl Tally {
    /// Counts the result of an operation, whose errors are to be documented ones.
    pub(crate) fn count<V, E: std::fmt::Display>(
        &mut self,
        result: Result<V, E>,
        is_documented: impl Fn(&E) -> bool,
    ) -> Option<V> {
        match result {
            Ok(value) => {
                self.answers += 1;
                Some(value)
            }
            Err(error) => {
                assert!(is_documented(&error), "an error that is not documented: {error}");
                self.errors += 1;
                None
            }
        }
    }

    /// Counts an operation that has no errors.
    pub(crate) fn answer<V>(&mut self, answer: V) -> V {
        self.answers += 1;
        answer
    }

    /// Notes how long the use of one image took, and how much memory was asked for.
    ///
    /// Making it is not counted: call it with what is sound already.
    pub(crate) fn watch<R>(&mut self, using: impl FnOnce(&mut Tally) -> R) -> R {
        heap::largest();
        let begin = Instant::now();
        let result = using(self);
        self.slowest = self.slowest.max(begin.elapsed());
        self.largest = self.largest.max(heap::largest());
        result
    }
}

/// Tries the images of one kind, one part in `share` of what was asked for, and tells in a line what came of it.
pub(crate) fn try_all(kind: &str, share: u64, mut image: impl FnMut(&mut Random, &mut Tally)) {
    let asked = std::env::var("MULTIPROC_IMAGES").ok().and_then(|count| count.parse().ok());
    let images = (asked.unwrap_or(FEW) / share).max(1);
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ images);
    let mut tally = Tally::default();
    for _ in 0..images {
        image(&mut random, &mut tally);
    }
    let Tally { refused, answers, errors, slowest, largest } = tally;
    println!(
        "figures: corrupt {kind}: {images} images, {refused} refused, {answers} answers, {errors} errors, \
         slowest {slowest:.1?}, largest allocation {largest}"
    );
    assert!(slowest < SLOW, "one took {slowest:?}");
    assert!(largest < LARGE, "one asked for {largest} bytes");
}
