//! `cargo xtask fuzz`: hostile input for what reads the bytes of others, by libFuzzer with AddressSanitizer.
//!
//! What is worth keeping is committed in `fuzz/corpus`. What a run adds goes to the target folder: `cargo fuzz cmin`
//! tells what of it is new. An input that fails is left in `fuzz/artifacts`.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::metadata::Workspace;
use crate::shell::{self, Result, root, succeeds};
use crate::test;

/// The toolchain that has the sanitizer.
const TOOLCHAIN: &str = "nightly";
/// What `fuzz/Cargo.toml` has, in the order of their reach.
pub(crate) const TARGETS: &[&str] = &["frames", "handshake", "codec", "names"];
/// How long each runs if nobody says otherwise.
const SECONDS: u64 = 60;
/// Locals stay on the stack: the codec measures how deep it is by the address of one.
const SANITIZER: &str = "detect_stack_use_after_return=0";
/// What the fuzzer itself is told, beside the time.
const OPTIONS: &[&str] = &["-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"];
/// How much longer than it was told a run may take: reading the corpus, and the last input.
const GRACE: u64 = 300;

/// What the command is to do.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    targets: Vec<&'static str>,
    seconds: u64,
}

/// Runs the command: all targets for a minute each, or as the arguments say.
pub(crate) fn command(args: &[String]) -> Result {
    let plan = plan(args)?;
    if let Some(missing) = missing() {
        return Err(missing.into());
    }
    let mut summaries = Vec::new();
    for outcome in run_plan(&plan, &Workspace::read()?)? {
        summaries.extend(outcome?);
    }
    test::print_summaries(&summaries);
    Ok(())
}

/// Runs all targets, for so many seconds each if somebody says.
pub(crate) fn run_all(seconds: Option<u64>, workspace: &Workspace) -> Result<Vec<Result<Vec<String>>>> {
    run_plan(&Plan { targets: TARGETS.to_vec(), seconds: seconds.unwrap_or(SECONDS) }, workspace)
}

/// What each target did; one that found something does not stop the others.
fn run_plan(plan: &Plan, workspace: &Workspace) -> Result<Vec<Result<Vec<String>>>> {
    for target in &plan.targets {
        shell::run(cargo_fuzz("build", target, workspace))?;
    }
    let run = |target: &&str| run(target, plan.seconds, workspace).map(|line| vec![line]);
    Ok(plan.targets.iter().map(run).collect())
}

/// Says what is not installed, and how to install it.
pub(crate) fn missing() -> Option<String> {
    let mut rustc = Command::new("rustup");
    rustc.args(["run", TOOLCHAIN, "rustc", "--version"]);
    if !succeeds(rustc) {
        return Some(format!(
            "fuzzing needs a nightly compiler, which is not installed (`rustup toolchain install {TOOLCHAIN}`)"
        ));
    }
    let mut fuzz = Command::new("rustup");
    fuzz.args(["run", TOOLCHAIN, "cargo", "fuzz", "--version"]);
    (!succeeds(fuzz)).then(|| {
        "fuzzing needs cargo-fuzz, which is not installed (`cargo install --locked cargo-fuzz`)".to_owned()
    })
}

fn plan(args: &[String]) -> Result<Plan> {
    let mut plan = Plan { targets: TARGETS.to_vec(), seconds: SECONDS };
    let mut args = args.iter();
    while let Some(argument) = args.next() {
        let value = args.next().map(String::as_str);
        match (argument.as_str(), value) {
            ("--only", Some(name)) => {
                let found = TARGETS.iter().find(|target| **target == name);
                let known = || format!("`{name}` is not a target, choose from {}", TARGETS.join(", "));
                plan.targets = vec![*found.ok_or_else(known)?];
            }
            ("--seconds", Some(seconds)) => {
                let wrong = |_| format!("`{seconds}` is not a number of seconds");
                plan.seconds = seconds.parse().map_err(wrong)?;
            }
            _ => {
                let usage = "this command takes `--only` and a target, and `--seconds` and a number";
                return Err(format!("{usage}; `{argument}` is neither, or lacks its value").into());
            }
        }
    }
    Ok(plan)
}

/// Runs one target, and tells how far it came.
fn run(target: &str, seconds: u64, workspace: &Workspace) -> Result<String> {
    let found = workspace.target.join("fuzz/corpus").join(target);
    fs::create_dir_all(&found).map_err(|error| format!("cannot make {}: {error}", found.display()))?;
    let mut command = cargo_fuzz("run", target, workspace);
    // What is found goes to the first folder.
    command.arg(found).arg(format!("fuzz/corpus/{target}"));
    command.arg("--").args(OPTIONS).arg(format!("-max_total_time={seconds}"));
    let limit = Duration::from_secs(seconds.saturating_add(GRACE));
    let lines = shell::run_watched(command, limit, |line| is_telling(line).then(|| line.to_owned()))?;
    Ok(summary(target, &lines))
}

/// Tells whether a line of the fuzzer's says how far it is.
fn is_telling(line: &str) -> bool {
    line.contains(" cov: ") || line.starts_with("Done ")
}

/// Puts the fuzzer's last words into one line.
fn summary(target: &str, lines: &[String]) -> String {
    let word = |name: &str| {
        let line = lines.iter().rev().find(|line| line.contains(name))?;
        line.split(name).nth(1)?.split_whitespace().next()
    };
    let done = lines.iter().rev().find_map(|line| line.strip_prefix("Done ")).unwrap_or("no runs");
    let (edges, corpus) = (word(" cov: ").unwrap_or("?"), word(" corp: ").unwrap_or("?"));
    format!("fuzz {target}: {done}, {edges} edges covered, corpus {corpus}, nothing found")
}

/// The command line that builds or runs a target, without what the fuzzer is told.
fn cargo_fuzz(verb: &str, target: &str, workspace: &Workspace) -> Command {
    let mut command = Command::new("rustup");
    // Not the cargo that runs us, which is another toolchain's.
    command.current_dir(root()).env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    command.args(["run", TOOLCHAIN, "cargo", "fuzz", verb, "--fuzz-dir", "fuzz", "--target-dir"]);
    command.arg(workspace.target.join("fuzz")).arg(target);
    command.env("ASAN_OPTIONS", SANITIZER);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(args: &[&str]) -> Result<Plan> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        plan(&args)
    }

    #[test]
    fn targets_and_times_are_chosen() {
        assert_eq!(planned(&[]).unwrap(), Plan { targets: TARGETS.to_vec(), seconds: 60 });
        let one = planned(&["--seconds", "5", "--only", "codec"]).unwrap();
        assert_eq!(one, Plan { targets: vec!["codec"], seconds: 5 });
        let unknown = planned(&["--only", "code"]).unwrap_err().to_string();
        assert!(unknown.contains("frames, handshake"), "{unknown}");
        assert!(planned(&["--seconds", "soon"]).unwrap_err().to_string().contains("soon"));
        for wrong in [&["codec"][..], &["--only"], &["--seconds"]] {
            assert!(planned(wrong).unwrap_err().to_string().contains("--seconds"), "{wrong:?}");
        }
    }

    #[test]
    fn the_targets_are_those_of_the_manifest() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        let paths = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
        let names: Vec<&str> = paths.map(|path| path.trim_end_matches(".rs\"")).collect();
        assert_eq!(names, TARGETS);
    }

    #[test]
    fn the_last_words_are_told() {
        let lines = [
            "#2\tINITED cov: 5 ft: 6 corp: 1/1b exec/s: 0 rss: 40Mb",
            "#9\tDONE   cov: 1234 ft: 5678 corp: 90/12Kb lim: 4096 exec/s: 7 rss: 50Mb",
            "Done 9 runs in 61 second(s)",
        ];
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let told = summary("codec", &lines);
        assert!(told.contains("codec: 9 runs in 61 second(s), 1234 edges covered, corpus 90/12Kb"), "{told}");
    }
}
