//! Consumers on a queue of tasks that know how to run themselves, results by another queue.
//!
//! Python: `JoinableQueue`, `task_done()`, `join()`, callable objects, and a `None` for each consumer as its poison pill.
//! Here a task is a struct with a method, the pill is the `None` of `Option<Task>`, and what is taken with `lease` counts
//! when its `done` is called: `tasks.join()` waits for that, and a task whose consumer dies before is delivered again.
//!
//! ```text
//! cargo run --release --example consumers [-- --better]
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a child tells by its panic"
)]

use multiproc::{Process, Queue, cpu_count, current_process};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::time::Duration;
use std::{env, fmt, process, thread};

type Outcome = Result<(), Box<dyn Error>>;

#[derive(Serialize, Deserialize)]
struct Task {
    a: u32,
    b: u32,
}

impl Task {
    fn run(&self) -> String {
        thread::sleep(Duration::from_millis(20)); // pretend to take some time to do the work
        format!("{self} = {}", self.a * self.b)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} * {}", self.a, self.b)
    }
}

const TASKS: u32 = 10;

fn consume((tasks, results): (Queue<Option<Task>>, Queue<String>)) {
    let me = current_process();
    loop {
        let next = tasks.lease().unwrap();
        match &*next {
            Some(task) => {
                println!("{}: {task}", me.name());
                results.put(task.run()).unwrap();
                next.done();
            }
            None => {
                println!("{}: Exiting", me.name());
                next.done();
                return;
            }
        }
    }
}

/// 09: tasks, a pill for each consumer, and a join that waits for all of them.
fn consumers() -> Outcome {
    let (tasks, results) = (Queue::unbounded()?, Queue::unbounded()?);
    let count = cpu_count() * 2;
    println!("Creating {count} consumers");
    for number in 1..=count {
        let consumer = Process::builder().name(format!("Consumer-{number}"));
        consumer.spawn((tasks.clone(), results.clone()), consume)?;
    }
    tasks.put_many((0..TASKS).map(|n| Some(Task { a: n, b: n })))?;
    tasks.put_many((0..count).map(|_| None))?;
    tasks.join();
    for _ in 0..TASKS {
        println!("Result: {}", results.get()?);
    }
    Ok(())
}

/// Better: no pills, and nothing is lost when a consumer dies. `close` ends every consumer's loop once the queue is
/// drained; the first to get the fourth task crashes, and another one does it.
fn better() -> Outcome {
    let (tasks, results) = (Queue::unbounded()?, Queue::unbounded()?);
    tasks.put_many((0..TASKS).map(|n| Task { a: n, b: n }))?;
    tasks.close();
    let mut consumers = Vec::new();
    for _ in 0..3 {
        let consumer = |(tasks, results): (Queue<Task>, Queue<String>)| {
            while let Ok(task) = tasks.lease() {
                if task.a == 3 && !task.is_redelivered() {
                    process::abort();
                }
                results.put(task.run()).unwrap();
                task.done();
            }
        };
        consumers.push(Process::spawn((tasks.clone(), results.clone()), consumer)?);
    }
    tasks.join();
    results.close();
    let mut answers: Vec<String> = results.iter().collect();
    answers.sort();
    let crashed = consumers.into_iter().map(Process::join).filter(Result::is_err).count();
    println!("better: {crashed} consumer crashed, {} results: {}", answers.len(), answers.join(", "));
    Ok(())
}

fn main() -> Outcome {
    match env::args().nth(1).as_deref() {
        None => consumers(),
        Some("--better") => better(),
        Some(_) => Err("say nothing, or --better".into()),
    }
}
