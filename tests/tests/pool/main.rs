//! The pool with real workers: killed, stopped, cancelled, recycled, and counted afterwards.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use multiproc::{Pool, PoolBuilder, Shared};
use multiproc_tests::{Limit, on_fork_server};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What every backend must do: processes, threads and the agents of `multiproc-cluster-tests` run the same bodies.
mod conformance;

/// Time that is up, and tasks that are cancelled.
mod deadlines;

/// What a task can do to its worker.
mod deaths;

/// What a task can do to the memory that its worker shares, and deaths between two steps.
mod harm;

/// How workers come and go.
mod lives;

/// Inputs without an end, and what is shown of long runs.
mod long;

/// Callbacks, futures, handles, many threads, nested pools.
mod uses;

/// Random kills under everything at once.
mod storm;

/// Runs the body on the fork server alone: what is tested here does not depend on how processes start.
fn with_workers(body: impl Fn()) {
    on_fork_server(Limit(Duration::from_secs(120)), body);
}

/// How many items of 1 ms two workers' input may be ahead of its results.
const AHEAD: u64 = 64;

/// Runs a body on each backend that there is.
fn each(workers: usize, body: impl Fn(Pool)) {
    body(Pool::new(workers).unwrap());
    body(Pool::threads(workers).unwrap());
}

fn each_builder(workers: usize, body: impl Fn(PoolBuilder)) {
    body(Pool::builder().workers(workers));
    body(Pool::builder().workers(workers).threads());
}

/// Runs a body on each backend that can end a task that is running.
fn each_that_kills(workers: usize, body: impl Fn(&dyn Fn() -> Pool)) {
    body(&|| Pool::new(workers).unwrap());
}

/// A flag that tasks raise and wait for.
type Flag = Shared<AtomicU32>;

fn flag() -> Flag {
    Shared::new(AtomicU32::new(0)).unwrap()
}

/// Tells how often it was raised before.
fn raise(flag: &AtomicU32) -> u32 {
    flag.fetch_add(1, Ordering::SeqCst) // SeqCst: a test's flag, seen by `wait_for`
}

fn count(flag: &AtomicU32) -> u32 {
    flag.load(Ordering::SeqCst) // SeqCst: partner of `raise`
}

/// Waits until a flag was raised so often.
fn wait_for(flag: &AtomicU32, times: u32) {
    // SeqCst: partner of `raise`.
    while flag.load(Ordering::SeqCst) < times {
        thread::yield_now();
    }
}

/// A task that says that it has begun, and never ends.
fn block(begun: Shared<AtomicU32>) -> u32 {
    raise(&begun);
    loop {
        thread::park();
    }
}

fn spin(time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

fn kill(id: u32) {
    if let Ok(pidfd) = multiproc_core::sys::process::open_pidfd(id) {
        let _ = multiproc_core::sys::process::send_signal(pidfd, 9);
    }
}

/// Waits until all workers are there.
fn wait_for_workers(pool: &Pool, count: usize) {
    multiproc_tests::eventually(Duration::from_secs(20), "the pool is at full size", || {
        pool.stats().workers.iter().filter(|worker| worker.is_ready).count() == count
    });
}

/// Xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}
