//! Tries a scenario at its points, and tells in a line what came of it.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::lanes::{Tell, Told, lanes, share_out};
use crate::leftovers::Leftovers;
use crate::point::{Deed, Desk, Failure, Outcome, Place};
use crate::scenario::{Neighbours, Scenario};
use crate::travel::{Notes, Way};

/// How much time a scenario may take for each deed; `None` is as much as all its points want.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// For kills at one place after the other.
    pub(crate) kills: Option<Duration>,
    /// For pauses.
    pub(crate) pauses: Option<Duration>,
    /// For kills after which another is killed.
    pub(crate) doubles: Option<Duration>,
}

impl Budget {
    /// A time, shared out among the deeds.
    pub(crate) fn of(time: Option<Duration>) -> Budget {
        let part = |share| time.map(|time| time.mul_f64(share));
        Budget { kills: part(0.6), pauses: part(0.15), doubles: part(0.25) }
    }

    /// A time for kills alone.
    pub(crate) fn kills(time: Option<Duration>) -> Budget {
        Budget { kills: time, pauses: Some(Duration::ZERO), doubles: Some(Duration::ZERO) }
    }
}

/// So many points of each deed are tried however short the time is.
const FEWEST: usize = 24;

/// How often a path is counted that is another one each time, and how often if it is long.
const COUNTS: [usize; 2] = [10, 3];
/// How often a place is tried at most that is not reached, to kill there.
const TRIES: usize = 24;
/// The same for other deeds, and where time is short: by the noted way, by it once more, and step by step.
const FEW_TRIES: usize = 3;
/// Of a long path, at how many places, spread evenly, other deeds than a kill are done.
const MOST_OTHERS: usize = 1000;
/// A path of more instructions than these is gone by the noted way also if it is another one each time: step by step
/// it would take too long.
const LONG: usize = 1500;
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

/// Where a scenario can be tried.
struct Places {
    /// Every instruction, and every sleep.
    all: Vec<Place>,
    /// How to come to one, if the path is the same each time.
    way: Option<Way>,
}

/// Tries a scenario, with a sound protocol.
pub(crate) fn try_out(desk: &Desk, scenario: &dyn Scenario, budget: Budget) -> Report {
    let before = Leftovers::count();
    let mut report = Report::default();
    let places = match places(desk, scenario) {
        Ok(places) => places,
        Err(told) => {
            report.hear(&told.line);
            return report;
        }
    };
    report.places = places.all.len();
    let way = places.way.as_ref();
    let awake: Vec<Place> = places.all.iter().filter(|place| !place.asleep).copied().collect();
    let mut deeds = |places: &[Place], limit, deed: &dyn Fn(usize) -> Deed| {
        let most = if deed(0) == Deed::Kill { places.len() } else { MOST_OTHERS };
        let places: Vec<Place> = spread(places).take(most).collect();
        let task = |desk: &Desk, at: usize, say: Tell<'_>| {
            // The same one is tried in the same way in each run.
            let deed = deed(at);
            let tries = if deed == Deed::Kill { TRIES } else { FEW_TRIES };
            say(tell(places[at], deed, &attempt(desk, scenario, places[at], deed, way, tries)));
        };
        let mut done = 0;
        let wrong = share_out(places.len(), limit, &task, &mut |line| done += report.hear(line));
        report.leftovers += wrong.len();
        report.failures.extend(wrong);
        done
    };
    let kills = deeds(&places.all, budget.kills, &|_| Deed::Kill);
    let paused = if scenario.allows_pauses() { &awake[..] } else { &[] };
    let pauses = deeds(paused, budget.pauses, &|_| Deed::Pause);
    let doubled = if scenario.allows_doubles() { &places.all[..] } else { &[] };
    let doubles = deeds(doubled, budget.doubles, &both);
    (report.kills, report.pauses, report.doubles) = (kills, pauses, doubles);
    let left = Leftovers::count().since(&before);
    report.leftovers += left.len();
    report.failures.extend(left);
    report
}

/// The deed at the place with that number where another is killed, too.
fn both(at: usize) -> Deed {
    Deed::KillBoth(Numbers::new(at as u64 + 1).below(RECOVERER as u64) as usize)
}

/// Tries some places of each of many scenarios, which are done side by side; `show` is given what came of each.
pub(crate) fn try_some(
    scenarios: &[Box<dyn Scenario>],
    time: Duration,
    show: &mut dyn FnMut(usize, Report, Duration),
) -> Vec<String> {
    let started = Instant::now();
    let task = |desk: &Desk, at: usize, say: Tell<'_>| {
        let began = Instant::now();
        // What one has not used is the others'.
        let lanes = lanes(scenarios.len()) as u32;
        let slice = time.saturating_sub(started.elapsed()) * lanes / (scenarios.len() - at) as u32;
        let mut say = |kind: char, told: Told| {
            say(Told { line: format!("{at} {kind} {}", told.line), ..told });
        };
        try_a_few(desk, &*scenarios[at], Budget::of(Some(slice)), &mut say);
        let took = began.elapsed().as_micros();
        say('e', Told { has_failed: false, line: took.to_string() });
    };
    let mut reports: Vec<Report> = scenarios.iter().map(|_| Report::default()).collect();
    share_out(scenarios.len(), None, &task, &mut |line| {
        let mut parts = line.splitn(3, ' ');
        let at = parts.next().and_then(|at| at.parse::<usize>().ok());
        let (kind, rest) = (parts.next(), parts.next().unwrap_or(""));
        let Some((at, report)) = at.and_then(|at| Some((at, reports.get_mut(at)?))) else { return };
        match kind {
            Some("n") => report.places = rest.parse().unwrap_or(0),
            Some("k") => report.kills += report.hear(rest),
            Some("p") => report.pauses += report.hear(rest),
            Some("d") => report.doubles += report.hear(rest),
            _ => show(at, std::mem::take(report), Duration::from_micros(rest.parse().unwrap_or(0))),
        }
    })
}

/// A letter, the places to do it at, how long, and what.
type Deeds<'a> = (char, &'a [Place], Option<Duration>, &'a dyn Fn(usize) -> Deed);

/// Tries some places of one scenario, in this process.
fn try_a_few(desk: &Desk, scenario: &dyn Scenario, budget: Budget, say: &mut dyn FnMut(char, Told)) {
    let places = match places(desk, scenario) {
        Ok(places) => places,
        Err(told) => return say('k', told),
    };
    say('n', Told { has_failed: false, line: places.all.len().to_string() });
    let awake = places.all.iter().filter(|place| !place.asleep).copied();
    let awake: Vec<Place> = if scenario.allows_pauses() { awake.collect() } else { Vec::new() };
    let doubled = if scenario.allows_doubles() { &places.all[..] } else { &[] };
    let deeds: [Deeds<'_>; 3] = [
        ('k', &places.all, budget.kills, &|_| Deed::Kill),
        ('p', &awake, budget.pauses, &|_| Deed::Pause),
        ('d', doubled, budget.doubles, &both),
    ];
    for (kind, among, limit, deed) in deeds {
        let began = Instant::now();
        for (at, place) in spread(among).enumerate() {
            let is_late = limit.is_some_and(|limit| began.elapsed() > limit);
            // Kills are what it is about.
            if is_late && (kind != 'k' || at >= FEWEST) {
                break;
            }
            let outcome = attempt(desk, scenario, place, deed(at), places.way.as_ref(), FEW_TRIES);
            say(kind, tell(place, deed(at), &outcome));
        }
    }
}

/// Tries one place, again if it is not reached: the path may be a bit another one each time.
fn attempt(
    desk: &Desk,
    scenario: &dyn Scenario,
    place: Place,
    deed: Deed,
    way: Option<&Way>,
    tries: usize,
) -> Outcome {
    let mut outcome = desk.run(scenario, place, deed, way);
    for at in 1..tries {
        if outcome.is_reached || outcome.failure.is_some() {
            break;
        }
        // By the noted way once more, and then step by step.
        outcome = desk.run(scenario, place, deed, way.filter(|_| at == 1 || varies(scenario)));
    }
    outcome
}

/// Looks for a place at which a wrong protocol fails; tells how many were tried, and how the last one failed.
pub(crate) fn catch(desk: &Desk, scenario: &dyn Scenario, budget: Duration) -> (usize, Option<String>) {
    let mut report = Report::default();
    let places = match places(desk, scenario) {
        Ok(places) => places,
        Err(told) => {
            report.hear(&told.line);
            return (0, report.failures.pop());
        }
    };
    let started = Instant::now();
    let mut tried = 0;
    for place in spread(&places.all) {
        for deed in [Deed::Kill, Deed::Pause] {
            if started.elapsed() > budget {
                return (tried, None);
            }
            if deed == Deed::Pause && (place.asleep || !scenario.allows_pauses()) {
                continue;
            }
            let outcome = desk.run(scenario, place, deed, places.way.as_ref());
            tried += 1;
            report.hear(&tell(place, deed, &outcome).line);
            if let Some(failure) = report.failures.pop() {
                return (tried, Some(failure));
            }
        }
    }
    (tried, None)
}

/// Tells whether the path is another one each time.
fn varies(scenario: &dyn Scenario) -> bool {
    matches!(scenario.neighbours(), Neighbours::Contending(_))
}

/// Counts the instructions; every one of them is a place, and every sleep is.
///
/// Of a path that is another one each time, those of the longest that was seen are; or of the shortest, if it is long.
///
/// # Errors
///
/// Nothing was to happen, and something failed: what is told of it.
fn places(desk: &Desk, scenario: &dyn Scenario) -> Result<Places, Told> {
    let mut counts = Vec::new();
    let mut is_first = true;
    let nowhere = Place { steps: 0, asleep: false };
    loop {
        let outcome = desk.run(scenario, nowhere, Deed::Count, None);
        if outcome.failure.is_some() {
            return Err(tell(nowhere, Deed::Count, &outcome));
        }
        // In the first run, and only there, things are done that a process does once.
        if std::mem::take(&mut is_first) {
            continue;
        }
        let is_long = outcome.notes.steps > LONG;
        counts.push(outcome.notes);
        if !varies(scenario) || counts.len() >= COUNTS[usize::from(is_long)] {
            break;
        }
    }
    counts.sort_by_key(|notes| notes.steps);
    let is_noted = !varies(scenario) || counts.first().is_some_and(|notes| notes.steps > LONG);
    if is_noted {
        counts.truncate(1);
    }
    let Notes { steps, mut sleeps, addresses } = counts.pop().unwrap_or_default();
    if varies(scenario) {
        sleeps.clear();
    }
    // With the last one the operation is over.
    let awake = (0..steps).map(|steps| Place { steps, asleep: false });
    let asleep = sleeps.iter().map(|steps| Place { steps: *steps, asleep: true });
    let all = awake.chain(asleep).collect();
    let way = (is_noted && !addresses.is_empty()).then(|| Way::new(addresses, sleeps));
    Ok(Places { all, way })
}

/// What came of a point, in a line for [`Report::hear`]: reached or not, whether that counts as a recovery, and how
/// long it took; or what failed.
fn tell(place: Place, deed: Deed, outcome: &Outcome) -> Told {
    let rests = if place.asleep { ", asleep" } else { "" };
    let failed = |kind: &str, what: String| Told {
        has_failed: true,
        line: format!(
            "{kind} {} {deed:?} after {} instructions{rests}: {what}",
            u8::from(outcome.is_reached),
            place.steps
        ),
    };
    match &outcome.failure {
        Some(Failure::Hang(what)) => failed("hang", format!("hang: {what}")),
        Some(Failure::Lost(what)) => failed("lost", format!("lost: {what}")),
        Some(Failure::FalseDeath(count)) => {
            failed("false", format!("false death: told {count} times, and nobody had died"))
        }
        None => {
            let nanos = match deed {
                Deed::Count | Deed::Pause => 0,
                Deed::Kill | Deed::KillBoth(_) => outcome.recovery.unwrap_or_default().as_nanos(),
            };
            Told { has_failed: false, line: format!("good {} {nanos}", u8::from(outcome.is_reached)) }
        }
    }
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
    /// Notes what [`tell`] has told; returns 1 for a place that was reached.
    fn hear(&mut self, line: &str) -> usize {
        let mut parts = line.splitn(3, ' ');
        let (kind, reached, rest) = (parts.next(), parts.next() == Some("1"), parts.next().unwrap_or(""));
        let count = match kind {
            Some("good") => {
                let nanos = rest.parse().unwrap_or(0);
                self.recoveries.extend((reached && nanos > 0).then(|| Duration::from_nanos(nanos)));
                return usize::from(reached);
            }
            Some("hang") => &mut self.hangs,
            Some("false") => &mut self.false_deaths,
            _ => &mut self.lost,
        };
        *count += 1;
        self.failures.push(rest.to_owned());
        usize::from(reached)
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
        "{:<44} {:>6} {:>6} {:>6} {:>6} {:>6} {:>5} {:>4} {:>5} {:>4} {:>7} {:>7} {:>7} {:>6}",
        "scenario",
        "places",
        "kills",
        "cover",
        "pauses",
        "double",
        "hangs",
        "lost",
        "false",
        "left",
        "p50 ms",
        "p99 ms",
        "max ms",
        "s"
    )
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, slowest] = percentiles(&self.recoveries, [50, 99, 100]).map(millis);
        write!(
            f,
            "{:>6} {:>6} {:>5.1}% {:>6} {:>6} {:>5} {:>4} {:>5} {:>4} {p50:>7.2} {p99:>7.2} {slowest:>7.2}",
            self.places,
            self.kills,
            self.kills as f64 * 100.0 / self.places.max(1) as f64,
            self.pauses,
            self.doubles,
            self.hangs,
            self.lost,
            self.false_deaths,
            self.leftovers,
        )
    }
}

/// The times that so many of a hundred are not above.
pub(crate) fn percentiles<const N: usize>(times: &[Duration], hundredths: [usize; N]) -> [Duration; N] {
    let mut times = times.to_vec();
    times.sort_unstable();
    hundredths.map(|share| {
        let at = (times.len() * share / 100).min(times.len().saturating_sub(1));
        times.get(at).copied().unwrap_or_default()
    })
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
        assert_eq!(percentiles(&times, [50, 99, 100]), [101, 199, 200].map(Duration::from_millis));
        assert_eq!(percentiles(&[], [99]), [Duration::ZERO]);
    }

    #[test]
    fn what_is_told_is_heard() {
        let place = Place { steps: 7, asleep: true };
        let mut outcome = Outcome { is_reached: true, ..Outcome::default() };
        outcome.recovery = Some(Duration::from_micros(3));
        let mut report = Report::default();
        assert_eq!(report.hear(&tell(place, Deed::Kill, &outcome).line), 1);
        assert_eq!(report.hear(&tell(place, Deed::Pause, &outcome).line), 1);
        assert_eq!(report.recoveries, [Duration::from_micros(3)]);
        outcome.failure = Some(Failure::Hang("not woken".to_owned()));
        outcome.is_reached = false;
        let told = tell(place, Deed::Kill, &outcome);
        assert_eq!((told.has_failed, report.hear(&told.line), report.hangs), (true, 0, 1));
        assert_eq!(report.failures, ["Kill after 7 instructions, asleep: hang: not woken"]);
    }

    #[test]
    fn alike_failures_are_told_once() {
        let failures = ["a", "b", "a"].map(str::to_owned);
        assert_eq!(gather(&failures), ["a (2 times)", "b"]);
    }
}
