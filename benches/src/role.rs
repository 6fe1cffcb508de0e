//! What this executable does when the benchmarks start it again.

use crate::measure::trivial;
use crate::{Result, kills, operation, stats};
use multiproc_process::{Process, StartMethod};
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, io};

const NUMBER: &str = "role-number";
const CALLER: &str = "role-caller";
const OPERATION: &str = "role-operation";
const KILLS: &str = "role-kills";
const PAGE: usize = 4096;

/// Plays the role that the arguments name, if they do.
pub(crate) fn play() -> Option<ExitCode> {
    let mut args = env::args().skip(1);
    match args.next()?.as_str() {
        NUMBER => {
            let number: u64 = args.next()?.parse().ok()?;
            println!("{}", trivial(number));
            Some(ExitCode::SUCCESS)
        }
        OPERATION => {
            let (name, count) = (args.next()?, args.next()?.parse().ok()?);
            Some(ended(operation::find(&name).and_then(|operation| operation.run(count))))
        }
        KILLS => {
            let (kind, argument) = (args.next()?, args.next()?);
            Some(ended(kills::serve(&kind, &argument)))
        }
        CALLER => {
            let method =
                if args.next()? == "fork-server" { StartMethod::ForkServer } else { StartMethod::Spawn };
            let mib: usize = args.next()?.parse().ok()?;
            Some(ended(serve(method, mib)))
        }
        _ => None,
    }
}

fn ended(outcome: Result) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The arguments that make this executable start processes to be killed; one more follows.
pub(crate) fn kills(kind: &str) -> [String; 2] {
    [KILLS.to_owned(), kind.to_owned()]
}

/// Makes a command of this executable that prints a number and ends.
pub(crate) fn number(number: u64) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args([NUMBER, &number.to_string()]);
    Ok(command)
}

/// Makes a command of this executable that starts processes when told to, and holds so much touched memory.
pub(crate) fn caller(method: StartMethod, mib: usize) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    let method = if method == StartMethod::ForkServer { "fork-server" } else { "spawn" };
    command.args([CALLER, method, &mib.to_string()]);
    Ok(command)
}

/// The arguments that make this executable do an operation so often.
pub(crate) fn operation(operation: &str, count: u64) -> [String; 3] {
    [OPERATION.to_owned(), operation.to_owned(), count.to_string()]
}

/// Starts a process, has it call the function, and joins it.
pub(crate) fn call(method: StartMethod, number: u64) -> Result<u64> {
    Ok(Process::builder().start_method(method).spawn(number, trivial)?.join()?)
}

fn serve(method: StartMethod, mib: usize) -> Result {
    let mut memory = vec![0_u8; mib << 20];
    for page in memory.chunks_mut(PAGE) {
        page[0] = 1;
    }
    for line in io::stdin().lock().lines() {
        let (mut times, mut sum) = (Vec::new(), 0);
        for number in 0..line?.trim().parse()? {
            let started = Instant::now();
            sum += call(method, number)?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
        println!("{} {sum}", stats::median(&times));
        io::stdout().flush()?;
    }
    black_box(memory);
    Ok(())
}
