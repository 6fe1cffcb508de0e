//! What the machine does to a program: nothing is left to be had, signals come all the time, the world is a small one.
//!
//! What a machine cannot do here is skipped with a line, which `--nocapture` shows.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

/// A wall clock that jumps, and clocks of another world.
mod clocks;

/// Descriptors, file systems, memory that are used up.
mod limits;

/// Signals at ten thousand a second.
mod signals;

/// Forks of a program that has threads.
mod threads;

/// Namespaces: a program as the first process of its world.
mod worlds;

use std::process::Command;

/// The command that runs this test in its role behind another program, such as `unshare`; `$@` is the program then.
fn behind(program: &[&str]) -> Command {
    let role = multiproc_tests::role_command();
    let mut command = Command::new(program[0]);
    // By its path: `/proc/self/exe` would be that other program.
    command.args(&program[1..]).arg(std::env::current_exe().unwrap()).args(role.get_args());
    command.envs(role.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(std::process::Stdio::null());
    command
}
