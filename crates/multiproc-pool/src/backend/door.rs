//! How those who wait for workers learn that there is something to see.
//!
//! One word in shared memory for all workers of a pool. Its upper bits count announcements; the lower two say who
//! sleeps: a caller on the word itself, the supervisor on descriptors. Who announces adds to the count in one step,
//! and wakes whom that step found asleep. Who is about to sleep says so in one step, and does not sleep if that step
//! finds a count that it has not seen. So nothing is lost, and nothing is a system call while nobody sleeps.
//!
//! Who announces and is killed before it wakes a sleeper is a worker whose death wakes the supervisor, by its pidfd,
//! and the supervisor wakes everybody.

use super::wire::Board;
use multiproc_core::sys::epoll::Poller;
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::sys::futex;
use multiproc_core::{Bell, Deadline};
use multiproc_shm::Shared;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A caller sleeps on the word.
const CALLER: u64 = 1;
/// The supervisor sleeps on its descriptors.
const SUPERVISOR: u64 = 2;
/// One announcement.
const ONE: u64 = 4;

/// How many announcements there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen(u64);

/// The pool's side.
#[derive(Debug)]
pub struct Door {
    board: Shared<Board>,
    bell: Bell,
    poller: Poller,
}

/// The token of the bell; a worker's descriptor has its number.
const BELL: u64 = 0;

impl Door {
    /// Makes a door at which nobody waits.
    ///
    /// # Errors
    ///
    /// There are no descriptors or no memory left.
    pub fn new() -> io::Result<Door> {
        let board = Shared::new(Board { word: AtomicU64::new(0) })?;
        let (bell, poller) = (Bell::new()?, fd::with_descriptors(Poller::new)?);
        poller.add(&bell, BELL)?;
        Ok(Door { board, bell, poller })
    }

    /// A worker's half.
    pub(crate) fn half(&self) -> io::Result<(Shared<Board>, OwnedFd)> {
        Ok((self.board.clone(), fd::with_descriptors(|| fd::dup_high(&self.bell))?))
    }

    /// Has the supervisor woken when `fd` can be read; `token` is not 0.
    pub(crate) fn watch(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        self.poller.add(fd, token)
    }

    pub(crate) fn unwatch(&self, fd: impl AsFd) {
        // What is not in the set need not be taken out.
        let _ = self.poller.remove(fd);
    }

    /// What there was to see before a look.
    #[inline]
    pub(crate) fn seen(&self) -> Seen {
        // DOOR: Acquire, partner of the AcqRel in `announce`: what was announced is seen by the look.
        Seen(self.board.word.load(Ordering::Acquire) / ONE)
    }

    /// Announces something to whoever waits.
    #[inline]
    pub fn announce(&self) {
        announce(&self.board, || self.bell.ring());
    }

    /// Wakes the supervisor, whoever else waits.
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// Sleeps as the caller who waits for all, unless something was announced since.
    pub(crate) fn sleep(&self, seen: Seen, bound: Duration) {
        // DOOR: AcqRel, partner of the one in `announce`: either that finds the flag, or this finds the count.
        let before = self.board.word.fetch_or(CALLER, Ordering::AcqRel);
        if before / ONE != seen.0 {
            return;
        }
        futex::wait((&self.board.word).into(), (before | CALLER) as u32, Some(bound));
    }

    /// A caller waits for all from now on: the supervisor sleeps through announcements.
    pub(crate) fn relieve(&self) {
        // DOOR: AcqRel, as in `sleep`.
        self.board.word.fetch_and(!SUPERVISOR, Ordering::AcqRel);
    }

    /// That caller waits no more.
    pub(crate) fn hand_back(&self, seen: Seen) {
        // DOOR: AcqRel, as in `sleep`.
        let before = self.board.word.fetch_or(SUPERVISOR, Ordering::AcqRel);
        if before / ONE != seen.0 {
            self.bell.ring();
        }
    }

    /// Sleeps as the supervisor until something is announced, where that is its business; and for what it watches.
    pub(crate) fn wait(&self, seen: Seen, listens: bool, deadline: Deadline) -> io::Result<()> {
        if listens {
            // DOOR: AcqRel, as in `sleep`.
            let before = self.board.word.fetch_or(SUPERVISOR, Ordering::AcqRel);
            if before / ONE != seen.0 {
                self.relieve();
                self.bell.hear();
                return Ok(());
            }
        }
        let result = fd::poll_one(&self.poller, Interest::Read, deadline);
        if listens {
            self.relieve();
        }
        self.bell.hear();
        result.map(|_| ())
    }

    /// Which watched descriptors can be read.
    pub(crate) fn ready(&self) -> Vec<u64> {
        let ready = self.poller.ready().unwrap_or_default();
        ready.tokens.into_iter().filter(|token| *token != BELL).collect()
    }
}

#[inline]
fn announce(board: &Board, ring: impl FnOnce()) {
    // DOOR: AcqRel, partner of the ones in `Door`: what was done before is seen by who sees the count.
    let before = board.word.fetch_add(ONE, Ordering::AcqRel);
    if before & (ONE - 1) != 0 {
        wake(board, ring);
    }
}

#[cold]
fn wake(board: &Board, ring: impl FnOnce()) {
    // DOOR: AcqRel, as above: each flag is taken by one, who then wakes.
    let before = board.word.fetch_and(!(CALLER | SUPERVISOR), Ordering::AcqRel);
    if before & CALLER != 0 {
        futex::wake((&board.word).into(), u32::MAX);
    }
    if before & SUPERVISOR != 0 {
        ring();
    }
}

/// A worker's side.
#[derive(Debug)]
pub(crate) struct Knocker {
    board: Shared<Board>,
    bell: OwnedFd,
}

impl Knocker {
    pub(crate) fn new(board: Shared<Board>, bell: OwnedFd) -> Knocker {
        Knocker { board, bell }
    }

    /// Announces something to whoever waits.
    #[inline]
    pub(crate) fn announce(&self) {
        announce(&self.board, || fd::eventfd_signal(&self.bell));
    }
}
