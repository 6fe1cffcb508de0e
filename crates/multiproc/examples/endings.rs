//! How processes end: left running, terminated, by return, by exit, by panic; and the library's log of it.
//!
//! Python: `daemon=True`, `terminate()`, `join(timeout)`, `exitcode`, `log_to_stderr()`. Exit codes are the same but for
//! an uncaught error: a panic is 101, as in every Rust program, and not 1.
//!
//! ```text
//! cargo run --release --example endings -- daemon | terminate | codes [--better] | log
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use multiproc::{JoinError, Level, Process, current_process, log_to_stderr};
use std::error::Error;
use std::time::Duration;
use std::{env, process, thread};

type Outcome = Result<(), Box<dyn Error>>;

/// 03: the program does not wait for a daemon, which is terminated at the end; and a wait with a timeout.
fn daemon() -> Outcome {
    let work = |seconds: u64| {
        let me = current_process();
        println!("Starting: {}", me.name());
        thread::sleep(Duration::from_secs(seconds));
        println!("Exiting : {}", me.name());
    };
    let daemon = Process::builder().name("daemon").daemon(true).spawn(2, work)?;
    let other = Process::builder().name("non-daemon").spawn(0, work)?;
    if daemon.wait_timeout(Duration::from_millis(300))?.is_none() {
        println!("d.is_alive() {}", in_python(daemon.is_alive()));
    }
    other.join()?;
    Ok(())
}

fn in_python(yes: bool) -> &'static str {
    if yes { "True" } else { "False" }
}

/// 04: `terminate` asks, `wait` waits. There is no handle before the start, so there is nothing to ask wrongly.
fn terminate() -> Outcome {
    println!("BEFORE: nothing to ask {}", in_python(false));
    let worker = Process::spawn((), |()| {
        println!("Starting worker");
        thread::sleep(Duration::from_millis(100));
        println!("Finished worker");
    })?;
    println!("DURING: {worker:?} {}", in_python(worker.is_alive()));
    worker.terminate()?;
    println!("TERMINATED: {worker:?} {}", in_python(worker.is_alive()));
    worker.wait()?;
    println!("JOINED: {worker:?} {}", in_python(worker.is_alive()));
    println!("check: exit code: {:?}", worker.exit_code());
    Ok(())
}

/// A function that may return something, and its name.
type Ending = (&'static str, fn(()) -> Option<u32>);

const ENDINGS: [Ending; 5] = [
    ("exit_error", |()| process::exit(1)),
    ("exit_ok", |()| None),
    ("return_value", |()| Some(1)),
    ("raises", |()| panic!("There was an error!")),
    ("terminated", |()| {
        thread::sleep(Duration::from_secs(3));
        None
    }),
];

/// 05: the exit codes of all of these.
fn codes() -> Outcome {
    let mut jobs = Vec::new();
    for (name, ending) in ENDINGS {
        println!("Starting process for {name}");
        jobs.push(Process::builder().name(name).spawn((), ending)?);
    }
    if let Some(last) = jobs.last() {
        last.terminate()?;
    }
    for job in jobs {
        job.wait()?;
        println!("{:>15}.exitcode = {}", job.name(), job.exit_code().ok_or("nobody knows")?);
    }
    Ok(())
}

/// Better: `join` gives what was returned, or says what went wrong and where.
fn codes_better() -> Outcome {
    for (name, ending) in ENDINGS {
        let job = Process::builder().name(name).spawn((), ending)?;
        if name == "terminated" {
            job.terminate()?;
        }
        match job.join() {
            Ok(value) => println!("better: {name} returned {value:?}"),
            Err(JoinError::Panicked { message, location, .. }) => {
                let file = location.split(':').next().unwrap_or_default();
                println!("better: {name} panicked in {file}: {message}");
            }
            Err(JoinError::Exited { code }) => println!("better: {name} exited with {code}"),
            Err(JoinError::Signaled { signal, .. }) => {
                println!("better: {name} was ended by signal {signal}")
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

/// 06: what the library does, on standard error, each line with level and process name. `main` does not run in the
/// child, and yet it tells, too.
fn log() -> Outcome {
    log_to_stderr(Level::INFO)?;
    Process::spawn((), |()| println!("Doing some work"))?.join()?;
    Ok(())
}

fn main() -> Outcome {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["daemon"] => daemon(),
        ["terminate"] => terminate(),
        ["codes"] => codes(),
        ["codes", "--better"] => codes_better(),
        ["log"] => log(),
        _ => Err("say which: daemon, terminate, codes [--better], log".into()),
    }
}
