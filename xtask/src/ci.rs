//! `cargo xtask ci`: every gate in order, which is what a developer runs before pushing.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::metadata::Workspace;
use crate::shell::{Result, cargo, root, run, succeeds};
use crate::{bench, docs, test, tidy};

/// A gate returns the summaries of the tests that it ran.
type Gate = fn(&Workspace) -> Result<Vec<String>>;

/// Cheap gates first, so that a slip is told within seconds.
const GATES: &[(&str, Gate)] = &[
    ("fmt", fmt),
    ("tidy", |_| tidy::command().map(|()| Vec::new())),
    ("clippy", clippy),
    ("docs", |_| docs::command().map(|()| Vec::new())),
    ("features", features),
    ("loom", loom),
    ("aarch64", aarch64),
    ("deny", deny),
    ("test", |_| test::debug()),
    ("test-release", |_| test::release()),
    ("bench-smoke", |_| bench::command(&["--smoke".to_owned()]).map(|()| Vec::new())),
];

/// Another architecture, to see that nothing assumes this one.
const OTHER_TARGET: &str = "aarch64-unknown-linux-gnu";

/// Runs the command: all gates, or the named ones.
pub(crate) fn command(names: &[String]) -> Result {
    if let Some(unknown) = names.iter().find(|name| GATES.iter().all(|(gate, _)| gate != name)) {
        let known: Vec<&str> = GATES.iter().map(|(name, _)| *name).collect();
        return Err(format!("`{unknown}` is not a gate, choose from: {}", known.join(", ")).into());
    }
    let workspace = Workspace::read()?;
    let mut times = Vec::new();
    let mut summaries = Vec::new();
    for (name, gate) in GATES {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("\n=== {name}");
        let started = Instant::now();
        let outcome = gate(&workspace);
        let took = started.elapsed();
        println!(
            "=== {name}: {} in {:.1} s",
            if outcome.is_ok() { "passed" } else { "FAILED" },
            took.as_secs_f64()
        );
        summaries.extend(outcome.map_err(|error| format!("gate `{name}`: {error}"))?);
        times.push((*name, took));
    }
    println!("\ngates:");
    for (name, took) in &times {
        println!("  {name:<14}{:>8.1} s", took.as_secs_f64());
    }
    let total: Duration = times.iter().map(|(_, took)| *took).sum();
    println!("  {:<14}{:>8.1} s", "total", total.as_secs_f64());
    if !summaries.is_empty() {
        test::print_summaries(&summaries);
    }
    Ok(())
}

fn fmt(_: &Workspace) -> Result<Vec<String>> {
    run(cargo(&["fmt", "--all", "--check"]))?;
    run(cargo(&["fmt", "--manifest-path", "benches/Cargo.toml", "--check"]))?;
    Ok(Vec::new())
}

fn clippy(workspace: &Workspace) -> Result<Vec<String>> {
    run(cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))?;
    for package in workspace.packages.iter().filter(|package| !package.features.is_empty()) {
        let select = ["clippy", "--package", &package.name, "--all-targets", "--no-default-features"];
        let mut command = cargo(&select);
        command.args(["--", "-D", "warnings"]);
        run(command)?;
    }
    Ok(Vec::new())
}

/// Checks each crate by itself: in a workspace build, one member's features leak into the others.
fn features(workspace: &Workspace) -> Result<Vec<String>> {
    for package in workspace.crates() {
        for set in feature_sets(&package.features) {
            let mut command = cargo(&["check", "--package", &package.name]);
            command.args(set);
            run(command)?;
        }
    }
    Ok(Vec::new())
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

/// Compiles what the model checker takes over; a folder of its own keeps the other flags from rebuilding all.
fn loom(workspace: &Workspace) -> Result<Vec<String>> {
    let mut command = cargo(&["check", "--package", "multiproc-core", "--lib"]);
    if root().join("crates/multiproc-core/tests/loom.rs").exists() {
        command.args(["--test", "loom"]);
    }
    command.arg("--target-dir").arg(workspace.target.join("loom"));
    command.env("RUSTFLAGS", "--cfg loom -D warnings");
    run(command)?;
    Ok(Vec::new())
}

fn aarch64(_: &Workspace) -> Result<Vec<String>> {
    if target_is_installed(OTHER_TARGET) {
        run(cargo(&["check", "--workspace", "--lib", "--all-features", "--target", OTHER_TARGET]))?;
    } else {
        println!("skipped: {OTHER_TARGET} is not installed (`rustup target add {OTHER_TARGET}`)");
    }
    Ok(Vec::new())
}

fn target_is_installed(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    output.is_ok_and(|output| {
        output.status.success()
            && std::path::Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}

fn deny(_: &Workspace) -> Result<Vec<String>> {
    if succeeds(cargo(&["deny", "--version"])) {
        run(cargo(&["deny", "--all-features", "check"]))?;
    } else {
        println!("skipped: cargo-deny is not installed (`cargo install --locked cargo-deny`)");
    }
    Ok(Vec::new())
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
    fn unknown_gates_and_targets_are_told() {
        assert!(command(&["no-such-gate".to_owned()]).unwrap_err().to_string().contains("bench-smoke"));
        assert!(!target_is_installed("no-such-target"));
    }
}
