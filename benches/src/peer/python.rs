use super::venv;
use crate::Result;
use crate::measure::Round;
use crate::place::Placement;
use crate::worker;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/link.py");
const POOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/pool.py");

/// A round of CPython's multiprocessing, or why there is none.
pub(crate) fn python(
    mode: &str,
    number: usize,
    placement: Placement,
) -> Result<std::result::Result<Round, String>> {
    round(interpreter(), mode, number, placement)
}

/// A round of a package that CPython does not come with, or why there is none.
pub(crate) fn packaged(
    mode: &str,
    number: usize,
    placement: Placement,
) -> Result<std::result::Result<Round, String>> {
    round(interpreter().and_then(|_| venv()), mode, number, placement)
}

/// The pools of packages, and a round of each in a mode of `pool.py`; or why there are none.
pub(crate) fn packaged_pools(mode: &str) -> Result<std::result::Result<Vec<(&'static str, Round)>, String>> {
    let python = match interpreter().and_then(|_| venv()) {
        Ok(python) => python,
        Err(why) => return Ok(Err(why)),
    };
    let mut pools = Vec::new();
    for (name, package) in [("Pebble, schedule", "pebble"), ("mpire, WorkerPool", "mpire"), ("loky", "loky")]
    {
        let mut command = Command::new(&python);
        command.args([POOLS, mode, package]);
        pools.push((name, worker::rounds(command)?));
    }
    Ok(Ok(pools))
}

/// CPython itself.
pub(crate) fn interpreter() -> std::result::Result<PathBuf, String> {
    let mut version = Command::new("python3");
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    match version.status() {
        Ok(status) if status.success() => Ok("python3".into()),
        _ => Err("CPython: there is no `python3` on the PATH".to_owned()),
    }
}

fn round(
    python: std::result::Result<PathBuf, String>,
    mode: &str,
    number: usize,
    placement: Placement,
) -> Result<std::result::Result<Round, String>> {
    let python = match python {
        Ok(python) => python,
        Err(why) => return Ok(Err(why)),
    };
    let mut command = Command::new(python);
    command.args([SCRIPT, mode, &number.to_string()]).args(placement.args());
    Ok(Ok(worker::rounds(command)?))
}
