//! Channels between real processes, whose ends are dropped, sent away and killed.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use multiproc_process::Process;
use multiproc_tests::{Limit, on_fork_server};
use std::thread;
use std::time::{Duration, Instant};

/// Order, timeouts, batches, iteration.
mod traffic;

/// Who notices that nobody is left at the other end, and when.
mod ends;

/// Ends inside messages.
mod travel;

/// Ends that are killed anywhere.
mod storms;

/// How soon a death must have been noticed.
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
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

/// Fails if something took longer than a death may keep others waiting.
fn assert_soon<R>(what: &str, f: impl FnOnce() -> R) -> R {
    let begin = Instant::now();
    let result = f();
    assert!(begin.elapsed() < SOON, "{what} took {:?}", begin.elapsed());
    result
}
