//! `cargo xtask stress`: everything that tries to break a promise, one part after the other, and a table of what was
//! tried, how often, and what failed.
//!
//! A part that fails does not stop the others; one that this machine cannot do is skipped with a line that says so.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::metadata::Workspace;
use crate::shell::{Result, cargo, root, run, run_watched};
use crate::{bench, ci, fuzz, sanitize, test};

/// How much longer than it was told a part may take, and how long one that is told nothing may.
const GRACE: Duration = Duration::from_secs(30 * 60);
/// What continuous integration spends on kills at instructions, in minutes: every scenario, at some of them.
const BOUNDED: f64 = 1.5;
/// What it spends on work that goes on, in seconds.
const BOUNDED_SOAK: u64 = 20;
/// The same where nobody says how long.
const SOAK: u64 = 600;

/// The program that kills at instructions.
const STEPPER: &str = "multiproc-stress";

/// What the benchmarks are told to kill and not to measure.
const KILLS: &str = "--kills";

const USAGE: &str = "\
usage: cargo xtask stress [--minutes n] [--only part] [--json] [--list] [-- argument...]

  --minutes n   spread so much over the parts that can go on for ever; the others take what they take
  --only part   the parts whose names contain this
  --json        one object for each part at the end, in the place of the table
  --list        the parts, and what each tries
  --peers       instead: the same programs over ours, CPython and Boost, a process killed in each; hangs and losses
                in 1,000 kills; arguments behind -- are the benchmarks' (--kills n, --only queue, --json)
  -- argument   for the stepper: --only scenario, --kills, --list";

/// A way to break something.
struct Part {
    name: &'static str,
    /// What is tried.
    sentence: &'static str,
    /// What it gets of the time that there is; 0 takes what it takes.
    share: f64,
    run: fn(&Request<'_>) -> Result<Outcome>,
}

/// What is asked of a part.
struct Request<'a> {
    workspace: &'a Workspace,
    /// As long as it takes, or as long as is usual, if nobody says.
    time: Option<Duration>,
    /// What the stepper is told.
    rest: &'a [String],
}

/// What came of a part that was not skipped.
#[derive(Debug, Default, PartialEq)]
struct Tried {
    /// Tests, runs of a fuzzer, or kills.
    times: u64,
    failed: u64,
    /// The lines that tell it.
    lines: Vec<String>,
}

enum Outcome {
    Tried(Tried),
    /// Why this machine cannot.
    Skipped(String),
}

const PARTS: &[Part] = &[
    Part {
        name: "model",
        sentence: "every order of the steps of locks, words and queues on a simulated machine, a kill at each of them",
        share: 0.0,
        run: |request| tests(ci::model_command(request.workspace)),
    },
    Part {
        name: "loom",
        sentence: "every order of memory accesses, as weak machines may see them",
        share: 0.0,
        run: |request| tests(ci::loom_command(request.workspace)),
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
            tests(command)
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
            Ok(Outcome::Tried(Tried::of(sanitize::run_all(request.workspace)?)))
        },
    },
    Part {
        name: "lifetime",
        sentence: "children, trees, daemons, clients and servers killed at random; processes, descriptors and names \
                   counted after each test",
        share: 0.0,
        run: |_| tests(suite(&["process", "sync", "queue", "channel", "pool", "manager"])),
    },
    Part {
        name: "permissions",
        sentence: "other users, wrong keys, reflections, relays, silent clients, and files that are not ours",
        share: 0.0,
        run: |_| tests(suite(&["pipe"])),
    },
    Part {
        name: "environment",
        sentence: "no descriptors left, a full file system, memory limits, other PID and time namespaces, ten thousand \
                   signals a second, a wall clock that jumps, forks of programs with threads",
        share: 0.0,
        run: |_| tests(suite(&["environment"])),
    },
    Part {
        name: "soak",
        sentence: "work that goes on with one kill a second: nothing grows, and it does not become slower",
        share: 0.2,
        run: |request| soak(request.time.map_or(SOAK, |time| time.as_secs().max(5))),
    },
];

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
struct Options {
    time: Option<Duration>,
    only: String,
    is_json: bool,
    lists: bool,
    with_peers: bool,
    rest: Vec<String>,
}

/// Runs the command.
pub(crate) fn command(args: &[String]) -> Result {
    let options = options(args)?;
    if options.with_peers {
        let mut kills = options.rest;
        if !kills.iter().any(|argument| argument == KILLS) {
            kills.push(KILLS.to_owned());
        }
        return bench::command(&kills);
    }
    let chosen: Vec<&Part> = PARTS.iter().filter(|part| part.name.contains(&options.only)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        return Err(format!("there is no part `{}`, choose from: {}", options.only, names.join(", ")).into());
    }
    if options.lists {
        chosen.iter().for_each(|part| println!("{:<14}{}", part.name, part.sentence));
        return Ok(());
    }
    let workspace = Workspace::read()?;
    let shares: f64 = chosen.iter().map(|part| part.share).sum();
    let mut rows = Vec::new();
    for part in chosen {
        println!("\n=== {}: {}", part.name, part.sentence);
        let time = options.time.filter(|_| part.share > 0.0).map(|time| time.mul_f64(part.share / shares));
        let request = Request { workspace: &workspace, time, rest: &options.rest };
        let started = Instant::now();
        let outcome = (part.run)(&request);
        rows.push(Row { part, outcome, took: started.elapsed() });
    }
    if options.is_json {
        rows.iter().for_each(|row| println!("{}", row.json()));
    } else {
        println!("\ntried:");
        println!("  {:<13}{:>12}{:>9}{:>11}", "part", "times", "failed", "seconds");
        rows.iter().for_each(|row| println!("  {}", row.line()));
    }
    let bad: Vec<&str> = rows.iter().filter(|row| row.is_bad()).map(|row| row.part.name).collect();
    if bad.is_empty() { Ok(()) } else { Err(format!("failed: {}", bad.join(", ")).into()) }
}

/// Runs, within a few minutes, what no other gate does.
pub(crate) fn bounded() -> Result {
    let workspace = Workspace::read()?;
    let time = Duration::from_secs_f64(BOUNDED * 60.0);
    let request = Request { workspace: &workspace, time: Some(time), rest: &[] };
    for outcome in [stepper(&request)?, soak(BOUNDED_SOAK)?] {
        if let Outcome::Tried(Tried { failed, .. }) = outcome
            && failed > 0
        {
            return Err(format!("{failed} failed").into());
        }
    }
    Ok(())
}

fn options(args: &[String]) -> Result<Options> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(argument) = args.next() {
        match argument.as_str() {
            "--minutes" => {
                let minutes = args.next().and_then(|minutes| minutes.parse::<f64>().ok());
                let minutes = minutes.filter(|minutes| (0.0..=10_000.0).contains(minutes));
                let minutes = minutes.ok_or_else(|| format!("`--minutes` wants a number\n\n{USAGE}"))?;
                options.time = Some(Duration::from_secs_f64(minutes * 60.0));
            }
            "--only" => {
                options.only =
                    args.next().ok_or_else(|| format!("`--only` wants a part\n\n{USAGE}"))?.clone();
            }
            "--json" => options.is_json = true,
            "--list" => options.lists = true,
            "--peers" => options.with_peers = true,
            "--" => options.rest = args.by_ref().cloned().collect(),
            other => return Err(format!("`{other}` is unknown\n\n{USAGE}").into()),
        }
    }
    Ok(options)
}

/// What came of a part, and how long it took.
struct Row<'a> {
    part: &'a Part,
    outcome: Result<Outcome>,
    took: Duration,
}

impl Row<'_> {
    fn is_bad(&self) -> bool {
        match &self.outcome {
            Ok(Outcome::Tried(tried)) => tried.failed > 0,
            Ok(Outcome::Skipped(_)) => false,
            Err(_) => true,
        }
    }

    fn line(&self) -> String {
        let (name, seconds) = (self.part.name, self.took.as_secs_f64());
        match &self.outcome {
            Ok(Outcome::Tried(tried)) => {
                format!("{name:<13}{:>12}{:>9}{seconds:>11.1}", tried.times, tried.failed)
            }
            Ok(Outcome::Skipped(why)) => format!("{name:<13}{:>12}  {why}", "skipped"),
            Err(error) => format!("{name:<13}{:>12}{seconds:>20.1}  {error}", "FAILED"),
        }
    }

    fn json(&self) -> serde_json::Value {
        let (part, seconds) = (self.part, self.took.as_secs_f64());
        let mut object = json!({ "part": part.name, "tried": part.sentence, "seconds": seconds });
        let (word, key, value) = match &self.outcome {
            Ok(Outcome::Tried(tried)) => {
                object["times"] = json!(tried.times);
                object["failed"] = json!(tried.failed);
                (if tried.failed == 0 { "passed" } else { "failed" }, "lines", json!(tried.lines))
            }
            Ok(Outcome::Skipped(why)) => ("skipped", "why", json!(why)),
            Err(error) => ("failed", "why", json!(error.to_string())),
        };
        object["outcome"] = json!(word);
        object[key] = value;
        object
    }
}

impl Tried {
    /// Adds up what the lines of tests, of the fuzzers and of the stepper tell.
    fn of(lines: Vec<String>) -> Tried {
        let mut tried = Tried { lines, ..Tried::default() };
        for line in &tried.lines {
            let before = |word: &str| number_before(line, word);
            tried.times += TIMES.iter().find_map(|word| before(word)).unwrap_or(0);
            tried.times += before(" failed").unwrap_or(0);
            tried.failed += before(" failed").unwrap_or(0);
        }
        tried
    }
}

/// What stands behind a number of things that were tried.
const TIMES: &[&str] = &[" passed", " runs in ", " random kills", " kills in "];

/// The number that stands before a word.
fn number_before(line: &str, word: &str) -> Option<u64> {
    line.split_once(word)?.0.rsplit([' ', '\t']).next()?.parse().ok()
}

/// Runs tests and adds them up.
fn tests(command: Command) -> Result<Outcome> {
    let mut lines = Vec::new();
    let outcome = run_watched(command, GRACE, |line| {
        let line = line.trim();
        (line.starts_with("test result:") || line.contains(" kills in "))
            .then(|| lines.push(line.to_owned()))?;
        None
    });
    let tried = Tried::of(lines);
    match outcome {
        // A test that failed is counted; what did not even run is not.
        Err(error) if tried.failed == 0 => Err(error),
        _ => Ok(Outcome::Tried(tried)),
    }
}

/// Tests that start real processes, as users build them.
fn suite(names: &[&str]) -> Command {
    let mut command = cargo(&["test", "--release", "--package", "multiproc-tests", "--no-fail-fast"]);
    names.iter().for_each(|name| {
        command.args(["--test", name]);
    });
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
    let is_telling = |line: &str| line.starts_with("total of ") || line.contains(" random kills, ");
    let lines = run_watched(command, limit, |line| is_telling(line).then(|| line.trim().to_owned()))?;
    let mut tried = Tried::of(lines);
    tried.times += tried.lines.iter().find_map(|line| points(line)).unwrap_or(0);
    Ok(Outcome::Tried(tried))
}

/// How many kills, pauses and second kills the stepper's total tells, behind the scenarios and their places.
fn points(line: &str) -> Option<u64> {
    let (_, rest) = line.strip_prefix("total of ")?.split_once(" scenarios")?;
    let columns: Vec<&str> = rest.split_whitespace().collect();
    let numbers = [1, 3, 4].map(|at| columns.get(at).and_then(|column| column.parse::<u64>().ok()));
    numbers.into_iter().sum()
}

fn fuzzers(request: &Request<'_>) -> Result<Outcome> {
    if let Some(missing) = fuzz::missing() {
        return Ok(Outcome::Skipped(missing));
    }
    let seconds = request.time.map(|time| time.as_secs() / fuzz::TARGETS.len() as u64);
    Ok(Outcome::Tried(Tried::of(fuzz::run_all(seconds, request.workspace)?)))
}

fn soak(seconds: u64) -> Result<Outcome> {
    // As the tests are built: it looks for growth, and for time against itself.
    let mut command = cargo(&["test", "--test", "soak"]);
    command.args(test::ALL).args(["--", "--nocapture"]);
    command.env("MULTIPROC_SOAK", seconds.to_string());
    tests(command)
}

#[cfg(test)]
mod checks {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options> {
        options(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_the_rest_is_the_steppers() {
        let options =
            parsed(&["--minutes", "2", "--only", "soak", "--json", "--", "--only", "lock"]).unwrap();
        assert_eq!(options.time, Some(Duration::from_secs(120)));
        assert_eq!((options.only.as_str(), options.is_json), ("soak", true));
        assert_eq!(options.rest, ["--only", "lock"]);
        for wrong in [&["--minutes"][..], &["--minutes", "soon"], &["--only"], &["soak"]] {
            assert!(parsed(wrong).unwrap_err().to_string().contains("usage: "), "{wrong:?}");
        }
        let unknown = command(&["--only".to_owned(), "nothing".to_owned()]).unwrap_err().to_string();
        assert!(unknown.contains("stepper, corruption"), "{unknown}");
    }

    #[test]
    fn what_was_tried_is_added_up() {
        let lines = [
            "test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s",
            "fuzz codec: 900 runs in 61 second(s), 1234 edges covered, corpus 90/12Kb, nothing found",
            "12000 random kills, 0 storms failed; 38 of 38 controls caught; 150 s",
        ];
        let tried = Tried::of(lines.map(str::to_owned).to_vec());
        assert_eq!((tried.times, tried.failed), (5 + 2 + 900 + 12_000, 2));
        assert_eq!(
            points("total of 210 scenarios     9000 300  3.3%  40   5  0 0 0 0 0.1 0.2 0.3 150.0"),
            Some(345)
        );
    }
}
