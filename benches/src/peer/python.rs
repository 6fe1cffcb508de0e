use crate::Result;
use crate::measure::Round;
use crate::place::Placement;
use crate::worker;
use std::process::{Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/link.py");

/// A round of CPython's multiprocessing, or why there is none.
pub(crate) fn python(
    mode: &str,
    number: usize,
    placement: Placement,
) -> Result<std::result::Result<Round, String>> {
    let version =
        Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        return Ok(Err("CPython: there is no `python3` on the PATH".to_owned()));
    }
    let mut command = Command::new("python3");
    command.args([SCRIPT, mode, &number.to_string()]).args(placement.args());
    Ok(Ok(worker::rounds(command)?))
}
