//! Copies a folder tree with a pool of processes.
//!
//! ```text
//! cargo run --release --example copy_tree                    # makes a small tree of its own and copies that
//! cargo run --release --example copy_tree -- SOURCE DEST     # SOURCE's content becomes DEST's content
//! ```
//!
//! # What it shows
//!
//! A pool fed from an iterator, whose workers report by their results and may die. In Python:
//!
//! ```text
//! with multiprocessing.Pool(workers) as pool:
//!     for done in pool.imap_unordered(run, plan()):       # reads all of the plan ahead; hangs when a worker dies
//!         report(done)
//! ```
//!
//! and here:
//!
//! ```text
//! let pool = Pool::new(workers)?;
//! for done in pool.imap_unordered(plan, job::run) {       # reads a little ahead; a death is an error, not a hang
//!     report(done);
//! }
//! ```
//!
//! `crew` is that loop. `plan` walks the tree and makes jobs, `job` is what a worker does, `ledger` knows what is under
//! way, `tree` completes folders and large files when their last part is done, `partial` minds the temporary files,
//! `report` talks.
//!
//! # What is copied
//!
//! Files with mode and times, sparse ones with their holes; folders likewise; symbolic links as they are. What is in
//! DEST already is merged: folders stay, files and links of the same name are replaced. Not copied: owners (nor the
//! set-id bits of somebody else's files), extended attributes, the times of links; hard links become files of their
//! own. Fifos, sockets and devices are listed as errors. `--verify` reads both sides back through the system's cache;
//! it is about this program, not about the disk.

mod attributes;
mod crew;
mod demo;
mod job;
mod ledger;
mod partial;
mod plan;
mod report;
mod tree;

use clap::Parser;
use demo::Demo;
use ledger::Ledger;
use plan::Plan;
use report::Report;
use std::error::Error;
use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::num::NonZeroUsize;
use std::path::{self, Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

/// Copies a folder tree with a pool of processes.
#[derive(Debug, Parser)]
#[command(
    name = "copy_tree",
    after_help = "Exit codes: 0 all copied, 1 some errors, 2 wrong usage, 130 interrupted."
)]
struct Args {
    /// The folder whose content is copied; without it, a small tree made for the purpose
    #[arg(requires = "dest")]
    source: Option<PathBuf>,
    /// The folder it is copied to; made if it is not there, merged with if it is
    dest: Option<PathBuf>,
    /// How many processes copy [default: one for each processor]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Read both sides again and compare their hashes
    #[arg(long)]
    verify: bool,
    /// Write nothing but errors
    #[arg(long)]
    quiet: bool,
}

const SOME_ERRORS: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut args = Args::parse();
    let code = match (args.source.take(), args.dest.take()) {
        (Some(source), Some(dest)) => copy(&args, &source, &dest),
        _ => show(Args { verify: true, ..args }),
    };
    ExitCode::from(code)
}

/// Copies a tree of our own.
fn show(args: Args) -> u8 {
    match Demo::new() {
        Ok(demo) => {
            if !args.quiet {
                // Nobody may be listening; the work is the same.
                let _ = writeln!(
                    io::stdout(),
                    "no SOURCE and DEST given: copying a small tree made for the purpose"
                );
            }
            copy(&args, &demo.source(), &demo.dest())
        }
        Err(error) => complain(SOME_ERRORS, format_args!("cannot make a tree to copy: {error}")),
    }
}

/// Copies `source` to `dest` and gives the exit code.
fn copy(args: &Args, source: &Path, dest: &Path) -> u8 {
    let (source, dest) = match check(source, dest) {
        Ok(checked) => checked,
        Err(error) => return complain(WRONG_USAGE, error),
    };
    let report = Rc::new(Report::new(&source, args.quiet));
    if let Err(error) = work(args, &source, &dest, &report) {
        report.error(&source, error);
    }
    report.finish(args.verify);
    if crew::interrupted() {
        complain(crew::INTERRUPTED, "interrupted")
    } else if report.has_errors() {
        SOME_ERRORS
    } else {
        0
    }
}

fn work(args: &Args, source: &Path, dest: &Path, report: &Rc<Report>) -> Result<(), Box<dyn Error>> {
    let workers = args.workers.or(NonZeroUsize::new(multiproc::cpu_count())).unwrap_or(NonZeroUsize::MIN);
    let ledger = Rc::new(Ledger::default());
    let plan = Plan::new(source, dest, args.verify, &ledger, report)?;
    crew::copy(plan, workers, &ledger, report)
}

/// Resolves both folders, and refuses what would copy the copy or write into the source.
fn check(source: &Path, dest: &Path) -> Result<(PathBuf, PathBuf), String> {
    let told = |path: &Path, error| format!("{}: {error}", path.display());
    let source = fs::canonicalize(source).map_err(|error| told(source, error))?;
    let dest = resolve(dest).map_err(|error| told(dest, error))?;
    if !source.is_dir() {
        return Err(format!("{}: is no folder: name one that is", source.display()));
    }
    if dest.starts_with(&source) {
        let (source, dest) = (source.display(), dest.display());
        return Err(format!("{dest}: lies inside the source {source}: name a folder outside of it"));
    }
    if source.starts_with(&dest) {
        // A folder of the source may have the name of one on the way to it: `copy_tree p/sub p` with a p/sub/sub.
        let (source, dest) = (source.display(), dest.display());
        return Err(format!(
            "{dest}: holds the source {source}, which the copy could overwrite: name a folder beside it"
        ));
    }
    Ok((source, dest))
}

/// Resolves a path whose last parts need not be there yet.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let path = path::absolute(path)?;
    match fs::canonicalize(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(resolve(parent)?.join(name)),
            _ => Err(error),
        },
        result => result,
    }
}

fn complain(code: u8, what: impl Display) -> u8 {
    // Where stderr is closed the exit code says enough.
    let _ = writeln!(io::stderr(), "copy_tree: {what}");
    code
}
