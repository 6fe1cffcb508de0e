//! The scenarios, one file each.

mod bulk;
mod bytes_arg;
mod calls;
#[cfg_attr(not(feature = "cluster"), path = "no_cluster.rs")]
mod cluster;
pub(crate) mod codec;
mod event;
mod forkserver;
mod large;
mod lock;
mod manager;
mod many;
mod pipe;
mod pool;
mod queue;
mod spawn;

use crate::Result;
use crate::args::{Args, Effort, Peers};
use crate::ends;
use crate::measure::Bench;
use crate::place::Placement;
use crate::zygote::Zygote;
use std::rc::Rc;

/// A comparison.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What is measured.
    pub(crate) sentence: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) bench: fn(&Context) -> Result<Bench>,
}

/// What all scenarios share.
pub(crate) struct Context {
    pub(crate) rounds: u32,
    pub(crate) effort: Effort,
    pub(crate) peers: Peers,
    pub(crate) zygote: Rc<Zygote>,
    /// What is to be said of the processors.
    pub(crate) place: Option<String>,
}

impl Context {
    /// Must be called before a thread is started.
    pub(crate) fn new(args: &Args) -> Result<Context> {
        ends::set_warm_up(args.effort().warm_up());
        let zygote = Rc::new(Zygote::start()?);
        let (effort, place) = (args.effort(), Placement::told()?);
        Ok(Context { rounds: args.rounds(), effort, peers: args.peers, zygote, place })
    }
}

const ALL: &[Scenario] = &[
    spawn::SCENARIO,
    forkserver::SCENARIO,
    large::SPAWN,
    large::FORK_SERVER,
    bytes_arg::SCENARIO,
    many::SCENARIO,
    codec::SCENARIO,
    pool::TASKS,
    pool::ONE,
    pool::MAP,
    pool::LARGE,
    pool::WORK,
    pool::UNEVEN,
    pool::DEATH,
    lock::FREE,
    lock::CONTENDED,
    event::SCENARIO,
    queue::SMALL,
    queue::MIDDLE,
    queue::INTEGERS,
    queue::LARGE,
    queue::TWO_TO_TWO,
    queue::CROWDS,
    queue::SCALING,
    queue::ASLEEP,
    queue::PING,
    pipe::STREAM,
    pipe::PING,
    pipe::MIDDLE,
    pipe::LARGE,
    manager::CALL,
    manager::CLIENTS,
    bulk::COPY,
    bulk::FILLED,
    bulk::PASSED,
    calls::SCENARIO,
    cluster::TASKS,
    cluster::ENVELOPES,
    cluster::ONE,
    cluster::BUSY,
    cluster::LARGE,
];

/// Returns the scenarios whose names contain `only`.
pub(crate) fn chosen(only: Option<&str>) -> Result<impl Iterator<Item = &'static Scenario>> {
    let wanted = only.unwrap_or("").to_owned();
    if !ALL.iter().any(|scenario| scenario.name.contains(&wanted)) {
        let names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        return Err(format!("there is no scenario `{wanted}`, choose from: {}", names.join(", ")).into());
    }
    Ok(ALL.iter().filter(move |scenario| scenario.name.contains(&wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_told_of() {
        let readme = include_str!("../../README.md");
        let rows: String = readme.lines().filter(|line| line.starts_with("| `")).collect();
        for scenario in ALL {
            assert!(rows.contains(&format!("`{}`", scenario.name)), "{}", scenario.name);
        }
    }
}
