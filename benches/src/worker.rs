//! Another process that runs rounds when it is told to, over its standard input and output.
//!
//! ```text
//! to it:    operations\n
//! from it:  median-in-us sum-of-results\n     the operations are trivial(0), trivial(1), …
//! ```

use crate::Result;
use crate::measure::{Round, check, trivial};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running worker; ends with its standard input.
struct Worker {
    child: Child,
    /// `None` while it is being ended.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Starts a worker, waits until it is ready, and makes rounds of it.
pub(crate) fn rounds(mut command: Command) -> Result<Round> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("a worker without pipes".into());
    };
    let mut worker = Worker { child, input: Some(input), output: BufReader::new(output) };
    worker.ask(1)?;
    Ok(Box::new(move |operations| worker.ask(operations)))
}

impl Worker {
    fn ask(&mut self, operations: u64) -> Result<f64> {
        if let Some(input) = &mut self.input {
            writeln!(input, "{operations}")?;
        }
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let (median, sum) = line.trim().split_once(' ').ok_or_else(|| format!("the worker said {line:?}"))?;
        check(sum.parse()?, (0..operations).map(trivial).sum())?;
        Ok(median.parse()?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input = None;
        // It has nothing to say any more.
        let _ = self.child.wait();
    }
}
