//! Ours, for somebody to kill: what `python/kills.py` does with CPython's.

use super::book::{Book, DONE, FIRST, GO, MOST, PROGRESS, SECOND, STOP};
use crate::Result;
use crate::measure::{check, trivial};
use crate::sys;
use multiproc_core::Message;
use multiproc_pool::{Pool, TaskError};
use multiproc_process::{Process, StartMethod};
use multiproc_queue::Queue;
use multiproc_shm::Shared;
use multiproc_sync::Mutex;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

type Told = std::result::Result<(), String>;
/// Which worker it is, and where the book is.
type Place = (u64, PathBuf);
type Lined = (Place, Queue<(u64, u64)>);

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Starts what is to be killed, tells the numbers of the processes, and ends them with its input.
pub(crate) fn serve(kind: &str, argument: &str) -> Result {
    if kind == "pool" {
        return pool(argument.parse()?);
    }
    let place = |who| (who, PathBuf::from(argument));
    let children = if kind == "queue" {
        let queue = Queue::bounded(64)?;
        let works: [fn(Lined) -> Told; 4] = [produce, produce, consume, consume];
        start((0..).zip(works).map(|(who, work)| ((place(who), queue.clone()), work)))?
    } else {
        let lock = Shared::new(Mutex::new(0))?;
        let work: fn((Place, Shared<Mutex<u64>>)) -> Told = lock_and_add;
        start((0..4).map(|who| ((place(who), lock.clone()), work)))?
    };
    let numbers: Vec<String> = children.iter().map(|child| child.id().to_string()).collect();
    println!("{}", numbers.join(" "));
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(children.iter().try_for_each(Process::kill)?)
}

fn start<A: Message>(all: impl Iterator<Item = (A, fn(A) -> Told)>) -> Result<Vec<Process<Told>>> {
    let start = |(with, work)| {
        let process = Process::builder().daemon(true).start_method(StartMethod::ForkServer);
        Ok(process.spawn(with, work)?)
    };
    all.map(start).collect()
}

fn begin(path: &Path) -> std::result::Result<Book, String> {
    let book = Book::open(path).map_err(told)?;
    while book.word(GO).map_err(told)? == 0 {
        thread::sleep(Duration::from_micros(100));
    }
    Ok(book)
}

fn produce(((who, path), queue): Lined) -> Told {
    let book = begin(&path)?;
    for number in 0..MOST {
        if book.word(STOP).map_err(told)? != 0 {
            break;
        }
        queue.put((who, number)).map_err(told)?;
        book.note(PROGRESS + who, number + 1).map_err(told)?;
    }
    book.note(DONE + who, 1).map_err(told)
}

fn consume(((who, path), queue): Lined) -> Told {
    let book = begin(&path)?;
    let mut taken = 0;
    loop {
        match queue.get_timeout(Duration::from_millis(200)) {
            Ok((producer, number)) => {
                book.took(who - 2, producer, number).map_err(told)?;
                taken += 1;
                book.note(PROGRESS + who, taken).map_err(told)?;
            }
            Err(error) if error.is_timeout() => {
                if book.word(STOP).map_err(told)? != 0 {
                    break;
                }
            }
            Err(error) => return Err(told(error)),
        }
    }
    book.note(DONE + who, 1).map_err(told)
}

fn lock_and_add(((who, path), lock): (Place, Shared<Mutex<u64>>)) -> Told {
    let book = begin(&path)?;
    let mut times = 0;
    while book.word(STOP).map_err(told)? == 0 {
        let guard = match lock.lock() {
            Err(error) if error.is_owner_dead() => error.into_guard(),
            guard => guard.map_err(told)?,
        };
        let value = book.word(FIRST).map_err(told)? + 1;
        book.note(FIRST, value).map_err(told)?;
        book.note(SECOND, value).map_err(told)?;
        drop(guard);
        times += 1;
        book.note(PROGRESS + who, times).map_err(told)?;
    }
    book.note(DONE + who, 1).map_err(told)
}

fn work(number: u64) -> u64 {
    let until = Instant::now() + Duration::from_millis(1);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    trivial(number)
}

/// Tells how many tasks have no outcome, and how many errors there are but that of the one that was killed.
fn pool(tasks: u64) -> Result {
    for line in io::stdin().lines() {
        let pool = Pool::new(2)?;
        pool.map(0..4, work)?;
        let results: Vec<_> = (0..tasks).map(|number| pool.apply_async(number, work)).collect();
        thread::sleep(Duration::from_secs_f64(line?.trim().parse::<f64>()? / 1000.0));
        sys::kill(pool.worker_ids()[0])?;
        let until = Instant::now() + Duration::from_secs(2) + Duration::from_millis(10) * tasks as u32;
        let (mut missing, mut failed) = (0_u64, 0_u64);
        for (number, result) in (0..).zip(results) {
            match result.get_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(outcome) => check(outcome, trivial(number))?,
                Err(TaskError::NotReady) => missing += 1,
                Err(_) => failed += 1,
            }
        }
        println!("{}", missing + failed.saturating_sub(1));
    }
    Ok(())
}
