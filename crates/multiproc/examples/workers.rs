//! Processes that do a job: started, named, given arguments.
//!
//! Python: `Process(target=worker, args=(i,), name="…").start()`. Here data come first and the function last, and both
//! are checked by the compiler: `Process::spawn(i, worker)`, `Process::builder().name("…").spawn(i, worker)`.
//!
//! ```text
//! cargo run --release --example workers -- numbered | names | class | two | alone | args | kwargs [--better]
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use multiproc::{Process, current_process};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::time::Duration;
use std::{env, thread};

type Outcome = Result<(), Box<dyn Error>>;

/// 01: five processes, one argument each. The handles are dropped, and yet the program waits for all five, as in
/// Python.
fn numbered() -> Outcome {
    for number in 0..5 {
        Process::spawn(number, |number: u32| println!("Worker: {number}"))?;
    }
    Ok(())
}

/// Better: what a function returns is the result of its process; nothing has to carry it back.
fn numbered_better() -> Outcome {
    let workers = (0..5).map(|number| Process::spawn(number, |number: u32| number * number));
    let workers = workers.collect::<Result<Vec<_>, _>>()?;
    let squares = workers.into_iter().map(Process::join).collect::<Result<Vec<_>, _>>()?;
    println!("better: the results are {squares:?}");
    Ok(())
}

/// 02: given names, and the default, which counts every start, named or not: this is the third, so `Process-3`.
fn names() -> Outcome {
    Process::builder().name("my_service").spawn(300, work_for)?;
    Process::builder().name("worker 1").spawn(200, work_for)?;
    Process::spawn(200, work_for)?;
    Ok(())
}

fn work_for(milliseconds: u64) {
    let me = current_process();
    println!("{} Starting", me.name());
    thread::sleep(Duration::from_millis(milliseconds));
    println!("{} Exiting", me.name());
}

/// 07: where Python subclasses `Process` and overrides `run`, a struct travels to its own method.
#[derive(Serialize, Deserialize)]
struct Worker {
    greeting: String,
}

impl Worker {
    fn run(self) {
        println!("{} {}", self.greeting, current_process().name());
    }
}

fn class() -> Outcome {
    let mut jobs = Vec::new();
    for number in 1..=5 {
        let worker = Worker { greeting: "In".to_owned() };
        jobs.push(Process::builder().name(format!("Worker-{number}")).spawn(worker, Worker::run)?);
    }
    for job in jobs {
        job.join()?;
    }
    Ok(())
}

/// 34: two tasks at the same time, one named.
fn two() -> Outcome {
    let task = |line: String| {
        for _ in 0..5 {
            println!("{line}");
            thread::sleep(Duration::from_millis(20));
        }
    };
    Process::builder().name("myprocess1").spawn("跳舞中...".to_owned(), task)?;
    Process::spawn("唱歌中...".to_owned(), task)?;
    Ok(())
}

/// 31: one process, several arguments: a tuple, taken apart by the function.
fn alone() -> Outcome {
    Process::spawn((1, 2), |(_a, _d): (i32, i32)| println!("aaaaa"))?.join()?;
    Ok(())
}

fn task(count: u32) {
    for _ in 0..count {
        println!("任务执行中..");
        thread::sleep(Duration::from_millis(20));
    }
    println!("任务执行完成");
}

/// 37: arguments by position.
fn args() -> Outcome {
    Process::spawn(5, task)?;
    Ok(())
}

/// 38: arguments by name are the fields of a struct. A wrong name does not compile; in Python it is a `TypeError` in the
/// child.
#[derive(Serialize, Deserialize)]
struct Job {
    count: u32,
}

fn kwargs() -> Outcome {
    Process::spawn(Job { count: 3 }, |Job { count }| task(count))?;
    Ok(())
}

fn main() -> Outcome {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["numbered"] => numbered(),
        ["numbered", "--better"] => numbered_better(),
        ["names"] => names(),
        ["class"] => class(),
        ["two"] => two(),
        ["alone"] => alone(),
        ["args"] => args(),
        ["kwargs"] => kwargs(),
        _ => Err("say which: numbered [--better], names, class, two, alone, args, kwargs".into()),
    }
}
