//! Systems that take turns, and what came of it.

use crate::Result;
use crate::args::Peers;
use crate::peer::is_peer;
use crate::scenario::{Context, Scenario};
use crate::stats::{self, Spread};
use crate::steal::Ticks;
use std::time::{Duration, Instant};

/// Does this many operations, checks their results, and gives the cost of one in the scenario's unit.
pub(crate) type Round = Box<dyn FnMut(u64) -> Result<f64>>;

/// Somebody who can do what the scenario says.
pub(crate) struct System {
    pub(crate) name: String,
    /// Operations a round.
    operations: u64,
    /// Does so many in a quick run too, however long they take.
    is_uncut: bool,
    /// Whom to divide by.
    against: Option<String>,
    goals: Vec<Goal>,
    /// What its figure may be at most, whatever the others do.
    limit: Option<f64>,
    /// `None` once it has failed.
    round: Option<Round>,
}

/// How many times the cost of `against` is allowed.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub(crate) against: String,
    pub(crate) at_most: f64,
}

impl System {
    pub(crate) fn new(name: impl Into<String>, operations: u64, round: Round) -> System {
        System {
            name: name.into(),
            operations,
            is_uncut: false,
            against: None,
            goals: Vec::new(),
            limit: None,
            round: Some(round),
        }
    }

    /// Keeps the number of its operations, where the cost of one depends on it.
    pub(crate) fn uncut(mut self) -> System {
        self.is_uncut = true;
        self
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

    /// Who is named so, or has something to reach.
    fn is_ours(&self) -> bool {
        let is_named = self.name.starts_with("ours") || self.name.ends_with(", ours");
        is_named || self.limit.is_some() || !self.goals.is_empty()
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
    /// Who is not on this machine, and why: `system: reason`.
    pub(crate) absent: Vec<String>,
    /// What else was seen while it ran, asked for at the end.
    pub(crate) notes: Option<Box<dyn Fn() -> Vec<String>>>,
}

/// What came of a scenario.
pub(crate) struct Outcome {
    pub(crate) scenario: &'static Scenario,
    pub(crate) rows: Vec<Row>,
    pub(crate) absent: Vec<Absent>,
    pub(crate) notes: Vec<String>,
    /// The processors' time while it ran.
    pub(crate) ticks: Ticks,
}

/// Who could not be measured.
#[derive(Debug, PartialEq)]
pub(crate) struct Absent {
    pub(crate) system: String,
    pub(crate) why: String,
}

impl From<String> for Absent {
    fn from(text: String) -> Absent {
        let (system, why) = text.split_once(": ").unwrap_or(("all", &text));
        Absent { system: system.to_owned(), why: why.to_owned() }
    }
}

/// What came of a system.
pub(crate) struct Row {
    pub(crate) system: String,
    /// It has something to reach: it is ours.
    pub(crate) is_ours: bool,
    pub(crate) samples: Vec<f64>,
    /// Whom it is compared to; those with the same one are to be compared with each other.
    pub(crate) group: Option<String>,
    pub(crate) against: Option<(String, Spread)>,
    pub(crate) goals: Vec<(Goal, Spread)>,
    pub(crate) limit: Option<f64>,
}

/// Runs a scenario: a round of each system, in another order each time, so that no one has the quiet minute.
pub(crate) fn run(scenario: &'static Scenario, context: &Context) -> Result<Outcome> {
    let named = |name: &str, error| format!("scenario `{}`, {name}: {error}", scenario.name);
    let before = Ticks::now()?;
    let mut bench = (scenario.bench)(context).map_err(|error| named("set-up", error))?;
    let mut absent: Vec<Absent> = bench.absent.drain(..).map(Absent::from).collect();
    if context.peers == Peers::None {
        absent.retain(|absent| !is_peer(&absent.system));
        for peer in bench.systems.extract_if(.., |system| is_peer(&system.name)) {
            absent.push(Absent { system: peer.name, why: "left out by `--peers none`".to_owned() });
        }
    }
    let count = bench.systems.len();
    let mut samples = vec![Vec::new(); count];
    // A peer that fails has no figure, and is no end of the others'.
    let mut run = |system: &mut System, operations| -> Result<Option<f64>> {
        let Some(round) = &mut system.round else { return Ok(None) };
        match round(operations) {
            Ok(sample) => Ok(Some(sample)),
            Err(error) if is_peer(&system.name) => {
                absent.push(Absent { system: system.name.clone(), why: error.to_string() });
                // With all that it has started.
                system.round = None;
                Ok(None)
            }
            Err(error) => Err(named(&system.name, error).into()),
        }
    };
    for system in &mut bench.systems {
        if is_peer(&system.name) {
            // It is set up by its first operation.
            run(system, 1)?;
        }
        // Once for whatever happens only the first time.
        let (tenth, began) = (system.operations.div_ceil(10), Instant::now());
        run(system, tenth)?;
        if let Some(limit) = context.effort.limit().filter(|_| !system.is_uncut) {
            let fits = tenth as f64 * (limit.as_secs_f64() / began.elapsed().as_secs_f64());
            system.operations = system.operations.min(fits as u64).max(tenth);
        }
    }
    for round in 0..context.rounds as usize {
        for turn in 0..count {
            let index = (turn + round) % count;
            let system = &mut bench.systems[index];
            let operations = system.operations;
            samples[index].extend(run(system, operations)?);
        }
    }
    let is_here = |system: &System| system.round.is_some();
    let ratio = |index: usize, against: &str| {
        let is_it = |system: &System| system.name == against && is_here(system);
        let other = bench.systems.iter().position(is_it)?;
        Some(Spread::of_ratios(&samples[index], &samples[other]))
    };
    let here = bench.systems.iter().enumerate().filter(|(_, system)| is_here(system));
    let rows = here.map(|(index, system)| Row {
        system: system.name.clone(),
        is_ours: system.is_ours(),
        samples: samples[index].clone(),
        group: system.against.clone(),
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
        notes: bench.notes.as_ref().map(|notes| notes()).unwrap_or_default(),
        ticks: Ticks::now()? - before,
        absent,
    })
}

/// Makes rounds of what is set up by the first one of them: for peers, of which none is started where it is left out, and
/// one that cannot be set up is absent.
pub(crate) fn prepared(make: impl FnOnce() -> Result<Round> + 'static) -> Round {
    let (mut make, mut made) = (Some(make), None);
    Box::new(move |count| {
        if let Some(make) = make.take() {
            made = Some(make()?);
        }
        match &mut made {
            Some(round) => round(count),
            None => Err("it could not be set up".into()),
        }
    })
}

/// What another program tells in nanoseconds, in microseconds.
pub(crate) fn in_us(mut round: Round) -> Round {
    Box::new(move |count| Ok(round(count)? / 1e3))
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
