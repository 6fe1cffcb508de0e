//! Threads beside processes: the same queue, the same calls.
//!
//! Python: `threading.Thread` and `multiprocessing.Process` take the same arguments, `queue.Queue` and
//! `multiprocessing.Queue` have the same methods. Here `std::thread` does the one, and a `Queue` serves both.
//!
//! ```text
//! cargo run --release --example threads -- queue [--better] | both
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a thread tells by its panic"
)]

use multiproc::{Process, Queue};
use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, thread};

type Outcome = Result<(), Box<dyn Error>>;

const NAMES: [&str; 3] = ["Thread-1", "Thread-2", "Thread-3"];
const WORDS: [&str; 5] = ["One", "Two", "Three", "Four", "Five"];

/// 12: three threads look into one queue, under a lock, until a flag tells them to end.
fn queue() -> Outcome {
    let queue: Queue<String> = Queue::bounded(10)?;
    let (lock, exit) = (Mutex::new(()), AtomicBool::new(false));
    let work = |name: &str| {
        println!("Starting {name}");
        while !exit.load(Ordering::Relaxed) {
            // The recipe's lock. Nobody needs it here: `try_get` looks and takes in one step.
            let guard = lock.lock().unwrap();
            let word = queue.try_get();
            drop(guard);
            if let Ok(word) = word {
                println!("{name} processing {word}");
            }
            thread::sleep(Duration::from_millis(100));
        }
        println!("Exiting {name}");
    };
    thread::scope(|scope| {
        for name in NAMES {
            scope.spawn(move || work(name));
        }
        let guard = lock.lock().unwrap();
        queue.put_many(WORDS.map(str::to_owned)).unwrap();
        drop(guard);
        queue.join(); // until everything has been got
        exit.store(true, Ordering::Relaxed);
    });
    println!("Exiting Main Thread");
    Ok(())
}

/// Better: no flag, no lock, no sleep. Who finds the queue empty sleeps, and a closed queue ends every loop.
fn queue_better() -> Outcome {
    let queue: Queue<String> = Queue::bounded(10)?;
    let queue = &queue;
    thread::scope(|scope| {
        for name in NAMES {
            scope.spawn(move || {
                for word in queue {
                    println!("better: {name} processing {word}");
                }
            });
        }
        queue.put_many(WORDS.map(str::to_owned)).unwrap();
        queue.close();
    });
    println!("better: Exiting Main Thread");
    Ok(())
}

/// 30: the same job in a thread and in a process. There is no main guard, because there is nothing to guard.
fn both() -> Outcome {
    let job = |(_a, _d): (i32, i32)| println!("aaaaa");
    let thread = thread::spawn(move || job((1, 2)));
    let process = Process::spawn((1, 2), job)?;
    thread.join().map_err(|_| "the thread panicked")?;
    process.join()?;
    Ok(())
}

fn main() -> Outcome {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["queue"] => queue(),
        ["queue", "--better"] => queue_better(),
        ["both"] => both(),
        _ => Err("say which: queue [--better], both".into()),
    }
}
