//! Watches from outside how a child's memory grows, and bounds it.
//!
//! Python: `psutil.Process(p.pid).memory_info().rss` or `/proc`, two `Event`s to take turns. Here `id()` and `/proc`; and
//! `memory_limit`, which makes a child that takes too much an error instead of a machine without memory.
//!
//! ```text
//! cargo run --release --example memory [-- --better]
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use multiproc::{Event, Process, Shared, ShmSafe};
use std::error::Error;
use std::path::Path;
use std::{env, fs, hint, io};

type Outcome = Result<(), Box<dyn Error>>;

const BLOCK: usize = 32 << 20;

/// How many bytes of this process are in memory.
fn resident(id: u32) -> io::Result<usize> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().map_err(io::Error::other)?;
    Ok(kibibytes << 10)
}

#[derive(ShmSafe)]
#[repr(C)]
struct Turns {
    ready: Event,
    go_on: Event,
}

fn in_python(yes: bool) -> &'static str {
    if yes { "True" } else { "False" }
}

/// 56: before and after the child has touched 32 MiB, and once it has ended.
fn watch() -> Outcome {
    let turns = Shared::new(Turns { ready: Event::new(), go_on: Event::new() })?;
    let child = Process::spawn(turns.clone(), |turns| {
        turns.ready.set();
        turns.go_on.wait();
        turns.go_on.clear();
        let block = vec![b'x'; BLOCK];
        turns.ready.set();
        turns.go_on.wait();
        hint::black_box(block);
    })?;
    let id = child.id();
    turns.ready.wait();
    turns.ready.clear();
    let before = resident(id)?;
    turns.go_on.set();
    turns.ready.wait();
    let after = resident(id)?;
    turns.go_on.set();
    child.join()?;
    let grew = after.saturating_sub(before) >= BLOCK;
    println!("check: positive: {} grew by 32 MiB: {}", in_python(before > 0), in_python(grew));
    println!("check: gone after join: {}", in_python(!Path::new(&format!("/proc/{id}")).exists()));
    Ok(())
}

/// Better: a bound. The same child with half the memory is an error of that child, and of nobody else.
fn better() -> Outcome {
    let child = Process::builder().memory_limit(BLOCK as u64 / 2).stderr(multiproc::Stdio::null());
    let child = child.spawn((), |()| hint::black_box(vec![b'x'; BLOCK]).len())?;
    println!("better: it was stopped: {}", child.join().is_err());
    Ok(())
}

fn main() -> Outcome {
    match env::args().nth(1).as_deref() {
        None => watch(),
        Some("--better") => better(),
        Some(_) => Err("say nothing, or --better".into()),
    }
}
