//! `cargo xtask sanitize`: the tests that need no second process, watched by AddressSanitizer and ThreadSanitizer.
//!
//! Both want a nightly compiler. Its standard library is not built with them: what is compiled here is watched, its
//! generic parts among it. ThreadSanitizer sees neither how the rest of it synchronises, nor fences, nor what the
//! kernel stores; `tests/threads/sanitizer.txt` and `--cfg multiproc_tsan` stand for what it must know.

use std::process::Command;

use crate::metadata::Workspace;
use crate::shell::{self, Result, root, succeeds};
use crate::test;

/// The toolchain that has the sanitizers.
const TOOLCHAIN: &str = "nightly";
/// Where they run; another target than the compiler's own keeps their flags away from build scripts and macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Tests that start a compiler of their own.
const LEFT_OUT: &str = "compile::";

/// One of the sanitizers.
struct Sanitizer {
    name: &'static str,
    flags: &'static str,
    variable: &'static str,
    options: &'static str,
    /// The packages whose tests it watches.
    packages: &'static [&'static str],
    /// What the tests themselves are told.
    arguments: &'static [&'static str],
}

const SANITIZERS: &[Sanitizer] = &[
    Sanitizer {
        name: "address",
        flags: "-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer",
        variable: "ASAN_OPTIONS",
        // Locals stay on the stack: the codec measures how deep it is by the address of one.
        options: "detect_stack_use_after_return=0:detect_leaks=1",
        packages: &[
            "multiproc-core",
            "multiproc-shm",
            "multiproc-sync",
            "multiproc-queue",
            "multiproc-threads",
        ],
        arguments: &[],
    },
    Sanitizer {
        name: "thread",
        flags: "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg multiproc_tsan",
        variable: "TSAN_OPTIONS",
        options: "suppressions={root}/tests/threads/sanitizer.txt:history_size=4",
        // Elsewhere threads end with their scope, which it does not see; here each is joined by a call that it knows.
        packages: &["multiproc-core", "multiproc-queue", "multiproc-threads"],
        // The harness' own threads speak through what was not built with it.
        arguments: &["--test-threads=1"],
    },
];

/// Runs the command: both, or the one that is named.
pub(crate) fn command(args: &[String]) -> Result {
    let chosen = chosen(args)?;
    if let Some(missing) = missing() {
        return Err(missing.into());
    }
    let workspace = Workspace::read()?;
    let mut summaries = Vec::new();
    for sanitizer in chosen {
        summaries.extend(run(sanitizer, &workspace)?);
    }
    test::print_summaries(&summaries);
    Ok(())
}

/// Runs all of them, whatever the others found.
pub(crate) fn run_all(workspace: &Workspace) -> Vec<Result<Vec<String>>> {
    SANITIZERS.iter().map(|sanitizer| run(sanitizer, workspace)).collect()
}

/// Says what is not installed, and how to install it.
pub(crate) fn missing() -> Option<String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Some(format!("the sanitizers run on {TARGET} alone"));
    }
    let mut rustc = Command::new("rustup");
    rustc.args(["run", TOOLCHAIN, "rustc", "--version"]);
    (!succeeds(rustc)).then(|| {
        format!("the sanitizers need a nightly compiler, which is not installed (`rustup toolchain install {TOOLCHAIN}`)")
    })
}

fn chosen(args: &[String]) -> Result<Vec<&'static Sanitizer>> {
    let names = || SANITIZERS.iter().map(|sanitizer| sanitizer.name).collect::<Vec<_>>().join("|");
    match args {
        [] => Ok(SANITIZERS.iter().collect()),
        [only, name] if only == "--only" => {
            let found = SANITIZERS.iter().find(|sanitizer| sanitizer.name == name);
            Ok(vec![found.ok_or_else(|| format!("`{name}` is not a sanitizer, choose from {}", names()))?])
        }
        _ => Err(format!("this command takes nothing, or `--only {}`", names()).into()),
    }
}

fn run(sanitizer: &Sanitizer, workspace: &Workspace) -> Result<Vec<String>> {
    // First by itself: the limit of time is for the tests.
    let mut build = cargo_test(sanitizer, workspace);
    build.arg("--no-run");
    shell::run(build)?;
    let mut command = cargo_test(sanitizer, workspace);
    command.args(["--", "--skip", LEFT_OUT]).args(sanitizer.arguments);
    let summaries = test::watched(command)?;
    Ok(summaries.iter().map(|summary| format!("{}: {summary}", sanitizer.name)).collect())
}

/// The command line that builds and runs the tests, without what they are told themselves.
fn cargo_test(sanitizer: &Sanitizer, workspace: &Workspace) -> Command {
    let mut command = Command::new("rustup");
    // Not the cargo that runs us, which is another toolchain's.
    command.current_dir(root()).env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    command.args([
        "run",
        TOOLCHAIN,
        "cargo",
        "test",
        "--target",
        TARGET,
        "--lib",
        "--tests",
        "--no-fail-fast",
    ]);
    for package in sanitizer.packages {
        command.args(["--package", package]);
    }
    // What is built with these flags must not take the place of what is built without.
    command.arg("--target-dir").arg(workspace.target.join(format!("sanitize-{}", sanitizer.name)));
    command.env("RUSTFLAGS", sanitizer.flags);
    command.env(sanitizer.variable, sanitizer.options.replace("{root}", &root().to_string_lossy()));
    command.env("LSAN_OPTIONS", format!("suppressions={}/tests/threads/leaks.txt", root().display()));
    // Watched code takes several times as much of it.
    command.env("RUST_MIN_STACK", "33554432");
    // Quicker, and nearer to what users run; the checks of debug builds stay.
    command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(args: &[&str]) -> Result<Vec<&'static str>> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Ok(chosen(&args)?.iter().map(|sanitizer| sanitizer.name).collect())
    }

    #[test]
    fn both_or_one_are_chosen() {
        assert_eq!(names(&[]).unwrap(), ["address", "thread"]);
        assert_eq!(names(&["--only", "thread"]).unwrap(), ["thread"]);
        for wrong in [&["thread"][..], &["--only"], &["--only", "memory"], &["--only", "thread", "address"]] {
            let error = names(wrong).unwrap_err().to_string();
            assert!(error.contains("address|thread"), "{error}");
        }
    }
}
