//! The instructions of an operation, as callgrind counts them: a loss of a few per cent that a clock's noise hides.
//!
//! What they were is in `instructions.json`, with the compiler that made them: another one makes others, so that only
//! the same one's are compared.

use crate::Result;
use crate::operation::{OPERATIONS, Operation};
use crate::role;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json");
/// What made this program.
const COMPILER: &str = env!("COMPILER");
/// How many more of them an operation may take, of what it took: what the compiler puts where changes with its
/// neighbours, by some per cent. What is fewer is told.
const TOLERANCE: f64 = 0.05;
/// How often an operation is done when it is counted.
const COUNT: u64 = 5_000;
/// The function within which is counted, as callgrind calls it.
const COUNTED: &str = "*operation::counted*";

/// What the operations took.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Baseline {
    compiler: String,
    instructions: BTreeMap<String, f64>,
}

/// Counts the operations whose names contain `only`, and compares them or writes them down.
pub(crate) fn run(only: &str, updates: bool, is_json: bool) -> Result {
    if !is_there() {
        // Not among the JSON objects.
        eprintln!("skipped: valgrind is not installed (Debian: apt-get install valgrind)");
        return Ok(());
    }
    let mut before = Baseline::read()?;
    if before.compiler != COMPILER {
        eprintln!(
            "nothing is compared: {BASELINE} was made by {}, and this program by {COMPILER}",
            before.compiler
        );
        before = Baseline { compiler: COMPILER.to_owned(), instructions: BTreeMap::new() };
    }
    let mut worse = Vec::new();
    for operation in OPERATIONS.iter().filter(|operation| operation.name.contains(only)) {
        let now = count(operation)?;
        let old = before.instructions.get(operation.name).copied();
        if is_json {
            let version = env!("CARGO_PKG_VERSION");
            let line = json!({
                "scenario": "instructions", "system": operation.name, "unit": "instructions", "median": now,
                "min": now, "max": now, "rounds": 1, "version": version, "baseline": old,
            });
            println!("{line}");
        } else {
            println!("  {:<42} {now:>9.1} instructions  {}", operation.name, told(now, old));
        }
        if old.is_some_and(|old| is_worse(now, old)) {
            worse.push(operation.name);
        }
        if updates {
            before.instructions.insert(operation.name.to_owned(), now);
        }
    }
    if updates {
        before.instructions.retain(|name, _| OPERATIONS.iter().any(|operation| operation.name == name));
        return before.write();
    }
    if worse.is_empty() {
        return Ok(());
    }
    let limit = TOLERANCE * 100.0;
    Err(format!(
        "more than {limit:.0} % more instructions than before: {}; if that is meant to be, \
         `cargo xtask bench --instructions --update` writes them down",
        worse.join("; ")
    )
    .into())
}

impl Baseline {
    fn read() -> Result<Baseline> {
        let text = fs::read_to_string(BASELINE).map_err(|error| format!("read {BASELINE}: {error}"))?;
        Ok(serde_json::from_str(&text).map_err(|error| format!("read {BASELINE}: {error}"))?)
    }

    fn write(&self) -> Result {
        let text = serde_json::to_string_pretty(self)? + "\n";
        Ok(fs::write(BASELINE, text).map_err(|error| format!("write {BASELINE}: {error}"))?)
    }
}

fn is_worse(now: f64, old: f64) -> bool {
    now > old * (1.0 + TOLERANCE)
}

fn told(now: f64, old: Option<f64>) -> String {
    let Some(old) = old else { return "with nothing to compare it to".to_owned() };
    let change = format!("{:+.1} % of {old:.1}", (now / old - 1.0) * 100.0);
    if is_worse(now, old) {
        format!("{change}: WORSE")
    } else if is_worse(old, now) {
        format!("{change}: better, `--update` writes it down")
    } else {
        change
    }
}

fn is_there() -> bool {
    let version =
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// The instructions of one operation, those of the thread that does it.
fn count(operation: &Operation) -> Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(std::env::current_exe()?)
        .args(role::operation(operation.name, COUNT))
        .output()?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{} under valgrind ended with {}: {words}", operation.name, output.status).into());
    }
    let collected = words.lines().find_map(|line| line.split_once("Collected :"));
    let (_, collected) = collected.ok_or_else(|| format!("callgrind told no count: {words}"))?;
    let collected: f64 = collected.trim().parse()?;
    if collected < COUNT as f64 {
        return Err(format!("callgrind found no function {COUNTED}: {words}").into());
    }
    Ok((collected / COUNT as f64 * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worse_by_more_than_the_tolerance_is_told() {
        assert!(!is_worse(105.0, 100.0));
        assert!(is_worse(105.1, 100.0));
        assert!(told(105.1, Some(100.0)).ends_with("WORSE"));
        assert!(told(90.0, Some(100.0)).contains("better"));
        assert_eq!(told(99.0, Some(100.0)), "-1.0 % of 100.0");
    }

    #[test]
    fn every_operation_is_in_the_baseline_and_nothing_else() {
        let baseline = Baseline::read().unwrap();
        let mut names: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
        names.sort_unstable();
        assert_eq!(baseline.instructions.keys().map(String::as_str).collect::<Vec<_>>(), names);
    }
}
