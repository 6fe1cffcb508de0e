//! Tries a scenario at its points, and tells in a line what came of it.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::leftovers::Leftovers;
use crate::point::{self, Deed, Failure, Outcome, Place};
use crate::scenario::{Neighbours, Scenario};

/// How much time a scenario may take for each deed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// For kills at one place after the other.
    pub(crate) kills: Duration,
    /// For pauses.
    pub(crate) pauses: Duration,
    /// For kills after which another is killed.
    pub(crate) doubles: Duration,
}

/// Failures after which a scenario is given up: each hang costs its second.
const ENOUGH: usize = 5;
/// How often a path is counted that is another one each time.
const COUNTS: usize = 5;
/// The recoverer's instructions at which it is killed, at most.
const RECOVERER: usize = 400;

/// What came of a scenario, or of all.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The places there are.
    pub(crate) places: usize,
    /// Those at which the victim was killed.
    pub(crate) kills: usize,
    /// Those at which it stood still.
    pub(crate) pauses: usize,
    /// Those at which another was killed, too.
    pub(crate) doubles: usize,
    pub(crate) hangs: usize,
    pub(crate) lost: usize,
    pub(crate) false_deaths: usize,
    pub(crate) leftovers: usize,
    /// How long the others took to go on after a kill.
    pub(crate) recoveries: Vec<Duration>,
    /// What failed, in words.
    pub(crate) failures: Vec<String>,
}

/// Tries a scenario, with a sound protocol.
pub(crate) fn try_out(scenario: &dyn Scenario, budget: Budget) -> Report {
    let before = Leftovers::count();
    let mut report = Report::default();
    let Some((places, calls)) = places(scenario, &mut report) else { return report };
    report.places = places.len();
    let awake: Vec<Place> = places.iter().filter(|place| !place.asleep).copied().collect();
    let mut numbers = Numbers::new(places.len() as u64);
    let deeds = |places: &[Place], budget, deed: &mut dyn FnMut() -> Deed, report: &mut Report| {
        let mut done = 0;
        let started = Instant::now();
        for place in spread(places) {
            if started.elapsed() > budget || report.failures.len() >= ENOUGH {
                break;
            }
            let deed = deed();
            let outcome = point::run(scenario, place, deed, &calls);
            done += usize::from(outcome.is_reached);
            report.add(place, deed, outcome);
        }
        done
    };
    report.kills = deeds(&places, budget.kills, &mut || Deed::Kill, &mut report);
    let paused = if scenario.allows_pauses() { &awake[..] } else { &[] };
    report.pauses = deeds(paused, budget.pauses, &mut || Deed::Pause, &mut report);
    let doubled = if scenario.allows_doubles() { &places[..] } else { &[] };
    report.doubles = deeds(
        doubled,
        budget.doubles,
        &mut || Deed::KillBoth(numbers.below(RECOVERER as u64) as usize),
        &mut report,
    );
    let left = Leftovers::count().since(&before);
    report.leftovers = left.len();
    report.failures.extend(left);
    report
}

/// Looks for a place at which a wrong protocol fails; tells how many were tried, and how the last one failed.
pub(crate) fn catch(scenario: &dyn Scenario, budget: Duration) -> (usize, Option<String>) {
    let mut report = Report::default();
    let Some((places, calls)) = places(scenario, &mut report) else {
        return (0, report.failures.pop());
    };
    let started = Instant::now();
    let mut tried = 0;
    for place in spread(&places) {
        for deed in [Deed::Kill, Deed::Pause] {
            if started.elapsed() > budget {
                return (tried, None);
            }
            if place.asleep && deed == Deed::Pause {
                continue;
            }
            let outcome = point::run(scenario, place, deed, &calls);
            tried += 1;
            report.add(place, deed, outcome);
            if let Some(failure) = report.failures.pop() {
                return (tried, Some(failure));
            }
        }
    }
    (tried, None)
}

/// Counts the instructions; every one of them is a place, and every sleep is. Tells the kernel calls, too, if they
/// are the same each time and none sleeps.
fn places(scenario: &dyn Scenario, report: &mut Report) -> Option<(Vec<Place>, Vec<usize>)> {
    let varies = matches!(scenario.neighbours(), Neighbours::Contending(_));
    let mut steps = 0;
    let (mut sleeps, mut calls) = (Vec::new(), Vec::new());
    let nowhere = Place { steps: 0, asleep: false };
    for _ in 0..if varies { COUNTS } else { 1 } {
        let outcome = point::run(scenario, nowhere, Deed::Count, &[]);
        if outcome.failure.is_some() {
            report.add(nowhere, Deed::Count, outcome);
            return None;
        }
        steps = steps.max(outcome.steps);
        if !varies {
            (sleeps, calls) = (outcome.sleeps, outcome.calls);
        }
    }
    let awake = (0..=steps).map(|steps| Place { steps, asleep: false });
    let asleep = sleeps.iter().map(|steps| Place { steps: *steps, asleep: true });
    let places = awake.chain(asleep).collect();
    // Beside others it depends on them whether there is something to call the kernel for.
    let is_alone = scenario.neighbours() == Neighbours::None && sleeps.is_empty();
    Some((places, if is_alone { calls } else { Vec::new() }))
}

/// All places, in an order of which every beginning is spread evenly.
fn spread(places: &[Place]) -> impl Iterator<Item = Place> {
    let len = places.len().max(1);
    // A stride near the golden ratio that has no divisor in common visits all.
    let mut stride = (len as f64 * 0.618_034) as usize | 1;
    while common_divisor(stride, len) != 1 {
        stride += 1;
    }
    (0..places.len()).map(move |at| places[(at * stride) % len])
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Numbers that look random and are the same in every run.
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    /// A row of its own for each seed.
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next one, below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit.max(1)
    }
}

impl Report {
    fn add(&mut self, place: Place, deed: Deed, outcome: Outcome) {
        let rests = if place.asleep { ", asleep" } else { "" };
        match outcome.failure {
            None if outcome.is_reached && !matches!(deed, Deed::Count | Deed::Pause) => {
                self.recoveries.push(outcome.recovery);
            }
            None => {}
            Some(failure) => {
                let word = match &failure {
                    Failure::Hang(what) => {
                        self.hangs += 1;
                        format!("hang: {what}")
                    }
                    Failure::Lost(what) => {
                        self.lost += 1;
                        format!("lost: {what}")
                    }
                    Failure::FalseDeath(count) => {
                        self.false_deaths += 1;
                        format!("false death: told {count} times, and nobody had died")
                    }
                };
                self.failures.push(format!("{deed:?} after {} instructions{rests}: {word}", place.steps));
            }
        }
    }

    /// Adds another's figures.
    pub(crate) fn include(&mut self, other: Report) {
        self.places += other.places;
        self.kills += other.kills;
        self.pauses += other.pauses;
        self.doubles += other.doubles;
        self.hangs += other.hangs;
        self.lost += other.lost;
        self.false_deaths += other.false_deaths;
        self.leftovers += other.leftovers;
        self.recoveries.extend(other.recoveries);
        self.failures.extend(other.failures);
    }

    /// Nothing has failed.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.is_empty()
    }
}

/// The heads of the columns.
pub(crate) fn heads() -> String {
    format!(
        "{:<44} {:>6} {:>6} {:>6} {:>6} {:>5} {:>4} {:>5} {:>4} {:>9} {:>9}",
        "scenario", "places", "kills", "pauses", "double", "hangs", "lost", "false", "left", "slowest", "p99"
    )
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p99, slowest) = p99_and_slowest(&self.recoveries);
        write!(
            f,
            "{:>6} {:>6} {:>6} {:>6} {:>5} {:>4} {:>5} {:>4} {:>6.2} ms {:>6.2} ms",
            self.places,
            self.kills,
            self.pauses,
            self.doubles,
            self.hangs,
            self.lost,
            self.false_deaths,
            self.leftovers,
            millis(slowest),
            millis(p99)
        )
    }
}

/// The time that 99 of 100 are below, and the longest.
pub(crate) fn p99_and_slowest(times: &[Duration]) -> (Duration, Duration) {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = (times.len() * 99 / 100).min(times.len().saturating_sub(1));
    (times.get(at).copied().unwrap_or_default(), times.last().copied().unwrap_or_default())
}

/// As a number to print.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Makes one of many failures that are alike.
pub(crate) fn gather(failures: &[String]) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut order = Vec::new();
    for failure in failures {
        let count = counts.entry(failure).or_default();
        if *count == 0 {
            order.push(failure.as_str());
        }
        *count += 1;
    }
    let line = |failure: &str| match counts.get(failure) {
        Some(count) if *count > 1 => format!("{failure} ({count} times)"),
        _ => failure.to_owned(),
    };
    order.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreading_leaves_none_out() {
        for len in [0, 1, 2, 7, 60, 283] {
            let places: Vec<Place> = (0..len).map(|steps| Place { steps, asleep: false }).collect();
            let mut seen: Vec<usize> = spread(&places).map(|place| place.steps).collect();
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..len), "{len}");
        }
    }

    #[test]
    fn the_slowest_counts() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(p99_and_slowest(&times), (Duration::from_millis(199), Duration::from_millis(200)));
        assert_eq!(p99_and_slowest(&[]), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn alike_failures_are_told_once() {
        let failures = ["a", "b", "a"].map(str::to_owned);
        assert_eq!(gather(&failures), ["a (2 times)", "b"]);
    }
}
