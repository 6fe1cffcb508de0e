use super::{Context, Scenario};
use crate::measure::{Bench, Round, System};
use crate::operation::OPERATIONS;
use crate::{Result, role};
use std::process::{Command, Stdio};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "system-calls",
    sentence: "system calls of one operation where nobody sleeps, as strace counts them: those of a process that \
               does it often, less those of one that does it 5,000 times, by the difference",
    unit: "calls",
    bench,
};

/// Enough for whatever happens only now and then at first.
const FEW: u64 = 5_000;
/// An operation that calls the system twice, to show that calls are counted at all.
const CONTROL: &str = "pipe: send, recv, 64 B";

fn bench(context: &Context) -> Result<Bench> {
    let has_strace =
        Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !has_strace {
        let absent = vec!["all: there is no `strace` on the PATH, so that nothing was counted".to_owned()];
        return Ok(Bench { absent, ..Bench::default() });
    }
    let operations = context.effort.operations(100_000);
    let silent = OPERATIONS.iter().filter(|operation| operation.is_silent).map(|operation| operation.name);
    let mut systems: Vec<System> =
        silent.map(|name| System::new(name, operations, counted(name)).limit(0.001)).collect();
    systems.push(System::new(CONTROL, operations.div_ceil(50), counted(CONTROL)));
    Ok(Bench { systems, ..Bench::default() })
}

fn counted(operation: &'static str) -> Round {
    Box::new(move |count| {
        let few = calls(operation, FEW)?;
        let many = calls(operation, FEW + count)?;
        Ok(many.saturating_sub(few) as f64 / count.max(1) as f64)
    })
}

/// How many system calls a process makes that does this so often, from its start to its end.
fn calls(operation: &str, count: u64) -> Result<u64> {
    let output = Command::new("strace")
        .args(["-f", "-c", "-U", "name,calls"])
        .arg(std::env::current_exe()?)
        .args(role::operation(operation, count))
        .output()?;
    let summary = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("strace ended with {}: {summary}", output.status).into());
    }
    let total = summary.lines().rev().find_map(|line| line.trim().strip_prefix("total"));
    let calls = total.and_then(|rest| rest.split_whitespace().next());
    Ok(calls.ok_or_else(|| format!("strace told no total: {summary}"))?.parse()?)
}
