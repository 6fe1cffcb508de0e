//! Records that were taken but are not done.
//!
//! A leased record stays where it is: the head goes on, and the record's chunks are not free as long as the lease is
//! open. So nothing is copied, and a slow lease blocks nobody. There is a table of leases, which belongs to the owner
//! of the head's lock:
//!
//! | owner | means |
//! |---|---|
//! | 0 | the place is free |
//! | a process | that process has the record |
//! | RETURNED | nobody has it; it is the next to be delivered, before those behind the head |
//!
//! The place is filled in first, and then the head is published: **that is the commit**. Killed in between, the place
//! names the record at the head, which no lease does otherwise; the next owner of the head's lock learns of the death
//! from the lock, and clears it. Every other change is that of one word, the place's owner.
//!
//! A process that dies with a lease is found by those who wait: whoever holds a lease has the kernel watch the bell,
//! which all who sleep here hear, for a record, for room, or for a lock. It watches the bell also while a lease begins
//! or ends under a lock, which who hears the bell frees; who comes later finds that lock when a short sleep ends. What
//! is returned is told to sleepers by publishing the tail as it is, and what is done by publishing the head as it is.
//! Killed in between, the bell tells it.
//!
//! Handles are kept before the place is filled in, and forgotten after it is free. Killed in between, they are kept for
//! nobody: who comes next, to lease or to take, forgets them.

use super::memory::Cursor;
use super::peers::{lock, politely};
use super::take::Sink;
use super::{Broken, Fault, Memory, Position, Ring};
use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU64, Ordering, fence};
use multiproc_core::sync::thread;
use multiproc_sync::raw::{Acquired, Locked};

/// How many leases there can be at one time.
pub const LEASES: usize = if cfg!(any(loom, multiproc_model)) { 2 } else { 80 };

const FREE: u64 = 0;
/// No process has this number, of which 30 bits are a thread's.
const RETURNED: u64 = u64::MAX;
/// Beside the number of those that were returned: after a death handles may be kept for nobody. So the one look that
/// each taker makes finds both.
const UNTIDY: u64 = 1 << 63;
const REDELIVERED: u64 = 1 << 32;

/// The leases; all zeros is none.
#[derive(Debug)]
#[cfg_attr(not(any(loom, multiproc_model)), derive(multiproc_shm::ShmSafe))]
#[repr(C)]
pub(super) struct Leases {
    owners: [AtomicU64; LEASES],
    places: [Place; LEASES],
}

/// What is leased.
#[derive(Debug, Default)]
#[cfg_attr(not(any(loom, multiproc_model)), derive(multiproc_shm::ShmSafe))]
#[repr(C)]
struct Place {
    position: AtomicU64,
    /// The turn of the record's first chunk.
    turn: AtomicU64,
    /// How many more chunks it has, and whether it was delivered before.
    span: AtomicU64,
    /// The number that its handles are kept under, or 0.
    token: AtomicU64,
}

impl Default for Leases {
    fn default() -> Leases {
        Leases {
            owners: std::array::from_fn(|_| AtomicU64::new(0)),
            places: std::array::from_fn(|_| Place::default()),
        }
    }
}

impl Leases {
    // Relaxed, but for the owners: the table belongs to the owner of the head's lock. Who looks without it has read the
    // head before, whose publication orders all that was written before it.
    pub(super) fn owner(&self, place: usize) -> u64 {
        // LEASE: Acquire, partner of the Release in `set_owner`: who sees without a lock that all is done sees what
        // was done.
        self.owners[place].load(Ordering::Acquire)
    }

    fn set_owner(&self, place: usize, owner: u64) {
        // LEASE: Release, partner of the Acquire in `owner`.
        self.owners[place].store(owner, Ordering::Release);
    }

    fn find(&self, wanted: u64) -> Option<usize> {
        (0..LEASES).find(|place| self.owner(*place) == wanted)
    }

    /// Tells whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        (0..LEASES).all(|place| self.owner(place) == FREE)
    }

    /// Tells whether an owner is a process.
    pub(super) fn is_open(owner: u64) -> bool {
        owner != FREE && owner != RETURNED
    }

    /// Where a place's owner stands.
    #[cfg(not(any(loom, multiproc_model)))]
    pub(super) fn place_of_owner(place: usize) -> usize {
        std::mem::offset_of!(Leases, owners) + place * size_of::<AtomicU64>()
    }

    /// How many records wait to be delivered again, by the word that counts them.
    pub(super) fn count_returned(word: u64) -> usize {
        usize::try_from(word & !UNTIDY).unwrap_or(LEASES).min(LEASES)
    }

    fn is_full(&self) -> bool {
        self.find(FREE).is_none()
    }

    /// Tells whether a chunk of that turn holds a leased record.
    pub(super) fn hold(&self, turn: u64) -> bool {
        (0..LEASES).any(|place| {
            self.owner(place) != FREE && {
                let first = self.places[place].turn.load(Ordering::Relaxed);
                let span = self.places[place].span.load(Ordering::Relaxed) & (REDELIVERED - 1);
                (first..=first.saturating_add(span)).contains(&turn)
            }
        })
    }
}

/// One record that was leased.
#[derive(Debug)]
#[must_use]
pub struct Leased {
    place: usize,
    process: u64,
    thread: u64,
    /// Whether it was delivered before.
    pub is_redelivered: bool,
}

impl<M: Memory> Ring<M> {
    fn leases(&self) -> &Leases {
        &self.memory.control().leases
    }

    /// Takes the head's lock, and makes of the table what it was before a death.
    pub(super) fn lock_head(&self, deadline: Deadline) -> Option<Locked> {
        let control = self.memory.control();
        let locked = lock(&control.head.lock, &control.bell, deadline)?;
        Some(self.settled(locked))
    }

    /// Does the same while the kernel watches the bell: for one who has a lease, or tells of one.
    fn lock_head_beside(&self, deadline: Deadline) -> Option<Locked> {
        let control = self.memory.control();
        let locked = control.head.lock.lock_beside(&control.bell, deadline)?;
        Some(self.settled(locked))
    }

    fn settled(&self, locked: Locked) -> Locked {
        if locked.acquired == Acquired::OwnerDied {
            self.settle();
        }
        locked
    }

    /// Takes the tail's lock, and frees what a dead producer had linked.
    pub(super) fn lock_tail(&self, deadline: Deadline) -> Option<Locked> {
        let control = self.memory.control();
        Some(self.tidied(control.tail.lock.lock_hearing(&control.bell, deadline)?))
    }

    fn tidied(&self, locked: Locked) -> Locked {
        let tail = &self.memory.control().tail;
        if locked.acquired == Acquired::OwnerDied
            && let Ok(cursor) = self.cursor(Position::unpack(tail.cell.read_as_writer()))
        {
            // What is broken is found by who uses it.
            let _ = self.free_behind(&cursor);
        }
        locked
    }

    /// Frees the locks of those who died with the bell watched.
    #[cold]
    pub fn release_of_the_dead(&self) {
        let control = self.memory.control();
        control.head.lock.release_of_the_dead();
        control.tail.lock.release_of_the_dead();
    }

    #[cold]
    fn settle(&self) {
        let head = &self.memory.control().head;
        let at = head.cell.read_as_writer();
        let leases = self.leases();
        let mut returned = 0;
        for place in 0..LEASES {
            match leases.owner(place) {
                FREE => {}
                _ if leases.places[place].position.load(Ordering::Relaxed) == at => {
                    leases.set_owner(place, FREE);
                }
                RETURNED => returned += 1,
                _ => {}
            }
        }
        head.returned.store(returned | UNTIDY, Ordering::Relaxed);
        self.count_end();
    }

    /// Lets a producer that waits for a chunk see that there may be one.
    fn count_end(&self) {
        let ended = &self.memory.control().head.ended;
        ended.store(ended.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Tells whether a record waits to be delivered again, or somebody died at the head.
    #[inline]
    pub(super) fn has_returned(&self) -> bool {
        self.memory.control().head.returned.load(Ordering::Relaxed) != 0
    }

    fn subtract_returned(&self) {
        let returned = &self.memory.control().head.returned;
        returned.store(returned.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    /// Finds a record that was returned, and forgets what is kept for nobody; the caller owns the head's lock.
    fn find_returned(&self, records: &mut impl Sink) -> Option<usize> {
        let returned = &self.memory.control().head.returned;
        if returned.load(Ordering::Relaxed) & UNTIDY != 0 {
            self.forget_kept(|is_open| records.forget_kept(is_open));
            // Killed before this, it is done again.
            returned.store(returned.load(Ordering::Relaxed) & !UNTIDY, Ordering::Relaxed);
        }
        let place = self.leases().find(RETURNED);
        if place.is_none() {
            returned.store(0, Ordering::Relaxed);
        }
        place
    }

    /// Takes a record that was returned, for good; the caller owns the head's lock.
    #[cold]
    pub(super) fn take_returned(&self, records: &mut impl Sink) -> Result<bool, Broken> {
        let Some(place) = self.find_returned(records) else { return Ok(false) };
        let token = self.read_again(place, records)?;
        self.finish(place);
        self.subtract_returned();
        if token != 0 {
            self.forget_kept(|is_open| records.forget_kept(is_open));
        }
        Ok(true)
    }

    /// Takes one record as a lease, waiting for it.
    ///
    /// # Errors
    ///
    /// [`Fault::TimedOut`], [`Fault::Closed`] once it is empty and nobody has a lease, [`Fault::Handles`] or
    /// [`Fault::Broken`].
    pub fn lease(&self, deadline: Deadline, records: &mut impl Sink) -> Result<Leased, Fault> {
        let control = self.memory.control();
        // From before the record is leased until the lease has ended, with no gap.
        let watched = thread::watch(control.bell.futex());
        let result = self.lease_watched(deadline, records);
        match result {
            Ok(_) => thread::hold(control.bell.futex()),
            Err(_) => thread::watch_again(watched),
        }
        result
    }

    fn lease_watched(&self, deadline: Deadline, records: &mut impl Sink) -> Result<Leased, Fault> {
        let control = self.memory.control();
        loop {
            // Before the look: what was put before the close is found by it.
            let is_closed = self.is_closed();
            let Some(locked) = self.lock_head(deadline) else { return Err(Fault::TimedOut) };
            let has_heard = locked.has_heard;
            let result = self.lease_first(records);
            control.head.lock.unlock(locked);
            match result {
                Ok(Some(leased)) => return Ok(leased),
                Ok(None) => {}
                Err(fault) => {
                    records.forget();
                    return Err(fault);
                }
            }
            // In this order: what is not in the queue any more was in the table before it left.
            if is_closed && self.is_empty() && self.leases().is_empty() {
                return Err(Fault::Closed);
            }
            if has_heard || self.is_last_look(deadline) {
                // A death that will not be heard again, or was not waited for.
                self.return_of_the_dead();
            }
            let has_one = control.tail.cell.wait(
                &control.bell,
                deadline,
                || self.has_returned() || self.is_worth_a_look(),
                || self.return_of_the_dead(),
            );
            if !has_one {
                return Err(Fault::TimedOut);
            }
        }
    }

    /// Tells whether who found nothing will not wait, though there are leases: those of the dead are found by nobody else
    /// then.
    #[inline]
    pub(super) fn is_last_look(&self, deadline: Deadline) -> bool {
        deadline.has_passed() && !self.leases().is_empty()
    }

    fn is_worth_a_look(&self) -> bool {
        if self.is_empty() { self.is_closed() && self.leases().is_empty() } else { !self.leases().is_full() }
    }

    /// Leases what is first, as the owner of the head's lock.
    fn lease_first(&self, records: &mut impl Sink) -> Result<Option<Leased>, Fault> {
        let leases = self.leases();
        let (process, thread) = (thread::process_id(), thread::id());
        if self.has_returned()
            && let Some(place) = self.find_returned(records)
        {
            self.read_again(place, records)?;
            let span = &leases.places[place].span;
            span.store(span.load(Ordering::Relaxed) | REDELIVERED, Ordering::Relaxed);
            // From now on there is more than the lock to be found.
            thread::watch(self.memory.control().bell.futex());
            leases.set_owner(place, process);
            self.subtract_returned();
            return Ok(Some(Leased { place, process, thread, is_redelivered: true }));
        }
        let Some(place) = leases.find(FREE) else { return Ok(None) };
        let control = self.memory.control();
        let head = Position::unpack(control.head.cell.read_as_writer());
        let seen = control.tail.cell.read();
        control.head.other.store(seen, Ordering::Relaxed);
        match self.available(head, seen) {
            0 => return Ok(None),
            available if available > self.shape.capacity => {
                return Err(Broken("it holds more than its capacity").into());
            }
            _ => {}
        }
        let mut at = self.cursor(head)?;
        let first = at.turn;
        let tail = self.cursor(Position::unpack(seen))?;
        let token = self.read(&mut at, &tail, head.count, records)?;
        if let Some(token) = token {
            records.fetch(token);
            records.keep(token).map_err(Fault::Handles)?;
        }
        let entry = &leases.places[place];
        entry.position.store(head.pack(), Ordering::Relaxed);
        // Where the position is the end of a chunk, that one too: it has the link to the next.
        entry.turn.store(first, Ordering::Relaxed);
        entry.span.store(at.turn.saturating_sub(first).min(REDELIVERED - 1), Ordering::Relaxed);
        entry.token.store(token.unwrap_or(0), Ordering::Relaxed);
        // As above.
        thread::watch(control.bell.futex());
        leases.set_owner(place, process);
        control.head.cell.publish(at.position(head.count.wrapping_add(1)).pack());
        if let Some(token) = token {
            records.release(token);
        }
        Ok(Some(Leased { place, process, thread, is_redelivered: false }))
    }

    /// Reads a record of the table.
    fn read_again(&self, place: usize, records: &mut impl Sink) -> Result<u64, Broken> {
        let entry = &self.leases().places[place];
        let position = Position::unpack(entry.position.load(Ordering::Relaxed));
        let span = entry.span.load(Ordering::Relaxed) & (REDELIVERED - 1);
        let mut at = self.cursor(position)?;
        // As far as it can reach.
        let end = Cursor { turn: at.turn.saturating_add(span), offset: self.shape.chunk_words, ..at };
        let token = self.read(&mut at, &end, position.count, records)?;
        if let Some(token) = token {
            records.fetch_kept(token);
        }
        Ok(token.unwrap_or(0))
    }

    /// Ends a lease: the record is done, or is delivered again.
    ///
    /// `forget` is called under a lock if handles were kept for it.
    pub fn end(&self, leased: &Leased, is_done: bool, forget: impl FnOnce(&dyn Fn(u64) -> bool)) {
        let control = self.memory.control();
        // A forked child's copy of what its parent leased is none.
        if leased.process == thread::process_id() {
            let leases = self.leases();
            // Until all is told, also between the locks.
            let watched = thread::watch(control.bell.futex());
            let locked = loop {
                // Without a deadline it comes to an end.
                if let Some(locked) = self.lock_head_beside(Deadline::NEVER) {
                    break locked;
                }
            };
            let is_mine = leases.owner(leased.place) == leased.process;
            let mut has_waiters = false;
            if is_mine && is_done {
                has_waiters = leases.is_full();
                let token = leases.places[leased.place].token.load(Ordering::Relaxed);
                self.finish(leased.place);
                if token != 0 {
                    self.forget_kept(forget);
                }
            } else if is_mine {
                self.give_back(leased.place);
                has_waiters = true;
            }
            control.head.lock.unlock(locked);
            // LEASE: SeqCst, partner of the fence in `close`: either this sees the close, or who was woken by it
            // sees that the lease is over.
            fence(Ordering::SeqCst);
            if has_waiters || self.is_closed() {
                self.stir();
            }
            thread::watch_again(watched);
        }
        if leased.thread == thread::id() {
            thread::let_go(control.bell.futex());
        }
    }

    /// The commit of an end, and what tells of it.
    fn finish(&self, place: usize) {
        let cell = &self.memory.control().head.cell;
        self.leases().set_owner(place, FREE);
        self.count_end();
        cell.publish(cell.read_as_writer());
    }

    fn give_back(&self, place: usize) {
        let returned = &self.memory.control().head.returned;
        // In this order, and the other way round where it is taken: after a death it is too high at worst, and is
        // set right by who finds none.
        returned.store(returned.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
        self.leases().set_owner(place, RETURNED);
    }

    fn forget_kept(&self, forget: impl FnOnce(&dyn Fn(u64) -> bool)) {
        let leases = self.leases();
        forget(&|token| {
            (0..LEASES).any(|place| {
                leases.owner(place) != FREE && leases.places[place].token.load(Ordering::Relaxed) == token
            })
        });
    }

    /// Wakes who waits for records, though there is none more behind the tail; tells whether a death was heard meanwhile.
    fn stir(&self) -> bool {
        let control = self.memory.control();
        let tail = &control.tail;
        // Behind a producer that is stopped, sleepers find it when their sleep ends.
        let Some(locked) = tail.lock.lock_beside(&control.bell, politely()) else { return false };
        let locked = self.tidied(locked);
        tail.cell.publish(tail.cell.read_as_writer());
        tail.lock.unlock(locked);
        locked.has_heard
    }

    /// Returns what processes had leased that are dead.
    #[cold]
    pub fn return_of_the_dead(&self) {
        // Who dies at this is heard by the next.
        let watched = thread::watch(self.memory.control().bell.futex());
        while self.has_heard_while_returning() {}
        thread::watch_again(watched);
    }

    /// Does that once, and tells whether another death was heard meanwhile.
    fn has_heard_while_returning(&self) -> bool {
        let leases = self.leases();
        // One process often has many.
        let (me, mut alive) = (thread::process_id(), FREE);
        let (mut any, mut has_heard) = (false, false);
        self.release_of_the_dead();
        for place in 0..LEASES {
            let owner = leases.owner(place);
            if owner == FREE {
                continue;
            }
            // The kernel is asked without the lock. Of one that was returned, who did it may have died before it
            // was counted: taking the lock counts again.
            let is_of_the_dead = match owner {
                RETURNED => {
                    let returned = &self.memory.control().head.returned;
                    Leases::count_returned(returned.load(Ordering::Relaxed)) == 0
                }
                owner if owner == me || owner == alive => false,
                owner => !thread::process_is_alive(owner),
            };
            if !is_of_the_dead {
                alive = owner;
                continue;
            }
            let Some(locked) = self.lock_head_beside(politely()) else { break };
            has_heard |= locked.has_heard;
            if leases.owner(place) == owner && owner != RETURNED {
                self.give_back(place);
                any = true;
            }
            self.memory.control().head.lock.unlock(locked);
        }
        if any {
            has_heard |= self.stir();
        }
        has_heard
    }

    /// Tells whether all records that were put have been taken and are done.
    pub fn is_done(&self) -> bool {
        // In this order: what is not in the queue any more was in the table before it left.
        self.is_empty() && self.leases().is_empty()
    }
}
