//! One process for each test, watched from outside.

use crate::guard;
use crate::proc::{self, eventually};
use crate::report;
use multiproc_core::Deadline;
use multiproc_core::sys::fd::{Interest, poll_one};
use multiproc_core::sys::process::{open_pidfd, send_signal};
use multiproc_process::{StartMethod, set_default_start_method};
use std::any::type_name;
use std::env;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Tells a process of the test binary which part it plays.
const ROLE: &str = "MULTIPROC_TEST_ROLE";
/// The same in all processes of one test.
const RUN: &str = "MULTIPROC_TEST_RUN";
/// The start method that the body is to use.
const METHOD: &str = "MULTIPROC_TEST_METHOD";
/// The test's name, for processes that it starts in another role.
const NAME: &str = "MULTIPROC_TEST_NAME";
/// How long descendants may take to go when the test is done: they die of a signal that is already sent.
const SETTLE: Duration = Duration::from_secs(5);

/// How long a test may take.
#[derive(Clone, Copy, Debug)]
pub struct Limit(pub Duration);

impl Default for Limit {
    fn default() -> Limit {
        Limit(Duration::from_secs(60))
    }
}

/// Runs the body in a process of its own, which does nothing before it; zombies are counted afterwards.
///
/// # Panics
///
/// The body panicked, took too long, or left something behind.
pub fn isolated<F: Fn()>(body: F) {
    isolated_for(Limit::default(), body);
}

/// [`isolated`] with another limit.
///
/// # Panics
///
/// As [`isolated`].
pub fn isolated_for<F: Fn()>(limit: Limit, body: F) {
    isolated_in_role(limit, || unreachable!("this test asks for no process in a role"), body);
}

/// [`isolated`], where [`role_command`] starts further processes, which do `role` instead.
///
/// # Panics
///
/// As [`isolated`].
pub fn isolated_in_role<F: Fn()>(limit: Limit, role: impl Fn(), body: F) {
    match env::var(ROLE).as_deref() {
        Ok("body") => guard::checked(None, body),
        Ok(_) => role(),
        Err(_) => watch(&name_of::<F>(), limit, None),
    }
}

/// Runs the body in a process of its own for each start method; children and descriptors are counted afterwards.
///
/// # Panics
///
/// As [`isolated`].
pub fn on_both<F: Fn(StartMethod)>(limit: Limit, body: F) {
    both(&name_of::<F>(), limit, |method| guard::checked(Some(method), || body(method)));
}

/// [`on_both`], by the fork server alone.
///
/// # Panics
///
/// As [`isolated`].
pub fn on_fork_server<F: Fn()>(limit: Limit, body: F) {
    let name = name_of::<F>();
    match env::var_os(ROLE) {
        None => watch(&name, limit, Some("forkserver")),
        Some(_) => both(&name, limit, |method| guard::checked(Some(method), &body)),
    }
}

/// [`on_both`], where no process was started before the body.
///
/// # Panics
///
/// As [`isolated`].
pub fn on_both_fresh<F: Fn(StartMethod)>(limit: Limit, body: F) {
    both(&name_of::<F>(), limit, |method| guard::checked(None, || body(method)));
}

fn both(name: &str, limit: Limit, body: impl Fn(StartMethod)) {
    if env::var_os(ROLE).is_none() {
        watch(name, limit, Some("spawn"));
        watch(name, limit, Some("forkserver"));
        return;
    }
    let method = match env::var(METHOD).as_deref() {
        Ok("spawn") => StartMethod::Spawn,
        _ => StartMethod::ForkServer,
    };
    set_default_start_method(method);
    body(method);
}

/// A process of this test binary that runs this test in its role.
pub fn role_command() -> Command {
    let mut command = test_command(&env::var(NAME).unwrap_or_default());
    command.env(ROLE, "role");
    command
}

fn test_command(name: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).stdin(Stdio::null());
    command
}

/// `module::test` of the test whose body is `F`: a closure in its function.
fn name_of<F>() -> String {
    let path = type_name::<F>().trim_end_matches("::{{closure}}");
    path.split_once("::").map_or(path, |(_, name)| name).to_owned()
}

fn watch(name: &str, Limit(limit): Limit, method: Option<&str>) {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = format!("{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let marker = format!("{RUN}={run}");
    let names = proc::shared_names();
    let output = tempfile::tempfile().unwrap();
    let started = Instant::now();
    let mut child = test_command(name)
        .env(ROLE, "body")
        .env(NAME, name)
        .env(RUN, &run)
        .env(METHOD, method.unwrap_or_default())
        .stdout(output.try_clone().unwrap())
        .stderr(output.try_clone().unwrap())
        .spawn()
        .unwrap();
    let pidfd = open_pidfd(child.id()).unwrap();
    let what = format!("{name}{}{}", if method.is_some() { " by " } else { "" }, method.unwrap_or_default());
    if !poll_one(&pidfd, Interest::Read, Deadline::after(limit)).unwrap() {
        let hanging = describe(&marker);
        kill(&marker);
        let _ = child.kill();
        let _ = child.wait();
        panic!("{what} hangs after {limit:?}:\n{hanging}\n{}", end_of(&text(output)));
    }
    let status = child.wait().unwrap();
    if !status.success() {
        kill(&marker);
        panic!("{what} failed with {status}:\n{}", end_of(&text(output)));
    }
    let whole = text(output);
    report::pass_on(&whole);
    let said = end_of(&whole);
    assert!(said.contains("1 passed"), "{what}: no such test ran:\n{said}");
    let left = Instant::now() + SETTLE;
    while !proc::marked(&marker).is_empty() {
        if Instant::now() > left {
            let hanging = describe(&marker);
            kill(&marker);
            panic!("{what} left processes behind:\n{hanging}\n{said}");
        }
        std::thread::yield_now();
    }
    // Another test that runs beside this one has names of its own for a while.
    eventually(SETTLE, "the names in /dev/shm are those of before", || {
        proc::shared_names().is_subset(&names)
    });
    if started.elapsed() > limit / 2 {
        eprintln!("{what} took {:?} of {limit:?}", started.elapsed());
    }
}

fn text(mut output: File) -> String {
    let mut bytes = Vec::new();
    output.rewind().unwrap();
    output.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last lines, which tell most.
fn end_of(text: &str) -> String {
    let skipped = text.lines().count().saturating_sub(200);
    text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}

/// What the processes of a test are waiting in.
fn describe(marker: &str) -> String {
    let mut lines = Vec::new();
    for entry in proc::marked(marker) {
        lines.push(format!("  {entry:?}"));
        for task in fs::read_dir(format!("/proc/{}/task", entry.id)).into_iter().flatten().flatten() {
            let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let (name, call) = (read("comm"), read("syscall"));
            lines.push(format!("    {} in system call {}", name.trim(), call.trim()));
        }
    }
    lines.join("\n")
}

fn kill(marker: &str) {
    const SIGKILL: i32 = 9;
    // One that is just being made by another can be missed once.
    for _ in 0..100 {
        let found = proc::marked(marker);
        if found.is_empty() {
            return;
        }
        for entry in found {
            if let Ok(pidfd) = open_pidfd(entry.id) {
                let _ = send_signal(&pidfd, SIGKILL);
            }
        }
        std::thread::yield_now();
    }
}
