//! Another process that runs rounds when it is told to, over its standard input and output.
//!
//! ```text
//! to it:    operations\n
//! from it:  median-in-us sum-of-results\n     the operations are trivial(0), trivial(1), …
//! ```

use crate::ends::HANG;
use crate::measure::{Round, check, trivial};
use crate::{Result, sys};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take to end when it is told to.
const END: Duration = Duration::from_secs(10);

/// A running worker; ends with its standard input.
struct Worker {
    child: Child,
    /// `None` while it is being ended.
    input: Option<ChildStdin>,
    /// The lines that it prints.
    lines: Receiver<io::Result<String>>,
    /// How long a round may take.
    limit: Duration,
}

/// Starts a worker, waits until it is ready, and makes rounds of it.
pub(crate) fn rounds(command: Command) -> Result<Round> {
    let mut worker = Worker::start(command, HANG)?;
    worker.ask(1)?;
    Ok(Box::new(move |operations| worker.ask(operations)))
}

impl Worker {
    fn start(mut command: Command, limit: Duration) -> Result<Worker> {
        // A group of its own, so that those whom it starts can be killed with it.
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child =
            command.spawn().map_err(|error| format!("start {}: {error}", command.get_program().display()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a worker without pipes".into());
        };
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Worker { child, input: Some(input), lines, limit })
    }

    fn ask(&mut self, operations: u64) -> Result<f64> {
        if let Some(input) = &mut self.input {
            // One that has gone is told of below.
            let _ = writeln!(input, "{operations}");
        }
        let line = match self.lines.recv_timeout(self.limit) {
            Ok(line) => line?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err("the worker has ended, and said no result".into());
            }
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                return Err(format!("the worker was not done after {:?}, and was killed", self.limit).into());
            }
        };
        let (median, sum) = line.trim().split_once(' ').ok_or_else(|| format!("the worker said {line:?}"))?;
        check(sum.parse()?, (0..operations).map(trivial).sum())?;
        Ok(median.parse()?)
    }

    /// Kills it and those whom it has started.
    fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It has not been waited for, so that the number is still its own.
            let _ = sys::kill_group(self.child.id());
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input = None;
        let told = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && told.elapsed() < END {
            thread::sleep(Duration::from_millis(2));
        }
        self.kill();
        // It has nothing to say any more.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Worker {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Worker::start(command, limit).unwrap()
    }

    #[test]
    fn a_worker_answers_and_a_wrong_sum_is_told() {
        let mut worker = sh("while read count; do echo 1.5 5; done", HANG);
        assert_eq!(worker.ask(2).unwrap(), 1.5);
        assert!(worker.ask(3).unwrap_err().to_string().contains("5 instead of 12"));
    }

    #[test]
    fn one_that_ends_is_told() {
        let error = sh("read count; exit 3", HANG).ask(1).unwrap_err();
        assert!(error.to_string().contains("has ended"), "{error}");
    }

    #[test]
    fn one_that_hangs_is_killed_with_those_whom_it_started() {
        let mut worker = sh("sleep 600 & read count; sleep 600", Duration::from_millis(300));
        let error = worker.ask(1).unwrap_err();
        assert!(error.to_string().contains("was killed"), "{error}");
        // Its output ends when all who hold it have.
        assert_eq!(worker.lines.recv_timeout(HANG).unwrap_err(), RecvTimeoutError::Disconnected);
    }
}
