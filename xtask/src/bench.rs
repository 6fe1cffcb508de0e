//! `cargo xtask bench`: our figures beside the peers'.

use crate::cluster;
use crate::shell::{Result, cargo, run};

/// Which peers take part; without a value it asks for those that take long to build, too.
const PEERS: &str = "--peers";

/// Runs the command; the arguments are the benchmarks' own, but for `--peers` alone.
pub(crate) fn command(args: &[String]) -> Result {
    // A workspace of its own, so that the peers' dependencies are not built by everything else.
    let mut bench = cargo(&["run", "--release", "--manifest-path", "benches/Cargo.toml"]);
    if cluster::is_installed() {
        bench.args(["--features", "cluster"]);
    }
    let mut args = args.to_vec();
    if let Some(at) = args.iter().position(|arg| arg == PEERS)
        && args.get(at + 1).is_none_or(|value| value.starts_with("--"))
    {
        args.remove(at);
        bench.args(["--features", "peers"]);
    }
    bench.arg("--").args(args);
    run(bench)
}
