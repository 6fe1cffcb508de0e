//! `cargo xtask bench`: our figures beside the peers'.

use crate::shell::{Result, cargo, run};

/// Runs the command; the arguments are the benchmarks' own.
pub(crate) fn command(args: &[String]) -> Result {
    // A workspace of its own, so that the peers' dependencies are not built by everything else.
    let mut bench = cargo(&["run", "--release", "--manifest-path", "benches/Cargo.toml", "--"]);
    bench.args(args);
    run(bench)
}
