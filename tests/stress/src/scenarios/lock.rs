//! Locks: ours, and those that are to be caught.

use multiproc_core::Deadline;
use multiproc_shm::Shared;
use multiproc_sync::raw::{Acquired, Lock};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::control::{Bracket, Gate};
use crate::memory::{Plain, shared};
use crate::scenario::{Found, Neighbours, Scenario, Stage, Tally};

/// A lock to try.
pub(crate) trait Subject: Send + Sync + 'static {
    /// How the scenarios call it.
    const NAME: &'static str;
    /// It is wrong, and must be caught.
    const IS_CONTROL: bool = false;

    /// One that is free.
    fn new() -> Self;
    /// Called once where it lies, before there is another process.
    fn prepare(&self) {}
    /// Takes it, and tells whether its last owner died with it.
    fn acquire(&self) -> Found;
    /// Gives it back.
    fn release(&self);
    /// Called once by every process that will use it.
    fn warm(&self) {
        multiproc_core::sys::thread::process_id();
    }
}

/// Our lock as it is held by users.
pub(crate) struct Long(Lock);

impl Subject for Long {
    const NAME: &'static str = "long lock";

    fn new() -> Long {
        Long(Lock::new())
    }

    fn acquire(&self) -> Found {
        match self.0.lock_long(Deadline::NEVER) {
            Some(Acquired::OwnerDied) => Found::Dead,
            _ => Found::Clean,
        }
    }

    fn release(&self) {
        self.0.unlock_long();
    }
}

/// What two processes can have to do with each other over one lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Lock and unlock, alone.
    Free,
    /// Lock and unlock, while others do the same.
    Contended,
    /// Unlock, while others sleep.
    Sleepers,
    /// Lock and unlock; it sleeps, others sleep behind it, and the holder gives the lock back.
    Behind,
    /// The same, and the holder takes it again before the victim can.
    Stolen,
    /// Lock and unlock after an owner has died with it.
    Inherited,
}

/// Every shape there is.
pub(crate) const SHAPES: [Shape; 6] =
    [Shape::Free, Shape::Contended, Shape::Sleepers, Shape::Behind, Shape::Stolen, Shape::Inherited];

/// A lock in one of the shapes.
pub(crate) struct Locking<L> {
    shape: Shape,
    subject: PhantomData<fn() -> L>,
}

impl<L: Subject> Locking<L> {
    /// For one shape.
    pub(crate) fn new(shape: Shape) -> Self {
        Locking { shape, subject: PhantomData }
    }
}

impl<L: Subject> Scenario for Locking<L> {
    fn name(&self) -> String {
        let shape = match self.shape {
            Shape::Free => "free",
            Shape::Contended => "contended",
            Shape::Sleepers => "unlock, sleepers",
            Shape::Behind => "woken, sleeper behind",
            Shape::Stolen => "woken, stolen, sleeper behind",
            Shape::Inherited => "after a death",
        };
        format!("{}/{shape}", L::NAME)
    }

    fn neighbours(&self) -> Neighbours {
        match self.shape {
            Shape::Free | Shape::Inherited => Neighbours::None,
            Shape::Contended => Neighbours::Contending(2),
            Shape::Sleepers => Neighbours::Asleep(2),
            Shape::Behind | Shape::Stolen => Neighbours::AsleepBehind(1),
        }
    }

    fn has_holder(&self) -> bool {
        matches!(self.shape, Shape::Behind | Shape::Stolen)
    }

    fn deaths_before(&self) -> u64 {
        u64::from(self.shape == Shape::Inherited)
    }

    fn is_control(&self) -> bool {
        L::IS_CONTROL
    }

    fn stage(&self) -> Box<dyn Stage> {
        let state = shared(Guarded { lock: L::new(), first: AtomicU64::new(0), second: AtomicU64::new(0) });
        state.0.lock.prepare();
        let stage = Locked { shape: self.shape, state };
        if self.shape == Shape::Inherited {
            let pid = crate::os::spawn(|| {
                stage.state.0.lock.warm();
                stage.state.0.lock.acquire();
            });
            crate::os::wait(pid, crate::crew::HANG);
        }
        Box::new(stage)
    }
}

/// A lock and what it guards: two numbers that are equal whenever it is free.
struct Guarded<L> {
    lock: L,
    first: AtomicU64,
    second: AtomicU64,
}

impl<L: Subject> Guarded<L> {
    fn enter(&self) -> Found {
        let found = self.lock.acquire();
        if found == Found::Dead {
            self.second.store(self.first.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        // Not in one step each, so that two at once are seen in the sum.
        self.first.store(self.first.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.second.store(self.second.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        found
    }
}

struct Locked<L: Subject> {
    shape: Shape,
    state: Shared<Plain<Guarded<L>>>,
}

impl<L: Subject> Stage for Locked<L> {
    fn victim(&self, bracket: &Bracket<'_>) {
        let state = &self.state.0;
        state.lock.warm();
        if self.shape == Shape::Sleepers {
            state.enter();
            bracket.begin();
        } else {
            bracket.begin();
            state.enter();
        }
        state.lock.release();
        bracket.end();
    }

    fn operate(&self, _who: usize) -> Found {
        let found = self.state.0.enter();
        self.state.0.lock.release();
        found
    }

    fn hold(&self, gate: &Gate<'_>) {
        let lock = &self.state.0.lock;
        lock.acquire();
        gate.wait(0);
        lock.release();
        if self.shape == Shape::Stolen {
            lock.acquire();
            gate.wait(1);
            lock.release();
        }
    }

    fn check(&self, tally: &Tally) -> Result<(), String> {
        let state = &self.state.0;
        let (first, second) = (state.first.load(Ordering::Relaxed), state.second.load(Ordering::Relaxed));
        if first != second {
            return Err(format!("a half change is left: {first} and {second}"));
        }
        let mut least = tally.operations + tally.waits + u64::from(tally.is_victim_done);
        let mut most = least + tally.killed;
        if self.shape == Shape::Sleepers && !tally.is_victim_done {
            // It had done its part before.
            least += 1;
            most = most.max(least);
        }
        if (least..=most).contains(&first) {
            Ok(())
        } else {
            Err(format!("{first} changes were made, and not {least} to {most}"))
        }
    }
}
