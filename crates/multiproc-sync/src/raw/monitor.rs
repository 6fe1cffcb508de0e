//! State that several processes change and wait for, and that outlives each of them.
//!
//! A lock, a number that is published, and a bell. The number is the truth: whoever owns the lock may change other
//! words, but they have no meaning before the number says so, or it names the one change that is to be made to them
//! (which the next owner makes, again if need be). So one that dies with the lock has done its change or has not.
//!
//! From the beginning of an operation to its end the kernel watches the bell, and everybody who sleeps, for the lock
//! or for the number, sleeps on the bell too: so a death is heard at once if anybody sleeps. Who comes later finds it
//! when its first short sleep ends.

use super::{DeathBell, Lock, Locked, WaitCell};
use multiproc_core::Deadline;

/// A lock, a published number and a bell; 48 bytes, all zeros is a valid one.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Monitor {
    lock: Lock,
    bell: DeathBell,
    cell: WaitCell,
}

/// The lock of a [`Monitor`], owned until this is dropped.
#[derive(Debug)]
pub struct Entered<'a> {
    monitor: &'a Monitor,
    locked: Locked,
}

impl Monitor {
    /// A monitor whose number is `value`.
    #[cfg(not(loom))]
    pub const fn new(value: u64) -> Monitor {
        Monitor { lock: Lock::new(), bell: DeathBell::new(), cell: WaitCell::new(value) }
    }

    /// A monitor whose number is `value`.
    #[cfg(loom)]
    pub fn new(value: u64) -> Monitor {
        Monitor { lock: Lock::new(), bell: DeathBell::new(), cell: WaitCell::new(value) }
    }

    /// The number, without the lock.
    #[inline]
    pub fn value(&self) -> u64 {
        self.cell.read()
    }

    /// The bell that everybody who sleeps here hears.
    pub fn bell(&self) -> &DeathBell {
        &self.bell
    }

    /// Takes the lock for a few steps: memory and atomics only.
    #[inline]
    pub fn enter(&self) -> Entered<'_> {
        loop {
            // Without a deadline it comes to an end.
            if let Some(entered) = self.enter_until(Deadline::NEVER) {
                return entered;
            }
        }
    }

    /// Takes the lock as [`enter`](Self::enter) does, and gives up at the deadline.
    ///
    /// Whoever has it does a few steps; only one that is stopped in between takes longer.
    #[inline]
    pub fn enter_until(&self, deadline: Deadline) -> Option<Entered<'_>> {
        // What the dead one had in mind is of no account, see above.
        let locked = self.lock.lock_beside(&self.bell, deadline)?;
        Some(Entered { monitor: self, locked })
    }

    /// Frees the lock if its owner is dead; for who has heard of a death elsewhere.
    pub(super) fn release_of_the_dead(&self) {
        self.lock.release_of_the_dead();
    }

    /// Waits until the number is `ready`, and tells whether it is; `false` means that the deadline passed first.
    ///
    /// `look` is called when somebody has died, and now and then: it looks for the dead and undoes what they hold. The
    /// caller owns no lock.
    pub fn wait(
        &self,
        deadline: Deadline,
        mut ready: impl FnMut(u64) -> bool,
        mut look: impl FnMut(),
    ) -> bool {
        self.cell.wait(
            &self.bell,
            deadline,
            || ready(self.cell.read()),
            || {
                self.release_of_the_dead();
                look();
            },
        )
    }
}

#[cfg(not(any(loom, multiproc_model)))]
impl Monitor {
    /// What a copy tells a watcher: the number, and whether somebody may sleep here.
    pub(crate) fn seen(bytes: &[u8]) -> (u64, bool) {
        WaitCell::seen(bytes.get(std::mem::offset_of!(Monitor, cell)..).unwrap_or_default())
    }
}

impl Entered<'_> {
    /// The number.
    #[inline]
    pub fn value(&self) -> u64 {
        self.monitor.cell.read_as_writer()
    }

    /// Tells whether somebody died while this one waited for the lock, or with it.
    ///
    /// Who goes to sleep next calls what it gives [`wait`](Monitor::wait) as `look` before: it has heard the bell, and
    /// will not hear it again.
    #[inline]
    pub fn has_heard(&self) -> bool {
        self.locked.has_heard
    }

    /// Changes the number and wakes everybody who waits for it, in one step.
    #[inline]
    pub fn publish(&self, value: u64) {
        self.monitor.cell.publish(value);
    }

    /// Changes the number, and leaves asleep who waits.
    #[inline]
    pub fn publish_quietly(&self, value: u64) {
        self.monitor.cell.publish_quietly(value);
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.monitor.lock.unlock(self.locked);
    }
}

/// What ARCHITECTURE.md draws.
#[cfg(all(test, not(any(loom, multiproc_model))))]
pub(super) const DRAWN: [super::Drawn; 3] = [
    (std::mem::offset_of!(Monitor, lock), size_of::<Lock>(), "Monitor.lock"),
    (std::mem::offset_of!(Monitor, bell), size_of::<DeathBell>(), "Monitor.bell"),
    (std::mem::offset_of!(Monitor, cell), size_of::<WaitCell>(), "Monitor.cell"),
];
