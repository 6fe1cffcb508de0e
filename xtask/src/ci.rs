//! `cargo xtask ci`: every gate in order, which is what a developer runs before pushing.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::metadata::Workspace;
use crate::shell::{Result, cargo, root, run, succeeds};
use crate::{bench, cluster, debian, docs, links, spelling, stress, targets, test, tidy};

type Gate = fn(&Workspace) -> Result<Outcome>;

/// How a gate ended that did not fail.
enum Outcome {
    Passed,
    /// The summaries of the tests that it ran.
    Tested(Vec<String>),
    /// What it needs and how to install that.
    Skipped(String),
}

/// Cheap gates first, so that a slip is told within seconds.
const GATES: &[(&str, Gate)] = &[
    ("fmt", fmt),
    ("tidy", |_| tidy::command().map(|()| Outcome::Passed)),
    ("spelling", spelling),
    ("links", |_| links::check().map(|()| Outcome::Passed)),
    ("clippy", clippy),
    ("docs", |_| docs::command().map(|()| Outcome::Passed)),
    ("features", features),
    ("deny", deny),
    ("test", |_| test::debug().map(Outcome::Tested)),
    ("cluster", over_hosts),
    ("loom", loom),
    ("model", model),
    ("targets", targets),
    ("ports", ports),
    ("test-release", |_| test::release().map(Outcome::Tested)),
    ("stress", |_| stress::bounded().map(|()| Outcome::Passed)),
    ("bench-smoke", |_| bench::command(&["--smoke".to_owned()]).map(|()| Outcome::Passed)),
    ("instructions", instructions),
];

/// What is run by its name alone: minutes for what hardly ever changes.
const ASKED_FOR: &[&str] = &["ports"];

/// Runs the command: all gates, or the named ones.
pub(crate) fn command(names: &[String]) -> Result {
    if let Some(unknown) = names.iter().find(|name| GATES.iter().all(|(gate, _)| gate != name)) {
        let known: Vec<&str> = GATES.iter().map(|(name, _)| *name).collect();
        return Err(format!("`{unknown}` is not a gate, choose from: {}", known.join(", ")).into());
    }
    let workspace = Workspace::read()?;
    let mut report = Vec::new();
    let mut total = Duration::ZERO;
    let mut summaries = Vec::new();
    for (name, gate) in GATES {
        let is_wanted = if names.is_empty() {
            !ASKED_FOR.contains(name)
        } else {
            names.iter().any(|wanted| wanted == name)
        };
        if !is_wanted {
            continue;
        }
        println!("\n=== {name}");
        let started = Instant::now();
        let outcome = gate(&workspace);
        let took = started.elapsed();
        total += took;
        let word = match outcome {
            Ok(Outcome::Passed) => "passed",
            Ok(Outcome::Tested(more)) => {
                summaries.extend(more);
                "passed"
            }
            Ok(Outcome::Skipped(missing)) => {
                println!("skipped: {missing}");
                "skipped"
            }
            Err(error) => {
                println!("=== {name}: FAILED in {:.1} s", took.as_secs_f64());
                return Err(format!("gate `{name}`: {error}").into());
            }
        };
        println!("=== {name}: {word} in {:.1} s", took.as_secs_f64());
        report.push(format!("{name:<14}{word:<8}{:>8.1} s", took.as_secs_f64()));
    }
    println!("\ngates:");
    for line in report {
        println!("  {line}");
    }
    println!("  {:<22}{:>8.1} s", "total", total.as_secs_f64());
    if !summaries.is_empty() {
        test::print_summaries(&summaries);
    }
    Ok(())
}

fn fmt(_: &Workspace) -> Result<Outcome> {
    run(cargo(&["fmt", "--all", "--check"]))?;
    for other in ["benches/Cargo.toml", "fuzz/Cargo.toml"] {
        run(cargo(&["fmt", "--manifest-path", other, "--check"]))?;
    }
    Ok(Outcome::Passed)
}

fn spelling(workspace: &Workspace) -> Result<Outcome> {
    Ok(spelling::check(&workspace.target)?.map_or(Outcome::Passed, Outcome::Skipped))
}

fn clippy(workspace: &Workspace) -> Result<Outcome> {
    run(cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))?;
    for package in workspace.packages.iter().filter(|package| !package.features.is_empty()) {
        let select = ["clippy", "--package", &package.name, "--all-targets", "--no-default-features"];
        let mut command = cargo(&select);
        command.args(["--", "-D", "warnings"]);
        run(command)?;
    }
    Ok(Outcome::Passed)
}

/// Checks each crate by itself: in a workspace build, one member's features leak into the others.
fn features(workspace: &Workspace) -> Result<Outcome> {
    for package in workspace.crates() {
        for set in feature_sets(&package.features) {
            let mut command = cargo(&["check", "--package", &package.name]);
            command.args(set);
            run(command)?;
        }
    }
    // What takes the place of the constructor that the features leave out.
    run(cargo(&["test", "--package", "multiproc-process", "--no-default-features", "--test", "init"]))?;
    Ok(Outcome::Passed)
}

/// Returns the arguments for: no feature, each alone, and all where that is another set.
fn feature_sets(features: &[String]) -> Vec<Vec<String>> {
    let alone: Vec<&String> = features.iter().filter(|feature| *feature != "default").collect();
    if alone.is_empty() {
        return vec![Vec::new()];
    }
    let none = "--no-default-features".to_owned();
    let mut sets = vec![vec![none.clone()]];
    sets.extend(alone.iter().map(|feature| vec![none.clone(), "--features".to_owned(), (*feature).clone()]));
    if alone.len() > 1 {
        sets.push(vec!["--all-features".to_owned()]);
    }
    sets
}

fn loom(workspace: &Workspace) -> Result<Outcome> {
    run(loom_command(workspace)).map(|()| Outcome::Passed)
}

/// Tries what synchronises in every order of its memory accesses; a folder of its own keeps the other flags from
/// rebuilding all.
pub(crate) fn loom_command(workspace: &Workspace) -> Command {
    let mut command = cargo(&["test", "--test", "loom"]);
    for package in workspace.crates() {
        if root().join("crates").join(&package.name).join("tests/loom.rs").exists() {
            command.args(["--package", &package.name]);
        }
    }
    command.arg("--target-dir").arg(workspace.target.join("loom"));
    command.env("RUSTFLAGS", "--cfg loom -D warnings");
    // Several times quicker, with the checks of debug builds.
    command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    command
}

fn model(workspace: &Workspace) -> Result<Outcome> {
    run(model_command(workspace)).map(|()| Outcome::Passed)
}

/// Runs the model that kills processes at every step; see the page of the package `multiproc-model`.
pub(crate) fn model_command(workspace: &Workspace) -> Command {
    let mut command = cargo(&["test", "--release", "--package", "multiproc-model"]);
    command.arg("--target-dir").arg(workspace.target.join("model"));
    command.env("RUSTFLAGS", "--cfg multiproc_model -D warnings");
    command
}

fn targets(workspace: &Workspace) -> Result<Outcome> {
    Ok(targets::arm(workspace)?.map_or(Outcome::Passed, Outcome::Skipped))
}

fn ports(workspace: &Workspace) -> Result<Outcome> {
    Ok(targets::ports(workspace)?.map_or(Outcome::Passed, Outcome::Skipped))
}

/// Runs tasks on several hosts, with a server that is found or installed.
fn over_hosts(_: &Workspace) -> Result<Outcome> {
    Ok(match cluster::suite()? {
        Some(summaries) => Outcome::Tested(summaries),
        None => Outcome::Skipped(cluster::lack()),
    })
}

fn deny(_: &Workspace) -> Result<Outcome> {
    if !succeeds(cargo(&["deny", "--version"])) {
        let missing = "cargo-deny is not installed (`cargo install --locked cargo-deny`)";
        return Ok(Outcome::Skipped(missing.to_owned()));
    }
    run(cargo(&["deny", "--all-features", "check"]))?;
    Ok(Outcome::Passed)
}

/// Compares the instructions of the hot paths with what they were.
fn instructions(_: &Workspace) -> Result<Outcome> {
    const NEEDED: &[&str] = &["valgrind"];
    let mut version = Command::new(NEEDED[0]);
    version.arg("--version");
    if !succeeds(version) && !debian::has(NEEDED) {
        return Ok(Outcome::Skipped(debian::lack("valgrind is not installed", NEEDED)));
    }
    Ok(bench::instructions()?.map_or(Outcome::Passed, Outcome::Skipped))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(features: &[&str]) -> Vec<String> {
        let features: Vec<String> = features.iter().map(|feature| (*feature).to_owned()).collect();
        feature_sets(&features).iter().map(|set| set.join(" ")).collect()
    }

    #[test]
    fn features_are_tried_none_alone_and_all() {
        assert_eq!(sets(&[]), [""]);
        assert_eq!(
            sets(&["default", "hook"]),
            ["--no-default-features", "--no-default-features --features hook"]
        );
        assert_eq!(
            sets(&["a", "b"]),
            [
                "--no-default-features",
                "--no-default-features --features a",
                "--no-default-features --features b",
                "--all-features"
            ]
        );
    }

    #[test]
    fn unknown_gates_are_told() {
        assert!(command(&["no-such-gate".to_owned()]).unwrap_err().to_string().contains("bench-smoke"));
    }
}
