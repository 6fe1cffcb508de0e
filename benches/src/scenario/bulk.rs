use super::{Context, Scenario};
use crate::Result;
use crate::cargo::{self, ByHand, COPIED, Copied, Filled, Fresh, HANDED, PAGE, Passed, Pooled, handed};
use crate::ends::{Crew, Gate, Told};
use crate::link::in_processes;
use crate::measure::{Bench, Round, System, check, in_us, trivial};
use crate::peer::{boost, python};
use crate::place::Placement;
use multiproc_queue::Queue;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

/// How many messages may be under way in a queue.
const CAPACITY: usize = 8;

const OURS: &str = "ours, Queue";
const POOL: &str = "ours, BytesPool and pipe";
const SHARED: &str = "ours, SharedBytes and pipe";
const FRESH: &str = "a fresh memfd by hand";
const SMALL: &str = "SharedBytes of 4 KiB";
const MEMCPY: &str = "one memcpy, no other process";
const BOOST: &str = "Boost message_queue";
const ICEORYX: &str = "iceoryx2, polling";

pub(super) const COPY: Scenario = Scenario {
    name: "copy-1mib",
    sentence: "1 MiB that the sender has goes to another process, which looks at each page; the cost of one",
    unit: "us",
    bench: copy,
};

pub(super) const FILLED: Scenario = Scenario {
    name: "handover-64mib",
    sentence: "64 MiB are written, handed over through a pipe, and read by another process; the cost of one",
    unit: "us",
    bench: filled,
};

pub(super) const PASSED: Scenario = Scenario {
    name: "handover-alone",
    sentence: "SharedBytes that are there already are handed over through a pipe, and their first byte is looked at; \
               the cost of one",
    unit: "us",
    bench: passed,
};

fn copy(context: &Context) -> Result<Bench> {
    let mut bench = Bench::default();
    let operations = context.effort.operations(2_000);
    for placement in Placement::all()? {
        let name = |system: &str| placement.name(system);
        let mut add = |system: &str, round| {
            let row = System::new(name(system), operations, round).against(name(FRESH));
            // Silent where iceoryx2 is absent.
            bench.systems.push(if system == OURS { row.goal(name(ICEORYX), 1.25) } else { row });
        };
        add(OURS, queued(placement));
        add(POOL, handed::<Pooled<Copied>>(placement));
        add(SHARED, handed::<Fresh<Copied>>(placement));
        add(FRESH, handed::<ByHand<Copied>>(placement));
        add(MEMCPY, copied::<COPIED>(placement));
        #[cfg(feature = "peers")]
        {
            use crate::peer::heavy;
            // On one core who polls keeps the processor from the other end.
            if placement.is_apart() {
                add(ICEORYX, heavy::iceoryx_bulk(placement));
            }
            add("ipc-channel, bytes", heavy::ipc_channel_bulk(placement));
        }
        add(BOOST, in_us(boost("stream", COPIED, 1, placement)));
    }
    if cfg!(not(feature = "peers")) {
        bench.absent.push(crate::peer::NO_HEAVY.to_owned());
    }
    bench.absent.push("CPython: over its Pipe in `pipe-1mib`".to_owned());
    Ok(bench)
}

fn filled(context: &Context) -> Result<Bench> {
    let mut bench = Bench::default();
    let operations = context.effort.operations(24).max(4);
    for placement in Placement::all()? {
        let name = |system: &str| placement.name(system);
        let system = |system: &str, round| System::new(name(system), operations, round).against(name(FRESH));
        bench.systems.extend([
            // The receiver meets each segment once for the first time.
            System::new(name(POOL), operations * 4, handed::<Pooled<Filled>>(placement))
                .against(name(FRESH))
                .goal(name(FRESH), 0.25),
            system(SHARED, handed::<Fresh<Filled>>(placement)),
            system(FRESH, handed::<ByHand<Filled>>(placement)),
            system(MEMCPY, copied::<HANDED>(placement)),
        ]);
        let by_python = in_us(python("shared-memory", HANDED, placement));
        let by_python = System::new(name("CPython SharedMemory"), operations.div_ceil(4), by_python);
        bench.systems.push(by_python.against(name(FRESH)));
    }
    bench.absent.push("iceoryx2, ipc-channel and Boost: with 1 MiB, in `copy-1mib`".to_owned());
    Ok(bench)
}

fn passed(context: &Context) -> Result<Bench> {
    let mut bench = Bench::default();
    let operations = context.effort.operations(4_000);
    for placement in Placement::all()? {
        let name = |system: &str| placement.name(system);
        let system = |system: &str, round| System::new(name(system), operations, round).against(name(SMALL));
        bench.systems.extend([
            system("SharedBytes of 64 MiB", handed::<Passed<HANDED>>(placement)).goal(name(SMALL), 1.1),
            system(SMALL, handed::<Passed<PAGE>>(placement)),
        ]);
    }
    Ok(bench)
}

/// The floor under whoever copies: one copy of bytes into memory that is there, each page looked at; in microseconds.
fn copied<const LEN: usize>(placement: Placement) -> Round {
    Box::new(move |count| {
        let ends: Crew<()> = vec![((), copy_once::<LEN>)];
        let outcome = in_processes(placement, count, ends)?;
        check(outcome.sum, (0..count).map(trivial).sum())?;
        Ok(outcome.each(count) / 1e3)
    })
}

fn copy_once<const LEN: usize>(((), gate): ((), Gate)) -> Told {
    let (mut source, mut target) = (vec![7; LEN], vec![8; LEN]);
    gate.pass(|count| {
        let mut sum = 0;
        for number in 0..count {
            cargo::mark(&mut source, number);
            target.copy_from_slice(black_box(&source));
            sum += trivial(cargo::look(black_box(&target), LEN)?);
        }
        Ok((sum, 0.0))
    })
}

/// Through our queue; the cost of one, in microseconds.
fn queued(placement: Placement) -> Round {
    Box::new(move |count| {
        let queue = Queue::bounded(CAPACITY)?;
        let ends: Crew<Queue<Blob>> = vec![(queue.clone(), put), (queue, get)];
        let outcome = in_processes(placement, count, ends)?;
        check(outcome.sum, (0..count).map(trivial).sum())?;
        Ok(outcome.each(count) / 1e3)
    })
}

fn put((queue, gate): (Queue<Blob>, Gate)) -> Told {
    let mut blob = Blob(Arc::new(vec![7; COPIED]));
    gate.pass(|count| {
        for number in 0..count {
            // Nobody else has it: the clone is gone when the put is done.
            let bytes: &mut Vec<u8> = Arc::make_mut(&mut blob.0);
            cargo::mark(bytes, number);
            queue.put(blob.clone()).map_err(|error| error.to_string())?;
        }
        Ok((0, 0.0))
    })
}

fn get((queue, gate): (Queue<Blob>, Gate)) -> Told {
    gate.pass(|count| {
        let mut sum = 0;
        for _ in 0..count {
            let blob = queue.get().map_err(|error| error.to_string())?;
            sum += trivial(cargo::look(&blob.0, COPIED)?);
        }
        Ok((sum, 0.0))
    })
}

/// Bytes that a sender can give away and keep, as a message of bytes.
#[derive(Clone)]
pub(super) struct Blob(pub(super) Arc<Vec<u8>>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Blob, D::Error> {
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> std::result::Result<Blob, E> {
                Ok(Blob(Arc::new(bytes.to_vec())))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> std::result::Result<Blob, E> {
                Ok(Blob(Arc::new(bytes)))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}
