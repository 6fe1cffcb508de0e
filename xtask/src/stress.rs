//! `cargo xtask stress`: kills at every instruction, and at random.

use crate::shell::{Result, cargo, run};

/// What continuous integration spends on it, in minutes: every scenario, at some of its instructions.
const BOUNDED: &str = "2.5";

/// Runs the command; the arguments are the program's own.
pub(crate) fn command(args: &[String]) -> Result {
    // As users build it: those are the instructions that they will be killed at.
    let mut stress = cargo(&["run", "--release", "--package", "multiproc-stress", "--"]);
    stress.args(args);
    run(stress)
}

/// Runs what fits into a few minutes.
pub(crate) fn bounded() -> Result {
    command(&["--minutes".to_owned(), BOUNDED.to_owned()])
}
