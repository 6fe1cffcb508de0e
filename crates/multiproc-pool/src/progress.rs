//! How far an iterator's tasks are, on standard error.

use crate::engine::Core;
#[cfg(feature = "progress")]
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
#[cfg(feature = "progress")]
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a line is written where there is no terminal, and how often the workers are looked at.
#[cfg(feature = "progress")]
const LINES: Duration = Duration::from_secs(5);
const LOOKS: Duration = Duration::from_millis(100);

/// A bar, or lines.
pub(crate) struct Bar {
    #[cfg(feature = "progress")]
    bar: ProgressBar,
    #[cfg(feature = "progress")]
    name: String,
    #[cfg(feature = "progress")]
    total: Option<usize>,
    #[cfg(feature = "progress")]
    is_terminal: bool,
    #[cfg(feature = "progress")]
    said: Option<Instant>,
    started: Instant,
    looked: Instant,
    done: u64,
}

impl Bar {
    #[cfg(not(feature = "progress"))]
    pub(crate) fn new(_: &str, _: Option<usize>) -> Option<Bar> {
        None
    }

    #[cfg(feature = "progress")]
    pub(crate) fn new(name: &str, total: Option<usize>) -> Option<Bar> {
        let target = ProgressDrawTarget::stderr();
        // One that cannot move its cursor gets lines, too.
        let is_terminal = io::stderr().is_terminal() && !target.is_hidden();
        let target = if is_terminal { target } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(total.map(|total| total as u64), target);
        let style = match total {
            Some(_) => "{prefix} [{bar:30}] {pos}/{len}, {per_sec}, {eta} left; {msg}",
            None => "{prefix} {spinner} {pos}, {per_sec}; {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        let now = Instant::now();
        Some(Bar {
            bar,
            name: name.to_owned(),
            total,
            is_terminal,
            said: None,
            started: now,
            looked: now,
            done: 0,
        })
    }

    /// Shows that so many are done.
    pub(crate) fn at(&mut self, done: u64, core: &Core) {
        self.done = done;
        if self.looked.elapsed() < LOOKS {
            return;
        }
        self.looked = Instant::now();
        self.show(core);
    }

    #[cfg(not(feature = "progress"))]
    fn show(&mut self, _: &Core) {
        let _ = (self.started, self.done);
    }

    #[cfg(feature = "progress")]
    fn show(&mut self, core: &Core) {
        if self.is_terminal {
            // Each worker: `*` busy, `.` idle, `+` starting.
            let engine = core.engine.lock();
            let states =
                engine.backend.workers().into_iter().map(|worker| match (worker.is_ready, worker.has) {
                    (false, _) => '+',
                    (true, 0) => '.',
                    (true, _) => '*',
                });
            let states: String = states.collect();
            drop(engine);
            self.bar.set_message(states);
            self.bar.set_position(self.done);
        } else if self.said.is_none_or(|said| said.elapsed() >= LINES) {
            self.said = Some(Instant::now());
            self.line();
        }
    }

    #[cfg(feature = "progress")]
    fn line(&self) {
        let rate = self.done as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let left = match self.total {
            Some(total) if rate > 0.0 => {
                let left = (total as f64 - self.done as f64).max(0.0) / rate;
                format!(" of {total}, {rate:.0}/s, {left:.0} s left")
            }
            _ => format!(", {rate:.0}/s"),
        };
        // Nobody to tell where there is no standard error.
        let _ = io::stderr().write_all(format!("{}: {}{left}\n", self.name, self.done).as_bytes());
    }
}

#[cfg(feature = "progress")]
impl Drop for Bar {
    fn drop(&mut self) {
        if self.is_terminal {
            self.bar.set_position(self.done);
            self.bar.abandon();
        } else {
            self.line();
        }
    }
}
