//! `cargo xtask bench`: our figures beside the peers'.

use std::fs;
use std::process::Command;

use crate::cluster;
use crate::shell::{Result, cargo, root, run};

/// Which peers take part; `all`, or no value, asks for those that take long to build, too.
const PEERS: &str = "--peers";
const ALL: &str = "all";
/// The pool over several hosts.
const CLUSTER: &str = "cluster";
/// What is built for this is the same everywhere: what a program has besides moves its instructions.
const INSTRUCTIONS: &str = "--instructions";
/// What they were, and the compiler that made them.
const BASELINE: &str = "benches/instructions.json";

/// Runs the command; the arguments are the benchmarks' own, but for those that choose what is built.
pub(crate) fn command(args: &[String]) -> Result {
    let mut args = args.to_vec();
    let features = features(&mut args, cluster::is_installed());
    // A workspace of its own, so that the peers' dependencies are not built by everything else.
    let mut bench = cargo(&["run", "--release", "--manifest-path", "benches/Cargo.toml"]);
    for feature in features {
        bench.args(["--features", feature]);
    }
    bench.arg("--").args(args);
    run(bench)
}

/// What is built, by the arguments, of which those are taken that ask for nothing else.
fn features(args: &mut Vec<String>, has_server: bool) -> Vec<&'static str> {
    let mut has_peers = false;
    if let Some(at) = args.iter().position(|arg| arg == PEERS) {
        let value = args.get(at + 1).filter(|value| !value.starts_with("--"));
        let taken = if value.is_some() { 2 } else { 1 };
        has_peers = value.is_none_or(|value| value == ALL);
        if has_peers {
            args.drain(at..at + taken);
        }
    } else if let Some(at) = args.iter().position(|arg| *arg == format!("{PEERS}={ALL}")) {
        has_peers = true;
        args.remove(at);
    }
    if args.iter().any(|arg| arg == INSTRUCTIONS) {
        // As where there is a server, so that one build serves all.
        return vec![CLUSTER];
    }
    let wanted = [(CLUSTER, has_server), ("peers", has_peers)];
    wanted.into_iter().filter(|(_, is_wanted)| *is_wanted).map(|(feature, _)| feature).collect()
}

/// Counts the instructions of our operations, and compares them with what they were; or says why they cannot be compared.
pub(crate) fn instructions() -> Result<Option<String>> {
    let text = fs::read_to_string(root().join(BASELINE))?;
    let baseline: serde_json::Value = serde_json::from_str(&text)?;
    let before = baseline["compiler"].as_str().ok_or_else(|| format!("{BASELINE} names no compiler"))?;
    let now = compiler()?;
    if now != before {
        let how = "`cargo xtask bench --instructions --update` writes down what this one makes";
        return Ok(Some(format!("{BASELINE} was made by {before}, and this is {now}; {how}")));
    }
    command(&[INSTRUCTIONS.to_owned()]).map(|()| None)
}

/// The compiler and what it compiles for, as `benches/build.rs` writes it.
fn compiler() -> Result<String> {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .current_dir(root())
        .arg("-vV")
        .output()
        .map_err(|error| format!("cannot start `rustc -vV`: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(named(&text).ok_or_else(|| format!("`rustc -vV` said {text:?}"))?)
}

fn named(text: &str) -> Option<String> {
    let host = text.lines().find_map(|line| line.strip_prefix("host: "))?;
    Some(format!("{} for {host}", text.lines().next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_peers_are_built_with_and_without_the_word() {
        for asked in [&["--peers"][..], &["--peers", "all"], &["--peers=all"]] {
            let mut args: Vec<String> = asked.iter().map(|arg| (*arg).to_owned()).collect();
            args.push("--json".to_owned());
            assert_eq!(features(&mut args, false), ["peers"], "{asked:?}");
            assert_eq!(args, ["--json"], "{asked:?}");
        }
        let mut none = vec!["--peers".to_owned(), "none".to_owned()];
        assert_eq!(features(&mut none, true), ["cluster"]);
        assert_eq!(none, ["--peers", "none"]);
    }

    #[test]
    fn what_is_counted_is_built_the_same_everywhere() {
        let mut args = vec!["--instructions".to_owned()];
        assert_eq!(features(&mut args, true), features(&mut args, false));
        assert_eq!(args, ["--instructions"]);
    }

    #[test]
    fn the_compiler_is_named_as_in_the_baseline() {
        let text = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n";
        assert_eq!(
            named(text).as_deref(),
            Some("rustc 1.95.0 (59807616e 2026-04-14) for x86_64-unknown-linux-gnu")
        );
        assert_eq!(named(""), None);
        assert!(compiler().unwrap().starts_with("rustc "));
    }
}
