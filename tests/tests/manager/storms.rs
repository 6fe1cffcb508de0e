//! Kills at random: `MULTIPROC_KILLS=n` says how many clients, 300 if nobody says; a fifteenth as many servers.

use crate::helpers::{SOON, limit, manager, objects};
use multiproc::{
    ConditionProxy, LockProxy, Manager, Process, Proxy, QueueProxy, RemoteManager, SemaphoreProxy,
};
use multiproc_core::sys::process::{open_pidfd, send_signal};
use multiproc_tests::{Limit, eventually, on_fork_server};
use serde::{Deserialize, Serialize};
use std::thread;
use std::time::{Duration, Instant};

const SIGKILL: i32 = 9;
const CREW: usize = 4;

fn kills() -> u64 {
    let asked = std::env::var("MULTIPROC_KILLS").ok().and_then(|count| count.parse().ok());
    asked.unwrap_or(300)
}

fn storm_limit() -> Limit {
    limit(60 + kills() / 4)
}

/// What everybody has.
#[derive(Clone, Serialize, Deserialize)]
struct Shared {
    manager: RemoteManager,
    lock: LockProxy,
    /// Even between steps: who has the lock makes it odd, and even again.
    steps: Proxy<u64>,
    seats: SemaphoreProxy,
    queue: QueueProxy<Proxy<u32>>,
    changed: ConditionProxy,
}

impl Shared {
    fn new(manager: &Manager) -> Shared {
        Shared {
            manager: manager.handle(),
            lock: manager.lock().unwrap(),
            steps: manager.create((), |()| 0).unwrap(),
            seats: manager.bounded_semaphore(3).unwrap(),
            queue: manager.queue(8).unwrap(),
            changed: manager.condition().unwrap(),
        }
    }

    /// Uses everything once.
    fn round(&self) -> Result<(), Box<dyn std::error::Error>> {
        let short = Duration::from_millis(2);
        {
            let guard = self.lock.lock()?;
            let is_odd = self.steps.call((), |steps, ()| std::mem::replace(steps, *steps | 1) % 2 == 1)?;
            assert!(!is_odd || guard.is_inherited(), "two had the lock");
            self.steps.call((), |steps, ()| *steps = (*steps | 1) + 1)?;
        }
        let permit = self.seats.acquire()?;
        let value = self.manager.create(1, |n| n)?;
        let _ = self.queue.put_timeout(value.clone(), short);
        if let Ok(other) = self.queue.get_timeout(short) {
            other.call(1, |value, n| *value += n)?;
        }
        drop(permit);
        let mut guard = self.changed.lock()?;
        guard.notify_one()?;
        guard.wait_timeout(short)?;
        Ok(())
    }
}

fn work(shared: Shared) {
    // A server that is killed ends the work.
    while shared.round().is_ok() {}
}

/// Waits for a moment that differs from round to round.
fn pause(round: u64) {
    let until = Instant::now() + Duration::from_micros(500 + round * 7919 % 9000);
    while Instant::now() < until {
        thread::yield_now();
    }
}

#[test]
fn of_clients() {
    on_fork_server(storm_limit(), || {
        let manager = manager();
        let shared = Shared::new(&manager);
        let hire = || Process::builder().daemon(true).spawn(shared.clone(), work).unwrap();
        let mut crew: Vec<Process<()>> = (0..CREW).map(|_| hire()).collect();
        let mut slowest = Duration::ZERO;
        for round in 0..kills() {
            pause(round);
            let place = (round * 31 % CREW as u64) as usize;
            let victim = std::mem::replace(&mut crew[place], hire());
            victim.kill().unwrap();
            victim.wait().unwrap();
            let asked = Instant::now();
            shared.round().unwrap();
            slowest = slowest.max(asked.elapsed());
            assert!(asked.elapsed() < SOON, "round {round}: {:?}", asked.elapsed());
        }
        for worker in crew {
            worker.kill().unwrap();
            worker.wait().unwrap();
        }
        eventually(SOON, "only we are left", || manager.stats().unwrap().clients == 1);
        // All is free, and nothing is left but what is in the queue.
        assert!(shared.lock.lock_timeout(SOON).unwrap().is_some());
        assert!(shared.changed.lock_timeout(SOON).unwrap().is_some());
        let permits = || shared.seats.available().unwrap();
        eventually(SOON, &format!("all permits are back, not {}", permits()), || permits() == 3);
        let mut kept = 0;
        while let Ok(value) = shared.queue.try_get() {
            value.call((), |value, ()| *value).expect("an object that is referred to is there");
            kept += 1;
        }
        objects(&manager, 5);
        let stats = manager.stats().unwrap();
        assert_eq!((stats.waiting, stats.queued, stats.running, stats.panics), (0, 0, 0, 0), "{stats:?}");
        println!(
            "figures: {} kills in clients of a manager, slowest round {slowest:?}, {} calls, {kept} kept, {} threads",
            kills() + CREW as u64,
            stats.calls,
            stats.threads
        );
    });
}

#[test]
fn of_servers() {
    on_fork_server(storm_limit(), || {
        let mut slowest = Duration::ZERO;
        for round in 0..kills().div_ceil(15) {
            let manager = manager();
            let shared = Shared::new(&manager);
            let crew: Vec<Process<()>> = (0..2)
                .map(|_| Process::builder().daemon(true).spawn(shared.clone(), work).unwrap())
                .collect();
            let ours = shared.clone();
            let here = thread::spawn(move || work(ours));
            pause(round);
            send_signal(open_pidfd(manager.id()).unwrap(), SIGKILL).unwrap();
            let killed = Instant::now();
            here.join().unwrap();
            for worker in crew {
                let status = worker.wait_timeout(SOON).unwrap().expect("it is told within a second");
                assert!(status.success(), "{status:?}");
            }
            slowest = slowest.max(killed.elapsed());
            assert!(killed.elapsed() < SOON, "round {round}: {:?}", killed.elapsed());
            assert!(manager.shutdown().is_err());
        }
        println!("figures: {} kills in managers, slowest end {slowest:?}", kills().div_ceil(15));
    });
}
