//! `cargo xtask bench`: our figures beside the peers'.

use crate::shell::{Result, cargo, run};

/// Asks for the peers that take long to build.
const PEERS: &str = "--peers";

/// Runs the command; the arguments are the benchmarks' own, but for `--peers`.
pub(crate) fn command(args: &[String]) -> Result {
    // A workspace of its own, so that the peers' dependencies are not built by everything else.
    let mut bench = cargo(&["run", "--release", "--manifest-path", "benches/Cargo.toml"]);
    if args.iter().any(|arg| arg == PEERS) {
        bench.args(["--features", "peers"]);
    }
    bench.arg("--").args(args.iter().filter(|arg| *arg != PEERS));
    run(bench)
}
