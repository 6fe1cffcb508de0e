use crate::Result;
use crate::ends;
use crate::measure::Round;
use crate::place::Placement;
use crate::worker;
use std::process::Command;

/// Where the build script has put it; empty where it could not.
const PROGRAM: &str = env!("BOOST_PEER");

/// A round of Boost's message_queue, or why there is none.
pub(crate) fn boost(
    mode: &str,
    size: usize,
    pairs: u64,
    placement: Placement,
) -> Result<std::result::Result<Round, String>> {
    if PROGRAM.is_empty() {
        let why =
            "Boost message_queue: peers/boost.cpp was not built; it takes a C++ compiler and libboost-dev";
        return Ok(Err(why.to_owned()));
    }
    let mut command = Command::new(PROGRAM);
    command.args([mode, &size.to_string(), &pairs.to_string()]).args(placement.args());
    command.arg(ends::warm_up_time().to_string());
    Ok(Ok(worker::rounds(command)?))
}

/// The version of its headers.
pub(crate) fn boost_version() -> String {
    let output = Command::new(PROGRAM).arg("version").output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().replace('_', "."),
    )
}
