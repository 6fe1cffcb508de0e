use crate::watcher::Watcher;
use crate::{names, screen, terminal};
use clap::{Parser, Subcommand};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Shows what programs that use multiproc are at.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct Args {
    /// Print what is seen once, as JSON, and end
    #[arg(long)]
    json: bool,
    /// Print what is seen once, as the terminal would show it, and end
    #[arg(long, conflicts_with = "json")]
    once: bool,
    /// Seconds between two looks, which rates are over; with --json or --once 0 looks once, without rates
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = seconds)]
    interval: f64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List named objects: what they are, who holds them, which are stale
    Ls {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove names; who has the object open keeps it
    Rm {
        /// The names
        #[arg(required_unless_present = "stale")]
        names: Vec<String>,
        /// Remove all that nobody holds
        #[arg(long, conflicts_with_all = ["names", "force"])]
        stale: bool,
        /// Remove them also if somebody holds them
        #[arg(long)]
        force: bool,
    },
    /// Show the agents of a pool over several hosts
    #[cfg(feature = "cluster")]
    Cluster(crate::cluster::Options),
}

pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds, as 0.5".to_owned())?;
    // The upper end keeps it a length of time that can be waited for.
    if (0.0..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("give 0 to 86400 seconds".to_owned()) }
}

/// Runs the program with the arguments of this process.
#[must_use]
pub fn run() -> ExitCode {
    match serve(&Args::parse()) {
        Ok(code) => code,
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "multiproc-top: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &Args) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let interval = Duration::from_secs_f64(args.interval);
    match &args.command {
        Some(Command::Ls { json }) => {
            let found = names::named_objects()?;
            if *json {
                serde_json::to_writer_pretty(&mut out, &found)?;
                writeln!(out)?;
            } else {
                write!(out, "{}", screen::list(&found))?;
            }
        }
        Some(Command::Rm { stale: true, .. }) => {
            for name in multiproc_shm::sweep()? {
                writeln!(out, "{name}")?;
            }
        }
        Some(Command::Rm { names, force, .. }) => {
            let mut code = ExitCode::SUCCESS;
            for name in names {
                if let Err(error) = names::remove(name, *force) {
                    writeln!(io::stderr(), "multiproc-top: {error}")?;
                    code = ExitCode::FAILURE;
                }
            }
            return Ok(code);
        }
        #[cfg(feature = "cluster")]
        Some(Command::Cluster(options)) => crate::cluster::show(options, &mut out)?,
        None if args.json || args.once => {
            let mut watcher = Watcher::new();
            let mut snapshot = watcher.look();
            if !interval.is_zero() {
                std::thread::sleep(interval);
                snapshot = watcher.look();
            }
            if args.json {
                serde_json::to_writer_pretty(&mut out, &snapshot)?;
                writeln!(out)?;
            } else {
                write!(out, "{}", screen::draw(&snapshot, screen::WIDE, usize::MAX))?;
            }
        }
        None => {
            let mut watcher = Watcher::new();
            terminal::run(&mut out, interval.max(Duration::from_millis(50)), |columns, lines| {
                Ok(screen::draw(&watcher.look(), columns, lines))
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
