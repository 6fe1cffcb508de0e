//! What tasks of a pool do: overlap, wait, fail, call back, start pools of their own.
//!
//! Python: `apply_async(func, args, callback=…, error_callback=…)`, whose errors nobody sees who does not `get`. Here a
//! result that is not looked at is a warning of the compiler, and one callback gets the value or the error.
//!
//! ```text
//! cargo run --release --example pool_tasks -- messages | waiting | errors [--better] | callback | topics
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use multiproc::{Pool, TaskError, TaskOptions, current_process};
use std::collections::BTreeSet;
use std::error::Error;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, process, thread};

type Outcome = Result<(), Box<dyn Error>>;

fn in_python(yes: bool) -> &'static str {
    if yes { "True" } else { "False" }
}

fn message(message: String) {
    println!("msg: {message}");
    thread::sleep(Duration::from_millis(300));
    println!("end");
}

/// 28: three workers, four tasks: the fourth begins when one of the others has ended.
fn messages() -> Outcome {
    let pool = Pool::new(3)?;
    let results: Vec<_> = (0..4).map(|i| pool.apply_async(format!("hello {i}"), message)).collect();
    println!("开始执行");
    pool.close();
    pool.join();
    println!("子进程执行完成");
    for result in results {
        result.get()?;
    }
    Ok(())
}

/// 29: the same with the caller waiting for each.
fn waiting() -> Outcome {
    let pool = Pool::new(3)?;
    for i in 0..4 {
        pool.apply(format!("hello {i}"), message)?;
    }
    println!("开始执行");
    pool.close();
    pool.join();
    println!("子进程执行完成");
    Ok(())
}

fn divide(n: u32) -> u32 {
    println!("task {n}");
    12 / n
}

/// 47: a task that fails stops nothing else. A callback gets every result, value or error, with the child's own place
/// and backtrace.
fn errors() -> Outcome {
    let pool = Pool::new(2)?;
    let (sender, results) = mpsc::channel();
    for n in [3, 0, 2, 1] {
        let sender = sender.clone();
        pool.apply_async(n, divide).on_done(move |result| {
            // Who does not listen any more does not want to know.
            let _ = sender.send(result);
        });
    }
    drop(sender);
    pool.close();
    pool.join();
    let mut failed = Vec::new();
    for result in results {
        match result {
            Ok(value) => println!("check: get: {value} successful: True"),
            Err(TaskError::Panicked { message, backtrace, .. }) => {
                println!("check: get: panic: {message} successful: False");
                println!(
                    "check: the child's traceback is attached: {}",
                    in_python(backtrace.contains("divide"))
                );
                failed.push(message);
            }
            Err(other) => return Err(other.into()),
        }
    }
    println!("check: error_callback: {failed:?}");
    Ok(())
}

/// Better: what Python's pool cannot bear at all. A worker that crashes, and a task that never ends, are errors of those
/// tasks; the pool goes on.
fn errors_better() -> Outcome {
    let pool = Pool::new(2)?;
    let crash = pool.apply((), |()| -> () { process::abort() });
    println!("better: crash: {}", matches!(crash, Err(TaskError::WorkerDied { .. })));
    let hurry = pool.with(TaskOptions::new().timeout(Duration::from_millis(200)));
    let endless = hurry.apply((), |()| -> () {
        loop {
            thread::park();
        }
    });
    println!("better: endless: {}", endless.is_err_and(|error| error.is_timeout()));
    println!("better: and then {}", pool.apply(3, |n: u32| 12 / n)?);
    Ok(())
}

/// 49: four tasks one after the other, then side by side with a callback, which runs here, in the parent.
fn callback() -> Outcome {
    let work = |n: u32| {
        thread::sleep(Duration::from_millis(100));
        (n * n, process::id())
    };
    let pool = Pool::new(4)?;
    let began = Instant::now();
    let mut serial = Vec::new();
    for n in 0..4 {
        serial.push(pool.apply(n, work)?.0);
    }
    let serial_took = began.elapsed();

    let began = Instant::now();
    let (sender, results) = mpsc::channel();
    for n in 0..4 {
        let sender = sender.clone();
        pool.apply_async(n, work).on_done(move |result| {
            let place = current_process().name().to_owned();
            let _ = sender.send(result.map(|(value, id)| (value, id != process::id(), place)));
        });
    }
    drop(sender);
    pool.close();
    pool.join();
    let parallel_took = began.elapsed();
    let results = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    let parallel: BTreeSet<u32> = results.iter().map(|(value, ..)| *value).collect();
    let places: BTreeSet<&str> = results.iter().map(|(.., place)| &**place).collect();
    let places: Vec<String> = places.iter().map(|place| format!("'{place}'")).collect();
    let in_child = in_python(results.iter().all(|(_, is_child, _)| *is_child));
    println!("check: serial: {serial:?} parallel: {:?}", parallel.into_iter().collect::<Vec<_>>());
    println!("check: ran in a child: {in_child} callback ran in: {{{}}}", places.join(", "));
    let waits = in_python(serial_took >= Duration::from_millis(400));
    let overlaps = in_python(parallel_took < Duration::from_millis(350));
    println!("check: serial waits for each: {waits} parallel overlaps: {overlaps}");
    Ok(())
}

fn topic(n: u64) -> String {
    thread::sleep(Duration::from_millis(20 * (8 - n))); // the first takes longest
    format!("topic {n} -> {}", n * n)
}

/// 51: results in the order of the input, whatever takes longest; and a pool in a pool's worker, which Python forbids
/// because its workers are daemons. Here a daemon may have children: they end with it.
fn topics() -> Outcome {
    let pool = Pool::new(4)?;
    for line in pool.map(0..8, topic)? {
        println!("{line}");
    }
    let nested = pool.apply(1, |n| {
        let inner = Pool::new(2).map_err(|error| error.to_string())?;
        inner.map([n], topic).map_err(|error| error.to_string())
    })?;
    println!("check: nested: {:?}", nested?);
    Ok(())
}

fn main() -> Outcome {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["messages"] => messages(),
        ["waiting"] => waiting(),
        ["errors"] => errors(),
        ["errors", "--better"] => errors_better(),
        ["callback"] => callback(),
        ["topics"] => topics(),
        _ => Err("say which: messages, waiting, errors [--better], callback, topics".into()),
    }
}
