//! The pool over several hosts, with real servers and real agents, counted afterwards.
//!
//! Hosts are agents on this machine, each with a wire of its own to the server that a test can slow down or cut: to a
//! pool that is what a partition is; one test has real cables between network namespaces. What one machine cannot show:
//! clocks that differ, and a loss of power.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use multiproc::{Pool, PoolBuilder};
use multiproc_cluster_tests::{Agent, Flag, KEY, LEASE, Server, pool_at, wait_for_agents};
use multiproc_tests::{Limit, on_fork_server};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What every backend must do: the very bodies that processes and threads run.
#[path = "../../../tests/pool/conformance.rs"]
mod conformance;

/// What it does when nothing happens.
mod uses;

/// Agents, servers and callers that die, stop, and cannot be reached.
mod losses;

/// Many of them, under load.
mod storm;

/// Who may not get in.
mod strangers;

/// Hosts with networks of their own, and cables that are pulled.
mod network;

/// How many items of 1 ms two workers' input may be ahead of its results: four times what may be under way, which is
/// three chunks for each of them, of 50 ms at most.
const AHEAD: u64 = 1_200;

thread_local! {
    /// Where the flags of a test are.
    static FOLDER: TempDir = tempfile::tempdir().unwrap();
}

fn with_workers(body: impl Fn()) {
    // What is asked for beyond the usual takes longer.
    let more = Duration::from_secs(times(0).into());
    on_fork_server(Limit(Duration::from_secs(120) + more), body);
}

/// Starts a server and agents with one worker each.
fn hosts(workers: usize) -> Option<(Server, Vec<Agent>)> {
    let server = Server::start()?;
    let agents = (0..workers).map(|_| Agent::start(&server.url(), 1)).collect();
    Some((server, agents))
}

fn each_that_kills(workers: usize, body: impl Fn(&dyn Fn() -> Pool)) {
    let Some((server, agents)) = hosts(workers) else { return };
    body(&|| {
        let pool = pool_at(&server.url()).build().unwrap();
        wait_for_agents(&pool, workers);
        pool
    });
    for agent in agents {
        assert_eq!(agent.leave(), Some(0));
    }
    server.wait_until_empty(Duration::from_secs(5));
}

fn each(workers: usize, body: impl Fn(Pool)) {
    each_that_kills(workers, |make| body(make()));
}

fn each_builder(workers: usize, body: impl Fn(PoolBuilder)) {
    let Some((server, agents)) = hosts(workers) else { return };
    body(pool_at(&server.url()));
    drop(agents);
}

fn flag() -> Flag {
    static FLAGS: AtomicU32 = AtomicU32::new(0);
    FOLDER.with(|folder| Flag::new(folder, &FLAGS.fetch_add(1, Ordering::Relaxed).to_string()))
}

fn raise(flag: &Flag) -> u32 {
    flag.raise()
}

fn count(flag: &Flag) -> u32 {
    flag.count()
}

fn wait_for(flag: &Flag, times: u32) {
    flag.wait_for(times);
}

/// A task that says that it has begun, and never ends.
fn block(begun: Flag) -> u32 {
    begun.raise();
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

/// How often what can go wrong does: a number for each run of the suite, or what `MULTIPROC_KILLS` says.
fn times(usual: u32) -> u32 {
    std::env::var("MULTIPROC_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(usual)
}
