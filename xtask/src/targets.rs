//! Other targets, to see that nothing assumes this one.
//!
//! - aarch64 is built whole, but for tests and examples, and what needs no second process is run by an emulator: the gate
//!   `targets`. All of it is type-checked by the gate `ports`.
//! - Linux with musl is type-checked, but for the pool over several hosts, and of other systems what a port begins with,
//!   see `crates/multiproc-core/src/sys/mod.rs`: the gate `ports`.
//!
//! The standard libraries are rustup's where they are installed, else those of Debian's second compiler, which has the
//! one of aarch64 and the source of the others. What there is neither for is skipped with a line.

use std::path::Path;
use std::process::Command;

use crate::debian;
use crate::metadata::Workspace;
use crate::shell::{Result, cargo, root, run, succeeds};

const ARM: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";
/// The packages with a linker and an emulator.
const TOOLS: &[&str] = &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"];
/// Debian's second compiler, with the standard library of another machine, and with the source of all of them.
const COMPILER: &[&str] = &["rustc-web", "cargo-web", "libstd-rust-web-dev:arm64"];
const SOURCE: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// The crates whose tests run under an emulator: others start processes of this executable, which the system would take
/// for the emulator, or wait for threads of which it runs one at a time.
const EMULATED: &[&str] = &[
    "multiproc-core",
    "multiproc-shm",
    "multiproc-sync",
    "multiproc-pipe",
    "multiproc-queue",
    "multiproc-threads",
];
/// Their integration tests; that of the codec is left out, since an emulator takes minutes for its millions of values.
const SUITES: &[&str] = &["it", "leaks", "codec_handles", "names_deadlines"];
/// What of them starts a compiler, or a program of this executable's.
const NOT_EMULATED: &[&str] = &[
    "compile::",
    "limits::larger_than_the_control_group",
    "limits::the_hard_limit_of_descriptors",
    "limits::the_soft_limit_of_descriptors",
];

/// Targets that are type-checked, side by side.
struct Ports {
    targets: &'static [&'static str],
    /// What of the workspace is.
    what: &'static [&'static str],
    flags: &'static str,
}

const PORTS: &[Ports] = &[
    Ports {
        targets: &["x86_64-unknown-linux-musl"],
        // What needs the network has C in it, which needs that system's compiler.
        what: &[
            "--workspace",
            "--lib",
            "--exclude",
            "multiproc-cluster",
            "--exclude",
            "multiproc-cluster-tests",
        ],
        flags: "",
    },
    Ports {
        targets: &["aarch64-apple-darwin", "x86_64-pc-windows-msvc"],
        // What needs no system, with the refusal of other systems taken away.
        what: &["--package", "multiproc-core", "--package", "multiproc-derive"],
        flags: "--cfg multiproc_port",
    },
];

/// Type-checks for the other systems, and tests and examples for aarch64; returns what is missing.
pub(crate) fn ports(workspace: &Workspace) -> Result<Option<String>> {
    let mut lacks = Vec::new();
    for ports in PORTS {
        lacks.extend(type_check(ports, workspace)?);
    }
    match lack_for_arm() {
        None => {
            let mut check = arm_cargo("check", workspace);
            check.args(["--workspace", "--all-targets"]);
            run(check)?;
        }
        lack => lacks.extend(lack),
    }
    if lacks.len() > PORTS.len() {
        return Ok(Some(lacks.join("; ")));
    }
    lacks.iter().for_each(|lack| println!("skipped: {lack}"));
    Ok(None)
}

/// Builds all for aarch64 and runs what an emulator can; returns what is missing.
pub(crate) fn arm(workspace: &Workspace) -> Result<Option<String>> {
    let lack = lack_for_arm();
    if lack.is_some() {
        return Ok(lack);
    }
    let mut build = arm_cargo("build", workspace);
    build.args(["--workspace", "--lib", "--bins"]);
    run(build)?;
    let mut test = arm_cargo("test", workspace);
    EMULATED.iter().for_each(|package| {
        test.args(["--package", package]);
    });
    test.arg("--lib");
    SUITES.iter().for_each(|suite| {
        test.args(["--test", suite]);
    });
    test.arg("--");
    NOT_EMULATED.iter().for_each(|name| {
        test.args(["--skip", name]);
    });
    run(test)?;
    Ok(None)
}

/// What is missing to build for aarch64 and to run that.
fn lack_for_arm() -> Option<String> {
    let can_build = is_installed(ARM) || (debian::admits("arm64") && debian::has(COMPILER));
    if !can_build {
        return Some(not_installed(ARM));
    }
    let version = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version");
        succeeds(command)
    };
    let can_run = (version(LINKER) && version(EMULATOR)) || debian::has(TOOLS);
    (!can_run).then(|| debian::lack("there is no linker and no emulator for aarch64", TOOLS))
}

fn arm_cargo(verb: &str, workspace: &Workspace) -> Command {
    let mut command = if is_installed(ARM) { cargo(&[verb]) } else { debian_cargo(verb) };
    command.args(["--all-features", "--target", ARM]);
    // Another compiler would rebuild all that this one has built.
    command.arg("--target-dir").arg(workspace.target.join("targets"));
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", emulator());
    command
}

/// Type-checks for other systems; returns what is missing.
fn type_check(ports: &Ports, workspace: &Workspace) -> Result<Option<String>> {
    let is_own = ports.targets.iter().all(|target| is_installed(target));
    if !is_own && !debian::has(SOURCE) {
        return Ok(Some(not_installed(&ports.targets.join(" "))));
    }
    let mut command = if is_own { cargo(&["check"]) } else { debian_cargo("check") };
    if !is_own {
        command.arg("-Zbuild-std=std,panic_abort").env("RUSTC_BOOTSTRAP", "1");
    }
    command.args(ports.what);
    for target in ports.targets {
        command.args(["--target", target]);
    }
    command.arg("--target-dir").arg(workspace.target.join("targets"));
    command.env("RUSTFLAGS", ports.flags);
    run(command)?;
    Ok(None)
}

fn not_installed(target: &str) -> String {
    format!("{target} is not installed (`rustup target add {target}`)")
}

fn is_installed(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    output.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}

fn debian_cargo(verb: &str) -> Command {
    let mut command = Command::new("/usr/bin/cargo");
    command.current_dir(root()).arg(verb);
    // What the cargo that runs us has set is its own.
    command.env("RUSTC", "/usr/bin/rustc").env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// The C library and its loader must be of one package: the loader finds the library of `libc6:arm64` before that of
/// the cross compiler, with which programs of several threads hang.
fn emulator() -> String {
    if Path::new("/lib/ld-linux-aarch64.so.1").exists() {
        EMULATOR.to_owned()
    } else {
        format!("{EMULATOR} -L /usr/aarch64-linux-gnu")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_there_is_not_is_not_installed() {
        assert!(!is_installed("no-such-target"));
    }
}
