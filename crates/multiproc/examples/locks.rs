//! Locks and semaphores between processes.
//!
//! Python: `with lock:`, `lock.acquire()` and `lock.release()` in a `finally`, `Semaphore(2)`, `Value("i")`. Here a mutex
//! holds what it protects, a guard unlocks when it goes, and both live in shared memory: `Shared::new(Mutex::new(0))`.
//! A process may be killed inside: the others are told, or get its permit back, and never wait for a dead one.
//!
//! ```text
//! cargo run --release --example locks -- file | semaphore; with --better: what becomes of a dead one's
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a child tells by its panic"
)]

use multiproc::{Mutex, Process, Semaphore, Shared, ShmSafe, current_process};
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, thread};

type Outcome = Result<(), Box<dyn Error>>;

/// Nine lines, each written by itself, so that two writers without a lock would mix theirs.
fn append(file: &PathBuf, line: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    for _ in 0..9 {
        writeln!(file, "{line}").unwrap();
    }
}

/// 23: appends to one file under a lock; the guard does what `with` does.
fn file() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file.txt");
    let lock = Shared::new(Mutex::new(()))?;
    let with = Process::spawn((lock.clone(), file.clone()), |(lock, file)| {
        let _guard = lock.lock().unwrap();
        append(&file, "Lock 通过 with");
    })?;
    let without = Process::spawn((lock, file.clone()), |(lock, file)| {
        let guard = lock.lock().unwrap();
        append(&file, "Lock 直接 操作");
        drop(guard); // early; at the latest, it goes with the function, also by a panic
    })?;
    with.join()?;
    without.join()?;
    let text = fs::read_to_string(&file)?;
    let lines: Vec<&str> = text.lines().collect();
    for group in lines.chunk_by(|a, b| a == b) {
        println!("check: {} x {}", group.len(), group[0]);
    }
    Ok(())
}

/// Better: a process dies while it has the lock. In Python everybody would wait for ever; here the next one is told,
/// has the lock, and sees to it that the value makes sense.
fn file_better() -> Outcome {
    let account = Shared::new(Mutex::new([100, 0]))?;
    let thief = Process::spawn(account.clone(), |account| {
        let mut balance = account.lock().unwrap();
        balance[0] -= 30;
        current_process().kill().unwrap();
        balance[1] += 30;
    })?;
    thief.wait()?;
    match account.lock() {
        Ok(balance) => println!("better: this is not expected: {balance:?}"),
        Err(error) if error.is_owner_dead() => {
            let mut balance = error.into_guard();
            println!("better: its owner died with {} and {} in it", balance[0], balance[1]);
            balance[1] = 100 - balance[0];
        }
        Err(error) => println!("better: this is not expected: {error}"),
    };
    println!("better: the next one finds {:?}", *account.lock().unwrap());
    Ok(())
}

/// How many are inside, and how many at most there were.
#[derive(ShmSafe)]
#[repr(C)]
struct Count {
    inside: AtomicU32,
    most: AtomicU32,
}

/// 24: two permits, five processes.
fn semaphore() -> Outcome {
    let gate = Shared::new(Semaphore::new(2))?;
    let count = Shared::new(Count { inside: 0.into(), most: 0.into() })?;
    let mut jobs = Vec::new();
    for number in 0..5 {
        let pause = Duration::from_millis(100 * number);
        jobs.push(Process::spawn((gate.clone(), count.clone(), pause), |(gate, count, pause)| {
            let me = current_process();
            let _permit = gate.acquire();
            let inside = count.inside.fetch_add(1, Ordering::Relaxed) + 1;
            count.most.fetch_max(inside, Ordering::Relaxed);
            println!("{}acquire", me.name());
            thread::sleep(pause);
            println!("{}release\n", me.name());
            count.inside.fetch_sub(1, Ordering::Relaxed);
        })?);
    }
    for job in jobs {
        job.join()?;
    }
    println!("check: most inside at once: {}", count.most.load(Ordering::Relaxed));
    Ok(())
}

/// Better: the permit of a process that was killed comes back.
fn semaphore_better() -> Outcome {
    let gate = Shared::new(Semaphore::new(1))?;
    let holder = Process::spawn(gate.clone(), |gate| {
        let _permit = gate.acquire();
        current_process().kill().unwrap();
    })?;
    holder.wait()?;
    let permit = gate.acquire_timeout(Duration::from_secs(10));
    println!("better: its permit came back: {}", permit.is_some());
    Ok(())
}

fn main() -> Outcome {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["file"] => file(),
        ["file", "--better"] => file_better(),
        ["semaphore"] => semaphore(),
        ["semaphore", "--better"] => semaphore_better(),
        _ => Err("say which: file [--better], semaphore [--better]".into()),
    }
}
