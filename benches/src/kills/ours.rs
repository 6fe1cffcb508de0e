//! Ours, for somebody to kill: what `python/kills.py` does with CPython's.

use super::book::{Book, DONE, FIRST, GO, MOST, PROGRESS, SECOND, STOP};
#[cfg(feature = "peers")]
use super::heavy;
use crate::Result;
use crate::measure::{check, trivial};
#[cfg(feature = "peers")]
use crate::peer::heavy::Iceoryx;
use crate::sys;
use multiproc_core::Message;
use multiproc_pool::{Pool, TaskError};
use multiproc_process::{Process, StartMethod};
use multiproc_queue::{Queue, Receiver, Sender, channel};
use multiproc_shm::Shared;
use multiproc_sync::Mutex;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How many messages are on their way, where that can be told.
pub(super) const CAPACITY: usize = 64;
/// How long nothing comes before a consumer looks whether it is to end.
pub(super) const NOTHING: Duration = Duration::from_millis(200);

pub(super) type Told = std::result::Result<(), String>;
/// Which worker it is, and where the book is.
pub(super) type Place = (u64, PathBuf);
/// Whose message it is, and which of them.
pub(super) type Numbered = (u64, u64);
type Lined = (Place, Queue<Numbered>);
/// One of both.
type End = (Option<Sender<Numbered>>, Option<Receiver<Numbered>>);

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Starts what is to be killed, tells the numbers of the processes, and ends them with its input.
pub(crate) fn serve(kind: &str, argument: &str) -> Result {
    if kind == "pool" {
        return pool(argument.parse()?);
    }
    let path = Path::new(argument);
    #[cfg(feature = "peers")]
    let mut left = None;
    let children = match kind {
        "queue" => {
            let queue = Queue::bounded(CAPACITY)?;
            let works: [fn(Lined) -> Told; 4] = [produce, produce, consume, consume];
            start(path, works.map(|work| (queue.clone(), work)))?
        }
        "channel" => {
            let (sender, receiver) = channel(CAPACITY)?;
            let senders = [(); 3].map(|()| ((Some(sender.clone()), None), at_end as fn(_) -> Told));
            let children = start(path, senders.into_iter().chain([((None, Some(receiver)), at_end as _)]))?;
            drop(sender);
            children
        }
        #[cfg(feature = "peers")]
        super::ICEORYX => {
            let link = Iceoryx::apart(CAPACITY)?;
            left = Some(link.clone());
            start(path, heavy::iceoryx(link)?)?
        }
        #[cfg(feature = "peers")]
        super::IPC_CHANNEL => start(path, heavy::ipc_channel()?)?,
        _ => {
            let lock = Shared::new(Mutex::new(0))?;
            let work: fn((Place, Shared<Mutex<u64>>)) -> Told = lock_and_add;
            start(path, [(); 4].map(|()| (lock.clone(), work)))?
        }
    };
    let numbers: Vec<String> = children.iter().map(|child| child.id().to_string()).collect();
    println!("{}", numbers.join(" "));
    io::stdin().read_to_end(&mut Vec::new())?;
    for child in &children {
        child.kill()?;
        child.wait()?;
    }
    #[cfg(feature = "peers")]
    if let Some(link) = left {
        link.clean()?;
    }
    Ok(())
}

/// Starts a process for each, which is told its number.
fn start<A>(
    path: &Path,
    all: impl IntoIterator<Item = (A, fn((Place, A)) -> Told)>,
) -> Result<Vec<Process<Told>>>
where
    (Place, A): Message,
{
    let start = |(who, (with, work))| {
        let process = Process::builder().daemon(true).start_method(StartMethod::ForkServer);
        Ok(process.spawn(((who, path.to_owned()), with), work)?)
    };
    (0..).zip(all).map(start).collect()
}

fn begin(path: &Path) -> std::result::Result<Book, String> {
    let book = Book::open(path).map_err(told)?;
    while book.word(GO).map_err(told)? == 0 {
        thread::sleep(Duration::from_micros(100));
    }
    Ok(book)
}

/// Puts one message after the other until all are to end.
pub(super) fn put_all((who, path): &Place, mut put: impl FnMut(Numbered) -> Told) -> Told {
    let book = begin(path)?;
    for number in 0..MOST {
        if book.word(STOP).map_err(told)? != 0 {
            break;
        }
        put((*who, number))?;
        book.note(PROGRESS + who, number + 1).map_err(told)?;
    }
    book.note(DONE + who, 1).map_err(told)
}

/// As [`put_all`] into a channel, whose sender may end when it is told that nobody receives.
pub(super) fn send_all(place: &Place, mut send: impl FnMut(Numbered) -> Told) -> Told {
    put_all(place, &mut send).or_else(|_| begin(&place.1)?.note(DONE + place.0, 1).map_err(told))
}

/// Takes messages of so many producers until all are to end; `take` gives `None` where [`NOTHING`] comes.
pub(super) fn take_all(
    producers: u64,
    (who, path): &Place,
    mut take: impl FnMut() -> std::result::Result<Option<Numbered>, String>,
) -> Told {
    let book = begin(path)?;
    let mut taken = 0;
    loop {
        if let Some(message) = take()? {
            book.took(producers, who - producers, message).map_err(told)?;
            taken += 1;
            book.note(PROGRESS + who, taken).map_err(told)?;
        } else if book.word(STOP).map_err(told)? != 0 {
            break;
        }
    }
    book.note(DONE + who, 1).map_err(told)
}

fn produce((place, queue): Lined) -> Told {
    put_all(&place, |message| queue.put(message).map_err(told))
}

fn consume((place, queue): Lined) -> Told {
    take_all(2, &place, || match queue.get_timeout(NOTHING) {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.is_timeout() => Ok(None),
        Err(error) => Err(told(error)),
    })
}

/// Does what there is to do at the end of a channel that it has.
fn at_end((place, (sender, receiver)): (Place, End)) -> Told {
    if let Some(sender) = sender {
        return send_all(&place, |message| sender.send(message).map_err(told));
    }
    let receiver = receiver.ok_or("no end of a channel")?;
    take_all(3, &place, || match receiver.recv_timeout(NOTHING) {
        Ok(message) => Ok(Some(message)),
        // Nobody sends any more, as is told at once.
        Err(error) if error.is_timeout() || error.is_disconnected() => Ok(None),
        Err(error) => Err(told(error)),
    })
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
