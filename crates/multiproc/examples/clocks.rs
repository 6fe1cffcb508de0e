//! A clock in a process of its own: as a function, and as a struct with a method.
//!
//! Python: `Process(target=worker, args=(0.1,))`, and a subclass `ClockProcess(Process)` whose constructor takes the
//! interval and whose `run` is called by `start`. Here a struct travels to its own method, with nothing to inherit.
//!
//! ```text
//! cargo run --release --example clocks -- function | struct
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a child tells by its panic"
)]

use multiproc::Process;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, thread};

type Outcome = Result<(), Box<dyn Error>>;

/// 20: a function, and what the parent knows of the process.
fn function() -> Outcome {
    let clock = Process::spawn(Duration::from_millis(100), |interval| {
        for _ in 0..5 {
            println!("The time is {}", now());
            thread::sleep(interval);
        }
    })?;
    println!("p.pid: {}", clock.id());
    println!("p.name: {}", clock.name());
    println!("p.is_alive: {}", if clock.is_alive() { "True" } else { "False" });
    Ok(())
}

/// 22: a struct with a method.
#[derive(Serialize, Deserialize)]
struct Clock {
    interval: Duration,
}

impl Clock {
    fn run(self) {
        for _ in 0..5 {
            println!("the time is {}", now());
            thread::sleep(self.interval);
        }
    }
}

fn with_struct() -> Outcome {
    let clock = Clock { interval: Duration::from_millis(100) };
    let process = Process::builder().name("ClockProcess-1").spawn(clock, Clock::run)?;
    process.wait()?;
    println!("check: name: {} exitcode: {}", process.name(), process.exit_code().unwrap());
    Ok(())
}

/// The time as C's `ctime` has it, in UTC: `Thu Jan  1 00:00:00 1970`.
fn now() -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let weekday = DAYS[days as usize % 7];
    // By Howard Hinnant's "chrono-compatible low-level date algorithms", whose years begin in March.
    let (era, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 400 * era + year + u64::from(month >= 10);
    let month = MONTHS[month as usize];
    format!("{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year}")
}

fn main() -> Outcome {
    match env::args().nth(1).as_deref() {
        Some("function") => function(),
        Some("struct") => with_struct(),
        _ => Err("say which: function, struct".into()),
    }
}
