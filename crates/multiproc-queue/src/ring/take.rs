use super::memory::Cursor;
use super::put::{Fault, header};
use super::{Anyone, Broken, Memory, Peers, Position, Ring};
use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU64, Ordering};
use multiproc_core::sync::futex::Futex;
use zerocopy::IntoBytes;

/// Where taken records go.
///
/// Its methods are called while the head's lock is owned: they only move bytes.
pub trait Sink {
    /// A record of `len` bytes begins; its handles are kept under `token`, if it has any.
    fn begin(&mut self, len: usize, token: Option<u64>);
    /// Its next words, of which the last may reach beyond its length.
    fn words(&mut self, words: &[AtomicU64]);
    /// The handles of the record that came last are to be copied from where they wait under that number.
    fn fetch(&mut self, token: u64) {
        let _ = token;
    }
    /// It was taken: what waits under that number is to be taken away.
    fn release(&mut self, token: u64) {
        let _ = token;
    }
    /// It is to be leased: what was copied is to be kept under that number.
    ///
    /// # Errors
    ///
    /// There is no room.
    fn keep(&mut self, token: u64) -> std::io::Result<()> {
        let _ = token;
        Ok(())
    }
    /// Its handles are to be copied from where they are kept.
    fn fetch_kept(&mut self, token: u64) {
        let _ = token;
    }
    /// Of what is kept all is to be taken away that is no longer open.
    fn forget_kept(&mut self, is_open: &dyn Fn(u64) -> bool) {
        let _ = is_open;
    }
    /// All records that began since the last call of [`forget`](Self::forget) or the beginning were not taken.
    fn forget(&mut self);
}

/// The most words that a [`Batch`] keeps room for.
const LARGEST_KEPT: usize = (4 << 20) / 8;

/// Records that were taken together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Each record begins with a word of its own.
    words: Vec<u64>,
    /// Where each record ends, in bytes, and its token.
    ends: Vec<(usize, Option<u64>)>,
}

impl Batch {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The first record.
    #[inline]
    pub fn first(&self) -> Option<&[u8]> {
        let (end, _) = self.ends.first()?;
        self.words.as_bytes().get(..*end)
    }

    /// The records in their order: bytes, and the number that their handles are kept under.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<u64>)> {
        let bytes = self.words.as_bytes();
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| end.next_multiple_of(8)));
        self.ends.iter().zip(starts).map(|((end, token), start)| (&bytes[start..*end], *token))
    }

    /// Forgets the records, and gives back a buffer of more than 4 MiB.
    #[inline]
    pub fn clear(&mut self) {
        self.forget();
        if self.words.capacity() > LARGEST_KEPT {
            self.words = Vec::new();
        }
    }
}

impl Sink for Batch {
    #[inline]
    fn begin(&mut self, len: usize, token: Option<u64>) {
        self.words.reserve(len.div_ceil(8));
        self.ends.push((self.words.len() * 8 + len, token));
    }

    #[inline]
    fn words(&mut self, words: &[AtomicU64]) {
        // RING: Relaxed; the tail behind these words was read with Acquire.
        self.words.extend(words.iter().map(|word| word.load(Ordering::Relaxed).to_le()));
    }

    #[inline]
    fn forget(&mut self) {
        self.words.clear();
        self.ends.clear();
    }
}

/// What an owner of the head's lock found.
enum Drained {
    /// Nothing, before this tail.
    Empty(u64),
    Some,
    /// All that was there when it last looked.
    All,
}

impl<M: Memory> Ring<M> {
    /// Takes at least one and at most `max` records into an empty sink, waiting for the first.
    ///
    /// They are taken in one step; one that has handles is the last of its step.
    ///
    /// # Errors
    ///
    /// [`Fault::TimedOut`], [`Fault::Closed`] once it is empty as well, or [`Fault::Broken`].
    pub fn take(&self, max: usize, deadline: Deadline, records: &mut impl Sink) -> Result<(), Fault> {
        self.take_among(max, deadline, &Anyone, records)
    }

    /// Does the same as [`take`](Self::take), until nobody is left who could put.
    ///
    /// Without locks the caller makes sure that nobody else takes meanwhile.
    ///
    /// # Errors
    ///
    /// [`Fault::TimedOut`], [`Fault::Closed`] once it is empty as well, or [`Fault::Broken`].
    pub fn take_among<P: Peers>(
        &self,
        max: usize,
        deadline: Deadline,
        peers: &P,
        records: &mut impl Sink,
    ) -> Result<(), Fault> {
        let control = self.memory.control();
        let (mut are_gone, mut has_heard) = (false, false);
        loop {
            // Before the look: what was put before the close, or by who is gone, is found by it.
            let is_over = are_gone || self.is_closed();
            let result = if P::ALONE {
                self.drain(max, records)
            } else {
                let Some(locked) = self.lock_head(deadline) else { return Err(Fault::TimedOut) };
                has_heard = locked.has_heard;
                let result = self.drain(max, records);
                control.head.lock.unlock(locked);
                result
            };
            let tail = match result {
                Ok(Drained::Empty(tail)) => tail,
                Ok(Drained::Some) => return Ok(()),
                Ok(Drained::All) => {
                    if !P::ALONE && self.is_long() {
                        self.trim();
                    }
                    return Ok(());
                }
                Err(fault) => {
                    records.forget();
                    return Err(fault);
                }
            };
            if is_over {
                // What the dead had leased is taken before it is the end.
                if !P::ALONE && !control.leases.is_empty() {
                    self.return_of_the_dead();
                    if self.has_returned() {
                        continue;
                    }
                }
                return Err(Fault::Closed);
            }
            if has_heard || !P::ALONE && self.is_last_look(deadline) {
                // A death that will not be heard again, or was not waited for.
                self.return_of_the_dead();
            } else if !deadline.has_passed() && self.spin[0].wait(8, || self.more_than(tail)) {
                continue;
            }
            let has_more = control.tail.cell.wait(
                &control.bell,
                deadline,
                || {
                    if control.tail.cell.read() != tail || self.has_returned() || self.is_closed() {
                        return true;
                    }
                    are_gone = peers.are_gone();
                    are_gone
                },
                || self.return_of_the_dead(),
            );
            if !has_more {
                return Err(Fault::TimedOut);
            }
        }
    }

    /// Makes whoever puts wake the caller, who then looks, and sleeps while these words have these values.
    pub fn begin_take(&self) -> [(Futex<'_>, u32); 2] {
        let control = self.memory.control();
        control.tail.cell.begin_wait(&control.bell)
    }

    /// Takes what is there, as the owner of the head's lock.
    fn drain(&self, max: usize, records: &mut impl Sink) -> Result<Drained, Fault> {
        let control = self.memory.control();
        if self.has_returned() && self.take_returned(records)? {
            return Ok(Drained::Some);
        }
        let head = Position::unpack(control.head.cell.read_as_writer());
        let mut seen = control.head.other.load(Ordering::Relaxed);
        // Of a word that is no hint of ours nothing is believed: the tail is read again. So it is if there may be more.
        let mut available = self.available(head, seen);
        if available > self.shape.capacity || (available as usize) < max {
            seen = control.tail.cell.read();
            control.head.other.store(seen, Ordering::Relaxed);
            // From the cache line that was just read.
            control.head.chunks.store(control.tail.chunks.load(Ordering::Relaxed), Ordering::Relaxed);
            available = self.available(head, seen);
        }
        if available == 0 {
            return Ok(Drained::Empty(seen));
        }
        if available > self.shape.capacity {
            return Err(Broken("it holds more than its capacity").into());
        }
        let mut at = self.cursor(head)?;
        let tail = Position::unpack(seen);
        let tail =
            if tail.chunk == head.chunk { Cursor { offset: tail.offset, ..at } } else { self.cursor(tail)? };
        let mut count = head.count;
        let mut with_handles = None;
        for _ in 0..(available as usize).min(max) {
            if Self::read_whole(&mut at, &tail, count, records) {
                count = count.wrapping_add(1);
                continue;
            }
            with_handles = self.read(&mut at, &tail, count, records)?;
            count = count.wrapping_add(1);
            if let Some(token) = with_handles {
                // A second one's packet cannot be seen before that of the first one is gone.
                records.fetch(token);
                break;
            }
        }
        control.head.cell.publish(at.position(count).pack());
        if let Some(token) = with_handles {
            records.release(token);
        }
        let is_all = count == Position::unpack(seen).count;
        Ok(if is_all { Drained::All } else { Drained::Some })
    }

    /// How many records there are beyond a tail; any number if it is closed.
    #[inline]
    fn more_than(&self, tail: u64) -> u32 {
        if self.is_closed() {
            return u32::MAX;
        }
        self.available(Position::unpack(tail), self.memory.control().tail.cell.read())
    }

    pub(super) fn available(&self, head: Position, tail: u64) -> u32 {
        Position::unpack(tail).count.wrapping_sub(head.count)
    }

    /// Reads one record that has no handles if it lies in one chunk, and tells whether it did.
    ///
    /// What is wrong is left to [`read`](Self::read), too.
    #[inline]
    fn read_whole(at: &mut Cursor<'_>, tail: &Cursor<'_>, count: u32, records: &mut impl Sink) -> bool {
        // The tail lies in this chunk or in a later one.
        let end = if at.turn == tail.turn { tail.offset as usize } else { at.words.len() };
        let Some([first, words @ ..]) = at.words.get(at.offset as usize..end) else { return false };
        let word = first.load(Ordering::Relaxed);
        let len = (word >> 24) as usize;
        let Some(words) = words.get(..len.div_ceil(8)) else { return false };
        if word != header(len, false, count) {
            return false;
        }
        records.begin(len, None);
        records.words(words);
        at.offset += 1 + words.len() as u32;
        true
    }

    /// Reads one record, and tells the number that its handles wait under.
    #[cold]
    pub(super) fn read<'a>(
        &'a self,
        at: &mut Cursor<'a>,
        tail: &Cursor<'_>,
        count: u32,
        records: &mut impl Sink,
    ) -> Result<Option<u64>, Broken> {
        const WRONG: Broken = Broken("a record has a wrong head");
        let word = self.read_word(at)?;
        let (len, has_token) = ((word >> 24) as usize, word >> 16 & 1 == 1);
        if word != header(len, has_token, count) {
            return Err(WRONG);
        }
        let token = if has_token { Some(self.read_word(at)?) } else { None };
        // Before there is memory for it: so many bytes lie between here and the tail at most.
        let turns = tail.turn.checked_sub(at.turn).ok_or(WRONG)?;
        if turns >= u64::from(self.shape.max_chunks) {
            return Err(WRONG);
        }
        let room = (u64::from(self.shape.room()) * turns + u64::from(tail.offset))
            .checked_sub(u64::from(at.offset))
            .ok_or(WRONG)?;
        if len.div_ceil(8) as u64 > room {
            return Err(WRONG);
        }
        if turns > 0 {
            // Nor more than there is memory for: so many other chunks are there.
            self.chunk(turns as u32)?;
        }
        records.begin(len, token);
        let mut left = len.div_ceil(8);
        while left > 0 {
            self.go_on(at)?;
            let now = left.min(at.left());
            let offset = at.offset as usize;
            records.words(&at.words[offset..offset + now]);
            at.offset += now as u32;
            left -= now;
        }
        Ok(token)
    }

    #[inline]
    fn read_word<'a>(&'a self, at: &mut Cursor<'a>) -> Result<u64, Broken> {
        self.go_on(at)?;
        let word = at.words[at.offset as usize].load(Ordering::Relaxed);
        at.offset += 1;
        Ok(word)
    }

    /// Goes on to the next chunk if this one is done.
    #[inline]
    fn go_on<'a>(&'a self, at: &mut Cursor<'a>) -> Result<(), Broken> {
        if at.left() == 0 {
            *at = self.follow(at)?;
        }
        Ok(())
    }
}
