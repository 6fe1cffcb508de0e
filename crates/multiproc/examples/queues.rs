//! Queues between processes: objects, mixed types, bounds, waiting and not waiting.
//!
//! Python: `Queue(5)`, `put`, `get`, `put(block=False)`, `get(timeout=…)`, `queue.Full`, `queue.Empty`, `qsize()`,
//! `empty()`. Here a queue has the type of its messages, `put` is done when it returns (no feeder thread that could lose
//! anything), and what `len` says is true.
//!
//! ```text
//! cargo run --release --example queues -- object | mixed | poll [--better] | nonblocking [--better] | limits [--better]
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a child tells by its panic"
)]

use multiproc::{GetError, Process, PutError, Queue, current_process};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::time::{Duration, Instant};
use std::{env, thread};

type Outcome = Result<(), Box<dyn Error>>;

/// 08: an object of one's own type goes through a queue, and its method is called there.
#[derive(Serialize, Deserialize)]
struct Fancy {
    name: String,
}

impl Fancy {
    fn do_something(&self) {
        println!("Doing something fancy in {} for {}!", current_process().name(), self.name);
    }
}

fn object() -> Outcome {
    let queue = Queue::bounded(1)?;
    let worker = Process::spawn(queue.clone(), |queue: Queue<Fancy>| queue.get().unwrap().do_something())?;
    queue.put(Fancy { name: "Fancy Dan".to_owned() })?;
    // Nobody puts any more; what was put is still got. Nothing stands for `join_thread`, since there is no thread.
    queue.close();
    worker.join()?;
    Ok(())
}

/// 11: a list of mixed types is a list of an enum. (A fixed number of them is a tuple.)
#[derive(Debug, Serialize, Deserialize)]
enum Value {
    Int(i64),
    Nil,
    Str(String),
}

fn mixed() -> Outcome {
    let queue = Queue::unbounded()?;
    let child = Process::spawn(queue.clone(), |queue| {
        queue.put(vec![Value::Int(42), Value::Nil, Value::Str("hello".to_owned())]).unwrap();
    })?;
    println!("{:?}", queue.get()?);
    child.join()?;
    Ok(())
}

/// 13: one process looks every 0.1 s whether there is something, the other puts something every 0.3 s.
fn poll() -> Outcome {
    let queue = Queue::bounded(5)?;
    let reader = |queue: Queue<String>| {
        for _ in 0..12 {
            if queue.is_empty() {
                println!("queue is empty {}", queue.len());
            } else {
                println!("get msg {}", queue.get().unwrap());
            }
            thread::sleep(Duration::from_millis(100));
        }
    };
    let writer = |queue: Queue<String>| {
        for _ in 0..3 {
            queue.put("hello world".to_owned()).unwrap();
            println!("put hello world queue size is {}", queue.len());
            thread::sleep(Duration::from_millis(300));
        }
    };
    Process::spawn(queue.clone(), reader)?;
    println!("processA start..");
    Process::spawn(queue, writer)?;
    Ok(())
}

/// Better: the reader sleeps until there is something, and a closed queue ends its loop.
fn poll_better() -> Outcome {
    let queue = Queue::bounded(5)?;
    let reader = Process::spawn(queue.clone(), |queue: Queue<String>| {
        for message in &queue {
            println!("better: get msg {message}");
        }
        println!("better: nobody puts any more");
    })?;
    for number in 1..=3 {
        queue.put(format!("hello {number}"))?;
    }
    queue.close();
    reader.join()?;
    Ok(())
}

fn try_to_write(queue: Queue<u32>) {
    // A full queue would give the number back.
    let _ = queue.try_put(1);
}

fn try_to_read(queue: Queue<u32>) {
    if let Ok(number) = queue.try_get() {
        println!("{number}");
    }
}

/// 26: neither end waits, so the reader may come too early.
fn nonblocking() -> Outcome {
    let queue = Queue::unbounded()?;
    let writer = Process::spawn(queue.clone(), try_to_write)?;
    let reader = Process::spawn(queue, try_to_read)?;
    for process in [&reader, &writer] {
        process.wait()?;
    }
    println!("check: exit codes: {} {}", writer.exit_code().unwrap(), reader.exit_code().unwrap());
    Ok(())
}

/// Better: what has been put is there. In Python it may still be on its way.
fn nonblocking_better() -> Outcome {
    let queue = Queue::unbounded()?;
    Process::spawn(queue.clone(), try_to_write)?.join()?;
    println!("better: {} is there", queue.try_get()?);
    Ok(())
}

/// 39: what waits and what does not, at a full queue and at an empty one.
fn limits() -> Outcome {
    let queue = Queue::bounded(1)?;
    let wait = Duration::from_millis(200);
    attempt("put", || put(queue.put("a".to_owned())));
    attempt("put timeout=0.2, full", || put(queue.put_timeout("b".to_owned(), wait)));
    attempt("put block=False, full", || put(queue.try_put("b".to_owned())));
    attempt("get timeout=5", || get(queue.get_timeout(Duration::from_secs(5))));
    attempt("get timeout=0.2, empty", || get(queue.get_timeout(wait)));
    attempt("get block=False, empty", || get(queue.try_get()));
    attempt("put block=False, room again", || put(queue.try_put("c".to_owned())));
    attempt("get", || get(queue.get()));
    Ok(())
}

fn put(result: Result<(), PutError<String>>) -> String {
    match result {
        Ok(()) => "None".to_owned(),
        Err(error) if error.is_full() || error.is_timeout() => "Full".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn get(result: Result<String, GetError>) -> String {
    match result {
        Ok(text) => format!("'{text}'"),
        Err(error) if error.is_empty() || error.is_timeout() => "Empty".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn attempt(name: &str, call: impl FnOnce() -> String) {
    let began = Instant::now();
    let outcome = call();
    let waited = began.elapsed() >= Duration::from_millis(190);
    println!("check: {name:<28} {outcome:<6} waited: {}", if waited { "True" } else { "False" });
}

/// Better: the message that found no room comes back with the error.
fn limits_better() -> Outcome {
    let queue = Queue::bounded(1)?;
    queue.put("a".to_owned())?;
    if let Err(error) = queue.try_put("b".to_owned()) {
        println!("better: full: {}, and {:?} is ours again", error.is_full(), error.into_inner());
    }
    Ok(())
}

fn main() -> Outcome {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["object"] => object(),
        ["mixed"] => mixed(),
        ["poll"] => poll(),
        ["poll", "--better"] => poll_better(),
        ["nonblocking"] => nonblocking(),
        ["nonblocking", "--better"] => nonblocking_better(),
        ["limits"] => limits(),
        ["limits", "--better"] => limits_better(),
        _ => Err("say which: object, mixed, poll, nonblocking, limits; --better for the last three".into()),
    }
}
