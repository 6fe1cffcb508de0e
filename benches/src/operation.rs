//! The operations that are counted and not timed: by the system's calls, by the processor's instructions.

use crate::Result;
use crate::link::{BATCH, CAPACITY};
use crate::measure::{check, trivial};
use crate::payload::{Payload, Sample};
use crate::scenario::codec::Job;
use multiproc_core::codec;
use multiproc_pipe::one_way;
use multiproc_pool::Pool;
use multiproc_queue::{Queue, channel, spsc};
use multiproc_shm::Shared;
use multiproc_sync::{Event, Mutex, Semaphore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::hint::black_box;

/// Something that is done over and over in one process.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// It makes no system call where nobody sleeps.
    pub(crate) is_silent: bool,
    run: fn(u64) -> Result,
}

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation::silent("Mutex: lock", lock),
    Operation::silent("Semaphore: acquire, release", semaphore),
    Operation::silent("Event: set, wait, clear", event),
    Operation::silent("Queue: put, get, 64 B", queue::<Sample>),
    Operation::silent("Queue: put, get, 1 KiB", queue::<[[u64; 16]; 8]>),
    Operation::silent("Queue: put_many, get_many, 32 of 64 B", batches),
    Operation::silent("spsc: send, recv, 64 B", single),
    Operation::silent("channel: send, recv, 64 B", shared),
    Operation::calling("pipe: send, recv, 64 B", pipe),
    Operation::silent("codec: encode, 64 B", |count| encode(&Sample::of(1), count)),
    Operation::silent("codec: decode, 64 B", |count| decode(&Sample::of(1), count)),
    Operation::silent("codec: encode, nested", |count| encode(&Job::example(), count)),
    Operation::silent("codec: decode, nested", |count| decode(&Job::example(), count)),
    Operation::calling("Pool: apply_async, hand-in", tasks),
    Operation::calling("Pool: map_async, hand-in of an item", map),
];

impl Operation {
    const fn silent(name: &'static str, run: fn(u64) -> Result) -> Operation {
        Operation { name, is_silent: true, run }
    }

    const fn calling(name: &'static str, run: fn(u64) -> Result) -> Operation {
        Operation { name, is_silent: false, run }
    }

    /// Does it so often, within [`counted`].
    pub(crate) fn run(&self, count: u64) -> Result {
        (self.run)(count)
    }
}

/// The operation of that name.
pub(crate) fn find(name: &str) -> Result<&'static Operation> {
    let found = OPERATIONS.iter().find(|operation| operation.name == name);
    found.ok_or_else(|| format!("there is no operation `{name}`").into())
}

/// What callgrind counts is what happens in here, on this thread. A function of its own, so that it has a name there.
#[inline(never)]
pub(crate) fn counted<R>(work: impl FnOnce() -> R) -> R {
    black_box(work())
}

fn lock(count: u64) -> Result {
    let total = Shared::new(Mutex::new(0))?;
    counted(|| {
        for _ in 0..count {
            *total.lock().map_err(|error| error.to_string())? += 1;
        }
        Ok(())
    })
}

fn semaphore(count: u64) -> Result {
    let semaphore = Shared::new(Semaphore::new(1))?;
    counted(|| {
        for _ in 0..count {
            drop(semaphore.acquire());
        }
    });
    Ok(())
}

fn event(count: u64) -> Result {
    let event = Shared::new(Event::new())?;
    counted(|| {
        for _ in 0..count {
            event.set();
            event.wait();
            event.clear();
        }
    });
    Ok(())
}

fn queue<P: Payload>(count: u64) -> Result {
    let queue = Queue::bounded(CAPACITY)?;
    counted(|| {
        for number in 0..count {
            queue.put(P::of(number)).map_err(|error| error.to_string())?;
            check(queue.get()?.number()?, number)?;
        }
        Ok(())
    })
}

fn batches(count: u64) -> Result {
    let queue = Queue::bounded(CAPACITY)?;
    counted(|| {
        for number in 0..count {
            let batch = (0..BATCH as u64).map(|index| Sample::of(number + index));
            queue.put_many(batch).map_err(|error| error.to_string())?;
            check(queue.get_many(BATCH)?.len() as u64, BATCH as u64)?;
        }
        Ok(())
    })
}

fn single(count: u64) -> Result {
    let (sender, receiver) = spsc::<Sample>(CAPACITY)?;
    counted(|| {
        for number in 0..count {
            sender.send(Payload::of(number)).map_err(|error| error.to_string())?;
            check(receiver.recv()?.number()?, number)?;
        }
        Ok(())
    })
}

fn shared(count: u64) -> Result {
    let (sender, receiver) = channel::<Sample>(CAPACITY)?;
    counted(|| {
        for number in 0..count {
            sender.send(Payload::of(number)).map_err(|error| error.to_string())?;
            check(receiver.recv()?.number()?, number)?;
        }
        Ok(())
    })
}

fn pipe(count: u64) -> Result {
    let (reader, writer) = one_way::<Sample>()?;
    counted(|| {
        for number in 0..count {
            writer.send(Payload::of(number)).map_err(|error| error.to_string())?;
            check(reader.recv()?.number()?, number)?;
        }
        Ok(())
    })
}

fn encode<T: Serialize>(value: &T, count: u64) -> Result {
    counted(|| {
        for _ in 0..count {
            black_box(codec::encode(black_box(value))?);
        }
        Ok(())
    })
}

fn decode<T: Serialize + DeserializeOwned>(value: &T, count: u64) -> Result {
    let bytes = codec::encode(value)?.bytes;
    counted(|| {
        for _ in 0..count {
            black_box(codec::decode::<T>(black_box(&bytes), Vec::new())?);
        }
        Ok(())
    })
}

/// Of what a task costs its caller, the hand-in alone: how often a wait wakes up is the scheduler's choice. In threads,
/// since valgrind does not know the calls that start a process.
fn tasks(count: u64) -> Result {
    let pool = Pool::threads(1)?;
    let mut results = Vec::with_capacity(count as usize);
    counted(|| results.extend((0..count).map(|number| pool.apply_async(number, trivial))));
    for (number, result) in (0..).zip(results) {
        check(result.get()?, trivial(number))?;
    }
    Ok(())
}

fn map(count: u64) -> Result {
    let pool = Pool::threads(1)?;
    let results = counted(|| pool.map_async(0..count, trivial)).get()?;
    check(results.into_iter().sum(), (0..count).map(trivial).sum())
}
