//! Another architecture, to see that nothing assumes this one: aarch64 is built, and what needs no second process is
//! run by an emulator.
//!
//! The standard library is rustup's where it is installed, else that of Debian's second compiler.

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
/// Debian's second compiler, with the standard library of another machine.
const COMPILER: &[&str] = &["rustc-web", "cargo-web", "libstd-rust-web-dev:arm64"];

/// The crates whose unit tests run under an emulator: others start processes of this executable, which the system
/// would take for the emulator, or wait for threads of which it runs one at a time.
const EMULATED: &[&str] = &["multiproc-core", "multiproc-shm", "multiproc-sync"];

/// Runs what this machine can; returns why it can do nothing, if so.
pub(crate) fn check(workspace: &Workspace) -> Result<Option<String>> {
    let is_own = is_installed(ARM);
    let can_build = is_own || (debian::admits("arm64") && debian::has(COMPILER));
    if !can_build {
        return Ok(Some(format!("{ARM} is not installed (`rustup target add {ARM}`)")));
    }
    if is_own {
        run(cargo(&["check", "--workspace", "--lib", "--all-features", "--target", ARM]))?;
    }
    let version = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version");
        succeeds(command)
    };
    let can_run = (version(LINKER) && version(EMULATOR)) || debian::has(TOOLS);
    if can_run {
        run(emulated(is_own, workspace))?;
    } else {
        println!("skipped: {}", debian::lack("there is no linker and no emulator for aarch64", TOOLS));
    }
    Ok(None)
}

fn is_installed(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    output.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}

/// Builds for aarch64 and runs the tests under an emulator.
fn emulated(is_own: bool, workspace: &Workspace) -> Command {
    let mut command = if is_own { cargo(&["test"]) } else { debian_cargo() };
    command.args(["--lib", "--target", ARM]);
    EMULATED.iter().for_each(|package| {
        command.args(["--package", package]);
    });
    // Another compiler would rebuild all that this one has built.
    command.arg("--target-dir").arg(workspace.target.join("targets"));
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", emulator());
    command
}

fn debian_cargo() -> Command {
    let mut command = Command::new("/usr/bin/cargo");
    command.current_dir(root()).arg("test");
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
