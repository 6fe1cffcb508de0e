use super::{Context, Scenario};
use crate::Result;
use crate::ends::{Crew, Gate, Told};
use crate::link::{Tried, in_processes, pause, since};
use crate::measure::{Bench, Round, System, check, in_us, trivial};
use crate::peer::{PlainMutex, python};
use crate::place::Placement;
use crate::{stats, sys};
use multiproc_core::Message;
use multiproc_pipe::Fd;
use multiproc_shm::{Shared, ShmSafe};
use multiproc_sync::{Condvar, Event, Mutex};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

const FUTEX: &str = "bare futex";
const PTHREAD: &str = "pthread condition";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "event",
    sentence: "set an event that another process has slept on for a while; from before the set to after the wait",
    unit: "us",
    bench,
};

/// Something to set and to wait for, again and again.
trait Flag: Message {
    fn create() -> Result<Self>;
    fn set(&self) -> Tried<()>;
    /// Waits until it is set, and clears it.
    fn wait(&self) -> Tried<()>;
}

fn bench(context: &Context) -> Result<Bench> {
    let mut bench = Bench::default();
    let operations = context.effort.operations(2_000);
    for placement in Placement::all()? {
        let name = |system: &str| placement.name(system);
        let mut add = |system: System| bench.systems.push(system.against(name(FUTEX)));
        add(System::new(name("ours, Event"), operations, waking::<Shared<Event>>(placement))
            .goal(name(FUTEX), 1.2));
        add(System::new(name("ours, Condvar"), operations, waking::<Shared<Noted>>(placement)));
        add(System::new(name(FUTEX), operations, waking::<Shared<Bare>>(placement)));
        add(System::new(name("eventfd"), operations, waking::<EventFd>(placement)));
        add(System::new(name(PTHREAD), operations, waking::<PlainMutex>(placement)));
        let by_python = in_us(python("event", 0, placement));
        add(System::new(name("CPython Event"), operations / 4, by_python));
    }
    bench.absent.push(format!("Boost: its interprocess_condition is `{PTHREAD}` on Linux"));
    Ok(bench)
}

/// When it was set, for which time, and whether that was seen.
#[derive(ShmSafe)]
#[repr(C)]
struct Moment {
    set: AtomicU64,
    number: AtomicU64,
    seen: AtomicU64,
}

type Ends<F> = (F, Shared<Moment>);

fn waking<F: Flag + Handed>(placement: Placement) -> Round {
    Box::new(move |count| {
        let moment = Shared::new(Moment {
            set: AtomicU64::new(0),
            number: AtomicU64::new(0),
            seen: AtomicU64::new(0),
        })?;
        let flag = F::create()?;
        let ends: Crew<Ends<F>> =
            vec![((flag.another()?, moment.clone()), setter::<F>), ((flag, moment), sleeper::<F>)];
        let outcome = in_processes(placement, count, ends)?;
        check(outcome.sum, (0..count).map(trivial).sum())?;
        Ok(outcome.figure / 1e3)
    })
}

fn setter<F: Flag>(((flag, moment), gate): (Ends<F>, Gate)) -> Told {
    gate.pass(|count| {
        for number in 0..count {
            pause();
            moment.number.store(number, Ordering::Relaxed);
            moment.set.store(sys::now(), Ordering::Relaxed);
            flag.set()?;
            // Acquire, partner of the Release in `sleeper`: the flag has been cleared.
            while moment.seen.load(Ordering::Acquire) <= number {
                thread::yield_now();
            }
        }
        Ok((0, 0.0))
    })
}

fn sleeper<F: Flag>(((flag, moment), gate): (Ends<F>, Gate)) -> Told {
    gate.pass(|count| {
        let (mut sum, mut times) = (0, Vec::new());
        for number in 0..count {
            flag.wait()?;
            times.push(since(moment.set.load(Ordering::Relaxed)));
            // One that was not set has the number of the time before.
            sum += trivial(moment.number.load(Ordering::Relaxed));
            // Release, partner of the Acquire in `setter`.
            moment.seen.store(number + 1, Ordering::Release);
        }
        Ok((sum, stats::median(&times)))
    })
}

/// What can be given to both ends.
trait Handed: Sized {
    fn another(&self) -> Result<Self>;
}

impl<T: ShmSafe> Handed for Shared<T> {
    fn another(&self) -> Result<Self> {
        Ok(self.clone())
    }
}

impl Flag for Shared<Event> {
    fn create() -> Result<Self> {
        Ok(Shared::new(Event::new())?)
    }

    fn set(&self) -> Tried<()> {
        Event::set(self);
        Ok(())
    }

    fn wait(&self) -> Tried<()> {
        Event::wait(self);
        self.clear();
        Ok(())
    }
}

/// A number that is 1 when it is set, and a condition for it.
#[derive(ShmSafe)]
#[repr(C)]
struct Noted {
    is_set: Mutex<u32>,
    condvar: Condvar,
}

impl Flag for Shared<Noted> {
    fn create() -> Result<Self> {
        Ok(Shared::new(Noted { is_set: Mutex::new(0), condvar: Condvar::new() })?)
    }

    fn set(&self) -> Tried<()> {
        *self.is_set.lock().map_err(|error| error.to_string())? = 1;
        self.condvar.notify_one();
        Ok(())
    }

    fn wait(&self) -> Tried<()> {
        let is_set = self.is_set.lock().map_err(|error| error.to_string())?;
        let mut is_set =
            self.condvar.wait_while(is_set, |is_set| *is_set == 0).map_err(|error| error.to_string())?;
        *is_set = 0;
        Ok(())
    }
}

impl Flag for PlainMutex {
    fn create() -> Result<Self> {
        PlainMutex::new()
    }

    fn set(&self) -> Tried<()> {
        PlainMutex::set(self).map_err(|error| error.to_string())
    }

    fn wait(&self) -> Tried<()> {
        PlainMutex::wait(self).map_err(|error| error.to_string())
    }
}

impl Handed for PlainMutex {
    fn another(&self) -> Result<Self> {
        Ok(self.clone())
    }
}

/// A word that is 1 when it is set.
#[derive(ShmSafe)]
#[repr(transparent)]
struct Bare(AtomicU32);

impl Flag for Shared<Bare> {
    fn create() -> Result<Self> {
        Ok(Shared::new(Bare(AtomicU32::new(0)))?)
    }

    fn set(&self) -> Tried<()> {
        // Release, partner of the Acquire in `wait`.
        self.0.store(1, Ordering::Release);
        sys::futex_wake(&self.0);
        Ok(())
    }

    fn wait(&self) -> Tried<()> {
        // Acquire, partner of the Release in `set`.
        while self.0.load(Ordering::Acquire) == 0 {
            sys::futex_wait(&self.0, 0);
        }
        self.0.store(0, Ordering::Relaxed);
        Ok(())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct EventFd(Fd<File>);

impl Flag for EventFd {
    fn create() -> Result<Self> {
        Ok(EventFd(Fd::new(sys::eventfd()?)))
    }

    fn set(&self) -> Tried<()> {
        let file: &File = &self.0;
        (&mut &*file).write_all(&1_u64.to_ne_bytes()).map_err(|error| error.to_string())
    }

    fn wait(&self) -> Tried<()> {
        let file: &File = &self.0;
        (&mut &*file).read_exact(&mut [0; 8]).map_err(|error| error.to_string())
    }
}

impl Handed for EventFd {
    fn another(&self) -> Result<Self> {
        Ok(EventFd(Fd::new(self.0.try_clone()?)))
    }
}
