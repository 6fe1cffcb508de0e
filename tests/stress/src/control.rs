//! The page by which the driver leads the processes of one point, and sees how far they are.

use multiproc_core::sync::futex;
use multiproc_shm::ShmSafe;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::os;
use crate::scenario::Found;

/// How many processes but the victim and the holder there can be at one point.
pub(crate) const SEATS: usize = 8;

/// The stages of a point, in [`Control::stage`].
pub(crate) mod stage {
    /// The victim is dead, or stands still; until then it is being prepared and stepped.
    pub(crate) const GONE: u32 = 1;
    /// Those who came later do what they must for the others to go on.
    pub(crate) const RELIEF: u32 = 2;
    /// Everybody works.
    pub(crate) const WORK: u32 = 3;
}

/// How far a process is with the instructions that count, in a [`Bracket`].
pub(crate) mod phase {
    /// It is in the operation; until then it prepares.
    pub(crate) const INSIDE: u32 = 1;
    /// It has done the operation.
    pub(crate) const DONE: u32 = 2;
}

/// How far a survivor is, in [`Seat::step`].
pub(crate) mod step {
    /// It has begun its first operation.
    pub(crate) const ENTERED: u32 = 1;
    /// It has done its first operation.
    pub(crate) const THROUGH: u32 = 2;
    /// It has done all.
    pub(crate) const DONE: u32 = 3;
}

/// What one survivor has done.
#[derive(Debug, Default, ShmSafe)]
#[repr(C)]
pub(crate) struct Seat {
    /// See [`step`].
    pub(crate) step: AtomicU32,
    /// How often it was told that somebody has died.
    pub(crate) deaths: AtomicU32,
    /// How many operations it has done, without that of [`Scenario::wait`](crate::scenario::Stage::wait).
    pub(crate) operations: AtomicU64,
    /// When it had done the first after the victim's death, see [`now`]; 0 is not yet.
    pub(crate) first: AtomicU64,
}

/// The driver's page; as new for every point.
#[derive(Debug, Default, ShmSafe)]
#[repr(C)]
pub(crate) struct Control {
    stage: AtomicU32,
    gate: AtomicU32,
    /// The number of the gate that the holder stands at, plus one; [`HOLDER_DONE`] when it has gone through all.
    holder: AtomicU32,
    /// See [`phase`].
    pub(crate) victim: AtomicU32,
    /// The same of the one who does what the victim left, and is killed, too.
    pub(crate) recoverer: AtomicU32,
    reserved: AtomicU32,
    /// The survivors'.
    pub(crate) seats: [Seat; SEATS],
}

/// The holder has gone through its gates.
pub(crate) const HOLDER_DONE: u32 = u32::MAX;
/// All gates are open.
pub(crate) const ALL_GATES: u32 = u32::MAX;

impl Control {
    /// Makes it as new; nobody looks at it.
    pub(crate) fn clear(&self) {
        for word in [&self.stage, &self.gate, &self.holder, &self.victim, &self.recoverer] {
            word.store(0, Ordering::Release);
        }
        for seat in &self.seats {
            seat.step.store(0, Ordering::Release);
            seat.deaths.store(0, Ordering::Release);
            seat.operations.store(0, Ordering::Release);
            seat.first.store(0, Ordering::Release);
        }
    }

    /// Moves everybody on to a stage.
    pub(crate) fn enter(&self, stage: u32) {
        set(&self.stage, stage);
    }

    /// The stage that is reached.
    pub(crate) fn stage(&self) -> u32 {
        self.stage.load(Ordering::Acquire)
    }

    /// Waits for a stage.
    pub(crate) fn await_stage(&self, stage: u32) {
        await_at_least(&self.stage, stage);
    }

    /// Opens the gates up to the one with this number, plus one.
    pub(crate) fn open_gates(&self, count: u32) {
        set(&self.gate, count);
    }

    /// How many gates are open.
    pub(crate) fn gates(&self) -> u32 {
        self.gate.load(Ordering::Acquire)
    }

    /// Where the holder is.
    pub(crate) fn holder(&self) -> u32 {
        self.holder.load(Ordering::Acquire)
    }

    /// Notes that the holder is through.
    pub(crate) fn holder_done(&self) {
        self.holder.store(HOLDER_DONE, Ordering::Release);
    }
}

impl Seat {
    /// Notes an operation.
    pub(crate) fn count(&self, found: Found) {
        if found == Found::Dead {
            self.deaths.fetch_add(1, Ordering::Relaxed);
        }
        self.operations.fetch_add(1, Ordering::Release);
    }

    /// Notes the first operation after the victim's death.
    pub(crate) fn first(&self) {
        let _ = self.first.compare_exchange(0, now().max(1), Ordering::Release, Ordering::Relaxed);
    }
}

/// Where a holder waits for the driver, see [`Stage::hold`](crate::scenario::Stage::hold).
#[derive(Debug)]
pub(crate) struct Gate<'a>(pub(crate) &'a Control);

impl Gate<'_> {
    /// Waits at the gate with this number; gate 0 opens when the victim sleeps, or has gone so far as it goes.
    pub(crate) fn wait(&self, number: u32) {
        self.0.holder.store(number + 1, Ordering::Release);
        await_at_least(&self.0.gate, number + 1);
    }
}

/// Tells the driver which instructions count.
#[derive(Debug)]
pub(crate) struct Bracket<'a>(pub(crate) Option<&'a AtomicU32>);

impl Bracket<'_> {
    /// Comes before the operation; whatever was done until then was not stepped.
    #[inline]
    pub(crate) fn begin(&self) {
        if let Some(phase) = self.0 {
            crate::HEAP.start_afresh();
            os::be_traced();
            // SeqCst, so that no instruction of the operation comes before it.
            phase.store(phase::INSIDE, Ordering::SeqCst);
        }
    }

    /// Comes after the operation.
    #[inline]
    pub(crate) fn end(&self) {
        if let Some(phase) = self.0 {
            // SeqCst, so that no instruction of the operation comes after it.
            phase.store(phase::DONE, Ordering::SeqCst);
        }
    }
}

/// Starts the clock that all processes read; called before the first is forked.
pub(crate) fn start_clock() {
    START.get_or_init(Instant::now);
}

/// Nanoseconds since [`start_clock`], in every process.
pub(crate) fn now() -> u64 {
    let since = START.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

static START: OnceLock<Instant> = OnceLock::new();

fn set(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::Release);
    futex::wake(word.into(), u32::MAX);
}

fn await_at_least(word: &AtomicU32, value: u32) {
    loop {
        let now = word.load(Ordering::Acquire);
        if now >= value {
            return;
        }
        // Bounded, since this is not what is tried here.
        futex::wait(word.into(), now, Some(Duration::from_millis(100)));
    }
}
