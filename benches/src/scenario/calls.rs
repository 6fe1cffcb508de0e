use super::{Context, Scenario};
use crate::link::{BATCH, CAPACITY};
use crate::measure::{Bench, Round, System, check};
use crate::payload::{Payload, Sample};
use crate::{Result, role};
use multiproc_queue::{Queue, spsc};
use multiproc_shm::Shared;
use multiproc_sync::{Event, Mutex, Semaphore};
use std::process::{Command, Stdio};

type Operation = fn(u64) -> Result;

/// What is counted.
const OPERATIONS: [(&str, Operation); 8] = [
    ("Mutex: lock", lock),
    ("Semaphore: acquire, release", semaphore),
    ("Event: set, wait, clear", event),
    ("Queue: put, get, 64 B", queue),
    ("Queue: put, get, 1 KiB", large),
    ("Queue: put_many, get_many", batches),
    ("spsc: send, recv", single),
    (CONTROL, sched_yield),
];

pub(super) const SCENARIO: Scenario = Scenario {
    name: "system-calls",
    sentence: "system calls of one operation where nobody sleeps, as strace counts them: those of a process that \
               does it often, less those of one that does it 5,000 times, by the difference",
    unit: "calls",
    bench,
};

/// Enough for whatever happens only now and then at first.
const FEW: u64 = 5_000;
/// Shows that calls are counted at all.
const CONTROL: &str = "a system call";

fn bench(context: &Context) -> Result<Bench> {
    let has_strace =
        Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !has_strace {
        let absent = vec!["all: there is no `strace` on the PATH, so that nothing was counted".to_owned()];
        return Ok(Bench { absent, ..Bench::default() });
    }
    let operations = context.effort.operations(100_000);
    let system = |(name, _): (&'static str, Operation)| {
        if name == CONTROL {
            System::new(name, operations.div_ceil(50), counted(name))
        } else {
            System::new(name, operations, counted(name)).limit(0.001)
        }
    };
    Ok(Bench { systems: OPERATIONS.into_iter().map(system).collect(), ..Bench::default() })
}

fn counted(operation: &'static str) -> Round {
    Box::new(move |count| {
        let few = calls(operation, FEW)?;
        let many = calls(operation, FEW + count)?;
        Ok(many.saturating_sub(few) as f64 / count.max(1) as f64)
    })
}

/// How many system calls a process makes that does this so often, from its start to its end.
fn calls(operation: &str, count: u64) -> Result<u64> {
    let output = Command::new("strace")
        .args(["-f", "-c", "-U", "name,calls"])
        .arg(std::env::current_exe()?)
        .args(role::operation(operation, count))
        .output()?;
    let summary = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("strace ended with {}: {summary}", output.status).into());
    }
    let total = summary.lines().rev().find_map(|line| line.trim().strip_prefix("total"));
    let calls = total.and_then(|rest| rest.split_whitespace().next());
    Ok(calls.ok_or_else(|| format!("strace told no total: {summary}"))?.parse()?)
}

/// Does an operation so often.
pub(crate) fn repeat(operation: &str, count: u64) -> Result {
    let known = OPERATIONS.iter().find(|(name, _)| *name == operation);
    let (_, run) = known.ok_or_else(|| format!("there is no operation `{operation}`"))?;
    run(count)
}

fn lock(count: u64) -> Result {
    let total = Shared::new(Mutex::new(0))?;
    for _ in 0..count {
        *total.lock().map_err(|error| error.to_string())? += 1;
    }
    Ok(())
}

fn semaphore(count: u64) -> Result {
    let semaphore = Shared::new(Semaphore::new(1))?;
    for _ in 0..count {
        drop(semaphore.acquire());
    }
    Ok(())
}

fn event(count: u64) -> Result {
    let event = Shared::new(Event::new())?;
    for _ in 0..count {
        event.set();
        event.wait();
        event.clear();
    }
    Ok(())
}

fn queue(count: u64) -> Result {
    one_by_one::<Sample>(count)
}

fn large(count: u64) -> Result {
    one_by_one::<[[u64; 16]; 8]>(count)
}

fn one_by_one<P: Payload>(count: u64) -> Result {
    let queue = Queue::bounded(CAPACITY)?;
    for number in 0..count {
        queue.put(P::of(number)).map_err(|error| error.to_string())?;
        check(queue.get()?.number()?, number)?;
    }
    Ok(())
}

fn batches(count: u64) -> Result {
    let queue = Queue::bounded(CAPACITY)?;
    for number in 0..count {
        let batch = (0..BATCH as u64).map(|index| Sample::of(number + index));
        queue.put_many(batch).map_err(|error| error.to_string())?;
        check(queue.get_many(BATCH)?.len() as u64, BATCH as u64)?;
    }
    Ok(())
}

fn single(count: u64) -> Result {
    let (sender, receiver) = spsc::<Sample>(CAPACITY)?;
    for number in 0..count {
        sender.send(Payload::of(number)).map_err(|error| error.to_string())?;
        check(receiver.recv()?.number()?, number)?;
    }
    Ok(())
}

fn sched_yield(count: u64) -> Result {
    for _ in 0..count {
        std::thread::yield_now();
    }
    Ok(())
}
