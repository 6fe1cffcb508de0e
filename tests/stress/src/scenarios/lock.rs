//! Locks: ours, and those that are to be caught.

use multiproc_core::Deadline;
use multiproc_shm::Shared;
use multiproc_sync::raw::{Acquired, Lock};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::control::{Bracket, Gate};
use crate::crew::HANG;
use crate::memory::{Plain, shared};
use crate::os;
use crate::scenario::{Found, Neighbours, Scenario, Stage, Tally};

/// A lock to try, or anything of which one process at a time can have one.
pub(crate) trait Subject: Send + Sync + 'static {
    /// How the scenarios call it.
    const NAME: &'static str;
    /// It is wrong, and must be caught.
    const IS_CONTROL: bool = false;
    /// Who takes it is told if its last owner died with it.
    const TELLS: bool = true;
    /// Who comes just after a death finds it when its first short sleep ends, as is documented.
    const NEEDS_BOUND: bool = false;

    /// One that is free.
    fn new() -> Self;
    /// Called once where it lies, before there is another process.
    fn prepare(&self) {}
    /// Takes it, calls `body` with what that told, and gives it back.
    fn with(&self, body: &mut dyn FnMut(Found));
    /// Looks whether it is free and whole after all.
    ///
    /// # Errors
    ///
    /// Says what is wrong.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Our lock as it is held by users.
pub(crate) struct Long(Lock);

impl Subject for Long {
    const NAME: &'static str = "lock, held long";

    fn new() -> Long {
        Long(Lock::new())
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        // Without a deadline it is always taken.
        let Some(acquired) = self.0.lock_long(Deadline::NEVER) else { return };
        body(found(acquired));
        self.0.unlock_long();
    }
}

/// Our lock as it is held for a few instructions.
pub(crate) struct Short(Lock);

impl Subject for Short {
    const NAME: &'static str = "lock";

    fn new() -> Short {
        Short(Lock::new())
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        let Some(locked) = self.0.lock(Deadline::NEVER) else { return };
        body(found(locked.acquired));
        self.0.unlock(locked);
    }
}

fn found(acquired: Acquired) -> Found {
    match acquired {
        Acquired::Clean => Found::Clean,
        Acquired::OwnerDied => Found::Dead,
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
        u64::from(L::TELLS && self.shape == Shape::Inherited)
    }

    fn needs_bound(&self) -> bool {
        L::NEEDS_BOUND
    }

    fn victim_needs_bound(&self) -> bool {
        L::NEEDS_BOUND && self.shape == Shape::Inherited
    }

    fn is_control(&self) -> bool {
        L::IS_CONTROL
    }

    fn stage(&self) -> Box<dyn Stage> {
        let state = shared(Guarded::<L>::new());
        state.0.lock.prepare();
        let stage = Locked { shape: self.shape, state };
        if self.shape == Shape::Inherited {
            // Ends in the middle of it.
            let pid = os::spawn(|| stage.state.0.lock.with(&mut |_| os::leave()));
            os::wait(pid, HANG);
        }
        Box::new(stage)
    }
}

/// A lock and what it guards: two numbers that are equal whenever it is free.
pub(crate) struct Guarded<L> {
    pub(crate) lock: L,
    first: AtomicU64,
    second: AtomicU64,
}

impl<L: Subject> Guarded<L> {
    /// A free one.
    pub(crate) fn new() -> Guarded<L> {
        Guarded { lock: L::new(), first: AtomicU64::new(0), second: AtomicU64::new(0) }
    }

    /// Changes the numbers, and does more while it owns the lock.
    pub(crate) fn change(&self, mut more: impl FnMut()) -> Found {
        let mut told = Found::Clean;
        self.lock.with(&mut |found| {
            told = found;
            let (first, second) = (self.first.load(Ordering::Relaxed), self.second.load(Ordering::Relaxed));
            if first != second {
                assert!(found == Found::Dead || !L::TELLS, "half a change, and nobody said so");
                self.second.store(first, Ordering::Relaxed);
            }
            // Not in one step each, so that two at once are seen in the sum.
            self.first.store(first + 1, Ordering::Relaxed);
            self.second.store(first + 1, Ordering::Relaxed);
            more();
        });
        told
    }

    /// Looks whether it is free, the numbers are equal, and so many changes were made.
    ///
    /// # Errors
    ///
    /// Says what is wrong.
    pub(crate) fn verify(&self, least: u64, most: u64) -> Result<(), String> {
        self.lock.check()?;
        let (first, second) = (self.first.load(Ordering::Relaxed), self.second.load(Ordering::Relaxed));
        if first != second {
            return Err(format!("a half change is left: {first} and {second}"));
        }
        if (least..=most).contains(&first) {
            Ok(())
        } else {
            Err(format!("{first} changes were made, and not {least} to {most}"))
        }
    }
}

struct Locked<L: Subject> {
    shape: Shape,
    state: Shared<Plain<Guarded<L>>>,
}

impl<L: Subject> Stage for Locked<L> {
    fn victim(&self, bracket: &Bracket<'_>) {
        // What a thread learns once is not part of an operation.
        multiproc_core::sys::thread::process_id();
        if self.shape == Shape::Sleepers {
            self.state.0.change(|| bracket.begin());
        } else {
            bracket.begin();
            self.state.0.change(|| {});
        }
        bracket.end();
    }

    fn operate(&self, _who: usize) -> Found {
        self.state.0.change(|| {})
    }

    fn hold(&self, gate: &Gate<'_>) {
        let lock = &self.state.0.lock;
        lock.with(&mut |_| gate.wait(0));
        if self.shape == Shape::Stolen {
            lock.with(&mut |_| gate.wait(1));
        }
    }

    fn check(&self, tally: &Tally) -> Result<(), String> {
        let mut least = tally.operations + tally.waits + u64::from(tally.is_victim_done);
        let mut most = least + tally.killed;
        if self.shape == Shape::Sleepers && !tally.is_victim_done {
            // It had done its part before.
            least += 1;
            most = most.max(least);
        }
        self.state.0.verify(least, most)
    }
}
