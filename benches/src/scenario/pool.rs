use super::{Context, Scenario};
use crate::Result;
use crate::measure::{Bench, Round, System, check, trivial};
use crate::peer;
use multiproc_pool::Pool;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

const WORKERS: usize = 2;
const PROCSPAWN: &str = "procspawn";
const RAYON: &str = "rayon, threads";
const CPYTHON: &str = "CPython, Pool";
const IDEAL: &str = "the work by half";
/// How many tasks procspawn has under way: each takes four descriptors. With large ones it hangs beyond a few.
const WINDOW: usize = 500;
const LARGE_WINDOW: usize = 1;
const MIB: usize = 1 << 20;

pub(super) const TASKS: Scenario = Scenario {
    name: "pool-tasks",
    sentence: "hand tasks of no work to a pool of two workers one by one, then take all the results; the cost of one",
    unit: "ns",
    bench: tasks,
};

pub(super) const ONE: Scenario = Scenario {
    name: "pool-one",
    sentence: "one task of no work at a time: from before its hand-in to after its result",
    unit: "us",
    bench: one,
};

pub(super) const MAP: Scenario = Scenario {
    name: "pool-map",
    sentence: "map a function of no work over a million numbers (20,000 in a smoke run) with two workers; the cost \
               of one",
    unit: "ns",
    bench: map,
};

pub(super) const LARGE: Scenario = Scenario {
    name: "pool-1mib",
    sentence: "tasks with 1 MiB of bytes in and the same out, handed in one by one; the time of one",
    unit: "us",
    bench: large,
};

pub(super) const WORK: Scenario = Scenario {
    name: "pool-work",
    sentence: "tasks that keep a processor busy for 1 ms; the time of one, which is half of that at best",
    unit: "us",
    bench: work,
};

pub(super) const UNEVEN: Scenario = Scenario {
    name: "pool-uneven",
    sentence: "400 tasks of 1 ms of which the first takes 100 ms; the time of all, for which half of the work is the best",
    unit: "ms",
    bench: uneven,
};

pub(super) const DEATH: Scenario = Scenario {
    name: "pool-death",
    sentence: "from the kill of a worker amid a task to that task's error, and until its replacement has answered one",
    unit: "ms",
    bench: death,
};

fn tasks(context: &Context) -> Result<Bench> {
    let pool = Pool::new(WORKERS)?;
    let ours = counted(1e9, move |numbers| {
        let results: Vec<_> = numbers.map(|number| pool.apply_async(number, trivial)).collect();
        let mut sum = 0;
        for result in results {
            sum += result.get()?;
        }
        Ok(sum)
    });
    let pool = procspawn::Pool::new(WORKERS)?;
    let by_procspawn = counted(1e9, move |numbers| {
        windowed(
            WINDOW,
            numbers,
            |number| procspawn::spawn!(in pool, (number => number) || trivial(number)),
            Ok,
        )
    });
    let pool = threads()?;
    let by_rayon = counted(1e9, move |numbers| {
        let (sender, results) = std::sync::mpsc::channel();
        for number in numbers {
            let sender = sender.clone();
            pool.spawn(move || {
                // The other end is there until all have arrived.
                let _ = sender.send(trivial(number));
            });
        }
        drop(sender);
        Ok(results.iter().sum())
    });
    let effort = context.effort;
    let ours = System::new("ours, apply_async", effort.operations(100_000), ours)
        .against(RAYON)
        .goal(CPYTHON, 1.0 / 30.0)
        .goal(PROCSPAWN, 1.0 / 20.0)
        .goal(RAYON, 1.0 / 0.4);
    let others = [
        System::new(PROCSPAWN, effort.operations(10_000), by_procspawn),
        System::new(RAYON, effort.operations(100_000), by_rayon),
    ];
    with_python(context, "tasks", 20_000, ours, others)
}

fn one(context: &Context) -> Result<Bench> {
    let pool = Pool::new(WORKERS)?;
    let ours = counted(1e6, move |numbers| {
        let mut sum = 0;
        for number in numbers {
            sum += pool.apply(number, trivial)?;
        }
        Ok(sum)
    });
    let pool = procspawn::Pool::new(WORKERS)?;
    let by_procspawn = counted(1e6, move |numbers| {
        windowed(1, numbers, |number| procspawn::spawn!(in pool, (number => number) || trivial(number)), Ok)
    });
    let pool = threads()?;
    let by_rayon =
        counted(1e6, move |numbers| Ok(numbers.map(|number| pool.install(|| trivial(number))).sum()));
    let effort = context.effort;
    let ours = System::new("ours, apply", effort.operations(20_000), ours)
        .against(PROCSPAWN)
        .goal(PROCSPAWN, 1.0 / 4.0)
        .goal(CPYTHON, 1.0 / 20.0);
    let others = [
        System::new(PROCSPAWN, effort.operations(5_000), by_procspawn),
        System::new(RAYON, effort.operations(20_000), by_rayon),
    ];
    with_python(context, "one", 5_000, ours, others)
}

fn map(context: &Context) -> Result<Bench> {
    let pool = Pool::new(WORKERS)?;
    let ours = counted(1e9, move |numbers| Ok(pool.map(numbers, trivial)?.into_iter().sum()));
    let pool = threads()?;
    let by_rayon = counted(1e9, move |numbers| {
        let results: Vec<u64> = pool.install(|| numbers.into_par_iter().map(trivial).collect());
        Ok(results.into_iter().sum())
    });
    let items = context.effort.operations(1_000_000);
    let ours = System::new("ours, map", items, ours).against(CPYTHON).goal(CPYTHON, 1.0 / 10.0);
    with_python(context, "map", 1_000_000, ours, [System::new(RAYON, items, by_rayon)])
}

/// Bytes that serialize as such.
#[derive(Clone)]
struct Mib(Vec<u8>);

impl Serialize for Mib {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Mib {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Mib, D::Error> {
        struct Whole;

        impl Visitor<'_> for Whole {
            type Value = Mib;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Mib, E> {
                Ok(Mib(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> std::result::Result<Mib, E> {
                Ok(Mib(bytes))
            }
        }

        deserializer.deserialize_byte_buf(Whole)
    }
}

fn large(context: &Context) -> Result<Bench> {
    let bytes = Mib(vec![7; MIB]);
    let pool = Pool::new(WORKERS)?;
    let data = bytes.clone();
    let ours = counted(1e6, move |numbers| {
        let task = |(number, data): (u64, Mib)| (trivial(number), data);
        let mut sum = 0;
        let (mut under_way, window) = (VecDeque::new(), 2 * WORKERS);
        for number in numbers {
            if under_way.len() == window {
                sum += answered(&mut under_way)?;
            }
            under_way.push_back(pool.apply_async((number, data.clone()), task));
        }
        while !under_way.is_empty() {
            sum += answered(&mut under_way)?;
        }
        Ok(sum)
    });
    let pool = procspawn::Pool::new(WORKERS)?;
    let data = bytes;
    let by_procspawn = counted(1e6, move |numbers| {
        windowed(
            LARGE_WINDOW,
            numbers,
            |number| procspawn::spawn!(in pool, (number => number, data.clone() => data) || (trivial(number), data)),
            |(number, data): (u64, Mib)| {
                if data.0.len() == MIB { Ok(number) } else { Err("other bytes".into()) }
            },
        )
    });
    let effort = context.effort;
    let ours = System::new("ours, apply_async", effort.operations(500), ours)
        .against(PROCSPAWN)
        .goal(PROCSPAWN, 0.5)
        .goal(CPYTHON, 0.5);
    let others = [System::new(PROCSPAWN, effort.operations(200), by_procspawn)];
    with_python(context, "large", 100, ours, others)
}

fn answered(under_way: &mut VecDeque<multiproc_pool::AsyncResult<(u64, Mib)>>) -> Result<u64> {
    match under_way.pop_front() {
        Some(task) => {
            let (number, data) = task.get()?;
            check(data.0.len() as u64, MIB as u64)?;
            Ok(number)
        }
        None => Ok(0),
    }
}

/// Keeps a processor busy.
fn busy((number, micros): (u64, u64)) -> u64 {
    let until = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    trivial(number)
}

fn work(context: &Context) -> Result<Bench> {
    let pool = Pool::new(WORKERS)?;
    let ours = counted(1e6, move |numbers| {
        Ok(pool.map(numbers.map(|number| (number, 1000)), busy)?.into_iter().sum())
    });
    let pool = threads()?;
    let by_rayon = counted(1e6, move |numbers| {
        Ok(pool.install(|| numbers.into_par_iter().map(|number| busy((number, 1000))).sum()))
    });
    let effort = context.effort;
    let ours = System::new("ours, map", effort.operations(2_000), ours)
        .against(RAYON)
        .goal(IDEAL, 1.0 / 0.97)
        .goal(RAYON, 1.02);
    let others = [
        System::new(RAYON, effort.operations(2_000), by_rayon),
        System::new(IDEAL, 1, Box::new(|_| Ok(500.0))),
    ];
    with_python(context, "work", 1_000, ours, others)
}

fn uneven(_: &Context) -> Result<Bench> {
    const TASKS: u64 = 400;
    let pool = Pool::new(WORKERS)?;
    let tasks = || (0..TASKS).map(|number| (number, if number == 0 { 100_000 } else { 1_000 }));
    let timed = |run: &mut dyn FnMut() -> Result<u64>| -> Result<f64> {
        let started = Instant::now();
        check(run()?, (0..TASKS).map(trivial).sum())?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    };
    let ours: Round = Box::new(move |_| timed(&mut || Ok(pool.map(tasks(), busy)?.into_iter().sum())));
    let pool = threads()?;
    let by_rayon: Round = Box::new(move |_| {
        timed(&mut || {
            let tasks: Vec<_> = tasks().collect();
            Ok(pool.install(|| tasks.into_par_iter().map(busy).sum()))
        })
    });
    Ok(Bench {
        systems: vec![
            System::new("ours, map", 1, ours).against(RAYON).goal(IDEAL, 1.05),
            System::new(RAYON, 1, by_rayon),
            System::new(IDEAL, 1, Box::new(|_| Ok((99.0 + TASKS as f64) / 2.0))),
        ],
        ..Bench::default()
    })
}

fn death(context: &Context) -> Result<Bench> {
    let told: Round = Box::new(|count| deaths(count, |told, _| told));
    let repaired: Round = Box::new(|count| deaths(count, |_, repaired| repaired));
    let mut systems = vec![
        System::new("ours, the task errs", 5, told).limit(5.0),
        System::new("ours, two workers answer", 5, repaired).limit(25.0),
    ];
    let absent = vec!["CPython: it hangs for ever when a worker is killed".to_owned()];
    systems.extend(packages(context, "death", 3));
    Ok(Bench { systems, absent, ..Bench::default() })
}

/// The pools of Python's packages.
fn packages(context: &Context, mode: &str, operations: u64) -> impl Iterator<Item = System> {
    let operations = context.effort.operations(operations);
    let pools = peer::packaged_pools(mode).into_iter();
    pools.map(move |(name, round)| System::new(name, operations, round))
}

/// Kills a worker amid a task so often; the median of what `which` takes of the two times, in milliseconds.
fn deaths(count: u64, which: fn(f64, f64) -> f64) -> Result<f64> {
    let method = multiproc_process::StartMethod::ForkServer;
    let pool = Pool::builder().workers(WORKERS).start_method(method).build()?;
    let mut times = Vec::new();
    for _ in 0..count {
        while pool.stats().workers.iter().filter(|worker| worker.is_ready).count() < WORKERS {
            std::thread::yield_now();
        }
        let flag = multiproc_shm::Shared::new(std::sync::atomic::AtomicU32::new(0))?;
        let task = pool.apply_async(flag.clone(), |flag| -> u32 {
            flag.store(std::process::id(), std::sync::atomic::Ordering::Release); // Release: partner of the Acquire below
            loop {
                std::thread::park();
            }
        });
        let id = loop {
            let id = flag.load(std::sync::atomic::Ordering::Acquire); // Acquire: partner of the Release above
            if id != 0 {
                break id;
            }
            std::thread::yield_now();
        };
        let started = Instant::now();
        multiproc_core::sys::process::send_signal(multiproc_core::sys::process::open_pidfd(id)?, 9)?;
        if !task.get().is_err_and(|error| error.is_worker_death()) {
            return Err("the task of a killed worker has not failed".into());
        }
        let told = started.elapsed().as_secs_f64() * 1e3;
        while pool.stats().workers.iter().filter(|worker| worker.is_ready).count() < WORKERS {
            std::thread::yield_now();
        }
        let repaired = started.elapsed().as_secs_f64() * 1e3;
        times.push(which(told, repaired));
    }
    Ok(crate::stats::median(&times))
}

/// Adds CPython, and where it can do the same, its packages.
fn with_python<const N: usize>(
    context: &Context,
    mode: &str,
    operations: u64,
    ours: System,
    others: [System; N],
) -> Result<Bench> {
    let mut systems = vec![ours];
    systems.extend(others);
    let by_python = peer::python_script(peer::POOLS, mode);
    systems.push(System::new(CPYTHON, context.effort.operations(operations), by_python));
    if matches!(mode, "tasks" | "map") {
        systems.extend(packages(context, mode, 5_000));
    }
    Ok(Bench { systems, ..Bench::default() })
}

fn threads() -> Result<rayon::ThreadPool> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build()?)
}

/// Has so many tasks of procspawn's under way at most; the sum of their results.
fn windowed<R: Serialize + for<'de> Deserialize<'de>>(
    window: usize,
    numbers: Range<u64>,
    mut spawn: impl FnMut(u64) -> procspawn::JoinHandle<R>,
    number: impl Fn(R) -> Result<u64>,
) -> Result<u64> {
    let mut under_way: VecDeque<procspawn::JoinHandle<R>> = VecDeque::new();
    let mut sum = 0;
    for next in numbers.map(Some).chain(std::iter::repeat_n(None, window)) {
        if (under_way.len() == window || next.is_none())
            && let Some(task) = under_way.pop_front()
        {
            sum += number(task.join()?)?;
        }
        under_way.extend(next.map(&mut spawn));
    }
    Ok(sum)
}

/// Makes a round of something that gives the sum of the results of these numbers; all of its time counts.
fn counted(scale: f64, mut run: impl FnMut(Range<u64>) -> Result<u64> + 'static) -> Round {
    Box::new(move |count| {
        let started = Instant::now();
        let sum = run(0..count)?;
        let time = started.elapsed();
        check(sum, (0..count).map(trivial).sum())?;
        Ok(time.as_secs_f64() * scale / count.max(1) as f64)
    })
}
