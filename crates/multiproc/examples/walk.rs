//! A pool made by hand: consumers take paths from a queue, the parent walks a folder and fills it.
//!
//! Python: a subclass of `Process`, a `Queue` whose `qsize` the producer looks at so as not to fill it, a `Lock` around
//! `print`, the word `"quit"` for each consumer. Here the queue is bounded, so the producer waits by itself; the last word
//! is the `None` of an `Option`.
//!
//! ```text
//! cargo run --release --example walk [-- --better]
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a child tells by its panic"
)]

use multiproc::{Mutex, Pool, Process, Queue, Shared};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io, thread};

type Outcome = Result<(), Box<dyn Error>>;

const WORKERS: usize = 4;

#[derive(Serialize, Deserialize)]
struct Consumer {
    queue: Queue<Option<PathBuf>>,
    output: Shared<Mutex<()>>,
}

impl Consumer {
    fn run(self) {
        while let Some(path) = self.queue.get().unwrap() {
            let line = look(&path).unwrap();
            let _guard = self.output.lock().unwrap();
            println!("{line}");
        }
        let _guard = self.output.lock().unwrap();
        println!("Bye-bye");
    }
}

fn look(path: &Path) -> io::Result<String> {
    thread::sleep(Duration::from_millis(20)); // pretend to take some time
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("file {name} {}", fs::metadata(path)?.len()))
}

/// Calls `found` with each file below a folder.
fn walk(folder: &Path, found: &mut impl FnMut(PathBuf) -> Outcome) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else {
            found(path)?;
        }
    }
    Ok(())
}

/// 44: four consumers, a queue that is never longer than eight.
fn by_hand(folder: &Path) -> Outcome {
    let queue = Queue::bounded(2 * WORKERS)?;
    let output = Shared::new(Mutex::new(()))?;
    let mut workers = Vec::new();
    for number in 1..=WORKERS {
        let consumer = Consumer { queue: queue.clone(), output: output.clone() };
        workers.push(Process::builder().name(format!("Consumer-{number}")).spawn(consumer, Consumer::run)?);
    }
    let mut highest = 0;
    walk(folder, &mut |path| {
        queue.put(Some(path))?;
        highest = highest.max(queue.len());
        Ok(())
    })?;
    for _ in &workers {
        queue.put(None)?;
    }
    let mut codes = Vec::new();
    for worker in workers {
        worker.wait()?;
        codes.extend(worker.exit_code());
    }
    println!("Done!");
    let bounded = if highest <= 2 * WORKERS { "True" } else { "False" };
    println!("check: exit codes: {codes:?} queue bounded: {bounded}");
    Ok(())
}

/// Better: a real pool. It pulls a bounded number of paths ahead of the workers, and only the parent prints.
fn by_pool(folder: &Path) -> Outcome {
    let mut paths = Vec::new();
    walk(folder, &mut |path| {
        paths.push(path);
        Ok(())
    })?;
    let pool = Pool::new(WORKERS)?;
    for line in pool.imap_unordered(paths, |path| look(&path).map_err(|error| error.to_string())) {
        println!("better: {}", line??);
    }
    println!("better: Done!");
    Ok(())
}

fn main() -> Outcome {
    let folder = tempfile::tempdir()?;
    for n in 0..30 {
        let sub = if n % 2 == 1 { format!("sub{}/deep", n % 3) } else { String::new() };
        let sub = folder.path().join(sub);
        fs::create_dir_all(&sub)?;
        fs::write(sub.join(format!("f{n:02}.txt")), "x".repeat(n))?;
    }
    match env::args().nth(1).as_deref() {
        None => by_hand(folder.path()),
        Some("--better") => by_pool(folder.path()),
        Some(_) => Err("say nothing, or --better".into()),
    }
}
