//! Runs of the program: starting, ending, signalling them, and finding their processes.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// What no test comes near unless something hangs.
const LIMIT: Duration = Duration::from_secs(120);
/// Marks the processes of one run, children included, by an entry of their environment.
const MARK: &str = "COPY_TREE_TEST";

/// A run of the program.
pub(crate) struct Run {
    pub(crate) child: Child,
    pub(crate) mark: String,
}

/// How a run ended, and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn start(args: &[&OsStr]) -> Run {
        Run::start_in(&env::temp_dir(), args)
    }

    pub(crate) fn start_in(temp: &Path, args: &[&OsStr]) -> Run {
        let mut command = Command::new(program());
        command.args(args).env("TMPDIR", temp);
        Run::of(command)
    }

    pub(crate) fn of(mut command: Command) -> Run {
        let mark = format!("{}-{:?}", std::process::id(), Instant::now());
        command.env(MARK, &mark).process_group(0);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Run { child, mark }
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Said {
        let (mut stdout, mut stderr) = (self.child.stdout.take().unwrap(), self.child.stderr.take().unwrap());
        let out = thread::spawn(move || read(&mut stdout));
        let err = thread::spawn(move || read(&mut stderr));
        eventually("the program to end", || self.child.try_wait().unwrap().is_some());
        let code = self.child.wait().unwrap().code();
        Said { code, out: out.join().unwrap(), err: err.join().unwrap() }
    }

    pub(crate) fn workers(&self) -> Vec<u32> {
        marked(&self.mark).into_iter().filter(|id| *id != self.child.id()).collect()
    }
}

impl Drop for Run {
    /// A failing test leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn program() -> PathBuf {
    let own = env::current_exe().unwrap();
    let program = own.parent().unwrap().parent().unwrap().join("examples/copy_tree");
    assert!(program.exists(), "build it first: cargo build -p multiproc --example copy_tree");
    program
}

fn read(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The living processes of a run.
pub(crate) fn marked(mark: &str) -> Vec<u32> {
    let entry = format!("{MARK}={mark}");
    let ids = fs::read_dir("/proc").unwrap().filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
    let is_marked = |id: &u32| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes())
    };
    ids.filter(is_marked).collect()
}

/// Sends a signal to a process, or to a group by its negative number; tells whether there was one to get it.
pub(crate) fn signal(name: &str, target: &str) -> bool {
    // The shell's own `kill` is everywhere.
    let script = format!("kill -{name} {target} 2>/dev/null");
    Command::new("sh").args(["-c", &script]).status().unwrap().success()
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "waited too long for {what}");
        // tidy: sleep because nothing tells of the change that is looked for
        thread::sleep(Duration::from_millis(2));
    }
}
