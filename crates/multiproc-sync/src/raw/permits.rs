//! Who has taken how many of something, so that what the dead have taken comes back.
//!
//! The truth is the monitor's number: how many are taken, and **the one change of the ledger that is to be made**:
//! "the holder in `slot` has `count`". Whoever enters the monitor makes that change first; it may have been made
//! before, or half, by one that died: that makes no difference. Then it prepares the next number, which names the
//! next change, and publishes it in one step with the wake-up. So the ledger and the sum agree at every instruction:
//! a log of length one.
//!
//! ```text
//!   number   | taken (signed) 32 | slot 8 | count 24 |
//!   holders  | id 64 | count 64 |   x 128, in the hands of who owns the monitor's lock
//! ```
//!
//! A place without a count is free, whatever number stands beside. A process may get a second place if its first one
//! became free while it had none; each counts for itself.
//!
//! Whoever holds a permit has the kernel watch the monitor's bell. When it dies, one that sleeps here hears it, looks
//! for processes in the ledger that are dead, and takes back what they hold; be it that it sleeps for a permit or for
//! the monitor's lock. Who never sleeps looks when it is refused.
//!
//! What is read may have been written by a broken program. A slot that does not exist names no change; sums saturate.

use super::{DeathBell, Entered, Monitor, looks};
use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{GuardedU64, Ordering};
use multiproc_core::sync::thread;
#[cfg(not(any(loom, multiproc_model)))]
use multiproc_shm::peek;

/// The most processes whose permits come back when they die, at one time.
const HOLDERS: usize = if cfg!(any(loom, multiproc_model)) { 3 } else { 128 };

const NO_SLOT: u8 = 0xff;
const MOST: u32 = (1 << 24) - 1;
const _: () = assert!(HOLDERS < NO_SLOT as usize, "places have a number of eight bits");

/// A count of what is taken, and by whom; all zeros is nothing by nobody.
#[derive(Debug)]
#[repr(C)]
pub struct Permits {
    monitor: Monitor,
    holders: [Holder; HOLDERS],
}

#[derive(Debug)]
#[repr(C)]
struct Holder {
    id: GuardedU64,
    count: GuardedU64,
}

/// One that was taken, and by which process.
#[derive(Debug)]
#[must_use]
pub struct Taken {
    process: u64,
    /// False if the ledger was full.
    is_listed: bool,
}

/// None was taken.
#[derive(Clone, Copy, Debug)]
pub struct NotTaken {
    /// Somebody died meanwhile of whom nothing more will be heard. What it had here has been taken back.
    pub has_heard: bool,
}

/// The monitor's number in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    taken: i32,
    slot: u8,
    count: u32,
}

impl Number {
    fn of(value: u64) -> Number {
        Number { taken: (value >> 32) as i32, slot: (value >> 24) as u8, count: value as u32 & MOST }
    }

    fn value(self) -> u64 {
        u64::from(self.taken.cast_unsigned()) << 32
            | u64::from(self.slot) << 24
            | u64::from(self.count & MOST)
    }

    /// That many more taken, and the ledger as it is.
    fn changed(self, by: i32) -> Number {
        Number { taken: self.taken.saturating_add(by), slot: NO_SLOT, count: 0 }
    }

    /// With the change that it names.
    fn naming(self, slot: usize, count: u32) -> Number {
        Number { slot: u8::try_from(slot).unwrap_or(NO_SLOT), count, ..self }
    }
}

impl Permits {
    /// Nothing is taken.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Permits {
        Permits {
            monitor: Monitor::new(0),
            holders: [const { Holder { id: GuardedU64::new(0), count: GuardedU64::new(0) } }; HOLDERS],
        }
    }

    /// Nothing is taken.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Permits {
        let holder = |_| Holder { id: GuardedU64::new(0), count: GuardedU64::new(0) };
        Permits { monitor: Monitor::new(0), holders: std::array::from_fn(holder) }
    }

    /// What rings when one who has taken something dies.
    pub fn bell(&self) -> &DeathBell {
        self.monitor.bell()
    }

    /// How many are taken; below zero if more were given than taken.
    #[inline]
    pub fn taken(&self) -> i32 {
        Number::of(self.monitor.value()).taken
    }

    /// Takes one if `may` says so of the number that are taken, and has the bell watched for it.
    ///
    /// The deadline is for a monitor whose owner is stopped.
    ///
    /// # Errors
    ///
    /// It says no, or the deadline passed.
    #[inline]
    pub fn take(&self, deadline: Deadline, may: impl FnOnce(i32) -> bool) -> Result<Taken, NotTaken> {
        // From before the first step until it is given back, with no gap.
        let watched = thread::watch(self.bell().futex());
        let taken = self.take_beside(deadline, may);
        match taken {
            Ok(_) => thread::hold(self.bell().futex()),
            Err(_) => thread::watch_again(watched),
        }
        taken
    }

    /// Takes one for the owner of a lock that the kernel watched, whose sleepers hear the bell: that is watched from now
    /// on, since there is more to be found than the lock.
    pub fn take_under(&self, deadline: Deadline, may: impl FnOnce(i32) -> bool) -> Option<Taken> {
        let taken = self.take_beside(deadline, may).ok();
        if taken.is_some() {
            thread::hold(self.bell().futex());
            thread::watch(self.bell().futex());
        }
        taken
    }

    fn take_beside(&self, deadline: Deadline, may: impl FnOnce(i32) -> bool) -> Result<Taken, NotTaken> {
        let Some((entered, number)) = self.enter_until(deadline) else {
            return Err(NotTaken { has_heard: false });
        };
        if number.taken == i32::MAX || !may(number.taken) {
            return Err(NotTaken { has_heard: self.leave(entered) });
        }
        let process = thread::process_id();
        let more = number.changed(1);
        // Relaxed, in all of this file: the ledger belongs to the owner of the monitor's lock.
        let place =
            self.places(process).find_map(|(slot, holder)| match holder.count.load(Ordering::Relaxed) {
                // Nobody's, unless and until the number says so.
                0 => {
                    holder.id.store(process, Ordering::Relaxed);
                    Some((slot, 1))
                }
                count if count < MOST.into() && holder.id.load(Ordering::Relaxed) == process => {
                    Some((slot, count as u32 + 1))
                }
                _ => None,
            });
        entered.publish_quietly(place.map_or(more, |(slot, count)| more.naming(slot, count)).value());
        Ok(Taken { process, is_listed: place.is_some() })
    }

    /// Takes one as soon as `may` says so.
    pub fn acquire(&self, deadline: Deadline, may: impl Fn(i32) -> bool) -> Option<Taken> {
        loop {
            if let Ok(taken) = self.take(deadline, &may) {
                return Some(taken);
            }
            if !self.wait(deadline, &may) {
                return None;
            }
            // There is one, but perhaps nobody gets at it: the owner of the monitor is stopped.
            if deadline.has_passed() {
                return self.take(deadline, &may).ok();
            }
        }
    }

    /// Takes one if `may` says so, now or when what the dead hold has come back.
    pub fn try_acquire(&self, may: impl Fn(i32) -> bool) -> Option<Taken> {
        let deadline = looks::without_waiting();
        self.take(deadline, &may).ok().or_else(|| {
            if !looks::is_due() || deadline.has_passed() {
                return None;
            }
            self.take_back_from_the_dead();
            self.take(deadline, &may).ok()
        })
    }

    /// Waits until `ready` says so of the number that are taken; `false` means that the deadline passed first.
    pub fn wait(&self, deadline: Deadline, ready: impl Fn(i32) -> bool) -> bool {
        self.monitor.wait(deadline, |value| ready(Number::of(value).taken), || self.take_back_from_the_dead())
    }

    /// Calls `f` with the number that are taken while nobody takes one.
    pub fn while_none_is_taken<R>(&self, deadline: Deadline, f: impl FnOnce(i32) -> R) -> Option<R> {
        let (entered, number) = self.enter_until(deadline)?;
        let result = f(number.taken);
        self.leave(entered);
        Some(result)
    }

    /// Leaves the monitor for one who may sleep next, and tells whether it has heard a death that it will not hear
    /// again; what the dead had is taken back then.
    #[inline]
    fn leave(&self, entered: Entered<'_>) -> bool {
        let has_heard = entered.has_heard();
        drop(entered);
        if has_heard {
            self.take_back_from_the_dead();
        }
        has_heard
    }

    /// Gives back what was taken.
    #[inline]
    pub fn give_back(&self, taken: &Taken) {
        self.end(
            taken,
            |entered, number| entered.publish(number.changed(-1).value()),
            |entered, number, place| {
                entered.publish(number.changed(-1).naming(place.0, place.1).value());
            },
        );
    }

    /// Leaves taken what was taken, whatever becomes of the process.
    pub fn forget(&self, taken: &Taken) {
        self.end(
            taken,
            |_, _| (),
            |entered, number, place| {
                entered.publish_quietly(number.changed(0).naming(place.0, place.1).value());
            },
        );
    }

    fn end(
        &self,
        taken: &Taken,
        unlisted: impl FnOnce(&Entered<'_>, Number),
        listed: impl FnOnce(&Entered<'_>, Number, (usize, u32)),
    ) {
        // A forked child's copy of what its parent took is none.
        if taken.process == thread::process_id() {
            let (entered, number) = self.enter();
            if taken.is_listed {
                let own = self.places(taken.process).find_map(|(slot, holder)| {
                    let count = holder.count.load(Ordering::Relaxed).min(MOST.into()) as u32;
                    let is_own = count > 0 && holder.id.load(Ordering::Relaxed) == taken.process;
                    is_own.then(|| (slot, count - 1))
                });
                // It is there, unless a broken program has written here.
                if let Some(place) = own {
                    listed(&entered, number, place);
                }
            } else {
                unlisted(&entered, number);
            }
        }
        thread::let_go(self.bell().futex());
    }

    /// Gives one that nobody has taken, if `may` says so of the number that are taken and of how many of those are
    /// in the ledger.
    pub fn give(&self, may: impl FnOnce(i32, u64) -> bool) -> bool {
        let (entered, number) = self.enter();
        let listed = || {
            let counts = self.holders.iter().map(|holder| holder.count.load(Ordering::Relaxed));
            counts.fold(0, u64::saturating_add)
        };
        let may = may(number.taken, listed());
        if may {
            entered.publish(number.changed(-1).value());
        }
        may
    }

    /// Takes back what processes hold that are dead, the monitor's lock among it.
    #[cold]
    pub fn take_back_from_the_dead(&self) {
        self.monitor.release_of_the_dead();
        let me = thread::process_id();
        loop {
            let mut has_heard = false;
            for (slot, holder) in self.holders.iter().enumerate() {
                let id = holder.id.load(Ordering::Relaxed);
                // The kernel is asked without the lock.
                if id != 0 && id != me && !thread::process_is_alive(id) {
                    has_heard |= self.take_back(slot, id);
                }
            }
            if !has_heard {
                return;
            }
        }
    }

    /// Tells whether another death was heard meanwhile.
    fn take_back(&self, slot: usize, dead: u64) -> bool {
        // Whoever looks next does it, if this one cannot.
        let Some((entered, number)) = self.enter_until(looks::without_waiting()) else { return false };
        let holder = &self.holders[slot];
        if holder.id.load(Ordering::Relaxed) != dead {
            return entered.has_heard();
        }
        match holder.count.load(Ordering::Relaxed) {
            // It died before it had any, or another has taken back what it had.
            0 => holder.id.store(0, Ordering::Relaxed),
            count => {
                let fewer = number.changed(-i32::try_from(count).unwrap_or(i32::MAX));
                entered.publish(fewer.naming(slot, 0).value());
            }
        }
        entered.has_heard()
    }

    /// Enters the monitor, and makes the change that the number names.
    fn enter(&self) -> (Entered<'_>, Number) {
        self.orderly(self.monitor.enter())
    }

    fn enter_until(&self, deadline: Deadline) -> Option<(Entered<'_>, Number)> {
        Some(self.orderly(self.monitor.enter_until(deadline)?))
    }

    fn orderly<'a>(&self, entered: Entered<'a>) -> (Entered<'a>, Number) {
        let number = Number::of(entered.value());
        if let Some(holder) = self.holders.get(usize::from(number.slot)) {
            holder.count.store(number.count.into(), Ordering::Relaxed);
            if number.count == 0 {
                holder.id.store(0, Ordering::Relaxed);
            }
        }
        (entered, number)
    }

    /// All places, beginning at one that the process tends to have for itself.
    fn places(&self, process: u64) -> impl Iterator<Item = (usize, &Holder)> {
        let first = (process & thread::NUMBER) as usize % HOLDERS;
        let (before, after) = self.holders.split_at(first);
        let numbered = |from: usize, holders| (from..).zip(holders);
        numbered(first, after.iter()).chain(numbered(0, before.iter()))
    }
}

#[cfg(not(any(loom, multiproc_model)))]
impl Permits {
    /// What a copy tells a watcher: how many are taken, by which processes, and whether somebody may sleep here.
    pub(crate) fn seen(bytes: &[u8]) -> (i32, Vec<(u64, u64)>, bool) {
        use std::mem::offset_of;
        let (value, is_waited_for) =
            Monitor::seen(bytes.get(offset_of!(Permits, monitor)..).unwrap_or_default());
        let number = Number::of(value);
        let mut holders = Vec::new();
        for slot in 0..HOLDERS {
            let at = offset_of!(Permits, holders) + slot * size_of::<Holder>();
            let id = peek::word(bytes, at + offset_of!(Holder, id));
            // The change that is to be made is as good as made.
            let count = if usize::from(number.slot) == slot {
                number.count.into()
            } else {
                peek::word(bytes, at + offset_of!(Holder, count)).min(MOST.into())
            };
            if id != 0 && count > 0 {
                holders.push((id, count));
            }
        }
        (number.taken, holders, is_waited_for)
    }
}

impl Default for Permits {
    fn default() -> Permits {
        Permits::new()
    }
}

/// What ARCHITECTURE.md draws.
#[cfg(all(test, not(any(loom, multiproc_model))))]
pub(super) const DRAWN: [super::Drawn; 2] = [
    (std::mem::offset_of!(Permits, monitor), size_of::<Monitor>(), "Permits.monitor"),
    (std::mem::offset_of!(Permits, holders), 16 * HOLDERS, "Permits.holders"),
];
