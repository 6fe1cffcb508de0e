use crate::KEY;
use multiproc::cluster::{AgentOptions, Storage, serve};
use multiproc::{Pool, Process};
use multiproc_core::sys::process::{open_pidfd, send_signal};
use std::thread;
use std::time::{Duration, Instant};

/// The lease of the tests: short, so that they are.
pub const LEASE: Duration = Duration::from_secs(1);

/// An agent in a process of its own, which is killed with it.
#[derive(Debug)]
pub struct Agent {
    process: Process<()>,
}

impl Agent {
    /// Starts one.
    pub fn start(url: &str, workers: usize) -> Agent {
        Agent::start_with(url, workers, Storage::Memory, LEASE)
    }

    /// Starts one that has the server keep tasks so, and with a lease of its own.
    pub fn start_with(url: &str, workers: usize, storage: Storage, lease: Duration) -> Agent {
        let process = Process::builder().name("agent").daemon(true);
        let is_file = storage == Storage::File;
        let process =
            process.spawn((url.to_owned(), workers, is_file, lease), |(url, workers, is_file, lease)| {
                let storage = if is_file { Storage::File } else { Storage::Memory };
                let options = AgentOptions::new().workers(workers).key(KEY).lease(lease).storage(storage);
                serve(&url, options).unwrap();
            });
        Agent { process: process.unwrap() }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        if let Ok(pidfd) = open_pidfd(self.process.id()) {
            let _ = send_signal(pidfd, signal);
        }
    }

    /// Asks it to leave, and waits until it has; tells its exit code.
    pub fn leave(self) -> Option<i32> {
        self.process.terminate().unwrap();
        self.wait()
    }

    /// Waits until it has left; tells its exit code.
    pub fn wait(self) -> Option<i32> {
        let status = self.process.wait_timeout(Duration::from_secs(30)).unwrap();
        status.expect("the agent leaves").code()
    }

    /// Kills it.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.signal(9);
        let _ = self.process.wait();
    }
}

/// Waits until a pool knows of so many workers that are ready.
pub fn wait_for_agents<S>(pool: &Pool<S>, workers: usize) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let ready = pool.stats().workers.iter().filter(|worker| worker.is_ready).count();
        if ready == workers {
            return;
        }
        assert!(Instant::now() < end, "{ready} workers are ready, not {workers}");
        // tidy: sleep because what a pool knows of its agents it tells to who asks
        thread::sleep(Duration::from_millis(2));
    }
}
