//! Several lanes do a list of tasks side by side, each lane a process with a driver of its own, so that all cores
//! have something to do.

use std::io::{BufRead, BufReader, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::crew::HANG;
use crate::leftovers::Leftovers;
use crate::memory::{Plain, shared};
use crate::os::{self, Change};
use crate::point::Desk;

/// Lanes for each core: points wait for sleeps to end now and then.
const LANES: f64 = 2.0;
/// Failures after which the rest is left: each hang costs its second.
const ENOUGH: usize = 5;
/// What the system writes to a pipe in one piece is as long as this at least.
const LINE: usize = 4000;

/// How far the lanes are, together.
struct Progress {
    next: AtomicUsize,
    failures: AtomicUsize,
}

/// What a task has told.
#[derive(Debug)]
pub(crate) struct Told {
    /// It failed; after some of these nothing more is begun.
    pub(crate) has_failed: bool,
    /// What is known of it, without line breaks.
    pub(crate) line: String,
}

/// What a task tells by; it may be called several times.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(Told);

/// How many lanes do so many tasks.
pub(crate) fn lanes(count: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    ((cores as f64 * LANES) as usize).clamp(1, count.max(1))
}

/// Does `count` tasks, and stops to begin further ones when the time is up; `hear` is given what each has told.
///
/// Returns what is wrong with the lanes themselves, and what they left.
pub(crate) fn share_out(
    count: usize,
    limit: Option<Duration>,
    task: &dyn Fn(&Desk, usize, Tell<'_>),
    hear: &mut dyn FnMut(&str),
) -> Vec<String> {
    let progress = shared(Progress { next: AtomicUsize::new(0), failures: AtomicUsize::new(0) });
    let (reader, writer) = match std::io::pipe() {
        Ok(ends) => ends,
        Err(error) => return vec![format!("no pipe for the lanes: {error}")],
    };
    let started = Instant::now();
    let lane = |lane: usize| {
        os::stay(lane);
        os::start_ticking();
        let before = Leftovers::count();
        let desk = match Desk::new() {
            Ok(desk) => desk,
            Err(error) => panic!("no memory: {error}"),
        };
        let Plain(progress) = &*progress;
        while limit.is_none_or(|limit| started.elapsed() < limit)
            && progress.failures.load(Ordering::Relaxed) < ENOUGH
        {
            let at = progress.next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                break;
            }
            task(&desk, at, &mut |told| {
                progress.failures.fetch_add(usize::from(told.has_failed), Ordering::Relaxed);
                say(&writer, &told.line);
            });
        }
        drop(desk);
        Leftovers::count().since(&before).iter().for_each(|left| say(&writer, left));
    };
    let lanes: Vec<_> = (0..lanes(count)).map(|at| os::spawn(|| lane(at))).collect();
    drop(writer);
    let mut wrong = Vec::new();
    for line in BufReader::new(reader).lines() {
        match line {
            Ok(line) if line.starts_with("left: ") => wrong.push(line),
            Ok(line) => hear(&line),
            Err(error) => wrong.push(format!("the lanes cannot be heard: {error}")),
        }
    }
    for lane in lanes {
        match os::wait(lane, HANG) {
            Some(Change::Exited(0)) => {}
            end => wrong.push(format!("a lane ended early: {end:?}")),
        }
    }
    wrong
}

/// In one piece, so that the lanes do not cut into each other's lines.
fn say(mut writer: &std::io::PipeWriter, line: &str) {
    let mut line: String = line.chars().map(|sign| if sign == '\n' { ' ' } else { sign }).collect();
    line.truncate(line.floor_char_boundary(LINE));
    line.push('\n');
    // Without somebody who hears there is nobody to tell.
    let _ = writer.write_all(line.as_bytes());
}
