//! Results of several processes, side by side.
//!
//! Python: each process puts its result into a queue; who joins before he gets may deadlock, once a result is larger
//! than a pipe's buffer. Here a put is complete when it returns, and a function's value comes back by `join` anyway.
//!
//! ```text
//! cargo run --release --example sums -- queue [--better] | overlap
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a child tells by its panic"
)]

use multiproc::{Process, Queue};
use std::error::Error;
use std::time::{Duration, Instant};
use std::{env, thread};

type Outcome = Result<(), Box<dyn Error>>;

fn sum() -> u64 {
    (0..1000u64).map(|i| i + i.pow(2) + i.pow(3)).sum()
}

/// 32: results by a queue, both processes joined before the first get.
fn queue() -> Outcome {
    let queue = Queue::unbounded()?;
    let job = |queue: Queue<u64>| queue.put(sum()).unwrap();
    let (first, second) = (Process::spawn(queue.clone(), job)?, Process::spawn(queue.clone(), job)?);
    first.join()?;
    second.join()?;
    println!("{}", queue.get()? + queue.get()?);
    Ok(())
}

/// Better: the same order with 1 MB each, which hangs in Python; and without any queue.
fn queue_better() -> Outcome {
    let queue = Queue::unbounded()?;
    let job = |queue: Queue<Vec<u8>>| queue.put(vec![1; 1_000_000]).unwrap();
    let (first, second) = (Process::spawn(queue.clone(), job)?, Process::spawn(queue.clone(), job)?);
    first.join()?;
    second.join()?;
    println!("better: {} bytes after both have ended", queue.get()?.len() + queue.get()?.len());

    let (first, second) = (Process::spawn((), |()| sum())?, Process::spawn((), |()| sum())?);
    println!("better: {} by join", first.join()? + second.join()?);
    Ok(())
}

/// 33: start all, then join all, so that they run side by side.
fn overlap() -> Outcome {
    let queue = Queue::unbounded()?;
    let began = Instant::now();
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(Process::spawn(queue.clone(), |queue| {
            thread::sleep(Duration::from_millis(300)); // makes it visible that they overlap
            queue.put(sum()).unwrap();
        })?);
    }
    for process in processes {
        process.join()?;
    }
    let took = began.elapsed();
    println!("check: total: {}", queue.get_many(4)?.iter().sum::<u64>());
    println!("check: side by side: {}", if took < Duration::from_millis(1200) { "True" } else { "False" });
    Ok(())
}

fn main() -> Outcome {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["queue"] => queue(),
        ["queue", "--better"] => queue_better(),
        ["overlap"] => overlap(),
        _ => Err("say which: queue [--better], overlap".into()),
    }
}
