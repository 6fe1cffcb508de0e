//! What a pool shows of itself to watchers: some numbers in shared memory, without a name.
//!
//! They are written beside what the engine counts anyway, each by itself: a watcher may see one of a moment ago beside
//! one of now. Nothing in this library reads them.

use multiproc_shm::{Shared, ShmSafe};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many workers are shown.
pub(crate) const SEATS: usize = 128;
/// How many bytes of a pool's name are shown.
pub(crate) const NAME: usize = 64;

/// What a worker is at.
pub const STARTING: u64 = 1;
/// What a worker is at.
pub const IDLE: u64 = 2;
/// What a worker is at.
pub const BUSY: u64 = 3;
/// What a worker is at.
pub const LEAVING: u64 = 4;

/// The numbers; drawn in `docs/top.md`.
#[derive(ShmSafe)]
#[repr(C)]
#[derive(Debug)]
pub struct Board {
    pub(crate) name: [u8; NAME],
    pub(crate) owner: u64,
    pub(crate) done: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) queued: AtomicU64,
    pub(crate) under_way: AtomicU64,
    pub(crate) restarts: AtomicU64,
    /// How many of the seats are taken.
    pub(crate) workers: AtomicU64,
    pub(crate) seats: [Seat; SEATS],
}

/// A worker.
#[derive(ShmSafe, Debug)]
#[repr(C)]
pub(crate) struct Seat {
    /// Its number and what it is at, in one word.
    pub(crate) who: AtomicU64,
    pub(crate) done: AtomicU64,
}

impl Board {
    pub(crate) fn create(name: &str) -> io::Result<Shared<Board>> {
        let mut bytes = [0; NAME];
        let end = name.floor_char_boundary(NAME);
        bytes[..end].copy_from_slice(&name.as_bytes()[..end]);
        let number = || AtomicU64::new(0);
        Shared::new(Board {
            name: bytes,
            owner: std::process::id().into(),
            done: number(),
            failed: number(),
            queued: number(),
            under_way: number(),
            restarts: number(),
            workers: number(),
            seats: [const { Seat { who: AtomicU64::new(0), done: AtomicU64::new(0) } }; SEATS],
        })
    }

    /// Shows a worker.
    #[inline]
    pub fn seat(&self, place: usize, id: u32, state: u64, done: u64) {
        // Relaxed, here and elsewhere: each number speaks for itself.
        if let Some(seat) = self.seats.get(place) {
            seat.who.store(u64::from(id) | state << 32, Ordering::Relaxed);
            seat.done.store(done, Ordering::Relaxed);
        }
    }
}
