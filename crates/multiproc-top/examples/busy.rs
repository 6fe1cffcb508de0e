//! Something to watch: a queue that is fuller than it should be, a pool at work, and a lock that one of two waits for.
//!
//! ```sh
//! cargo run -p multiproc-top --example busy &
//! cargo run -p multiproc-top
//! ```
//!
//! It ends after a minute, or after as many seconds as its argument says.

use multiproc_pool::Pool;
use multiproc_process::Process;
use multiproc_queue::Queue;
use multiproc_shm::{Shared, ShmSafe};
use multiproc_sync::{Event, Mutex, Semaphore};
use std::error::Error;
use std::thread::sleep;
use std::time::{Duration, Instant};

#[derive(ShmSafe)]
#[repr(C)]
struct Desk {
    ledger: Mutex<u64>,
    seats: Semaphore,
    stop: Event,
    reserved: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(60), |argument| argument.parse())?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let desk = Desk { ledger: Mutex::new(0), seats: Semaphore::new(3), stop: Event::new(), reserved: 0 };
    let desk = Shared::new(desk)?;
    let jobs = Queue::<(u32, String)>::bounded(200)?;
    let daemon = |name: &str| Process::builder().name(name).daemon(true);
    let _producer = daemon("producer").spawn(jobs.clone(), |jobs| {
        for number in 0..u32::MAX {
            if jobs.put((number, "x".repeat(100))).is_err() {
                return;
            }
        }
    })?;
    let _consumer = daemon("consumer").spawn((jobs.clone(), desk.clone()), |(jobs, desk)| {
        let _seat = desk.seats.acquire();
        jobs.iter().for_each(|_| sleep(Duration::from_micros(500)));
    })?;
    let _holder = daemon("holder").spawn(desk.clone(), |desk| {
        if let Ok(mut entries) = desk.ledger.lock() {
            *entries += 1;
            desk.stop.wait();
        }
    })?;
    let _waiter = daemon("waiter").spawn(desk, |desk| drop(desk.ledger.lock()))?;
    let pool = Pool::builder().workers(3).name("thumbnails").build()?;
    while Instant::now() < end {
        pool.map(0..2000u32, |number| {
            sleep(Duration::from_micros(100));
            number
        })?;
    }
    Ok(())
}
