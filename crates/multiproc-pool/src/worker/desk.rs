//! Where a worker writes its results and its marks.

use crate::backend::Knocker;
use crate::backend::marks::{JOURNAL, Marks, pair};
use crate::backend::wire::{AnswerHead, AnswerKind, FRAMED, TIMED, TaskHead};
use multiproc_core::codec::{self, Encoder};
use multiproc_core::sys::{clock, process, thread};
use multiproc_core::{Deadline, Message};
use multiproc_process::Panic;
use multiproc_queue::link::{Link, LinkError};
use multiproc_shm::Shared;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Results are told of at least so often while there are any, in nanoseconds.
const OFTEN: u64 = 100_000;
/// What a look at the clock is worth: it is looked at again after about this many nanoseconds.
const LOOK: u64 = 5_000;
/// The most elements between two looks.
const MOST: u32 = 1024;

/// The longest result of a call, whose length stands before it in four bytes.
const LONGEST: usize = if cfg!(test) { 64 << 10 } else { u32::MAX as usize };

/// The worker's half of what it shares with the pool.
#[derive(Debug)]
pub(crate) struct Desk {
    results: Link,
    marks: Shared<Marks>,
    knocker: Knocker,
    has_barriers: bool,
    /// This process: a fork of it answers nothing.
    owner: u64,
    /// The chunk under way.
    place: u64,
    total: u32,
    flags: u32,
    /// Nothing follows it, as far as is known.
    is_last: bool,
    /// The head of an answer, and results that were not put yet.
    out: Encoder,
    first: u32,
    count: u32,
    /// How many of those bytes are of whole results.
    whole: usize,
    /// How many of those bytes are in the journal.
    journaled: usize,
    /// The element after the last one that is answered.
    given: u32,
    /// When the last record was put or the chunk begun, and when one was announced last.
    mark: u64,
    announced: u64,
    /// What has gone into arguments and results and is not told yet.
    serializing: u64,
    /// How many elements pass until the next look at the clock, and how many did between the last two.
    left: u32,
    stride: u32,
    looked: u64,
}

impl Desk {
    pub(crate) fn new(results: Link, marks: Shared<Marks>, knocker: Knocker, has_barriers: bool) -> Desk {
        Desk {
            results,
            marks,
            knocker,
            has_barriers,
            owner: thread::process_id(),
            place: 0,
            total: 0,
            flags: 0,
            is_last: true,
            out: Encoder::default(),
            first: 0,
            count: 0,
            whole: 0,
            journaled: 0,
            given: 0,
            mark: clock::nanos(),
            announced: 0,
            serializing: 0,
            left: 1,
            stride: 1,
            looked: 0,
        }
    }

    /// Begins a chunk; `waited` tells since when there was nothing to do.
    pub(crate) fn open(&mut self, head: &TaskHead, is_last: bool) {
        (self.place, self.total, self.flags, self.is_last) = (head.place, head.count, head.flags, is_last);
        (self.given, self.stride, self.left) = (0, 1, 1);
        let now = clock::nanos();
        (self.mark, self.looked) = (now, now);
        self.clear(0);
        // Before anything of it is decoded, which may be what a worker dies of.
        self.marks.begun.store(pair(self.place, 0), Ordering::Relaxed);
    }

    /// Notes that the arguments are decoded.
    pub(crate) fn decoded(&mut self) {
        self.serializing = clock::nanos() - self.mark;
    }

    /// Notes that there was nothing to do for so many nanoseconds.
    pub(crate) fn idled(&self, nanos: u64) {
        let idle = self.marks.idle.load(Ordering::Relaxed);
        self.marks.idle.store(idle.wrapping_add(nanos), Ordering::Relaxed);
    }

    /// Ends a process that the task has forked: the task is not its own to answer.
    #[inline]
    fn check_owner(&self) {
        if thread::process_id() != self.owner {
            process::exit_now(0);
        }
    }

    fn clear(&mut self, first: u32) {
        self.out.clear();
        self.out.bytes().extend([0; AnswerHead::LEN]);
        (self.first, self.count, self.journaled, self.whole) = (first, 0, 0, AnswerHead::LEN);
    }

    /// Marks an element as begun; not so if it was taken back, and then nothing of this chunk is to be run any more.
    #[inline]
    pub(crate) fn begin(&mut self, element: u32) -> bool {
        if self.flags & TIMED != 0 {
            self.marks.since.store(clock::nanos(), Ordering::Relaxed);
        }
        if self.marks.begin(self.place, element, self.has_barriers) {
            return true;
        }
        self.skip(element);
        false
    }

    #[cold]
    fn skip(&mut self, element: u32) {
        self.flush();
        self.answer(element, AnswerKind::Skipped, &[]);
    }

    /// Gives an element's result.
    #[inline]
    pub(crate) fn give<R: Message>(&mut self, element: u32, value: &R) {
        self.check_owner();
        if self.count == 0 && self.first != element {
            self.first = element;
        }
        let start = self.out.bytes().len();
        let is_framed = self.flags & FRAMED != 0;
        if is_framed {
            self.out.bytes().extend([0; 4]);
        }
        let alone_since = (self.total == 1).then(clock::nanos);
        let result = self.out.pack(value);
        if let Some(since) = alone_since {
            self.serializing += clock::nanos() - since;
        }
        if let Err(error) = result {
            self.out.bytes().truncate(start);
            let why = error.to_string();
            return self.fail(element, AnswerKind::NotEncoded, why.as_bytes());
        }
        if is_framed {
            let len = self.out.bytes().len() - start - 4;
            if len > LONGEST {
                self.out.bytes().truncate(start);
                let why = format!(
                    "the result takes {len} bytes, and may take {LONGEST}: return it in parts, or as `SharedBytes`"
                );
                return self.fail(element, AnswerKind::NotEncoded, why.as_bytes());
            }
            self.out.bytes()[start..start + 4].copy_from_slice(&(len as u32).to_le_bytes());
        }
        if self.out.has_handles() {
            return self.give_handles(element, start);
        }
        self.given = element + 1;
        self.whole = self.out.bytes().len();
        self.count += 1;
        if element + 1 == self.total {
            self.flush();
            return;
        }
        self.note();
        self.left -= 1;
        if self.left == 0 {
            self.look();
        }
    }

    /// Looks at the clock: results are not kept for long.
    fn look(&mut self) {
        let now = clock::nanos();
        let took = now - self.looked;
        self.stride = if took < LOOK { (self.stride * 2).min(MOST) } else { 1 };
        (self.left, self.looked) = (self.stride, now);
        if now - self.mark > OFTEN {
            self.flush();
        }
    }

    /// Writes what is new into the journal.
    #[inline]
    fn note(&mut self) {
        let bytes = &self.out.bytes()[AnswerHead::LEN..];
        // A number behind others, which most of many short results are: one word.
        if self.count > 1
            && bytes.len() == self.journaled + 8
            && self.journaled.is_multiple_of(8)
            && let Some(word) = bytes.last_chunk::<8>()
            && let Some(place) = self.marks.journal.get(self.journaled / 8)
        {
            place.store(u64::from_le_bytes(*word), Ordering::Relaxed);
            self.journaled = bytes.len();
            self.marks.tell_journal(self.count, self.journaled as u32);
            return;
        }
        self.note_any();
    }

    fn note_any(&mut self) {
        let bytes = &self.out.bytes()[AnswerHead::LEN..];
        let len = bytes.len();
        if len > JOURNAL * 8 {
            self.flush();
            return;
        }
        let begin = self.journaled / 8;
        if self.count == 1 {
            self.marks.open_journal(self.place, self.first);
        }
        let (words, rest) = bytes[begin * 8..].as_chunks::<8>();
        // There are as many places: `len` was looked at above.
        for (place, word) in self.marks.journal[begin..].iter().zip(words) {
            place.store(u64::from_le_bytes(*word), Ordering::Relaxed);
        }
        if !rest.is_empty() {
            // Of a longer whole the last eight bytes are read at once.
            let word = match bytes.last_chunk::<8>() {
                Some(end) => u64::from_le_bytes(*end) >> (64 - 8 * rest.len()),
                None => rest.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte)),
            };
            self.marks.journal[begin + words.len()].store(word, Ordering::Relaxed);
        }
        self.journaled = len;
        self.marks.tell_journal(self.count, self.journaled as u32);
    }

    #[cold]
    fn give_handles(&mut self, element: u32, start: usize) {
        self.given = element + 1;
        let fds = self.out.take_fds();
        let own = self.out.bytes().split_off(start);
        self.flush();
        self.first = element;
        self.count = 1;
        self.out.bytes().extend(own);
        self.put(AnswerKind::Returned, fds);
        self.clear(element + 1);
    }

    /// Puts the results that there are, and tells of them if it is time.
    pub(crate) fn flush(&mut self) {
        if self.count == 0 {
            return;
        }
        let next = self.first + self.count;
        self.put(AnswerKind::Returned, Vec::new());
        self.marks.empty_journal();
        self.clear(next);
    }

    /// Answers an element with something else than its result.
    #[cold]
    pub(crate) fn fail(&mut self, element: u32, kind: AnswerKind, body: &[u8]) {
        self.given = element + 1;
        self.flush();
        self.answer(element, kind, body);
    }

    /// Tells of a panic, of which nothing is told if the element was answered before.
    #[cold]
    pub(crate) fn panicked(&mut self, element: u32, panic: &Panic) {
        self.check_owner();
        if element < self.given {
            return;
        }
        // It may have been in the middle of its result.
        let whole = self.whole;
        self.out.bytes().truncate(whole);
        drop(self.out.take_fds());
        let body = codec::encode(panic).map(|encoded| encoded.bytes).unwrap_or_default();
        self.fail(element, AnswerKind::Panicked, &body);
    }

    /// Puts a record of its own.
    pub(crate) fn answer(&mut self, element: u32, kind: AnswerKind, body: &[u8]) {
        self.clear(element);
        self.count = 1;
        self.out.bytes().extend(body);
        self.put(kind, Vec::new());
        self.clear(element + 1);
    }

    fn put(&mut self, kind: AnswerKind, fds: Vec<Arc<OwnedFd>>) {
        let now = clock::nanos();
        let nanos = now - self.mark;
        self.mark = now;
        let serializing = u32::try_from(std::mem::take(&mut self.serializing)).unwrap_or(u32::MAX);
        let (place, first, count) = (self.place, self.first, self.count);
        let head = AnswerHead { place, first, count, kind, nanos, serializing };
        head.write(self.out.bytes());
        match self.results.put(self.out.bytes(), fds, Deadline::NEVER) {
            Ok(()) => {}
            Err(LinkError::Failed(error)) if kind == AnswerKind::Returned => {
                let why = format!("the result cannot be sent: {error}");
                let first = self.first;
                for element in first..first + self.count {
                    self.answer(element, AnswerKind::NotEncoded, why.as_bytes());
                }
            }
            // Nobody could be told anything: the pool learns of the end of this process.
            Err(error) => panic!("a result cannot be handed over: {error:?}"),
        }
        let is_done = self.first + self.count >= self.total || kind != AnswerKind::Returned;
        if is_done && self.is_last || now - self.announced > OFTEN {
            self.announced = now;
            self.knocker.announce();
        }
    }

    /// Announces what may not have been told yet: there is nothing more to do.
    pub(crate) fn announce(&mut self) {
        self.knocker.announce();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Door;
    use multiproc_queue::link::Taken;

    #[test]
    fn a_result_that_is_too_long_is_refused_and_says_so() {
        let (board, bell) = Door::new().unwrap().half().unwrap();
        let link = Link::new(8).unwrap();
        let results = link.another().unwrap();
        let mut desk =
            Desk::new(results, Shared::new(Marks::new()).unwrap(), Knocker::new(board, bell), false);
        desk.open(&TaskHead { place: 1, count: 3, flags: FRAMED, runner_len: 0, function_len: 0 }, true);
        for (element, len) in (0..).zip([10, LONGEST, LONGEST - 3]) {
            assert!(desk.begin(element));
            desk.give(element, &vec![7u8; len]);
        }
        let (mut taken, mut seen) = (Taken::default(), Vec::new());
        link.take(8, Deadline::now(), &mut taken).unwrap();
        taken.for_each(|bytes, _| {
            let (head, body) = AnswerHead::read(bytes).unwrap();
            seen.push((head.first, head.count, head.kind, body.to_vec()));
        });
        let [first, second, third] = &seen[..] else { panic!("{} answers", seen.len()) };
        assert_eq!((first.0, first.1, first.2), (0, 1, AnswerKind::Returned));
        assert_eq!((second.0, second.2), (1, AnswerKind::NotEncoded));
        let why = String::from_utf8_lossy(&second.3);
        assert!(why.contains("SharedBytes"), "{why}");
        // With its length before it, it is as long as can be.
        assert_eq!((third.0, third.1, third.2, third.3.len()), (2, 1, AnswerKind::Returned, LONGEST + 4));
    }
}
