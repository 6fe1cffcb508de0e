//! `cargo xtask stress`: everything that tries to break a promise, one part after the other, and a table of what was
//! tried, how often, and what failed.
//!
//! A part that fails does not stop the others; one that this machine cannot do is skipped with a line that says so.

mod parts;
mod tried;

use std::time::{Duration, Instant};

use crate::bench;
use crate::metadata::Workspace;
use crate::shell::{self, Result};
use parts::{PARTS, Part, Request};
use tried::Row;

/// What continuous integration spends on parts that no other gate has, in seconds: every scenario of the stepper at some
/// of its instructions, and some work that goes on. The fuzzers and the sanitizers would build for minutes, and want a
/// nightly compiler.
const BOUNDED: &[(&str, u64)] = &[("stepper", 90), ("soak", 20)];

const USAGE: &str = "\
usage: cargo xtask stress [--minutes n] [--only part] [--json] [--list] [--peers] [-- argument...]

  --minutes n   spread so much over the stepper, the fuzzers and the soak, which can go on for ever; all others take
                what they take, together some twenty minutes
  --only part   the parts whose names contain this
  --json        one object for each part at the end, in the place of the table; all else goes to standard error
  --list        the parts, and what each tries
  --peers       instead: the same programs over ours, CPython, Boost, iceoryx2 and ipc-channel (minutes to build), a
                process killed in each; hangs and losses in 1,000 kills; with --only and --json, and behind -- what
                else the benchmarks are told (--kills n)
  -- argument   for the stepper: --only scenario, --kills, --list";

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
        return bench::command(&peers(options)?);
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
    let shares: f64 = chosen.iter().map(|part| part.share).sum();
    let time_of =
        |part: &Part| options.time.filter(|_| part.share > 0.0).map(|time| time.mul_f64(part.share / shares));
    run_all(chosen.into_iter().map(|part| (part, time_of(part))), &options.rest, options.is_json)
}

/// Runs, within a few minutes, what no other gate does.
pub(crate) fn bounded() -> Result {
    let time_of = |part: &Part| BOUNDED.iter().find(|(name, _)| *name == part.name);
    let chosen = PARTS.iter().filter_map(|part| Some((part, Some(Duration::from_secs(time_of(part)?.1)))));
    run_all(chosen, &[], false)
}

/// Runs parts, each for so long if it says, and prints what came of them.
fn run_all<'a>(
    parts: impl Iterator<Item = (&'a Part, Option<Duration>)>,
    rest: &[String],
    is_json: bool,
) -> Result {
    if is_json {
        shell::keep_standard_output();
    }
    let workspace = Workspace::read()?;
    let mut rows = Vec::new();
    for (part, time) in parts {
        shell::say(format_args!("\n=== {}: {}", part.name, part.sentence));
        let request = Request { workspace: &workspace, time, rest };
        let started = Instant::now();
        let outcome = (part.run)(&request);
        rows.push(Row { part, outcome, took: started.elapsed() });
    }
    if is_json {
        rows.iter().for_each(|row| println!("{}", row.json()));
    } else {
        println!("\ntried:");
        println!(
            "  {:<13}{:>12}{:>10}{:>9}{:>9}{:>10}",
            "part", "times", "kills", "failed", "skipped", "seconds"
        );
        rows.iter().for_each(|row| println!("  {}", row.line()));
        rows.iter().flat_map(Row::notes).for_each(|note| println!("  {note}"));
    }
    let bad: Vec<&str> = rows.iter().filter(|row| row.is_bad()).map(|row| row.part.name).collect();
    if bad.is_empty() { Ok(()) } else { Err(format!("failed: {}", bad.join(", ")).into()) }
}

/// What the benchmarks are told, which then kill and do not measure.
fn peers(options: Options) -> Result<Vec<String>> {
    if options.time.is_some() {
        return Err(format!("`--peers` counts kills, not minutes: `-- --kills n`\n\n{USAGE}").into());
    }
    let mut told = options.rest;
    if !told.iter().any(|argument| argument == "--kills") {
        told.push("--kills".to_owned());
    }
    if !options.only.is_empty() {
        told.extend(["--only".to_owned(), options.only]);
    }
    if options.is_json {
        told.push("--json".to_owned());
    }
    // Those that take long to build, too.
    told.push("--peers".to_owned());
    Ok(told)
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

#[cfg(test)]
mod tests {
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
    fn what_is_asked_of_peers_reaches_the_benchmarks() {
        let told = |args: &[&str]| peers(parsed(args).unwrap());
        assert_eq!(told(&["--peers"]).unwrap(), ["--kills", "--peers"]);
        let all = ["--peers", "--only", "queue", "--json", "--", "--kills", "9"];
        assert_eq!(told(&all).unwrap(), ["--kills", "9", "--only", "queue", "--json", "--peers"]);
        assert!(told(&["--peers", "--minutes", "2"]).is_err());
    }

    #[test]
    fn what_is_bounded_is_there() {
        assert!(BOUNDED.iter().all(|(name, _)| PARTS.iter().any(|part| part.name == *name)));
    }
}
