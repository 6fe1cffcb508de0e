//! `cargo xtask test`: the whole test suite.

use std::process::Command;
use std::time::Duration;

use crate::cluster;
use crate::shell::{Result, cargo, run_watched, succeeds};

/// Far above what a suite takes: a test that hangs is to end as a failure, not as a machine that is busy for ever.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// What is chosen wherever tests are built, even for one of them: another choice has other features of what is below, and
/// builds all of it once more.
pub(crate) const ALL: &[&str] = &["--workspace", "--all-features"];

/// What is built for release, always together: the crates with code of their own, and what kills them at instructions.
pub(crate) const RELEASED: &[&str] = &[
    "--release",
    "--all-features",
    "--package=multiproc-core",
    "--package=multiproc-shm",
    "--package=multiproc-sync",
    "--package=multiproc-pipe",
    "--package=multiproc-queue",
    "--package=multiproc-process",
    "--package=multiproc-pool",
    "--package=multiproc-manager",
    "--package=multiproc-stress",
];

/// Runs the command.
pub(crate) fn command() -> Result {
    let mut summaries = debug()?;
    match cluster::suite()? {
        Some(more) => summaries.extend(more),
        None => println!("skipped: {}", cluster::lack()),
    }
    print_summaries(&summaries);
    Ok(())
}

/// Runs unit, integration and doc tests of the workspace, but for those that need a server; returns a line for each
/// suite.
pub(crate) fn debug() -> Result<Vec<String>> {
    let mut all = vec!["test"];
    all.extend(ALL);
    all.extend(["--exclude", "multiproc-cluster-tests", "--no-fail-fast"]);
    let mut summaries = suite(&all)?;
    if succeeds(cargo(&["nextest", "--version"])) {
        // One process per test is another world for a library that starts processes. Those left out have a process for
        // each test's body already, or start none.
        let others = "not (package(multiproc-tests) + package(multiproc-model) + package(multiproc-stress) + package(xtask)) - test(/^compile::/)";
        let mut run = vec!["nextest", "run"];
        run.extend(ALL);
        run.extend(["--exclude", "multiproc-cluster-tests", "--no-fail-fast", "--filterset", others]);
        summaries.extend(suite(&run)?);
    } else {
        println!("skipped: cargo-nextest is not installed (`cargo install --locked cargo-nextest`)");
    }
    Ok(summaries)
}

/// Runs the crates' own suites in release mode, where overflow, inlining and timing differ.
pub(crate) fn release() -> Result<Vec<String>> {
    let mut args = vec!["test", "--no-fail-fast", "--lib", "--tests"];
    args.extend(RELEASED);
    Ok(suite(&args)?.iter().map(|summary| format!("release: {summary}")).collect())
}

/// Prints one line for each suite, under a heading.
pub(crate) fn print_summaries(summaries: &[String]) {
    println!("\ntests:");
    for summary in summaries {
        println!("  {summary}");
    }
}

fn suite(args: &[&str]) -> Result<Vec<String>> {
    watched(cargo(args))
}

/// Runs a command that runs tests, and returns a line for each suite.
pub(crate) fn watched(command: Command) -> Result<Vec<String>> {
    let mut summary = Summary::default();
    run_watched(command, LIMIT, |line| summary.line(line))
}

/// Follows the output of the tests: which suite runs, and how it ended.
#[derive(Default)]
struct Summary {
    suite: String,
}

impl Summary {
    /// Reads a line, and returns what to tell at the end.
    fn line(&mut self, line: &str) -> Option<String> {
        let line = line.trim();
        if let Some(running) = line.strip_prefix("Running ") {
            self.suite = suite_name(running);
        } else if let Some(package) = line.strip_prefix("Doc-tests ") {
            self.suite = format!("{package} (doc tests)");
        } else if line.starts_with("test result:") {
            return Some(format!("{}: {line}", self.suite));
        } else if line.starts_with("Summary [") {
            return Some(format!("nextest: {line}"));
        }
        None
    }
}

/// Makes `multiproc_core (unittests src/lib.rs)` of `unittests src/lib.rs (target/debug/deps/multiproc_core-1f2e)`.
fn suite_name(running: &str) -> String {
    let Some((what, file)) = running.split_once(" (") else { return running.to_owned() };
    let file = file.trim_end_matches(')');
    let name = file.rsplit('/').next().unwrap_or(file);
    let name = name.rsplit_once('-').map_or(name, |(name, _hash)| name);
    format!("{name} ({what})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_name_their_suite() {
        let output = "\
   Compiling multiproc-core v0.1.0
     Running unittests src/lib.rs (target/debug/deps/multiproc_core-0a1b2c)
test name::tests::long ... ok
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests multiproc_core
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s
     Summary [   0.006s] 2 tests run: 2 passed, 0 skipped";
        let mut summary = Summary::default();
        let kept: Vec<String> = output.lines().filter_map(|line| summary.line(line)).collect();
        assert_eq!(kept.len(), 3);
        assert!(kept[0].starts_with("multiproc_core (unittests src/lib.rs): test result: ok. 1 passed"));
        assert!(kept[1].starts_with("multiproc_core (doc tests): test result: FAILED."));
        assert!(kept[2].starts_with("nextest: Summary"));
    }
}
