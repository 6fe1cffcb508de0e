//! A number in shared memory that four processes add to, under a lock.
//!
//! Python: `SharedMemory(create=True, size=8)`, its name as an argument, `struct` to read and write it, a `Lock`, and
//! `unlink` at the end. Here the same blocks are `SharedMemory`, which a Python program can open; between Rust processes
//! `Shared<Mutex<i64>>` has the type, the lock and no name that somebody must remove.
//!
//! ```text
//! cargo run --release --example shared_memory [-- --better]
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a child tells by its panic"
)]

use multiproc::{Mutex, Process, Shared, SharedMemory};
use std::error::Error;
use std::{env, process};

type Outcome = Result<(), Box<dyn Error>>;

fn read(memory: &SharedMemory) -> i64 {
    let mut bytes = [0; 8];
    memory.read_at(0, &mut bytes).unwrap();
    i64::from_ne_bytes(bytes)
}

/// 55: by name, with a lock around each change.
fn by_name() -> Outcome {
    let name = format!("multiproc-example-{}", process::id());
    let memory = SharedMemory::create(&name, 8)?;
    let lock = Shared::new(Mutex::new(()))?;
    let mut children = Vec::new();
    for _ in 0..4 {
        children.push(Process::spawn((name.clone(), lock.clone(), 250), |(name, lock, times)| {
            let memory = SharedMemory::open(&name).unwrap();
            for _ in 0..times {
                let _guard = lock.lock().unwrap();
                memory.write_at(0, &(read(&memory) + 1).to_ne_bytes()).unwrap();
            }
        })?);
    }
    for child in children {
        child.join()?;
    }
    println!("check: total: {}", read(&memory));
    drop(memory);
    SharedMemory::unlink(&name)?;
    match SharedMemory::open(&name) {
        Err(error) if error.is_not_found() => println!("check: after unlink: FileNotFoundError"),
        other => println!("check: after unlink: {other:?}"),
    }
    Ok(())
}

/// Better: the lock holds what it protects, and nothing is left behind, however the processes end.
fn better() -> Outcome {
    let total = Shared::new(Mutex::new(0i64))?;
    let mut children = Vec::new();
    for _ in 0..4 {
        children.push(Process::spawn((total.clone(), 250), |(total, times)| {
            for _ in 0..times {
                *total.lock().unwrap() += 1;
            }
        })?);
    }
    for child in children {
        child.join()?;
    }
    println!("better: total: {}", *total.lock().unwrap());
    Ok(())
}

fn main() -> Outcome {
    match env::args().nth(1).as_deref() {
        None => by_name(),
        Some("--better") => better(),
        Some(_) => Err("say nothing, or --better".into()),
    }
}
