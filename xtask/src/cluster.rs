//! The pool over several hosts, with a real server: `nats-server`, found or installed.

use std::path::Path;
use std::process::Command;

use crate::shell::{Result, cargo};
use crate::{debian, test};

/// Where the tests look for the server.
const PLACES: &[&str] = &["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"];
const NEEDED: &[&str] = &["nats-server"];

/// The suite, in `tests/cluster`.
const SUITE: &str = "hosts";
/// What `multiproc-top` shows of agents, in its own tests.
const TOP: &str = "cluster";

/// Tells what is missing where there is no server.
pub(crate) fn lack() -> String {
    debian::lack("nats-server is not installed", NEEDED)
}

/// Runs the suite and returns a line for each part of it; `None` where there is no server and none can be had.
pub(crate) fn suite() -> Result<Option<Vec<String>>> {
    if !is_there() {
        return Ok(None);
    }
    test::watched(command()).map(Some)
}

/// Tells whether there is a server, or one was installed now.
pub(crate) fn is_there() -> bool {
    is_installed() || debian::has(NEEDED)
}

/// The suite's command; more for the tests themselves may follow.
pub(crate) fn command() -> Command {
    // Two at once: they wait more than they work, and leases are not to run out for want of a processor.
    let mut command = cargo(&["test", "--no-fail-fast", "--test", SUITE, "--test", TOP]);
    command.args(test::ALL).args(["--", "--test-threads=2"]);
    command
}

/// Tells whether a server can be started.
pub(crate) fn is_installed() -> bool {
    PLACES.iter().any(|place| Path::new(place).exists())
}
