//! Tasks of a pool that share something: a queue, a lock.
//!
//! Python: `Manager().Queue()` and `Manager().Lock()`, objects of a server process, since a plain `Queue` or `Lock` cannot
//! be given to a pool's task. Here every handle is a message, so the plain ones do, without a server in between; those of
//! a manager are there, too.
//!
//! ```text
//! cargo run --release --example pool_handles -- queue [--manager] | plain | lock [--manager]
//! ```
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "an example prints; a task tells by its panic")]

use multiproc::{LockProxy, Manager, Mutex, Pool, Queue, QueueProxy, Shared};
use std::error::Error;
use std::time::{Duration, Instant};
use std::{env, thread};

type Outcome = Result<(), Box<dyn Error>>;

fn in_python(yes: bool) -> &'static str {
    if yes { "True" } else { "False" }
}

/// 45: one task reads what another writes, and may well begin first.
fn queue() -> Outcome {
    let queue = Queue::unbounded()?;
    let pool = Pool::new(2)?;
    let reader =
        pool.apply_async(queue.clone(), |queue: Queue<char>| queue.iter().take(3).collect::<String>());
    let writer = pool.apply_async(queue.clone(), |queue| {
        queue.put_many("ABC".chars()).unwrap();
        "wrote".to_owned()
    });
    pool.close();
    pool.join();
    let (wrote, read) = (writer.get()?, reader.get()?);
    println!("check: {wrote} {read} empty: {} size: {}", in_python(queue.is_empty()), queue.len());
    Ok(())
}

/// 45 by a manager: needed where the tasks are on other machines, or the queue is to outlive whoever made it.
fn queue_of_manager() -> Outcome {
    let manager = Manager::start()?;
    let queue = manager.queue(10)?;
    let pool = Pool::new(2)?;
    let reader = pool.apply_async(queue.clone(), |queue: QueueProxy<char>| {
        (0..3).map(|_| queue.get().unwrap()).collect::<String>()
    });
    let writer = pool.apply_async(queue.clone(), |queue: QueueProxy<char>| {
        for letter in "ABC".chars() {
            queue.put(letter).unwrap();
        }
        "wrote".to_owned()
    });
    let (wrote, read) = (writer.get()?, reader.get()?);
    println!("check: {wrote} {read} empty: {} size: {}", in_python(queue.is_empty()?), queue.len()?);
    Ok(())
}

/// 46: a plain queue as an argument, which is a `RuntimeError` in Python that nobody sees who does not `get`.
fn plain() -> Outcome {
    let queue = Queue::unbounded()?;
    let pool = Pool::new(2)?;
    let result = pool.apply_async(queue.clone(), |queue| queue.put("A".to_owned()).unwrap());
    pool.close();
    pool.join();
    result.get()?;
    println!("check: queue empty: {}", in_python(queue.is_empty()));
    println!("check: get: {}", queue.get()?);
    Ok(())
}

fn work(count: u32) -> String {
    println!("in {count}");
    thread::sleep(Duration::from_millis(20));
    println!("out {count}");
    format!("result is {count}")
}

fn tell(last: Option<String>, began: Instant) {
    let one_at_a_time = in_python(began.elapsed() >= Duration::from_millis(20 * 20));
    println!("check: last: {} one at a time: {one_at_a_time}", last.unwrap_or_default());
}

/// 50: twenty tasks of five workers, one at a time. The lock is in shared memory; the guard goes with the task.
fn lock() -> Outcome {
    let pool = Pool::new(5)?;
    let lock = Shared::new(Mutex::new(()))?;
    let began = Instant::now();
    let results = pool.map((0..20).map(|count| (count, lock.clone())), |(count, lock)| {
        let _guard = lock.lock().unwrap();
        work(count)
    })?;
    tell(results.into_iter().last(), began);
    Ok(())
}

/// 50 by a manager.
fn lock_of_manager() -> Outcome {
    let manager = Manager::start()?;
    let pool = Pool::new(5)?;
    let lock = manager.lock()?;
    let began = Instant::now();
    let results =
        pool.map((0..20).map(|count| (count, lock.clone())), |(count, lock): (u32, LockProxy)| {
            let _guard = lock.lock().unwrap();
            work(count)
        })?;
    tell(results.into_iter().last(), began);
    Ok(())
}

fn main() -> Outcome {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["queue"] => queue(),
        ["queue", "--manager"] => queue_of_manager(),
        ["plain"] => plain(),
        ["lock"] => lock(),
        ["lock", "--manager"] => lock_of_manager(),
        _ => Err("say which: queue [--manager], plain, lock [--manager]".into()),
    }
}
