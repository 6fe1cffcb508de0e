//! What a watcher sees of a pool. An implementation detail.

use crate::board::{BUSY, Board, IDLE, LEAVING, NAME, SEATS, STARTING, Seat};
use multiproc_shm::peek::{self, Segment};
use std::io;
use std::mem::offset_of;
use std::os::fd::AsFd;

/// What was seen; whatever stands there, there is something to be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub name: String,
    /// The process that made it.
    pub owner: u32,
    pub done: u64,
    pub failed: u64,
    pub queued: u64,
    pub under_way: u64,
    pub restarts: u64,
    /// Of very many not all.
    pub workers: Vec<Worker>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    pub id: u32,
    /// `starting`, `idle`, `busy` or `leaving`.
    pub state: &'static str,
    pub done: u64,
}

/// Looks at a value in shared memory; nothing if it is none that a pool shows.
///
/// # Errors
///
/// The system's.
pub fn look(file: impl AsFd, segment: &Segment) -> io::Result<Option<Look>> {
    if segment.fingerprint != peek::fingerprint::<Board>() {
        return Ok(None);
    }
    let bytes = peek::copy(file, segment.offset, size_of::<Board>())?;
    let word = |at: usize| peek::word(&bytes, at);
    let name = bytes.get(offset_of!(Board, name)..).and_then(|rest| rest.get(..NAME)).unwrap_or_default();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let seat = |place: usize| {
        let at = offset_of!(Board, seats) + place * size_of::<Seat>();
        let who = word(at + offset_of!(Seat, who));
        let state = match who >> 32 {
            STARTING => "starting",
            IDLE => "idle",
            BUSY => "busy",
            LEAVING => "leaving",
            _ => return None,
        };
        Some(Worker { id: who as u32, state, done: word(at + offset_of!(Seat, done)) })
    };
    let workers = usize::try_from(word(offset_of!(Board, workers))).unwrap_or(SEATS).min(SEATS);
    Ok(Some(Look {
        name: String::from_utf8_lossy(name).into_owned(),
        owner: word(offset_of!(Board, owner)) as u32,
        done: word(offset_of!(Board, done)),
        failed: word(offset_of!(Board, failed)),
        queued: word(offset_of!(Board, queued)),
        under_way: word(offset_of!(Board, under_way)),
        restarts: word(offset_of!(Board, restarts)),
        workers: (0..workers).filter_map(seat).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use multiproc_core::sys::memory::write_all_at;
    use multiproc_shm::Shared;

    #[test]
    fn what_is_shown_is_seen() {
        let board = Board::create("copiers").unwrap();
        board.done.store(7, std::sync::atomic::Ordering::Relaxed);
        board.workers.store(2, std::sync::atomic::Ordering::Relaxed);
        board.seat(0, 4711, BUSY, 5);
        board.seat(1, 4712, IDLE, 2);
        board.seat(SEATS, 4713, IDLE, 2);
        let file = board.descriptor();
        let segment = peek::segment(file).unwrap().unwrap();
        let seen = look(file, &segment).unwrap().unwrap();
        assert_eq!((seen.name.as_str(), seen.owner, seen.done), ("copiers", std::process::id(), 7));
        let workers: Vec<(u32, &str, u64)> =
            seen.workers.iter().map(|worker| (worker.id, worker.state, worker.done)).collect();
        assert_eq!(workers, [(4711, "busy", 5), (4712, "idle", 2)]);
        let other = Shared::new(7u64).unwrap();
        let segment = peek::segment(other.descriptor()).unwrap().unwrap();
        assert_eq!(look(other.descriptor(), &segment).unwrap(), None);
    }

    #[test]
    fn whatever_stands_there_is_looked_at() {
        let board = Board::create("hostile").unwrap();
        let file = board.descriptor();
        let segment = peek::segment(file).unwrap().unwrap();
        for byte in [0xff, 0x80, 0x02] {
            write_all_at(file, &vec![byte; size_of::<Board>()], segment.offset).unwrap();
            assert!(look(file, &segment).unwrap().unwrap().workers.len() <= SEATS);
        }
    }
}
