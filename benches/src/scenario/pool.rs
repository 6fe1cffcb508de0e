use super::{Context, Scenario};
use crate::Result;
use crate::measure::{Bench, Round, System, check, trivial};
use multiproc_pool::Pool;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::collections::VecDeque;
use std::time::Instant;

const WORKERS: usize = 2;
const PROCSPAWN: &str = "procspawn 1.0.2";
const RAYON: &str = "rayon, threads";
/// How many tasks procspawn has under way: each takes four descriptors.
const WINDOW: usize = 500;

pub(super) const TASKS: Scenario = Scenario {
    name: "pool-tasks",
    sentence: "hand tasks of no work to a pool of two workers one by one, then take all the results; the cost of one",
    unit: "ns",
    bench: tasks,
};

pub(super) const MAP: Scenario = Scenario {
    name: "pool-map",
    sentence: "map a function of no work over a million numbers (20,000 in a smoke run) with two workers; the cost \
               of one",
    unit: "ns",
    bench: map,
};

fn tasks(context: &Context) -> Result<Bench> {
    let pool = Pool::new(WORKERS)?;
    let ours = counted(move |numbers| {
        let results: Vec<_> = numbers.map(|number| pool.apply_async(number, trivial)).collect();
        let mut sum = 0;
        for result in results {
            sum += result.get()?;
        }
        Ok(sum)
    });
    let pool = procspawn::Pool::new(WORKERS)?;
    let by_procspawn = counted(move |numbers| {
        let (mut under_way, mut sum) = (VecDeque::new(), 0);
        for number in numbers {
            if under_way.len() == WINDOW {
                sum += take(&mut under_way)?;
            }
            under_way.push_back(procspawn::spawn!(in pool, (number => number) || trivial(number)));
        }
        while !under_way.is_empty() {
            sum += take(&mut under_way)?;
        }
        Ok(sum)
    });
    let pool = threads()?;
    let by_rayon = counted(move |numbers| {
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
    Ok(Bench {
        systems: vec![
            System::new("ours, apply_async", effort.operations(100_000), ours).against(PROCSPAWN),
            System::new(PROCSPAWN, effort.operations(10_000), by_procspawn),
            System::new(RAYON, effort.operations(100_000), by_rayon).against(PROCSPAWN),
        ],
        ..Bench::default()
    })
}

fn map(context: &Context) -> Result<Bench> {
    let pool = Pool::new(WORKERS)?;
    let ours = counted(move |numbers| Ok(pool.map(numbers, trivial)?.into_iter().sum()));
    let pool = threads()?;
    let by_rayon = counted(move |numbers| {
        let results: Vec<u64> = pool.install(|| numbers.into_par_iter().map(trivial).collect());
        Ok(results.into_iter().sum())
    });
    let items = context.effort.operations(1_000_000);
    Ok(Bench {
        systems: vec![System::new("ours, map", items, ours), System::new(RAYON, items, by_rayon)],
        ..Bench::default()
    })
}

fn threads() -> Result<rayon::ThreadPool> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build()?)
}

fn take(under_way: &mut VecDeque<procspawn::JoinHandle<u64>>) -> Result<u64> {
    match under_way.pop_front() {
        Some(task) => Ok(task.join()?),
        None => Ok(0),
    }
}

/// Makes a round of something that gives the sum of the results of these numbers; all of its time counts.
fn counted(mut run: impl FnMut(std::ops::Range<u64>) -> Result<u64> + 'static) -> Round {
    Box::new(move |count| {
        let started = Instant::now();
        let sum = run(0..count)?;
        let time = started.elapsed();
        check(sum, (0..count).map(trivial).sum())?;
        Ok(time.as_secs_f64() * 1e9 / count.max(1) as f64)
    })
}
