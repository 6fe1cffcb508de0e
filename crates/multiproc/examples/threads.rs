//! Threads beside processes: the same queue, the same calls.
//!
//! Python: `threading.Thread` and `multiprocessing.Process` take the same arguments, `queue.Queue` and
//! `multiprocessing.Queue` have the same methods. Here `std::thread` does the one, and a `Queue` serves both.
//!
//! ```text
//! cargo run --release --example threads -- queue [--better | --manager] | both
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a thread tells by its panic"
)]

use multiproc::{Manager, Process, Queue};
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

/// The recipe's heading promises a priority queue, which its program does not have. A manager does: the least comes first,
/// whoever puts it, from whatever process.
fn queue_of_manager() -> Outcome {
    let manager = Manager::start()?;
    let (queue, lock) = (manager.priority_queue()?, Mutex::new(()));
    for (priority, word) in [(3, "Three"), (5, "Five"), (1, "One"), (4, "Four"), (2, "Two")] {
        queue.put((priority, word.to_owned()))?;
    }
    queue.close()?;
    thread::scope(|scope| {
        for name in NAMES {
            let (queue, lock) = (&queue, &lock);
            scope.spawn(move || {
                loop {
                    // So that they print in the order in which they get.
                    let _guard = lock.lock().unwrap();
                    let Ok((priority, word)) = queue.get() else { break };
                    println!("{name} processing {word}, which is number {priority}");
                }
            });
        }
    });
    println!("Exiting Main Thread");
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
        ["queue", "--manager"] => queue_of_manager(),
        ["both"] => both(),
        _ => Err("say which: queue [--better, --manager], both".into()),
    }
}
