//! What the models of rings share: a memory of three small chunks, records of words that are all the same, and
//! handles.

use multiproc_core::sync::atomic::{AtomicU64, Ordering, Peek};
use multiproc_model::shared;
use multiproc_queue::ring::{Broken, Control, Memory, NoDeposit, OutOfMemory, Parcel, Ring, Shape, Sink};
use std::io;

pub(crate) const CHUNKS: usize = 3;
pub(crate) const WORDS: usize = 4;
/// How many different messages there can be; they are numbered from 1.
pub(crate) const MESSAGES: usize = 10;

/// The memory of a model of rings.
#[repr(C)]
pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) chunks: [[AtomicU64; WORDS]; CHUNKS],
    /// For each message whether its put has returned, and how often it was got, or leased and done.
    pub(crate) put: [AtomicU64; MESSAGES],
    pub(crate) got: [AtomicU64; MESSAGES],
    /// How often each message was leased for the first time.
    pub(crate) first: [AtomicU64; MESSAGES],
    /// Whose descriptor was closed by a drop.
    pub(crate) closed: [AtomicU64; 3],
    /// Who was told that nothing more comes.
    pub(crate) ended: AtomicU64,
    /// The packets that wait, and those that are kept.
    depot: [AtomicU64; 2],
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Model;

impl Memory for Model {
    fn control(&self) -> &Control {
        &shared::<World>().control
    }

    fn chunk(&self, index: u32) -> Result<&[AtomicU64], Broken> {
        shared::<World>().chunks.get(index as usize).map(|chunk| &chunk[..]).ok_or(Broken("no such chunk"))
    }

    fn allocate(&self, index: u32) -> Result<u32, OutOfMemory> {
        Ok(index + 1)
    }

    fn release(&self, but: u32, from: u32) {
        for (_, chunk) in (0..).zip(&shared::<World>().chunks).filter(|(at, _)| *at >= from && *at != but) {
            chunk.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
    }
}

pub(crate) fn ring(capacity: u32) -> Ring<Model> {
    Ring::attach(Model, Shape { capacity, max_chunks: CHUNKS as u32, chunk_words: WORDS as u32 })
}

pub(crate) fn mark(word: &AtomicU64) {
    word.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn values(words: &[AtomicU64]) -> Vec<u64> {
    words.iter().map(|word| word.load(Ordering::Relaxed)).collect()
}

/// One record of words that are all its value, and its handle.
#[derive(Default)]
pub(crate) struct One {
    pub(crate) value: u64,
    left: usize,
    token: Option<u64>,
    handle: u64,
}

impl One {
    /// Makes sure that its handle came with it.
    pub(crate) fn check(&self) {
        assert!(self.token.is_none() || self.handle == self.value, "a message without its own handle");
    }
}

impl Sink for One {
    fn begin(&mut self, len: usize, token: Option<u64>) {
        assert!(len.is_multiple_of(8), "a record of half a word");
        *self = One { left: len / 8, token, ..One::default() };
    }

    fn words(&mut self, words: &[AtomicU64]) {
        for word in words {
            let word = word.load(Ordering::Relaxed);
            assert!(self.value == 0 || self.value == word, "a record of two messages");
            self.value = word;
        }
        self.left -= words.len();
    }

    fn fetch(&mut self, token: u64) {
        self.handle =
            WAITING.skip(token).filter(|(found, _)| *found == token).map_or(0, |(_, handle)| handle);
    }

    fn release(&mut self, token: u64) {
        WAITING.skip(token + 1);
    }

    fn keep(&mut self, token: u64) -> io::Result<()> {
        if KEPT.send(token, self.handle) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn fetch_kept(&mut self, token: u64) {
        // Each that is not the one goes behind the others.
        for _ in 0..PACKETS {
            match KEPT.first() {
                Some((found, handle)) if found == token => {
                    self.handle = handle;
                    return;
                }
                Some((found, handle)) if KEPT.send(found, handle) => KEPT.pop(),
                _ => return,
            }
        }
    }

    fn forget_kept(&mut self, is_open: &dyn Fn(u64) -> bool) {
        forget_kept(is_open);
    }

    fn forget(&mut self) {
        self.value = 0;
    }
}

/// Takes away what is kept and not open.
pub(crate) fn forget_kept(is_open: &dyn Fn(u64) -> bool) {
    for _ in 0..PACKETS {
        match KEPT.first() {
            Some((found, handle)) if is_open(found) => {
                if !KEPT.send(found, handle) {
                    return;
                }
            }
            Some(_) => {}
            None => return,
        }
        KEPT.pop();
    }
}

/// Handles, one of which is as good as its message's number.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) of: u64,
}

impl Parcel for Handle {
    fn send(&self, token: u64) -> Result<(), NoDeposit> {
        if WAITING.send(token, self.of) {
            Ok(())
        } else {
            Err(NoDeposit::Full(io::ErrorKind::WouldBlock.into()))
        }
    }

    fn sweep(&self, token: u64) {
        WAITING.skip(token + 1);
    }
}

/// One direction of a pair of sockets that keeps packets apart, in a word: each call of the kernel is one step.
struct Packets(usize);

const WAITING: Packets = Packets(0);
const KEPT: Packets = Packets(1);
/// So many packets fit.
const PACKETS: u32 = 4;

impl Packets {
    fn word(&self) -> &'static AtomicU64 {
        &shared::<World>().depot[self.0]
    }

    /// Does what the kernel does under a lock.
    fn change(&self, change: impl Fn(u64) -> Option<u64>) -> bool {
        let mut now = self.word().peek(Ordering::Relaxed);
        while let Some(new) = change(now) {
            match self.word().compare_exchange(now, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
        false
    }

    fn send(&self, token: u64, handle: u64) -> bool {
        assert!((1..256).contains(&token) && (1..256).contains(&handle), "a packet that is too large");
        self.change(|packets| {
            let used = (u64::BITS - packets.leading_zeros()).div_ceil(16);
            (used < PACKETS).then(|| packets | (token << 8 | handle) << (16 * used))
        })
    }

    fn first(&self) -> Option<(u64, u64)> {
        let first = self.word().load(Ordering::Relaxed) & 0xffff;
        (first != 0).then_some((first >> 8, first & 0xff))
    }

    fn pop(&self) {
        self.change(|packets| (packets != 0).then_some(packets >> 16));
    }

    /// Drops what was sent under smaller numbers; gives the first that is left.
    fn skip(&self, token: u64) -> Option<(u64, u64)> {
        loop {
            match self.first() {
                Some((found, _)) if found < token => self.pop(),
                first => return first,
            }
        }
    }
}
