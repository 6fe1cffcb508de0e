//! The ways to break something.

use std::process::Command;
use std::time::Duration;

use super::tried::{Outcome, Tried};
use crate::metadata::Workspace;
use crate::shell::{Result, cargo, root, run};
use crate::{ci, cluster, fuzz, sanitize, test};

/// How much longer than it was told a part may take, and how long one that is told nothing may.
const GRACE: Duration = Duration::from_secs(30 * 60);
/// How long the soak takes where nobody says.
const SOAK: u64 = 600;
/// The program that kills at instructions.
const STEPPER: &str = "multiproc-stress";
/// How many processes each storm of kills kills, which in the ordinary suites are some hundreds.
const KILLS: (&str, &str) = ("MULTIPROC_KILLS", "1000");
/// The same where hosts lose their agents, which takes longer.
const AGENTS: &str = "50";

/// A way to break something.
pub(super) struct Part {
    pub(super) name: &'static str,
    /// What is tried.
    pub(super) sentence: &'static str,
    /// What it gets of the time that there is; 0 takes what it takes.
    pub(super) share: f64,
    pub(super) run: fn(&Request<'_>) -> Result<Outcome>,
}

/// What is asked of a part.
pub(super) struct Request<'a> {
    pub(super) workspace: &'a Workspace,
    /// As long as it takes, or as long as is usual, if nobody says.
    pub(super) time: Option<Duration>,
    /// What the stepper is told.
    pub(super) rest: &'a [String],
}

pub(super) const PARTS: &[Part] = &[
    Part {
        name: "model",
        sentence: "every order of the steps of locks, words and queues on a simulated machine, a kill at each of them",
        share: 0.0,
        run: |request| tests([ci::model_command(request.workspace)]),
    },
    Part {
        name: "loom",
        sentence: "every order of memory accesses, as weak machines may see them",
        share: 0.0,
        run: |request| tests([ci::loom_command(request.workspace)]),
    },
    Part {
        name: "stepper",
        sentence: "real processes killed, paused and killed twice after their instructions, storms of kills with a look \
                   at every message, and seeded mistakes that must be caught",
        share: 0.6,
        run: stepper,
    },
    Part {
        name: "corruption",
        sentence: "shared memory overwritten at random while it is used",
        share: 0.0,
        run: |_| {
            let mut command = suite(&["corrupt"]);
            command.env("MULTIPROC_IMAGES", "4000");
            tests([command])
        },
    },
    Part {
        name: "fuzz",
        sentence: "hostile bytes for frames, handshakes, the codec and names, under AddressSanitizer",
        share: 0.2,
        run: fuzzers,
    },
    Part {
        name: "sanitizers",
        sentence: "the tests of threads under AddressSanitizer, LeakSanitizer and ThreadSanitizer",
        share: 0.0,
        run: |request| {
            if let Some(missing) = sanitize::missing() {
                return Ok(Outcome::Skipped(missing));
            }
            Ok(Outcome::Tried(Tried::of(sanitize::run_all(request.workspace))))
        },
    },
    Part {
        name: "lifetime",
        sentence: "children, trees, daemons, clients and servers killed at random; processes, descriptors and names \
                   counted after each test",
        share: 0.0,
        run: |_| {
            let mut command = suite(&["process", "sync", "queue", "channel", "pool", "manager"]);
            command.env(KILLS.0, KILLS.1);
            tests([command])
        },
    },
    Part {
        name: "hosts",
        sentence: "pools over several hosts: agents, callers and servers killed, networks cut, strangers at the server",
        share: 0.0,
        run: |_| {
            if !cluster::is_there() {
                return Ok(Outcome::Skipped(cluster::lack()));
            }
            let mut command = cluster::command();
            command.arg("--nocapture").env(KILLS.0, AGENTS);
            tests([command])
        },
    },
    Part {
        name: "permissions",
        sentence: "other users, wrong keys, reflections, relays, silent clients, and names and files that are not ours",
        share: 0.0,
        run: |_| {
            let mut names = cargo(&["test", "--release", "--package", "multiproc-shm", "--no-fail-fast"]);
            names.args(["--test", "it", "--", "--nocapture"]);
            tests([suite(&["pipe"]), names])
        },
    },
    Part {
        name: "environment",
        sentence: "no descriptors left, a full file system, memory limits, other PID and time namespaces, ten thousand \
                   signals a second, a wall clock that jumps, forks of programs with threads",
        share: 0.0,
        run: |_| tests([suite(&["environment"])]),
    },
    Part {
        name: "soak",
        sentence: "work that goes on with one kill a second: nothing grows, and it does not become slower",
        share: 0.2,
        run: soak,
    },
];

/// Runs tests and adds them up.
fn tests<const N: usize>(commands: [Command; N]) -> Result<Outcome> {
    let mut tried = Tried::default();
    commands.into_iter().for_each(|command| tried.run(command, GRACE));
    Ok(Outcome::Tried(tried))
}

/// Tests that start real processes, as users build them; what they say besides is to be seen.
fn suite(names: &[&str]) -> Command {
    let mut command = cargo(&["test", "--release", "--package", "multiproc-tests", "--no-fail-fast"]);
    names.iter().for_each(|name| {
        command.args(["--test", name]);
    });
    command.args(["--", "--nocapture"]);
    command
}

fn stepper(request: &Request<'_>) -> Result<Outcome> {
    // As users build it: those are the instructions that they will be killed at.
    let mut build = cargo(&["build", "--bin", STEPPER]);
    build.args(test::RELEASED);
    run(build)?;
    let mut command = Command::new(request.workspace.target.join("release").join(STEPPER));
    command.current_dir(root());
    let mut limit = Duration::from_secs(7 * 24 * 60 * 60);
    if let Some(time) = request.time {
        command.args(["--minutes", &(time.as_secs_f64() / 60.0).to_string()]);
        limit = time * 2 + GRACE;
    }
    command.args(request.rest);
    let mut tried = Tried::default();
    tried.run(command, limit);
    Ok(Outcome::Tried(tried))
}

fn fuzzers(request: &Request<'_>) -> Result<Outcome> {
    if let Some(missing) = fuzz::missing() {
        return Ok(Outcome::Skipped(missing));
    }
    // None for ever, which is what 0 means to it.
    let seconds = request.time.map(|time| (time.as_secs() / fuzz::TARGETS.len() as u64).max(1));
    Ok(Outcome::Tried(Tried::of(fuzz::run_all(seconds, request.workspace)?)))
}

fn soak(request: &Request<'_>) -> Result<Outcome> {
    let seconds = request.time.map_or(SOAK, |time| time.as_secs().max(5));
    // As the tests are built: it looks for growth, and for time against itself.
    let mut command = cargo(&["test", "--test", "soak"]);
    command.args(test::ALL).args(["--", "--nocapture"]);
    command.env("MULTIPROC_SOAK", seconds.to_string());
    tests([command])
}
