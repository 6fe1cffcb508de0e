use super::venv;
use crate::ends;
use crate::measure::{Round, prepared};
use crate::place::Placement;
use crate::worker;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/link.py");
pub(crate) const POOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/pool.py");

/// Where a Python is, or why there is none.
type Found = Result<PathBuf, String>;

/// A round of CPython's multiprocessing.
pub(crate) fn python(mode: &str, number: usize, placement: Placement) -> Round {
    link(interpreter, mode, number, placement)
}

/// A round of a package that CPython does not come with.
pub(crate) fn packaged(mode: &str, number: usize, placement: Placement) -> Round {
    link(with_packages, mode, number, placement)
}

/// A round of another script of CPython's.
pub(crate) fn python_script(args: &[&str]) -> Round {
    round(interpreter, args.iter().map(|arg| (*arg).to_owned()).collect())
}

/// The pools of packages, and a round of each in a mode of `pool.py`.
pub(crate) fn packaged_pools(mode: &str) -> [(&'static str, Round); 3] {
    [("Pebble, schedule", "pebble"), ("mpire, WorkerPool", "mpire"), ("loky", "loky")].map(
        |(name, package)| (name, round(with_packages, [POOLS, mode, package].map(str::to_owned).to_vec())),
    )
}

/// CPython itself.
pub(crate) fn interpreter() -> Found {
    python_version().map(|_| PathBuf::from("python3"))
}

/// CPython's version, asked for once.
pub(crate) fn python_version() -> Result<&'static str, String> {
    static VERSION: OnceLock<Option<String>> = OnceLock::new();
    let version = VERSION.get_or_init(|| {
        let output = Command::new("python3").arg("--version").stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        output.status.success().then(|| text.trim().trim_start_matches("Python ").to_owned())
    });
    version.as_deref().ok_or_else(|| "there is no `python3` on the PATH".to_owned())
}

fn with_packages() -> Found {
    interpreter().and_then(|_| venv())
}

fn link(find: fn() -> Found, mode: &str, number: usize, placement: Placement) -> Round {
    let mut args = vec![SCRIPT.to_owned(), mode.to_owned(), number.to_string()];
    args.extend(placement.args());
    args.push(ends::warm_up_time().to_string());
    round(find, args)
}

/// Nothing is looked for, made or started before it is to run.
fn round(find: fn() -> Found, args: Vec<String>) -> Round {
    prepared(move || {
        let mut command = Command::new(find()?);
        // A fork server that loads a module first finds it nowhere else.
        command.args(args).env("PYTHONPATH", FOLDER);
        worker::rounds(command)
    })
}
