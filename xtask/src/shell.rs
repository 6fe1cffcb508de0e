//! Runs commands: each is printed first, and each failure says which command it was.

use std::error::Error;
use std::fmt::Arguments;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// What every command of this program returns.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// How long a process that a command left behind may hold the command's output: what is ending is let end.
const LEFTOVER_LIMIT: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 10_000 });

/// Standard output is for what another program reads.
static IS_KEPT: AtomicBool = AtomicBool::new(false);

/// Has all that commands print go to standard error from now on.
pub(crate) fn keep_standard_output() {
    IS_KEPT.store(true, Ordering::Relaxed);
}

/// Says something to who looks on.
pub(crate) fn say(what: Arguments<'_>) {
    if IS_KEPT.load(Ordering::Relaxed) {
        eprintln!("{what}");
    } else {
        println!("{what}");
    }
}

/// Returns the root folder of the repository.
pub(crate) fn root() -> PathBuf {
    // Asked at run time first, so that a moved repository does not send us to where it was built.
    let mut folder = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    folder.pop();
    folder
}

/// Starts a command line for the cargo that runs us, in the root folder.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root()).args(args);
    command
}

/// Returns whether a command can be started and succeeds; it stays silent.
pub(crate) fn succeeds(mut command: Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Prints a command, runs it, and turns an exit code that is not 0 into an error.
pub(crate) fn run(mut command: Command) -> Result {
    let line = announce(&command);
    if IS_KEPT.load(Ordering::Relaxed) {
        command.stdout(io::stderr().as_fd().try_clone_to_owned()?);
    }
    let status = command.status().map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed: {status}").into()) }
}

/// As [`run`], and returns the lines of the output for which `keep` has something to say.
///
/// A process that outlives the command and holds its output is an error: tests of processes must not leave
/// any behind. After `limit` the command and all below it are killed.
pub(crate) fn run_watched(
    mut command: Command,
    limit: Duration,
    mut keep: impl FnMut(&str) -> Option<String>,
) -> Result<Vec<String>> {
    let line = announce(&command);
    let (reader, writer) = io::pipe()?;
    // One pipe for both, so that lines stay in the order in which they were written.
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().map_err(|error| format!("cannot start `{line}`: {error}"))?;
    // The command holds our copies of the writing end, and the end of the output is when all are closed.
    drop(command);

    let (sender, lines) = mpsc::channel();
    thread::spawn(move || -> io::Result<()> {
        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes)? != 0 {
            if IS_KEPT.load(Ordering::Relaxed) {
                io::stderr().write_all(&bytes)?;
            } else {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&bytes)?;
                stdout.flush()?;
            }
            // The receiver goes only when the command is given up.
            let _ = sender.send(String::from_utf8_lossy(&bytes).trim_end().to_owned());
            bytes.clear();
        }
        Ok(())
    });

    let started = Instant::now();
    let mut ended = None;
    let mut kept = Vec::new();
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => kept.extend(keep(&line)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if ended.is_none() && child.try_wait()?.is_some() {
            ended = Some(Instant::now());
        }
        if ended.is_some_and(|ended| ended.elapsed() > LEFTOVER_LIMIT) {
            let status = child.wait()?;
            return Err(format!(
                "`{line}` has ended ({status}), but a process that it started still runs and holds its output"
            )
            .into());
        }
        if ended.is_none() && started.elapsed() > limit {
            kill_tree(&mut child)?;
            return Err(format!("`{line}` was killed: it took more than {} s", limit.as_secs()).into());
        }
    }
    let status = child.wait()?;
    if status.success() { Ok(kept) } else { Err(format!("`{line}` failed: {status}").into()) }
}

/// Prints a command as one would type it, and returns it. Not among what it prints itself, which may be for a program.
fn announce(command: &Command) -> String {
    let line = describe(command);
    eprintln!("$ {line}");
    line
}

fn describe(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={}", name.display(), quoted(&value.to_string_lossy())));
        }
    }
    // The path of the program is of no interest, its name is.
    let program = PathBuf::from(command.get_program());
    words.push(program.file_name().unwrap_or(program.as_os_str()).display().to_string());
    words.extend(command.get_args().map(|arg| quoted(&arg.to_string_lossy())));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    if word.contains(char::is_whitespace) { format!("\"{word}\"") } else { word.to_owned() }
}

/// Kills a process and everything below it: killing cargo alone would leave the tests running.
fn kill_tree(child: &mut Child) -> Result {
    let mut pids = Vec::new();
    descendants(child.id(), &mut pids);
    child.kill()?;
    child.wait()?;
    if !pids.is_empty() {
        // The shell's own `kill`: the program of that name is not installed everywhere.
        let mut kill = Command::new("sh");
        kill.arg("-c").arg(format!("kill -9 {}", pids.join(" ")));
        // Some may have ended by themselves, which is as good.
        succeeds(kill);
    }
    Ok(())
}

/// Collects the ids of all processes below `pid`, as Linux tells them; elsewhere none are found.
fn descendants(pid: u32, found: &mut Vec<String>) {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return };
    for task in tasks.flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            found.push(child.to_owned());
            if let Ok(child) = child.parse() {
                descendants(child, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command
    }

    const AMPLE: Duration = Duration::from_secs(60);

    #[test]
    fn exit_codes_are_the_truth() {
        assert!(run(sh("exit 0")).is_ok());
        let error = run(sh("exit 3")).unwrap_err().to_string();
        assert!(error.contains("exit 3") && error.contains("exit status: 3"), "{error}");
        assert!(!succeeds(sh("exit 1")));
        assert!(!succeeds(Command::new("no-such-program-anywhere")));
    }

    #[test]
    fn watched_output_keeps_its_order_and_its_failures() {
        let kept =
            run_watched(sh("echo a; echo b >&2; echo c"), AMPLE, |line| Some(line.to_owned())).unwrap();
        assert_eq!(kept, ["a", "b", "c"]);
        assert!(run_watched(sh("echo a; exit 1"), AMPLE, |_| None).is_err());
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_its_children() {
        let started = Instant::now();
        let error = run_watched(sh("sleep 600 & wait"), Duration::from_millis(300), |_| None).unwrap_err();
        assert!(error.to_string().contains("was killed"), "{error}");
        assert!(started.elapsed() < AMPLE);
    }

    #[test]
    fn what_outlives_its_command_is_told() {
        let error = run_watched(sh("sleep 20 & exit 0"), AMPLE, |_| None).unwrap_err();
        assert!(error.to_string().contains("still runs and holds its output"), "{error}");
    }

    #[test]
    fn commands_are_described_as_one_types_them() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(describe(&command), "RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps");
    }
}
