//! Locks and their kin in shared memory, with real processes that are killed.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use multiproc::{Process, StartMethod};
use multiproc_core::sys::process::{open_pidfd, send_signal};
use multiproc_tests::{Limit, on_both, on_fork_server};
use std::thread;
use std::time::{Duration, Instant};

/// Mutexes, reentrant and not: an owner's death, recovery, several at once.
mod mutex;

/// Many readers or one writer.
mod rwlock;

/// Permits, and those of the dead.
mod semaphore;

/// Events that are set while nobody, somebody or a dead one waits.
mod event;

/// Conditions: notifications reach somebody who lives.
mod condvar;

/// Barriers: everybody meets, or learns that somebody died.
mod barrier;

/// Each of them under a name.
mod named;

/// Children by plain fork, which begin with copies of their parent's guards.
mod forked;

/// How soon a death must have been dealt with.
const SOON: Duration = Duration::from_secs(1);

/// Runs the body on the fork server alone: what is tested here does not depend on how processes start.
fn with_children(body: impl Fn()) {
    on_fork_server(Limit::default(), body);
}

/// Stays as it is until it is killed.
fn stay() -> ! {
    loop {
        thread::park();
    }
}

/// Kills a child and waits for its end.
fn kill<R: serde::de::DeserializeOwned + serde::Serialize + 'static>(child: Process<R>) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Fails if something took longer than a death may keep others waiting.
fn assert_soon<R>(what: &str, f: impl FnOnce() -> R) -> R {
    let begin = Instant::now();
    let result = f();
    assert!(begin.elapsed() < SOON, "{what} took {:?}", begin.elapsed());
    result
}

/// Stops a process, which is then not dead.
fn stop(id: u32) {
    signal(id, 19);
}

/// Lets a stopped process go on.
fn go_on(id: u32) {
    signal(id, 18);
}

fn signal(id: u32, signal: i32) {
    send_signal(open_pidfd(id).unwrap(), signal).unwrap();
}

#[test]
fn everything_on_both_start_methods() {
    use multiproc::{Barrier, Condvar, Event, Mutex, RwLock, Semaphore, Shared};

    on_both(Limit::default(), |_: StartMethod| {
        let total = Shared::new(Mutex::new(0u64)).unwrap();
        let table = Shared::new(RwLock::new([0u64; 4])).unwrap();
        let gate = Shared::new(Semaphore::new(1)).unwrap();
        let go = Shared::new(Event::new()).unwrap();
        let met = Shared::new(Barrier::new(3)).unwrap();
        let changed = Shared::new(Condvar::new()).unwrap();
        let all = (total.clone(), table.clone(), gate.clone(), go.clone(), met.clone(), changed.clone());
        let child = || {
            Process::spawn(all.clone(), |(total, table, gate, go, met, changed)| {
                go.wait();
                for _ in 0..500 {
                    *total.lock().unwrap() += 1;
                    let _permit = gate.acquire();
                    let before = table.read().unwrap()[1];
                    table.write().unwrap()[1] = before + 1;
                }
                met.wait().unwrap();
                let mut total = total.lock().unwrap();
                *total += 1;
                changed.notify_all();
            })
            .unwrap()
        };
        let children = [child(), child()];
        go.set();
        met.wait().unwrap();
        let sum = changed.wait_while(total.lock().unwrap(), |total| *total < 1002).unwrap();
        assert_eq!((*sum, table.read().unwrap()[1], gate.available()), (1002, 1000, 1));
        drop(sum);
        for child in children {
            child.join().unwrap();
        }
    });
}
