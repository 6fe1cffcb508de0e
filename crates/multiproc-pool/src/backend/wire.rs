//! The heads of the records in the two rings between pool and worker; what else they share is in `marks.rs`.
//!
//! # Chunks
//!
//! A record to a worker is a *chunk*: one function, and the arguments of some calls of it, the *elements*, which run one
//! after the other. Chunks of one worker are numbered from 1; that number is the chunk's *place*.

use crate::backend::marks::{Marks, pair};
use multiproc_pipe::Fd;
use multiproc_queue::link::Link;
use multiproc_shm::{Shared, ShmSafe};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;

/// The word that a pool's workers share.
#[derive(Debug, ShmSafe)]
#[repr(C)]
pub(crate) struct Board {
    /// See [`Door`](super::Door).
    pub(crate) word: AtomicU64,
}

/// What a worker is given. A thread has the pool's own, a process a copy of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerArgs {
    pub(crate) tasks: Link,
    pub(crate) results: Link,
    pub(crate) marks: Shared<Marks>,
    pub(crate) board: Shared<Board>,
    pub(crate) bell: Fd<OwnedFd>,
    /// The kernel makes barriers for the pool when it asks.
    pub(crate) has_barriers: bool,
}

/// The head of a record to a worker; behind it stand the runner, the function, the arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskHead {
    pub(crate) place: u64,
    pub(crate) count: u32,
    pub(crate) flags: u32,
    pub(crate) runner_len: u32,
    pub(crate) function_len: u32,
}

/// Results are told apart: each has its length before it.
pub(crate) const FRAMED: u32 = 1;
/// The beginning of each element is noted.
pub(crate) const TIMED: u32 = 2;

impl TaskHead {
    pub(crate) const LEN: usize = 24;

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.place.to_le_bytes());
        for number in [self.count, self.flags, self.runner_len, self.function_len] {
            bytes.extend(number.to_le_bytes());
        }
    }

    /// Reads a head, and gives what stands behind it.
    pub(crate) fn read(bytes: &[u8]) -> Option<(TaskHead, &[u8])> {
        let (place, rest) = bytes.split_first_chunk::<8>()?;
        let (numbers, rest) = rest.split_first_chunk::<16>()?;
        let ([count, flags, runner_len, function_len], []) = numbers.as_chunks::<4>() else { return None };
        let head = TaskHead {
            place: u64::from_le_bytes(*place),
            count: u32::from_le_bytes(*count),
            flags: u32::from_le_bytes(*flags),
            runner_len: u32::from_le_bytes(*runner_len),
            function_len: u32::from_le_bytes(*function_len),
        };
        Some((head, rest))
    }
}

/// What a record from a worker tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum AnswerKind {
    /// It is ready for work.
    Ready = 1,
    /// Its state could not be made; behind the head stands the panic.
    NotReady = 2,
    /// Results; they stand behind the head.
    Returned = 3,
    /// Behind the head stands the panic.
    Panicked = 4,
    /// Behind the head stands the reason.
    NotDecoded = 5,
    /// Behind the head stands the reason.
    NotEncoded = 6,
    /// It was taken back just when it was to be begun.
    Skipped = 7,
    /// One of several elements cannot be decoded: none of them was begun.
    Undecodable = 8,
}

impl AnswerKind {
    fn of(number: u32) -> Option<AnswerKind> {
        use AnswerKind::*;
        [Ready, NotReady, Returned, Panicked, NotDecoded, NotEncoded, Skipped, Undecodable]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }
}

/// The head of a record from a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerHead {
    pub(crate) place: u64,
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) kind: AnswerKind,
    /// Nanoseconds since the last record of this chunk, or its beginning.
    pub(crate) nanos: u64,
    /// Of these, nanoseconds for arguments, and perhaps a result, of the whole chunk; told once.
    pub(crate) serializing: u32,
}

impl AnswerHead {
    pub(crate) const LEN: usize = 32;

    /// Writes it over the first bytes.
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let words = [
            self.place,
            pair(self.count.into(), self.first),
            pair(self.serializing.into(), self.kind as u32),
            self.nanos,
        ]
        .map(u64::to_le_bytes);
        for (word, target) in words.iter().zip(bytes.chunks_exact_mut(8)) {
            target.copy_from_slice(word);
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<(AnswerHead, &[u8])> {
        let (words, rest) = bytes.split_at_checked(AnswerHead::LEN)?;
        let (words, _) = words.as_chunks::<8>();
        let [place, range, kind, nanos] = words else { return None };
        let (range, kind) = (u64::from_le_bytes(*range), u64::from_le_bytes(*kind));
        let head = AnswerHead {
            place: u64::from_le_bytes(*place),
            first: range as u32,
            count: (range >> 32) as u32,
            kind: AnswerKind::of(kind as u32)?,
            nanos: u64::from_le_bytes(*nanos),
            serializing: (kind >> 32) as u32,
        };
        Some((head, rest))
    }
}

#[cfg(all(test, not(any(loom, multiproc_model))))]
mod layout {
    use super::*;
    use crate::backend::marks::JOURNAL;
    use std::mem::offset_of;

    #[test]
    fn as_it_is_drawn() {
        let page = include_str!("../../../../ARCHITECTURE.md");
        let part = page.split("\n### ").find(|part| part.starts_with("What a worker")).unwrap();
        for (offset, bytes, what) in [
            (offset_of!(Marks, begun), 8, "begun"),
            (offset_of!(Marks, since), 8, "since"),
            (offset_of!(Marks, journal_at), 8, "journal_at"),
            (offset_of!(Marks, journal_len), 8, "journal_len"),
            (offset_of!(Marks, idle), 8, "idle"),
            (offset_of!(Marks, reserved), 24, "reserved"),
            (offset_of!(Marks, taken_back), 8, "taken_back"),
            (offset_of!(Marks, stop), 8, "stop"),
            (offset_of!(Marks, reserved_too), 48, "reserved_too"),
            (offset_of!(Marks, journal), 8 * JOURNAL, "journal"),
        ] {
            let line = format!("\n{offset:>7} {bytes:>6}  {what}\n");
            assert!(part.contains(&line), "ARCHITECTURE.md does not draw {line:?}");
        }
    }
}
