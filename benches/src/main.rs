//! The benchmarks: our figures beside a hand-written floor and the peers, taken in turns.
//!
//! `cargo xtask bench --help` shows the options, README.md tells how to read what comes out.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its user")]

mod args;
mod cargo;
mod ends;
mod floor;
mod instructions;
mod kills;
mod link;
mod measure;
mod operation;
mod payload;
mod peer;
mod place;
mod report;
mod role;
mod scenario;
mod stats;
mod steal;
mod sys;
mod worker;
mod zygote;

use clap::Parser;
use std::error::Error;
use std::process::ExitCode;

/// What can go wrong here ends up in front of a person.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    // First of all, so that the floor pays for nothing that belongs to a peer.
    if let Some(code) = role::play() {
        return code;
    }
    procspawn::init();
    let args = args::Args::parse();
    let outcome = if args.instructions {
        instructions::run(args.only.as_deref().unwrap_or(""), args.update, args.json)
    } else if let Some(kills) = args.kills {
        kills::run(kills, args.only.as_deref().unwrap_or(""), args.json)
    } else {
        run(&args)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &args::Args) -> Result {
    // Before anything starts a thread: it has to be forked from a process of one.
    let context = scenario::Context::new(args)?;
    if args.json
        && let Some(place) = &context.place
    {
        eprintln!("{place}");
    }
    let mut outcomes = Vec::new();
    for scenario in scenario::chosen(args.only.as_deref())? {
        let outcome = measure::run(scenario, &context)?;
        if args.json {
            report::json(&outcome);
        } else {
            if outcomes.is_empty() {
                report::legend(&context);
            }
            report::table(&outcome);
        }
        outcomes.push(outcome);
    }
    if let Some(folder) = &args.report {
        report::page(folder, &report::text(&context), &outcomes)?;
    }
    if args.figures { report::figures(&outcomes) } else { Ok(()) }
}
