//! Automation of this repository, one file per command: `cargo xtask` lists them.
//!
//! Every command prints what it runs, and its exit code is the truth.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its user")]

mod bench;
mod ci;
mod cluster;
mod debian;
mod docs;
mod fuzz;
mod links;
mod metadata;
mod sanitize;
mod shell;
mod source;
mod spelling;
mod stress;
mod targets;
mod test;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
Automation of this repository.

Usage: cargo xtask <command> [arguments]

  test                 the whole test suite: unit, integration and doc tests, every feature on
  ci [gate]...         every gate in order, or the named ones, stopping at the first failure
  bench [argument]...  the benchmarks; arguments go to them (--quick, --only, --peers none, --instructions)
  sanitize             the tests of threads under AddressSanitizer and ThreadSanitizer (--only address|thread)
  fuzz                 hostile input for frames, handshakes, codec and names (--only name, --seconds n)
  stress [argument]... everything that tries to break a promise (--minutes n, --only part, --json, --list)
  docs                 the documentation, private items too, warnings as errors
  tidy                 what rustc and clippy do not know: floors, unsafe files, habits, errors, examples
  help                 this text";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let outcome = match command {
        "test" => no_arguments(rest).and_then(|()| test::command()),
        "ci" => ci::command(rest),
        "bench" => bench::command(rest),
        "sanitize" => sanitize::command(rest),
        "fuzz" => fuzz::command(rest),
        "stress" => stress::command(rest),
        "docs" => no_arguments(rest).and_then(|()| docs::command()),
        "tidy" => no_arguments(rest).and_then(|()| tidy::command()),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => {
            eprintln!("error: `{other}` is not a command of this xtask\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Refuses arguments that the command would ignore.
fn no_arguments(rest: &[String]) -> shell::Result {
    match rest.first() {
        None => Ok(()),
        Some(argument) => Err(format!("this command takes no arguments, remove `{argument}`").into()),
    }
}
