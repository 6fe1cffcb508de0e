//! Events: one process waits until another says go.
//!
//! Python: `Event()`, `set()`, `clear()`, `is_set()`, `wait(timeout)`. Here an event is a plain value in shared memory,
//! `Shared::new(Event::new())`, alone or as a field of a struct.
//!
//! ```text
//! cargo run --release --example events -- wait | again | rounds
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use multiproc::{Event, Process, Shared, ShmSafe};
use std::error::Error;
use std::time::Duration;
use std::{env, thread};

type Outcome = Result<(), Box<dyn Error>>;

fn in_python(yes: bool) -> &'static str {
    if yes { "True" } else { "False" }
}

/// 10: one waits for ever, one with a timeout that runs out first.
fn wait() -> Outcome {
    let event = Shared::new(Event::new())?;
    Process::builder().name("block").spawn(event.clone(), |event| {
        println!("wait_for_event: starting");
        event.wait();
        println!("wait_for_event: e.is_set()-> {}", in_python(event.is_set()));
    })?;
    Process::builder().name("nonblock").spawn(event.clone(), |event| {
        println!("wait_for_event_timeout: starting");
        let is_set = event.wait_timeout(Duration::from_millis(200));
        println!("wait_for_event_timeout: e.is_set()-> {}", in_python(is_set));
    })?;
    println!("main: waiting before calling Event.set()");
    thread::sleep(Duration::from_millis(600));
    event.set();
    println!("main: event is set");
    Ok(())
}

/// 25: the same with the messages of another tutorial, its typing error kept.
fn again() -> Outcome {
    let event = Shared::new(Event::new())?;
    Process::builder().name("block").spawn(event.clone(), |event| {
        println!("wait_for_event: starting");
        event.wait();
        println!("wairt_for_event: e.is_set()->{}", in_python(event.is_set()));
    })?;
    Process::builder().name("non-block").spawn(event.clone(), |event| {
        println!("wait_for_event_timeout:starting");
        let is_set = event.wait_timeout(Duration::from_millis(200));
        println!("wait_for_event_timeout:e.is_set->{}", in_python(is_set));
    })?;
    thread::sleep(Duration::from_millis(600));
    event.set();
    println!("main: event is set");
    Ok(())
}

/// Two events in one piece of shared memory.
#[derive(ShmSafe)]
#[repr(C)]
struct Signals {
    go: Event,
    done: Event,
}

/// 41: set, clear, is_set, wait; three rounds in which two processes take turns.
fn rounds() -> Outcome {
    let signals = Shared::new(Signals { go: Event::new(), done: Event::new() })?;
    println!("at first: {}", in_python(signals.go.is_set()));
    let follower = Process::spawn(signals.clone(), |signals| {
        for round in 0..3 {
            signals.go.wait();
            signals.go.clear();
            println!("round {round}");
            signals.done.set();
        }
    })?;
    for round in 0..3 {
        signals.go.set();
        signals.done.wait();
        signals.done.clear();
        println!("seen {round}");
    }
    follower.join()?;
    let go = &signals.go;
    let came = go.wait_timeout(Duration::from_millis(50));
    println!("cleared: {} wait(0.05) gives: {}", in_python(go.is_set()), in_python(came));
    go.set();
    let came = go.wait_timeout(Duration::from_secs(5));
    println!("set: {} wait() gives: {}", in_python(go.is_set()), in_python(came));
    Ok(())
}

fn main() -> Outcome {
    match env::args().nth(1).as_deref() {
        Some("wait") => wait(),
        Some("again") => again(),
        Some("rounds") => rounds(),
        _ => Err("say which: wait, again, rounds".into()),
    }
}
