//! Systems that take turns, and what came of it.

use crate::Result;
use crate::args::Peers;
use crate::peer::peer_version;
use crate::scenario::{Context, Scenario};
use crate::stats::{self, Spread};
use std::time::{Duration, Instant};

/// Does this many operations, checks their results, and gives the cost of one in the scenario's unit.
pub(crate) type Round = Box<dyn FnMut(u64) -> Result<f64>>;

/// Somebody who can do what the scenario says.
pub(crate) struct System {
    pub(crate) name: String,
    /// Operations a round.
    operations: u64,
    /// Whom to divide by.
    against: Option<String>,
    goals: Vec<Goal>,
    /// What its figure may be at most, whatever the others do.
    limit: Option<f64>,
    round: Round,
}

/// How many times the cost of `against` is allowed.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub(crate) against: String,
    pub(crate) at_most: f64,
}

impl System {
    pub(crate) fn new(name: impl Into<String>, operations: u64, round: Round) -> System {
        System { name: name.into(), operations, against: None, goals: Vec::new(), limit: None, round }
    }

    /// Shows the ratio to that system.
    pub(crate) fn against(mut self, name: impl Into<String>) -> System {
        let name = name.into();
        // A ratio to itself tells nothing.
        self.against = (name != self.name).then_some(name);
        self
    }

    pub(crate) fn goal(mut self, against: impl Into<String>, at_most: f64) -> System {
        self.goals.push(Goal { against: against.into(), at_most });
        self
    }

    /// Says what the figure may be at most.
    pub(crate) fn limit(mut self, at_most: f64) -> System {
        self.limit = Some(at_most);
        self
    }
}

/// What a scenario compares.
#[derive(Default)]
pub(crate) struct Bench {
    pub(crate) systems: Vec<System>,
    /// Who is not on this machine, and why.
    pub(crate) absent: Vec<String>,
    /// What else was seen while it ran, asked for at the end.
    pub(crate) notes: Option<Box<dyn Fn() -> Vec<String>>>,
}

/// What came of a scenario.
pub(crate) struct Outcome {
    pub(crate) scenario: &'static Scenario,
    pub(crate) rows: Vec<Row>,
    pub(crate) absent: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// What came of a system.
pub(crate) struct Row {
    pub(crate) system: String,
    pub(crate) samples: Vec<f64>,
    pub(crate) against: Option<(String, Spread)>,
    pub(crate) goals: Vec<(Goal, Spread)>,
    pub(crate) limit: Option<f64>,
}

/// Runs a scenario: a round of each system, in another order each time, so that no one has the quiet minute.
pub(crate) fn run(scenario: &'static Scenario, context: &Context) -> Result<Outcome> {
    let named = |name: &str, error| format!("scenario `{}`, {name}: {error}", scenario.name);
    let mut bench = (scenario.bench)(context).map_err(|error| named("set-up", error))?;
    if context.peers == Peers::None {
        bench.systems.retain(|system| peer_version(&system.name).is_none());
        bench.absent = vec!["all peers: left out by `--peers none`".to_owned()];
    }
    let count = bench.systems.len();
    let mut samples = vec![Vec::new(); count];
    // Peers that have failed: no figure, and no end of the others'.
    let mut gone = vec![false; count];
    let mut failed = |name: &str, error| match peer_version(name) {
        Some(_) => {
            bench.absent.push(format!("{name}: {error}"));
            Ok(())
        }
        None => Err(named(name, error)),
    };
    for (system, is_gone) in bench.systems.iter_mut().zip(&mut gone) {
        // Once for whatever happens only the first time.
        let (tenth, began) = (system.operations.div_ceil(10), Instant::now());
        if let Err(error) = (system.round)(tenth) {
            failed(&system.name, error)?;
            *is_gone = true;
        }
        if let Some(limit) = context.effort.limit() {
            let fits = tenth as f64 * (limit.as_secs_f64() / began.elapsed().as_secs_f64());
            system.operations = system.operations.min(fits as u64).max(tenth);
        }
    }
    for round in 0..context.rounds as usize {
        for turn in 0..count {
            let index = (turn + round) % count;
            let system = &mut bench.systems[index];
            if gone[index] {
                continue;
            }
            match (system.round)(system.operations) {
                Ok(sample) => samples[index].push(sample),
                Err(error) => {
                    failed(&system.name, error)?;
                    gone[index] = true;
                }
            }
        }
    }
    let ratio = |index: usize, against: &str| {
        let other = bench.systems.iter().position(|system| system.name == against).filter(|at| !gone[*at])?;
        // Round by round: what disturbed one side of a round is likely to have disturbed the other.
        let ratios: Vec<f64> = samples[index].iter().zip(&samples[other]).map(|(a, b)| a / b).collect();
        Some(Spread::of(&ratios))
    };
    let here = bench.systems.iter().enumerate().filter(|(index, _)| !gone[*index]);
    let rows = here.map(|(index, system)| Row {
        system: system.name.clone(),
        samples: samples[index].clone(),
        against: system.against.as_ref().and_then(|against| Some((against.clone(), ratio(index, against)?))),
        goals: system
            .goals
            .iter()
            .filter_map(|goal| Some((goal.clone(), ratio(index, &goal.against)?)))
            .collect(),
        limit: system.limit,
    });
    Ok(Outcome {
        scenario,
        rows: rows.collect(),
        absent: std::mem::take(&mut bench.absent),
        notes: bench.notes.as_ref().map(|notes| notes()).unwrap_or_default(),
    })
}

/// Makes a round of an operation that is timed by itself, in microseconds: the median.
///
/// The operation gets a number and must give [`trivial`] of it, with the time that counts.
pub(crate) fn timed(mut operation: impl FnMut(u64) -> Result<(u64, Duration)> + 'static) -> Round {
    let mut next = 0;
    Box::new(move |count| {
        let mut times = Vec::new();
        for _ in 0..count {
            next += 1;
            let (result, time) = operation(next)?;
            check(result, trivial(next))?;
            times.push(time.as_secs_f64() * 1e6);
        }
        Ok(stats::median(&times))
    })
}

/// Makes a round of an operation all of which counts.
pub(crate) fn whole(mut operation: impl FnMut(u64) -> Result<u64> + 'static) -> Round {
    timed(move |number| {
        let started = Instant::now();
        let result = operation(number)?;
        Ok((result, started.elapsed()))
    })
}

/// The function that is called in other processes.
pub(crate) fn trivial(number: u64) -> u64 {
    number * 3 + 1
}

/// A figure of a wrong result is none.
pub(crate) fn check(found: u64, expected: u64) -> Result {
    if found == expected {
        Ok(())
    } else {
        Err(format!("the result is {found} instead of {expected}").into())
    }
}
