use crate::sys;
use multiproc_shm::ShmSafe;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// The longest message, in words.
const WORDS: usize = 128;
/// How many messages it holds.
pub(crate) const SLOTS: usize = 1024;

/// A ring of messages of one size, for one producer and one consumer, who sleep on a futex.
///
/// It knows nothing of deaths, types and messages of other sizes.
#[derive(ShmSafe)]
#[repr(C)]
pub(crate) struct FloorRing {
    tail: Side,
    head: Side,
    /// A slot has as many words as a message.
    words: [AtomicU64; WORDS * SLOTS],
}

#[derive(ShmSafe)]
#[repr(C)]
struct Side {
    position: AtomicU64,
    /// What its owner last saw of the other side.
    other: AtomicU64,
    /// 1 if its owner sleeps, or is about to: it sleeps on this word, so that a wake-up cannot fall in between.
    sleeps: AtomicU32,
    reserved: [u32; 27],
}

impl Side {
    const fn new() -> Side {
        Side {
            position: AtomicU64::new(0),
            other: AtomicU64::new(0),
            sleeps: AtomicU32::new(0),
            reserved: [0; 27],
        }
    }

    /// Moves on, and wakes the owner of the other side if it sleeps.
    fn publish(&self, position: u64, other: &Side) {
        // RING: Release, partner of the Acquire in `wait`.
        self.position.store(position, Ordering::Release);
        // SLEEP: SeqCst, partner of the one in `wait`: either this side sees the flag, or the other the position.
        fence(Ordering::SeqCst);
        if other.sleeps.load(Ordering::Relaxed) == 1 {
            other.sleeps.store(0, Ordering::Relaxed);
            sys::futex_wake(&other.sleeps);
        }
    }

    /// Waits until the other side is no longer where it makes this one wait.
    fn wait(&self, other: &Side, must_wait: impl Fn(u64) -> bool) {
        loop {
            // RING: Acquire, partner of the Release in `publish`.
            let seen = other.position.load(Ordering::Acquire);
            if !must_wait(seen) {
                self.other.store(seen, Ordering::Relaxed);
                return;
            }
            self.sleeps.store(1, Ordering::Relaxed);
            // SLEEP: SeqCst, partner of the one in `publish`.
            fence(Ordering::SeqCst);
            if must_wait(other.position.load(Ordering::Relaxed)) {
                sys::futex_wait(&self.sleeps, 1);
            }
            self.sleeps.store(0, Ordering::Relaxed);
        }
    }
}

impl FloorRing {
    pub(crate) const fn new() -> FloorRing {
        FloorRing {
            tail: Side::new(),
            head: Side::new(),
            words: [const { AtomicU64::new(0) }; WORDS * SLOTS],
        }
    }

    /// Puts a message.
    pub(crate) fn put(&self, message: &[u64]) {
        let position = self.tail.position.load(Ordering::Relaxed);
        let is_full = |head: u64| position - head >= SLOTS as u64;
        if is_full(self.tail.other.load(Ordering::Relaxed)) {
            self.tail.wait(&self.head, is_full);
        }
        for (to, from) in self.slot(position, message.len()).iter().zip(message) {
            to.store(*from, Ordering::Relaxed);
        }
        self.tail.publish(position + 1, &self.head);
    }

    /// Takes a message.
    pub(crate) fn get(&self, message: &mut [u64]) {
        let position = self.head.position.load(Ordering::Relaxed);
        let is_empty = |tail: u64| tail == position;
        if is_empty(self.head.other.load(Ordering::Relaxed)) {
            self.head.wait(&self.tail, is_empty);
        }
        let slot = self.slot(position, message.len());
        for (to, from) in message.iter_mut().zip(slot) {
            *to = from.load(Ordering::Relaxed);
        }
        self.head.publish(position + 1, &self.tail);
    }

    fn slot(&self, position: u64, words: usize) -> &[AtomicU64] {
        let start = position as usize % SLOTS * words;
        &self.words[start..start + words]
    }
}
