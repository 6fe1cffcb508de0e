use super::memory::{Cursor, next, set_next, set_turn, turn};
use super::{Anyone, Broken, Memory, OutOfMemory, Peers, Position, Ring};
use multiproc_core::Deadline;
use multiproc_core::sync::atomic::Ordering;
use multiproc_sync::raw::Acquired;

/// What is put: bytes, and whether handles wait for their taker elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The message.
    pub bytes: &'a [u8],
    /// The number that its handles are kept under, if it has any; never 0.
    pub token: Option<u64>,
}

/// Why records were not put, and how many had been before.
#[derive(Debug)]
pub struct PutFault {
    /// How many of the records are in the queue; the others are not.
    pub done: usize,
    /// Why.
    pub fault: Fault,
}

/// Why an operation gave up.
#[derive(Debug)]
pub enum Fault {
    /// The deadline passed: the queue was full, or empty.
    TimedOut,
    /// The queue is closed, or nobody is left at the other end.
    Closed,
    /// The record would not fit if it were alone.
    TooLarge,
    /// There is no memory for it, and nobody will make room by taking.
    OutOfMemory(OutOfMemory),
    /// The memory holds what no queue writes.
    Broken(Broken),
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Fault {
        Fault::Broken(broken)
    }
}

/// The first word of a record: its length, whether a token follows, and the lower bits of its number.
pub(super) fn header(len: usize, has_token: bool, count: u32) -> u64 {
    (len as u64) << 24 | u64::from(has_token) << 16 | u64::from(count as u16)
}

/// The longest record that a header can tell.
const LONGEST: usize = (1 << 40) - 1;

/// Why the records stopped before their end.
enum Stop {
    Full,
    NoChunk,
    OutOfMemory(OutOfMemory),
}

impl<M: Memory> Ring<M> {
    /// Puts records behind each other, waiting for room, and tells why if not all of them.
    ///
    /// As many as there is room for are committed in one step.
    ///
    /// # Errors
    ///
    /// Those of [`Fault`].
    pub fn put(&self, records: &[Record<'_>], deadline: Deadline) -> Result<(), PutFault> {
        self.put_among(records, deadline, &Anyone)
    }

    /// Does the same as [`put`](Self::put), until nobody is left who could take.
    ///
    /// Without locks the caller makes sure that nobody else puts meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`Fault`].
    pub fn put_among<P: Peers>(
        &self,
        records: &[Record<'_>],
        deadline: Deadline,
        peers: &P,
    ) -> Result<(), PutFault> {
        let control = self.memory.control();
        let mut done = 0;
        let mut are_gone = false;
        while done < records.len() {
            let fail = |fault| Err(PutFault { done, fault });
            if are_gone {
                return fail(Fault::Closed);
            }
            let result = if P::ALONE {
                // Nobody tells how the one before has ended.
                self.fill(&records[done..], Acquired::OwnerDied)
            } else {
                let Some(locked) = control.tail.lock.lock(deadline) else { return fail(Fault::TimedOut) };
                let result = self.fill(&records[done..], locked.acquired);
                control.tail.lock.unlock(locked);
                result
            };
            match result {
                Ok((0, head)) => {
                    // No lock is held: the consumers make room.
                    let has_room = control.head.cell.wait(
                        &control.bell,
                        deadline,
                        || {
                            are_gone = peers.are_gone();
                            are_gone || self.is_closed() || control.head.cell.read() != head
                        },
                        || (),
                    );
                    if !has_room {
                        return fail(Fault::TimedOut);
                    }
                }
                Ok((count, _)) => done += count,
                Err(fault) => return fail(fault),
            }
        }
        Ok(())
    }

    /// Puts what there is room for, as the owner of the tail's lock; tells how many, and the head that was seen.
    fn fill(&self, records: &[Record<'_>], acquired: Acquired) -> Result<(usize, u64), Fault> {
        let control = self.memory.control();
        if control.bell.is_closed() {
            return Err(Fault::Closed);
        }
        let start = Position::unpack(control.tail.cell.read_as_writer());
        let mut at = self.cursor(start)?;
        if acquired == Acquired::OwnerDied {
            self.free_behind(&at)?;
        }
        let mut head = control.tail.other.load(Ordering::Relaxed);
        let mut count = start.count;
        let mut done = 0;
        let mut stop = None;
        for record in records {
            if self.is_full(count, head) {
                head = control.head.cell.read();
                control.tail.other.store(head, Ordering::Relaxed);
                if self.is_full(count, head) {
                    stop = Some(Stop::Full);
                    break;
                }
            }
            let before = at;
            if let Err(reason) = self.write(&mut at, record, count)? {
                // What was linked for it is nobody's.
                at = before;
                self.free_behind(&at)?;
                stop = Some(reason);
                break;
            }
            count = count.wrapping_add(1);
            done += 1;
        }
        if done > 0 {
            control.tail.cell.publish(at.position(count).pack());
            return Ok((done, head));
        }
        // What could still be taken by others makes room; if there is nothing, nothing will.
        let seen = control.head.cell.read();
        let is_empty = Position::unpack(seen).count == start.count;
        match stop {
            Some(Stop::NoChunk) if is_empty => Err(Fault::TooLarge),
            Some(Stop::OutOfMemory(error)) if is_empty => Err(Fault::OutOfMemory(error)),
            // It may have moved since it was found full: then the caller does not wait at all.
            Some(Stop::Full) => Ok((0, head)),
            _ => Ok((0, seen)),
        }
    }

    fn is_full(&self, count: u32, head: u64) -> bool {
        count.wrapping_sub(Position::unpack(head).count) >= self.shape.capacity
    }

    /// Writes one record; a refusal leaves chunks linked behind the place where it began.
    fn write<'a>(
        &'a self,
        at: &mut Cursor<'a>,
        record: &Record<'_>,
        count: u32,
    ) -> Result<Result<(), Stop>, Fault> {
        if record.bytes.len() > LONGEST {
            return Err(Fault::TooLarge);
        }
        let head = header(record.bytes.len(), record.token.is_some(), count);
        if let Err(stop) = self.write_word(at, head)? {
            return Ok(Err(stop));
        }
        if let Some(token) = record.token
            && let Err(stop) = self.write_word(at, token)?
        {
            return Ok(Err(stop));
        }
        let mut bytes = record.bytes;
        while !bytes.is_empty() {
            if let Err(stop) = self.make_room(at)? {
                return Ok(Err(stop));
            }
            let (now, rest) = bytes.split_at(bytes.len().min(at.left() * 8));
            let (words, last) = now.as_chunks::<8>();
            let offset = at.offset as usize;
            let target = &at.words[offset..];
            // Relaxed: the tail that says that these words are a record is published after them.
            for (word, bytes) in target.iter().zip(words) {
                word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
            }
            if !last.is_empty() {
                let mut padded = [0; 8];
                padded[..last.len()].copy_from_slice(last);
                target[words.len()].store(u64::from_le_bytes(padded), Ordering::Relaxed);
            }
            at.offset += now.len().div_ceil(8) as u32;
            bytes = rest;
        }
        Ok(Ok(()))
    }

    fn write_word<'a>(&'a self, at: &mut Cursor<'a>, word: u64) -> Result<Result<(), Stop>, Broken> {
        if let Err(stop) = self.make_room(at)? {
            return Ok(Err(stop));
        }
        at.words[at.offset as usize].store(word, Ordering::Relaxed);
        at.offset += 1;
        Ok(Ok(()))
    }

    /// Goes on to a new chunk if this one is full.
    #[inline]
    fn make_room<'a>(&'a self, at: &mut Cursor<'a>) -> Result<Result<(), Stop>, Broken> {
        if at.left() > 0 { Ok(Ok(())) } else { self.extend(at) }
    }

    /// Links a free chunk behind this one and goes on there.
    #[cold]
    fn extend<'a>(&'a self, at: &mut Cursor<'a>) -> Result<Result<(), Stop>, Broken> {
        let chunk = match self.free_chunk(at)? {
            Ok(chunk) => chunk,
            Err(stop) => return Ok(Err(stop)),
        };
        let words = self.chunk(chunk)?;
        // In this order: whoever frees after a death follows the link only to a chunk that has its turn.
        set_next(at.words, Some(chunk));
        set_next(words, None);
        let turn = at.turn + 1;
        set_turn(words, turn);
        *at = Cursor { words, turn, chunk, offset: super::memory::LINKS };
        Ok(Ok(()))
    }

    /// A chunk that is not between the head's and the one that is being written.
    fn free_chunk(&self, at: &Cursor<'_>) -> Result<Result<u32, Stop>, Broken> {
        /// So many chunks are looked at before new memory is asked for.
        const LOOKS: u32 = 16;
        let side = &self.memory.control().tail;
        let head = Position::unpack(self.memory.control().head.cell.read());
        let first = turn(self.chunk(head.chunk)?);
        let allocated = u32::try_from(side.chunks.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        if allocated > self.shape.max_chunks || allocated == 0 {
            return Err(Broken("there are more chunks than there can be"));
        }
        let can_grow = allocated < self.shape.max_chunks;
        let cursor = side.cursor.load(Ordering::Relaxed) as u32;
        let looks = if can_grow { allocated.min(LOOKS) } else { allocated };
        for step in 0..looks {
            let index = cursor.wrapping_add(step) % allocated;
            if !(first..=at.turn).contains(&turn(self.chunk(index)?)) {
                side.cursor.store(u64::from(index) + 1, Ordering::Relaxed);
                return Ok(Ok(index));
            }
        }
        if !can_grow {
            return Ok(Err(Stop::NoChunk));
        }
        if let Err(error) = self.memory.allocate(allocated) {
            return Ok(Err(Stop::OutOfMemory(error)));
        }
        // Killed before this, the memory is there and is asked for again.
        side.chunks.store(u64::from(allocated) + 1, Ordering::Relaxed);
        Ok(Ok(allocated))
    }

    /// Frees what is linked behind a place at which nothing more was committed.
    #[cold]
    fn free_behind(&self, at: &Cursor<'_>) -> Result<(), Broken> {
        let mut words = at.words;
        for expected in (at.turn + 1..).take(self.shape.max_chunks as usize) {
            let Some(chunk) = next(words) else { break };
            words = self.chunk(chunk)?;
            if turn(words) != expected {
                break;
            }
            set_turn(words, 0);
        }
        Ok(())
    }
}
