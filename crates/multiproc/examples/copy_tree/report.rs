//! What people see: the progress, the errors as they come, the summary.

use crate::crew;
use crate::job::Work;
use indicatif::{BinaryBytes, HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::fmt::{self, Display};
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How often a line is written where there is no terminal to redraw a bar on.
const LINES_EVERY: Duration = Duration::from_secs(1);

/// What has been done so far.
#[derive(Debug)]
pub(crate) struct Report {
    bar: ProgressBar,
    style: Style,
    started: Instant,
    last_line: Cell<Instant>,
    files: Cell<u64>,
    folders: Cell<u64>,
    links: Cell<u64>,
    bytes: Cell<u64>,
    errors: Cell<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Bar,
    Lines,
    Quiet,
}

impl Report {
    /// Begins a report, and counts `source` meanwhile: the total is known some time after the copying has begun.
    pub(crate) fn new(source: &Path, quiet: bool) -> Report {
        let style = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Style::Quiet,
            (false, true) => Style::Bar,
            (false, false) => Style::Lines,
        };
        let target =
            if style == Style::Bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let template = "{wide_bar} {bytes} of {total_bytes}{msg} {binary_bytes_per_sec} {eta} left";
        if let Ok(look) = ProgressStyle::with_template(template) {
            bar.set_style(look);
        }
        if style != Style::Quiet {
            let (bar, source) = (bar.clone(), source.to_owned());
            bar.set_message("+");
            thread::spawn(move || {
                count(&bar, source);
                bar.set_message("");
            });
        }
        let now = Instant::now();
        Report {
            bar,
            style,
            started: now,
            last_line: Cell::new(now),
            files: Cell::default(),
            folders: Cell::default(),
            links: Cell::default(),
            bytes: Cell::default(),
            errors: Cell::default(),
        }
    }

    /// Counts a job that went well.
    pub(crate) fn done(&self, work: Work, bytes: u64) {
        match work {
            Work::File => self.file(),
            Work::Link => add(&self.links, 1),
            // The file counts when all its ranges are there.
            Work::Range { .. } => {}
        }
        add(&self.bytes, bytes);
        self.bar.inc(bytes);
        if self.style == Style::Lines && self.last_line.get().elapsed() >= LINES_EVERY {
            self.last_line.set(Instant::now());
            self.say(format_args!("{}", self.line()));
        }
    }

    pub(crate) fn file(&self) {
        add(&self.files, 1);
    }

    pub(crate) fn folder(&self) {
        add(&self.folders, 1);
    }

    /// Tells an error at once, and remembers that there was one.
    pub(crate) fn error(&self, path: &Path, what: impl Display) {
        add(&self.errors, 1);
        self.bar.suspend(|| self.say(format_args!("{}: {what}", path.display())));
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors.get() > 0
    }

    /// Writes what came out of it all.
    pub(crate) fn finish(&self, verified: bool) {
        self.bar.finish_and_clear();
        if self.style == Style::Quiet {
            return;
        }
        let took = self.started.elapsed().as_secs_f64();
        let summary = format!(
            "{} {}, {}, {}: {} in {took:.2} s ({:.1} MB/s), {}",
            if verified { "copied and verified" } else { "copied" },
            counted(&self.files, "file"),
            counted(&self.folders, "folder"),
            counted(&self.links, "link"),
            BinaryBytes(self.bytes.get()),
            self.bytes.get() as f64 / 1e6 / took,
            counted(&self.errors, "error"),
        );
        // Nobody may be listening any more, and there is nobody else to tell.
        let _ = writeln!(io::stdout(), "{summary}");
    }

    fn line(&self) -> String {
        let (done, total) = (self.bytes.get(), self.bar.length().unwrap_or(0).max(self.bytes.get()));
        let rate = done as f64 / self.started.elapsed().as_secs_f64();
        // Nobody can tell while nothing but links and empty files is done.
        let left = Duration::try_from_secs_f64((total - done) as f64 / rate)
            .map_or_else(|_| "?".to_owned(), |left| HumanDuration(left).to_string());
        let (done, total, rate) = (HumanBytes(done), HumanBytes(total), HumanBytes(rate as u64));
        format!("{done} of {total}{}, {rate}/s, {left} left", self.bar.message())
    }

    fn say(&self, what: fmt::Arguments<'_>) {
        let _ = writeln!(io::stderr(), "copy_tree: {what}");
    }
}

/// Adds what there is to copy to the bar's length. Whatever cannot be read is the walk's to tell.
fn count(bar: &ProgressBar, source: PathBuf) {
    let mut folders = vec![source];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if crew::interrupted() || bar.is_finished() {
                return;
            }
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) if metadata.is_file() => bar.inc_length(metadata.len()),
                _ => {}
            }
        }
    }
}

fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get() + more);
}

fn counted(count: &Cell<u64>, what: &str) -> String {
    let count = count.get();
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
