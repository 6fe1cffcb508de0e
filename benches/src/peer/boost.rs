use crate::ends;
use crate::measure::{Round, prepared};
use crate::place::Placement;
use crate::worker;
use std::process::Command;

/// Where the build script has put it; empty where it could not.
const PROGRAM: &str = env!("BOOST_PEER");

/// A round of Boost's message_queue.
pub(crate) fn boost(mode: &str, size: usize, pairs: u64, placement: Placement) -> Round {
    let mut command = Command::new(PROGRAM);
    command.args([mode, &size.to_string(), &pairs.to_string()]).args(placement.args());
    command.arg(ends::warm_up_time().to_string());
    prepared(move || {
        if PROGRAM.is_empty() {
            return Err("peers/boost.cpp was not built; it takes a C++ compiler and libboost-dev".into());
        }
        worker::rounds(command)
    })
}

/// The version of its headers.
pub(crate) fn boost_version() -> String {
    let output = Command::new(PROGRAM).arg("version").output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().replace('_', "."),
    )
}
