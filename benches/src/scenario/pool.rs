use super::bulk::Blob;
use super::{Context, Scenario};
use crate::Result;
use crate::cargo::{COPIED, PAGE};
use crate::measure::{Bench, Round, System, check, prepared, trivial};
use crate::{peer, stats, sys};
use multiproc_pool::Pool;
use multiproc_process::StartMethod;
use multiproc_shm::Shared;
use multiproc_sync::Barrier;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const WORKERS: usize = 2;
const PROCSPAWN: &str = "procspawn";
const RAYON: &str = "rayon, threads";
const CPYTHON: &str = "CPython, Pool";
const IDEAL: &str = "the work by half";
/// How many numbers are mapped.
const MAPPED: u64 = 1_000_000;
/// How many tasks procspawn has under way: each takes four descriptors.
const WINDOW: usize = 500;
/// How many large tasks each system has under way; also in `python/pool.py`. procspawn's hand-in waits until a worker
/// takes the bytes, and a worker until the caller takes the answer: with more than one for each all wait for ever.
const LARGE_WINDOW: usize = WORKERS;

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
    sentence: "map a function of no work over a million numbers with two workers, a fifth of them in a quick run; \
               the cost of one. Who would take many seconds maps as many as its name says",
    unit: "ns",
    bench: map,
};

pub(super) const LARGE: Scenario = Scenario {
    name: "pool-1mib",
    sentence: "tasks with 1 MiB of bytes in and the same out, two under way, each page that comes back looked at; \
               the time of one",
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
    sentence: "from the kill of a worker amid a task to that task's error, and until two workers have answered tasks \
               that wait for each other; with the method by which the workers are started",
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
    let by_procspawn = with_procspawn(|pool| {
        counted(1e9, move |numbers| {
            windowed(
                WINDOW,
                numbers,
                |number| procspawn::spawn!(in pool, (number => number) || trivial(number)),
                |task| Ok(task.join()?),
            )
        })
    });
    let by_rayon = with_threads(|pool| {
        counted(1e9, move |numbers| {
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
        })
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
    let by_procspawn = with_procspawn(|pool| {
        counted(1e6, move |numbers| {
            let mut sum = 0;
            for number in numbers {
                sum += procspawn::spawn!(in pool, (number => number) || trivial(number)).join()?;
            }
            Ok(sum)
        })
    });
    let by_rayon = with_threads(|pool| {
        counted(1e6, move |numbers| Ok(numbers.map(|number| pool.install(|| trivial(number))).sum()))
    });
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
    let by_rayon = with_threads(|pool| {
        counted(1e9, move |numbers| {
            let results: Vec<u64> = pool.install(|| numbers.into_par_iter().map(trivial).collect());
            Ok(results.into_iter().sum())
        })
    });
    let items = context.effort.operations(MAPPED);
    // Fewer items are other chunks, and so all map as many.
    let ours = System::new("ours, map", items, ours).uncut().against(CPYTHON).goal(CPYTHON, 1.0 / 10.0);
    with_python(context, "map", MAPPED, ours, [System::new(RAYON, items, by_rayon).uncut()])
}

fn large(context: &Context) -> Result<Bench> {
    let pool = Pool::new(WORKERS)?;
    let ours = carried(
        move |number, data| {
            pool.apply_async((number, data), |(number, data): (u64, Blob)| (trivial(number), data))
        },
        |task| Ok(task.get()?),
    );
    let by_procspawn = with_procspawn(|pool| {
        carried(
            move |number, data| procspawn::spawn!(in pool, (number => number, data => data) || (trivial(number), data)),
            |task| Ok(task.join()?),
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

/// Makes a round of tasks that bring the same bytes back, with what hands one in and what waits for it.
fn carried<T: 'static>(
    mut hand_in: impl FnMut(u64, Blob) -> T + 'static,
    wait: impl Fn(T) -> Result<(u64, Blob)> + 'static,
) -> Round {
    let data = Blob(Arc::new(vec![7; COPIED]));
    counted(1e6, move |numbers| {
        windowed(
            LARGE_WINDOW,
            numbers,
            |number| hand_in(number, data.clone()),
            |task| {
                let (number, back) = wait(task)?;
                if back.0.len() != COPIED || back.0.iter().step_by(PAGE).any(|byte| *byte != 7) {
                    return Err("other bytes came back".into());
                }
                Ok(number)
            },
        )
    })
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
    let by_rayon = with_threads(|pool| {
        counted(1e6, move |numbers| {
            Ok(pool.install(|| numbers.into_par_iter().map(|number| busy((number, 1000))).sum()))
        })
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
    let by_rayon = with_threads(move |pool| {
        Box::new(move |_| {
            timed(&mut || {
                let tasks: Vec<_> = tasks().collect();
                Ok(pool.install(|| tasks.into_par_iter().map(busy).sum()))
            })
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
    let methods = [("fork server", StartMethod::ForkServer), ("spawn, the default", StartMethod::Spawn)];
    let mut systems = Vec::new();
    for (name, method) in methods {
        let told: Round = Box::new(move |count| deaths(method, count, |(told, _)| told));
        let repaired: Round = Box::new(move |count| deaths(method, count, |(_, repaired)| repaired));
        systems.push(System::new(format!("ours, {name}: the task errs"), 5, told).limit(5.0));
        systems.push(System::new(format!("ours, {name}: two workers answer"), 5, repaired).limit(25.0));
    }
    let operations = context.effort.operations(3);
    for (name, round) in peer::packaged_pools("death") {
        systems.push(System::new(format!("{name}: the task errs"), operations, round));
    }
    let absent = [
        "CPython: it hangs for ever when a worker is killed",
        "Python's packages, until two workers answer: loky's pool is dead then, mpire's hangs, Pebble's is not measured",
    ];
    Ok(Bench { systems, absent: absent.map(str::to_owned).to_vec(), ..Bench::default() })
}

/// Kills a worker amid a task so often; the median of what `which` takes of the two times, in milliseconds.
fn deaths(method: StartMethod, count: u64, which: fn((f64, f64)) -> f64) -> Result<f64> {
    let pool = Pool::builder().workers(WORKERS).start_method(method).build()?;
    let mut times = Vec::new();
    for number in 0..count {
        all_answer(&pool, number)?;
        times.push(which(one_dies(&pool, number)?));
    }
    Ok(stats::median(&times))
}

/// A task for each worker, which ends when all of them have begun.
fn all_answer(pool: &Pool, number: u64) -> Result {
    let barrier = Shared::new(Barrier::new(WORKERS as u32))?;
    let meet = |(barrier, number): (Shared<Barrier>, u64)| match barrier.wait() {
        Ok(_) => trivial(number),
        Err(_) => 0,
    };
    let tasks = [0; WORKERS].map(|_| pool.apply_async((barrier.clone(), number), meet));
    tasks.into_iter().try_for_each(|task| check(task.get()?, trivial(number)))
}

/// Kills a worker amid a task; how long until the task errs, and until all workers answer again, in milliseconds.
fn one_dies(pool: &Pool, number: u64) -> Result<(f64, f64)> {
    let flag = Shared::new(AtomicU32::new(0))?;
    let task = pool.apply_async(flag.clone(), |flag| -> u32 {
        // Release, partner of the Acquire below.
        flag.store(std::process::id(), Ordering::Release);
        loop {
            thread::park();
        }
    });
    let id = loop {
        // Acquire, partner of the Release above.
        match flag.load(Ordering::Acquire) {
            0 => thread::yield_now(),
            id => break id,
        }
    };
    let started = Instant::now();
    sys::kill(id)?;
    if !task.get().is_err_and(|error| error.is_worker_death()) {
        return Err("the task of a killed worker has not failed".into());
    }
    let told = started.elapsed();
    all_answer(pool, number)?;
    Ok((told.as_secs_f64() * 1e3, started.elapsed().as_secs_f64() * 1e3))
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
    let is_map = mode == "map";
    let as_it_is = |system: System| if is_map { system.uncut() } else { system };
    let by_python = peer::python_script(&[peer::POOLS, mode]);
    systems.push(as_it_is(System::new(CPYTHON, context.effort.operations(operations), by_python)));
    if matches!(mode, "tasks" | "map") {
        let few = context.effort.operations(5_000);
        systems.extend(peer::packaged_pools(mode).into_iter().map(|(name, round)| {
            // They take 20 us and more for each number, in their own chunks and in CPython's.
            let name = if is_map { format!("{name}, {few} numbers") } else { name.to_owned() };
            as_it_is(System::new(name, few, round))
        }));
    }
    Ok(Bench { systems, ..Bench::default() })
}

/// A round of rayon's pool, which is not started before.
fn with_threads(make: impl FnOnce(rayon::ThreadPool) -> Round + 'static) -> Round {
    prepared(|| Ok(make(rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build()?)))
}

/// A round of procspawn's pool, which is not started before.
fn with_procspawn(make: impl FnOnce(procspawn::Pool) -> Round + 'static) -> Round {
    prepared(|| Ok(make(procspawn::Pool::new(WORKERS)?)))
}

/// Has so many tasks under way at most; the sum of what `wait` gives of them.
fn windowed<T>(
    window: usize,
    numbers: Range<u64>,
    mut hand_in: impl FnMut(u64) -> T,
    wait: impl Fn(T) -> Result<u64>,
) -> Result<u64> {
    let mut under_way = VecDeque::with_capacity(window);
    let mut sum = 0;
    for next in numbers.map(Some).chain(std::iter::repeat_n(None, window)) {
        if (under_way.len() == window || next.is_none())
            && let Some(task) = under_way.pop_front()
        {
            sum += wait(task)?;
        }
        under_way.extend(next.map(&mut hand_in));
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
