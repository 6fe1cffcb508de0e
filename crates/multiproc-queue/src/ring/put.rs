use super::memory::{Cursor, next, set_next, set_turn, turn};
use super::peers::lock;
use super::{Anyone, Broken, Memory, OutOfMemory, Peers, Position, Ring};
use multiproc_core::Deadline;
use multiproc_core::sync::atomic::Ordering;
use multiproc_core::sync::futex::Futex;
use multiproc_sync::raw::Acquired;
use std::cell::Cell;

/// What is put: bytes, and whether handles wait for their taker elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The message, or its beginning.
    pub bytes: &'a [u8],
    /// The rest of it, if it lies elsewhere: then the beginning is whole words.
    pub rest: &'a [u8],
    /// Its handles, if it has any.
    pub parcel: Option<&'a dyn Parcel>,
}

/// Handles that travel beside a record; its methods are called under locks and never wait.
pub trait Parcel: std::fmt::Debug {
    /// Sends them under a number.
    ///
    /// # Errors
    ///
    /// There is no room, or another reason.
    fn send(&self, token: u64) -> Result<(), NoDeposit>;
    /// Drops all packets that were sent under numbers up to this one.
    fn sweep(&self, token: u64);
}

/// Why handles were not sent.
#[derive(Debug)]
pub enum NoDeposit {
    /// There are as many on their way as there can be.
    Full(std::io::Error),
    /// They cannot be sent.
    Failed(std::io::Error),
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
    /// The deadline passed: there are as many handles on their way as there can be.
    DepotFull,
    /// The handles cannot be sent or kept, now or ever.
    Handles(std::io::Error),
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

/// The word of the last bytes, fewer than eight.
#[inline]
fn padded(bytes: &[u8], last: &[u8]) -> u64 {
    match bytes.last_chunk::<8>() {
        // A copy of so few bytes takes longer than all of theirs.
        Some(end) => u64::from_le_bytes(*end) >> (64 - 8 * last.len()),
        None => last.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The longest record that a header can tell.
const LONGEST: usize = (1 << 40) - 1;

/// Why the records stopped before their end.
enum Stop {
    Full,
    NoChunk,
    OutOfMemory(OutOfMemory),
    NoDeposit(NoDeposit),
}

/// How far an owner of the tail's lock came.
enum Filled {
    /// So many are in the queue.
    Put(usize),
    /// None: nothing can be put before something changes from this.
    Full(Seen),
    /// None: the depot is full.
    DepotFull {
        seen: Seen,
        /// If the queue is empty: what was sent up to this number is nobody's.
        leftovers: Option<u64>,
        error: std::io::Error,
    },
}

/// What a producer has done about a full depot since it last waited.
#[derive(Default)]
struct Sweep {
    has_synced: bool,
    has_swept: bool,
}

enum Swept {
    /// There may be room now.
    Again,
    /// Consumers will make room.
    Wait,
    /// It was empty.
    Never,
}

/// What a producer saw that waits for it to change.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    head: u64,
    ended: u64,
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
        let mut sweep = Sweep::default();
        while done < records.len() {
            let fail = |fault| Err(PutFault { done, fault });
            if are_gone {
                return fail(Fault::Closed);
            }
            let result = if P::ALONE {
                // Relaxed: one thread at a time comes here.
                let is_tidy = self.is_tidy.load(Ordering::Relaxed);
                let result =
                    self.fill(&records[done..], if is_tidy { Acquired::Clean } else { Acquired::OwnerDied });
                if !is_tidy {
                    self.is_tidy.store(result.is_ok(), Ordering::Relaxed);
                }
                result
            } else {
                let Some(locked) = lock(&control.tail.lock, &control.bell, deadline) else {
                    return fail(Fault::TimedOut);
                };
                let result = self.fill(&records[done..], locked.acquired);
                control.tail.lock.unlock(locked);
                result
            };
            let (seen, timed_out) = match result {
                Ok(Filled::Put(count)) => {
                    done += count;
                    continue;
                }
                Ok(Filled::Full(seen)) => (seen, Fault::TimedOut),
                Ok(Filled::DepotFull { seen, leftovers, error }) => {
                    // Who alone takes has no lock; it drops leftovers itself, and the bounded sleep covers the rest.
                    match if P::ALONE {
                        Swept::Wait
                    } else {
                        self.sweep(&mut sweep, leftovers, &records[done], deadline)
                    } {
                        Swept::Again => continue,
                        Swept::Wait => (seen, Fault::DepotFull),
                        Swept::Never => return fail(Fault::Handles(error)),
                    }
                }
                Err(fault) => return fail(fault),
            };
            if !deadline.has_passed() && self.spin[1].wait(64, || self.much_room(seen)) {
                continue;
            }
            // No lock is held: the consumers make room. Whenever a sleep ends it is tried again, whatever is seen.
            let has_looked = Cell::new(false);
            let has_room = control.head.cell.wait(
                &control.bell,
                deadline,
                || {
                    are_gone = peers.are_gone();
                    are_gone || has_looked.get() || self.is_closed() || self.has_changed(seen)
                },
                || {
                    self.release_of_the_dead();
                    has_looked.set(true);
                },
            );
            if !has_room {
                return fail(timed_out);
            }
        }
        Ok(())
    }

    /// Makes room in a full depot, if that can be had without waiting for a consumer.
    #[cold]
    fn sweep(
        &self,
        sweep: &mut Sweep,
        leftovers: Option<u64>,
        record: &Record<'_>,
        deadline: Deadline,
    ) -> Swept {
        if !sweep.has_synced || leftovers.is_some() && !sweep.has_swept {
            // Consumers publish the head and then take the packet away: both has happened to what was seen.
            let Some(locked) = self.lock_head(deadline) else { return Swept::Wait };
            if let (Some(token), Some(parcel)) = (leftovers, record.parcel) {
                parcel.sweep(token);
                sweep.has_swept = true;
            }
            self.memory.control().head.lock.unlock(locked);
            sweep.has_synced = true;
            return Swept::Again;
        }
        *sweep = Sweep::default();
        if leftovers.is_some() { Swept::Never } else { Swept::Wait }
    }

    /// How much was taken since, if that is so much that going on pays: two who follow each other record by record only
    /// take each other's cache lines away. Any number if it is closed.
    fn much_room(&self, seen: Seen) -> u32 {
        const MUCH: u32 = 256;
        if self.is_closed() {
            return u32::MAX;
        }
        let head = Position::unpack(self.memory.control().head.cell.read());
        let taken = head.count.wrapping_sub(Position::unpack(seen.head).count);
        if taken >= MUCH.min(self.shape.capacity.div_ceil(4)) { taken } else { 0 }
    }

    /// Makes whoever makes room wake the caller, who then looks, and sleeps while these words have these values.
    pub fn begin_put(&self) -> [(Futex<'_>, u32); 2] {
        let control = self.memory.control();
        control.head.cell.begin_wait(&control.bell)
    }

    /// Tells whether there may be more room than was seen.
    pub fn has_changed(&self, seen: Seen) -> bool {
        let head = &self.memory.control().head;
        head.cell.read() != seen.head || head.ended.load(Ordering::Relaxed) != seen.ended
    }

    /// Puts what there is room for, as the owner of the tail's lock.
    fn fill(&self, records: &[Record<'_>], acquired: Acquired) -> Result<Filled, Fault> {
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
        let mut was_alone = false;
        let mut now = Seen { head, ended: 0 };
        for record in records {
            if self.is_full(count, head) {
                now = self.see();
                head = now.head;
                control.tail.other.store(head, Ordering::Relaxed);
                if self.is_full(count, head) {
                    stop = Some(Stop::Full);
                    break;
                }
            }
            if Self::write_whole(&mut at, record, count) {
                count = count.wrapping_add(1);
                done += 1;
                continue;
            }
            let before = at.position(count);
            let mut written = self.write(&mut at, record, count)?;
            if written.is_err() {
                // What was linked for it is nobody's.
                at = self.cursor(before)?;
                self.free_behind(&at)?;
                if done == 0 {
                    // Again, with what was seen before: a change after it is one to wait for, and if nothing was
                    // left, the second answer is the last.
                    now = self.see();
                    was_alone = self.is_alone(now, count);
                    written = self.write(&mut at, record, count)?;
                }
            }
            if let Err(reason) = written {
                at = self.cursor(before)?;
                self.free_behind(&at)?;
                stop = Some(reason);
                break;
            }
            count = count.wrapping_add(1);
            done += 1;
        }
        if done > 0 {
            control.tail.cell.publish(at.position(count).pack());
            return Ok(Filled::Put(done));
        }
        // What could still be taken by others makes room; if there is nothing, nothing will.
        match stop {
            Some(Stop::NoChunk) if was_alone => Err(Fault::TooLarge),
            Some(Stop::OutOfMemory(error)) if was_alone => Err(Fault::OutOfMemory(error)),
            Some(Stop::NoDeposit(NoDeposit::Failed(error))) => Err(Fault::Handles(error)),
            Some(Stop::NoDeposit(NoDeposit::Full(error))) => {
                let is_empty = Position::unpack(now.head).count == start.count;
                let leftovers = is_empty.then(|| control.tail.token.load(Ordering::Relaxed));
                Ok(Filled::DepotFull { seen: now, leftovers, error })
            }
            // It may have moved since: then the caller does not wait at all.
            _ => Ok(Filled::Full(now)),
        }
    }

    /// Sees how much room there is.
    pub fn see(&self) -> Seen {
        let head = &self.memory.control().head;
        // Before the look at what is free.
        let ended = head.ended.load(Ordering::Relaxed);
        Seen { head: head.cell.read(), ended }
    }

    /// Tells whether nothing lay between the head and a tail before which there are so many records, and nothing is
    /// leased.
    fn is_alone(&self, seen: Seen, count: u32) -> bool {
        // In this order: what is not in the queue any more was in the table before it left.
        Position::unpack(seen.head).count == count && self.memory.control().leases.is_empty()
    }

    fn is_full(&self, count: u32, head: u64) -> bool {
        count.wrapping_sub(Position::unpack(head).count) >= self.shape.capacity
    }

    /// Writes one record that has no handles if it fits into the rest of its chunk, and tells whether it did.
    ///
    /// Most are such; what [`write`](Self::write) does beyond this would take them longer than all the rest.
    #[inline]
    fn write_whole(at: &mut Cursor<'_>, record: &Record<'_>, count: u32) -> bool {
        let (words, last) = record.bytes.as_chunks::<8>();
        let end = at.offset as usize + 1 + words.len() + usize::from(!last.is_empty());
        let Some([first, target @ ..]) = at.words.get(at.offset as usize..end) else { return false };
        if record.parcel.is_some() || !record.rest.is_empty() {
            return false;
        }
        // Relaxed, here and below: the tail that says that these words are a record is published after them.
        first.store(header(record.bytes.len(), false, count), Ordering::Relaxed);
        for (word, bytes) in target.iter().zip(words) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        if let Some(word) = target.get(words.len()) {
            word.store(padded(record.bytes, last), Ordering::Relaxed);
        }
        at.offset = end as u32;
        true
    }

    /// Writes one record; a refusal leaves chunks linked behind the place where it began.
    #[cold]
    fn write<'a>(
        &'a self,
        at: &mut Cursor<'a>,
        record: &Record<'_>,
        count: u32,
    ) -> Result<Result<(), Stop>, Fault> {
        let len = record.bytes.len() + record.rest.len();
        if len > LONGEST {
            return Err(Fault::TooLarge);
        }
        let head = header(len, record.parcel.is_some(), count);
        if let Err(stop) = self.write_word(at, head)? {
            return Ok(Err(stop));
        }
        let mut token = 0;
        if record.parcel.is_some() {
            // Never given twice, whatever becomes of this attempt.
            let last = &self.memory.control().tail.token;
            token = last.load(Ordering::Relaxed).wrapping_add(1);
            last.store(token, Ordering::Relaxed);
            if let Err(stop) = self.write_word(at, token)? {
                return Ok(Err(stop));
            }
        }
        for mut bytes in [record.bytes, record.rest] {
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
                    target[words.len()].store(padded(now, last), Ordering::Relaxed);
                }
                at.offset += now.len().div_ceil(8) as u32;
                bytes = rest;
            }
        }
        // Last of all, since what is sent cannot be taken back.
        if let Some(parcel) = record.parcel
            && let Err(no) = parcel.send(token)
        {
            return Ok(Err(Stop::NoDeposit(no)));
        }
        Ok(Ok(()))
    }

    #[inline]
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
        let turn = at.turn.checked_add(1).ok_or(Broken("a chunk has no possible turn"))?;
        set_turn(words, turn);
        *at = Cursor { words, turn, chunk, offset: super::memory::LINKS };
        Ok(Ok(()))
    }

    /// A chunk that is not between the head's and the one that is being written, and has no leased record.
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
        let is_free =
            |turn: u64| !(first..=at.turn).contains(&turn) && !self.memory.control().leases.hold(turn);
        for step in 0..looks {
            let index = cursor.wrapping_add(step) % allocated;
            if is_free(turn(self.chunk(index)?)) {
                side.cursor.store(u64::from(index) + 1, Ordering::Relaxed);
                return Ok(Ok(index));
            }
        }
        // Behind them there may be one in use, since it was when the others were given back.
        let behind = allocated..self.shape.max_chunks;
        let Some(fresh) =
            behind.into_iter().find(|index| self.chunk(*index).map_or(true, |words| is_free(turn(words))))
        else {
            return Ok(Err(Stop::NoChunk));
        };
        // A file grows chunk by chunk: of a number that is beyond that nothing is believed, nor memory asked for.
        self.chunk(fresh.saturating_sub(1))?;
        if u64::from(fresh) >= side.backed.load(Ordering::Relaxed) {
            match self.memory.allocate(fresh) {
                Ok(backed) => side.backed.store(u64::from(backed), Ordering::Relaxed),
                Err(error) => return Ok(Err(Stop::OutOfMemory(error))),
            }
        }
        // Killed before this, the memory is there and is taken the next time.
        side.chunks.store(u64::from(fresh) + 1, Ordering::Relaxed);
        Ok(Ok(fresh))
    }

    /// Frees what is linked behind a place at which nothing more was committed.
    #[cold]
    pub(super) fn free_behind(&self, at: &Cursor<'_>) -> Result<(), Broken> {
        let mut words = at.words;
        for expected in (at.turn.saturating_add(1)..=u64::MAX).take(self.shape.max_chunks as usize) {
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
