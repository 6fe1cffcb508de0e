use super::{Context, Scenario};
use crate::Result;
use crate::ends::{self, Gate, Told};
use crate::link::{Runner, Tried, in_processes};
use crate::measure::{Bench, Round, System, check};
use crate::peer::{PlainMutex, Pthread, RobustMutex, python};
use crate::place::Placement;
use multiproc_core::Deadline;
use multiproc_shm::{Shared, ShmSafe};
use multiproc_sync::raw::Lock;
use multiproc_sync::{Mutex, Semaphore};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const PARKING_LOT: &str = "parking_lot, threads";
const STD: &str = "std Mutex, threads";
const ROBUST: &str = "pthread robust";
const PLAIN: &str = "pthread, not robust";
const OURS: &str = "ours, Mutex";
const RAW: &str = "ours, raw lock";
const SEMAPHORE: &str = "ours, Semaphore";

pub(super) const FREE: Scenario = Scenario {
    name: "lock",
    sentence: "take a lock that is free, add one to a number, release it",
    unit: "ns",
    bench: |context| {
        let placement = Placement::one()?;
        bench(context, &[placement], 1, |system, name, ours| {
            system.goal(name(PARKING_LOT), if ours == OURS { 1.15 } else { 1.0 })
        })
    },
};

pub(super) const CONTENDED: Scenario = Scenario {
    name: "lock-contended",
    sentence: "the same by two processes (threads for parking_lot and std) that do nothing else; the cost of one",
    unit: "ns",
    bench: |context| {
        bench(context, &Placement::all()?, 2, |system, name, _| {
            system.goal(name(ROBUST), 1.0).goal(name(PARKING_LOT), 1.0)
        })
    },
};

/// A number behind a lock.
trait Counter: Clone + 'static {
    fn create() -> Result<Self>;
    /// Takes the lock, adds one, and releases it.
    fn add(&self) -> Tried<()>;
    fn total(&self) -> u64;
}

type Goals = fn(System, &dyn Fn(&str) -> String, &str) -> System;

fn bench(context: &Context, placements: &[Placement], ends: usize, goals: Goals) -> Result<Bench> {
    let mut bench = Bench::default();
    let operations = context.effort.operations(2_000_000);
    for &placement in placements {
        let name = |system: &str| placement.name(system);
        let mut add = |system: &str, operations, round| {
            let system_here = System::new(name(system), operations, round).against(name(PARKING_LOT));
            let is_ours = system == OURS || system == RAW;
            bench.systems.push(if is_ours { goals(system_here, &name, system) } else { system_here });
        };
        add(OURS, operations, counting::<Shared<Mutex<u64>>>(placement, ends, in_processes));
        add(RAW, operations, counting::<Shared<Raw>>(placement, ends, in_processes));
        add(SEMAPHORE, operations, counting::<Shared<Guarded>>(placement, ends, in_processes));
        add(
            PARKING_LOT,
            operations,
            counting::<Arc<parking_lot::Mutex<u64>>>(placement, ends, ends::threads),
        );
        add(STD, operations, counting::<Arc<std::sync::Mutex<u64>>>(placement, ends, ends::threads));
        add(ROBUST, operations, counting::<RobustMutex>(placement, ends, in_processes));
        add(PLAIN, operations, counting::<PlainMutex>(placement, ends, in_processes));
        add("CPython Lock", operations / 20, python("lock", ends, placement));
    }
    bench.absent.push(format!("Boost: its interprocess_mutex is `{PLAIN}` on Linux"));
    Ok(bench)
}

fn counting<C: Counter>(placement: Placement, ends: usize, run: Runner<C>) -> Round {
    Box::new(move |count| {
        let counter = C::create()?;
        let work: fn((C, Gate)) -> Told = count_up;
        let each = count / ends as u64;
        let outcome = run(placement, each, (0..ends).map(|_| (counter.clone(), work)).collect())?;
        check(counter.total(), each * ends as u64)?;
        Ok(outcome.each(each * ends as u64))
    })
}

fn count_up<C: Counter>((counter, gate): (C, Gate)) -> Told {
    gate.pass(|count| {
        for _ in 0..count {
            counter.add()?;
        }
        Ok((0, 0.0))
    })
}

impl Counter for Shared<Mutex<u64>> {
    fn create() -> Result<Self> {
        Ok(Shared::new(Mutex::new(0))?)
    }

    fn add(&self) -> Tried<()> {
        *self.lock().map_err(|error| error.to_string())? += 1;
        Ok(())
    }

    fn total(&self) -> u64 {
        self.lock().map_or(0, |value| *value)
    }
}

/// What the queue's ends are guarded by.
#[derive(ShmSafe)]
#[repr(C)]
struct Raw {
    lock: Lock,
    value: AtomicU64,
}

impl Counter for Shared<Raw> {
    fn create() -> Result<Self> {
        Ok(Shared::new(Raw { lock: Lock::new(), value: AtomicU64::new(0) })?)
    }

    fn add(&self) -> Tried<()> {
        let locked = self.lock.lock(Deadline::NEVER).ok_or("a lock was refused")?;
        let value = self.value.load(Ordering::Relaxed);
        self.value.store(value + 1, Ordering::Relaxed);
        self.lock.unlock(locked);
        Ok(())
    }

    fn total(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// A semaphore of one, as a lock.
#[derive(ShmSafe)]
#[repr(C)]
struct Guarded {
    semaphore: Semaphore,
    value: AtomicU64,
}

impl Counter for Shared<Guarded> {
    fn create() -> Result<Self> {
        Ok(Shared::new(Guarded { semaphore: Semaphore::new(1), value: AtomicU64::new(0) })?)
    }

    fn add(&self) -> Tried<()> {
        let _permit = self.semaphore.acquire();
        let value = self.value.load(Ordering::Relaxed);
        self.value.store(value + 1, Ordering::Relaxed);
        Ok(())
    }

    fn total(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

impl Counter for Arc<std::sync::Mutex<u64>> {
    fn create() -> Result<Self> {
        Ok(Arc::new(std::sync::Mutex::new(0)))
    }

    fn add(&self) -> Tried<()> {
        *self.lock().map_err(|error| error.to_string())? += 1;
        Ok(())
    }

    fn total(&self) -> u64 {
        self.lock().map_or(0, |value| *value)
    }
}

impl Counter for Arc<parking_lot::Mutex<u64>> {
    fn create() -> Result<Self> {
        Ok(Arc::new(parking_lot::Mutex::new(0)))
    }

    fn add(&self) -> Tried<()> {
        *self.lock() += 1;
        Ok(())
    }

    fn total(&self) -> u64 {
        *self.lock()
    }
}

impl<const ROBUST: bool> Counter for Pthread<ROBUST> {
    fn create() -> Result<Self> {
        Pthread::new()
    }

    fn add(&self) -> Tried<()> {
        Pthread::add(self).map_err(|error| error.to_string())
    }

    fn total(&self) -> u64 {
        Pthread::total(self)
    }
}
