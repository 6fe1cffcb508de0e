//! Runs of the examples, and what they leave behind.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// What no example comes near unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);
/// Marks the processes of one run, children included, by an entry of their environment.
const MARK: &str = "RECIPES_TEST";

/// What a run said, and what was left of it.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    /// What would be wrong with any run: a hang, an exit code, processes, files, shared memory.
    pub(crate) problems: Vec<String>,
}

/// Runs an example, given as its name and its arguments.
pub(crate) fn run(command_line: &str) -> Said {
    let mut words = command_line.split_whitespace();
    let own = env::current_exe().unwrap();
    let program = own.parent().unwrap().parent().unwrap().join("examples").join(words.next().unwrap());
    assert!(program.exists(), "build it first: cargo build -p multiproc --examples");
    let temp = tempfile::tempdir().unwrap();
    let mark = format!("{}-{:?}", std::process::id(), Instant::now());
    let mut command = Command::new(program);
    // A group of its own, so that a run that hangs can be ended as a whole.
    command
        .args(words)
        .env("TMPDIR", temp.path())
        .env(MARK, &mark)
        .env_remove("RUST_BACKTRACE")
        .process_group(0);
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let out = read(child.stdout.take().unwrap());
    let err = read(child.stderr.take().unwrap());

    let mut problems = Vec::new();
    if !eventually(LIMIT, || child.try_wait().unwrap().is_some()) {
        problems.push(format!("it hangs; its processes: {:?}", marked(&mark)));
        let script = format!("kill -KILL -{}", child.id());
        Command::new("sh").args(["-c", &script]).status().unwrap();
    }
    let status = child.wait().unwrap();
    if !status.success() {
        problems.push(format!("it ended with {status}"));
    }
    // What was killed may need a moment to go.
    if !eventually(Duration::from_secs(5), || marked(&mark).is_empty()) {
        problems.push(format!("it left processes: {:?}", marked(&mark)));
    }
    let names = |folder: &str| fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let left: Vec<_> = names(&temp.path().display().to_string()).collect();
    if !left.is_empty() {
        problems.push(format!("it left files: {left:?}"));
    }
    let own = format!("-example-{}", child.id());
    let left: Vec<_> = names("/dev/shm").filter(|name| name.to_string_lossy().ends_with(&own)).collect();
    if !left.is_empty() {
        problems.push(format!("it left shared memory: {left:?}"));
    }
    Said { out: out.join().unwrap(), err: err.join().unwrap(), problems }
}

fn read(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The living processes of a run.
fn marked(mark: &str) -> Vec<u32> {
    let entry = format!("{MARK}={mark}");
    let ids = fs::read_dir("/proc").unwrap().filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
    let is_marked = |id: &u32| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes())
    };
    ids.filter(is_marked).collect()
}

fn eventually(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > limit {
            return false;
        }
        // tidy: sleep because nothing tells of the change that is looked for
        thread::sleep(Duration::from_millis(2));
    }
    true
}
