//! Pools of processes: one task, many tasks, at once or one after the other, and how a pool ends.
//!
//! Python: `Pool(n)`, `apply_async(func=pow, args=(i, 2))`, `apply`, `map`, `map_async`, `get(timeout=…)`, `close`, `join`,
//! `terminate`. Here the same names, typed; a task that fails is an error value, and what is dropped says so.
//!
//! ```text
//! cargo run --release --example pools -- pow | apply | map | map_async | terminate | rules
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use multiproc::{Pool, TaskError, cpu_count};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::time::{Duration, Instant};
use std::{env, thread};

type Outcome = Result<(), Box<dyn Error>>;

fn in_python(yes: bool) -> &'static str {
    if yes { "True" } else { "False" }
}

/// 14: a hundred tasks at once. No main guard: there is none to forget.
fn pow() -> Outcome {
    let pool = Pool::new(cpu_count())?;
    let results: Vec<_> = (0..100).map(|i| pool.apply_async((i, 2), |(b, e)| u64::pow(b, e))).collect();
    pool.close();
    pool.join();
    let count = results.len();
    let powers = results.into_iter().map(|result| result.get()).collect::<Result<Vec<_>, _>>()?;
    println!("check: results: {count} sum: {}", powers.iter().sum::<u64>());
    Ok(())
}

/// 15: `apply` waits for each result.
fn apply() -> Outcome {
    let pool = Pool::new(cpu_count())?;
    let results =
        (0..10).map(|i| pool.apply((i, 2), |(b, e)| u64::pow(b, e))).collect::<Result<Vec<_>, _>>()?;
    println!("check: results: {results:?}");
    Ok(())
}

/// 16: `map` with a function that is called for its effect. The result of nothing is a `()`.
fn map() -> Outcome {
    let pool = Pool::new(cpu_count())?;
    let results: Vec<()> = pool.map(0..20, |i: u32| println!("{i}"))?;
    let all_nothing = results == [(); 20];
    println!("check: results: {} all None: {}", results.len(), in_python(all_nothing));
    Ok(())
}

/// 17: `map_async` does not wait, and to ask too early does no harm.
fn map_async() -> Outcome {
    let pool = Pool::new(2)?;
    let printed = pool.map_async(0..20, |i: u32| println!("{i}"));
    println!("check: print: {}", printed.get()?.len());
    let result = pool.map_async([1, 2, 3, 4], |i: u32| {
        thread::sleep(Duration::from_millis(200));
        i * 10
    });
    println!("check: ready at once: {}", in_python(result.is_ready()));
    // Python has two errors for it: `successful` raises a ValueError, `get` a TimeoutError.
    if let Err(TaskError::NotReady) = result.try_get() {
        println!("check: successful too early: ValueError");
    }
    if let Err(TaskError::NotReady) = result.get_timeout(Duration::from_millis(50)) {
        println!("check: get too early: TimeoutError");
    }
    let values = result.get();
    println!(
        "check: get: {:?} successful: {}",
        values.as_deref().unwrap_or_default(),
        in_python(values.is_ok())
    );
    Ok(())
}

/// 18: `terminate` drops what is not done. In Python who gets a dropped result waits for ever; here it is an error at
/// once.
fn terminate() -> Outcome {
    let pool = Pool::new(2)?;
    let began = Instant::now();
    let mut results = Vec::new();
    for _ in 0..50 {
        results.push(pool.apply_async((), |()| thread::sleep(Duration::from_millis(100))));
    }
    results[0].get_timeout(Duration::from_secs(10))?;
    pool.terminate();
    let early = began.elapsed() < Duration::from_secs(2);
    // The first result has been taken.
    let (mut done, mut dropped, mut last) = (1, 0, None);
    for result in results.drain(1..) {
        match result.get() {
            Ok(()) => done += 1,
            Err(error) => {
                dropped += 1;
                last = Some(error);
            }
        }
    }
    let (done, dropped, early) = (in_python(done >= 1), in_python(dropped >= 1), in_python(early));
    println!("check: some done: {done} some dropped: {dropped} early: {early}");
    println!("check: dropped result: {}", last.ok_or("nothing was dropped")?);
    Ok(())
}

/// What Python calls keyword arguments.
#[derive(Serialize, Deserialize)]
struct Sorted {
    items: Vec<u32>,
    reverse: bool,
}

/// 42: no new work after `close` or `terminate`; what was given before is done; and `join` closes first, where Python
/// has an error for who forgot to.
fn rules() -> Outcome {
    let pool = Pool::new(2)?;
    let early = pool.apply_async((2, 10), |(b, e)| u64::pow(b, e));
    pool.join();
    println!("check: join before close: closes it");
    if let Err(error) = pool.apply((2, 11), |(b, e)| u64::pow(b, e)) {
        println!("check: work after close: {error}");
    }
    println!("check: work from before close: {}", early.get()?);

    let pool = Pool::new(2)?;
    let items = pool.apply(Sorted { items: vec![3, 1, 2], reverse: true }, |mut args| {
        args.items.sort();
        if args.reverse {
            args.items.reverse();
        }
        args.items
    })?;
    println!("check: apply with kwds: {items:?}");
    pool.terminate();
    if let Err(error) = pool.map([-1], i32::abs) {
        println!("check: work after terminate: {error}");
    }
    pool.join();
    println!("check: joined");
    Ok(())
}

fn main() -> Outcome {
    match env::args().nth(1).as_deref() {
        Some("pow") => pow(),
        Some("apply") => apply(),
        Some("map") => map(),
        Some("map_async") => map_async(),
        Some("terminate") => terminate(),
        Some("rules") => rules(),
        _ => Err("say which: pow, apply, map, map_async, terminate, rules".into()),
    }
}
