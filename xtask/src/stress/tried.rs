//! What came of a part: what was tried, how often, and what failed.

use std::time::Duration;

use serde_json::json;

use super::parts::Part;
use crate::shell::{Result, run_watched};

/// What came of a part that was not skipped.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tried {
    /// Tests, runs of a fuzzer, or scenarios.
    times: u64,
    /// Processes that were killed, as far as lines tell it.
    kills: u64,
    failed: u64,
    /// What of it this machine cannot do.
    skipped: Vec<String>,
    /// The lines that tell it.
    lines: Vec<String>,
    /// What did not come to its end.
    broken: Vec<String>,
}

pub(super) enum Outcome {
    Tried(Tried),
    /// Why this machine cannot.
    Skipped(String),
}

impl Tried {
    /// Runs a command, and adds up what its lines tell.
    pub(super) fn run(&mut self, command: std::process::Command, limit: Duration) {
        let failed = self.failed;
        let outcome = run_watched(command, limit, |line| {
            self.add(line);
            None
        });
        match outcome {
            // A test that failed is counted; what did not even run is not.
            Err(error) if self.failed == failed => self.broken.push(error.to_string()),
            _ => {}
        }
    }

    /// Adds up what other commands tell when they have ended.
    pub(super) fn of(outcomes: Vec<Result<Vec<String>>>) -> Tried {
        let mut tried = Tried::default();
        for outcome in outcomes {
            match outcome {
                Ok(lines) => lines.iter().for_each(|line| tried.add(line)),
                Err(error) => tried.broken.push(error.to_string()),
            }
        }
        tried
    }

    /// Adds what a line of tests, of a fuzzer or of the stepper tells, if it does.
    pub(super) fn add(&mut self, line: &str) {
        let line = line.trim();
        let before = |word: &str| number_before(line, word);
        if let Some(what) = line.strip_prefix("skipped: ") {
            self.skipped.push(what.to_owned());
        } else if line.contains("test result: ") {
            let failed = before(" failed").unwrap_or(0);
            self.times += before(" passed").unwrap_or(0) + failed;
            self.failed += failed;
        } else if line.starts_with("figures: ") {
            self.kills += before(" kills in ").unwrap_or(0);
        } else if let Some(kills) = before(" random kills, ") {
            self.kills += kills;
        } else if let Some(runs) = before(" runs in ") {
            self.times += runs;
        } else if let Some((scenarios, kills)) = points(line) {
            self.times += scenarios;
            self.kills += kills;
        } else {
            return;
        }
        self.lines.push(line.to_owned());
    }
}

/// The number that stands before a word.
fn number_before(line: &str, word: &str) -> Option<u64> {
    line.split_once(word)?.0.rsplit([' ', '\t']).next()?.parse().ok()
}

/// How many scenarios the stepper's total tells, and how many kills, pauses and second kills.
fn points(line: &str) -> Option<(u64, u64)> {
    let (scenarios, rest) = line.strip_prefix("total of ")?.split_once(" scenarios")?;
    let columns: Vec<&str> = rest.split_whitespace().collect();
    let numbers = [1, 3, 4].map(|at| columns.get(at).and_then(|column| column.parse::<u64>().ok()));
    Some((scenarios.parse().ok()?, numbers.into_iter().sum::<Option<u64>>()?))
}

/// What came of a part, and how long it took.
pub(super) struct Row<'a> {
    pub(super) part: &'a Part,
    pub(super) outcome: Result<Outcome>,
    pub(super) took: Duration,
}

impl Row<'_> {
    pub(super) fn is_bad(&self) -> bool {
        match &self.outcome {
            Ok(Outcome::Tried(tried)) => tried.failed > 0 || !tried.broken.is_empty(),
            Ok(Outcome::Skipped(_)) => false,
            Err(_) => true,
        }
    }

    pub(super) fn line(&self) -> String {
        let (name, seconds) = (self.part.name, self.took.as_secs_f64());
        match &self.outcome {
            Ok(Outcome::Tried(tried)) => {
                let Tried { times, kills, failed, skipped, .. } = tried;
                format!("{name:<13}{times:>12}{kills:>10}{failed:>9}{:>9}{seconds:>10.1}", skipped.len())
            }
            Ok(Outcome::Skipped(why)) => format!("{name:<13}{:>12}  {why}", "skipped"),
            Err(error) => format!("{name:<13}{:>12}{seconds:>38.1}  {error}", "FAILED"),
        }
    }

    /// What the numbers do not say: what was skipped, and what did not come to its end.
    pub(super) fn notes(&self) -> Vec<String> {
        let name = self.part.name;
        let Ok(Outcome::Tried(tried)) = &self.outcome else { return Vec::new() };
        let skipped = tried.skipped.iter().map(|what| format!("{name}: skipped: {what}"));
        skipped.chain(tried.broken.iter().map(|why| format!("{name}: FAILED: {why}"))).collect()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let (part, seconds) = (self.part, self.took.as_secs_f64());
        let mut object = json!({ "part": part.name, "tried": part.sentence, "seconds": seconds });
        object["outcome"] = json!(match &self.outcome {
            Ok(Outcome::Skipped(_)) => "skipped",
            _ if self.is_bad() => "failed",
            _ => "passed",
        });
        match &self.outcome {
            Ok(Outcome::Tried(tried)) => {
                object["times"] = json!(tried.times);
                object["kills"] = json!(tried.kills);
                object["failed"] = json!(tried.failed);
                object["skipped"] = json!(tried.skipped);
                object["broken"] = json!(tried.broken);
                object["lines"] = json!(tried.lines);
            }
            Ok(Outcome::Skipped(why)) => object["why"] = json!(why),
            Err(error) => object["why"] = json!(error.to_string()),
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_was_tried_is_added_up() {
        let lines = [
            "test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s",
            "fuzz codec: 900 runs in 61 second(s), 1234 edges covered, corpus 90/12Kb, nothing found",
            "12000 random kills, 0 storms failed; 38 of 38 controls caught; 150 s",
            "total of 210 scenarios     9000 300  3.3%  40   5  0 0 0 0 0.1 0.2 0.3 150.0",
            "figures: 40 kills in storms of the pool, slowest 12 ms",
            "figures: 40 ms",
            "skipped: a full file system: no root",
            "test that_kills_in_vain ... ok",
        ];
        let mut tried = Tried::default();
        lines.iter().for_each(|line| tried.add(line));
        assert_eq!((tried.times, tried.failed), (5 + 2 + 900 + 210, 2));
        assert_eq!(tried.kills, 12_000 + 345 + 40);
        assert_eq!(tried.skipped, ["a full file system: no root"]);
        assert_eq!(tried.lines.len(), 7);
    }

    #[test]
    fn what_was_told_before_a_failure_counts() {
        let sh = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let mut tried = Tried::default();
        let failing = "echo 'test result: made up. 3 passed; 1 failed'; exit 1";
        tried.run(sh(failing), Duration::from_secs(60));
        assert_eq!((tried.times, tried.failed, tried.broken.len()), (4, 1, 0));
        tried.run(sh("echo '7 random kills, 0 storms'; exit 1"), Duration::from_secs(60));
        assert_eq!((tried.kills, tried.failed, tried.broken.len()), (7, 1, 1));
        let tried =
            Tried::of(vec![Err("no".into()), Ok(vec!["fuzz codec: 5 runs in 1 second(s)".to_owned()])]);
        assert_eq!((tried.times, tried.broken.len()), (5, 1));
    }
}
