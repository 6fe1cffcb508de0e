//! Kills processes at every instruction of an operation, and looks at what the others make of it.
//!
//! For every scenario the victim's instructions are counted once. Then, for each of them, a fresh victim comes so far
//! under `ptrace` and is killed there; the others, real processes that sleep *without bound*, so that no time-out
//! hides a lost wake-up, must go on by themselves and do a hundred operations each, within a second; and what is
//! shared must be as if the victim's operation had happened or had not. The same with a pause in the place of the
//! kill, with a second kill of one that cleans up after the first, and with kills at random times under load.
//!
//! Protocols that are known to be wrong run as controls, and must be caught: a stepper that catches nothing proves
//! nothing.
//!
//! `cargo xtask stress --only stepper` runs all of it, at every instruction; `--minutes n` spreads what fits into that
//! time evenly. Behind `--`, `--only text` chooses by name, `--kills` leaves out pauses and second kills.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports to a terminal")]

mod control;
mod crew;
mod heap;
mod lanes;
mod leftovers;
mod memory;
mod os;
mod point;
mod run;
mod scenario;
mod scenarios;
mod storm;
mod storm_queue;
mod travel;

use lanes::{Told, share_out};
use point::Desk;
use run::{Budget, Report, catch, gather, heads, try_out, try_some};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// So many scenarios, or more, are done side by side if the time is bounded; of fewer each has all cores.
const MANY: usize = 8;
/// What the storms get of all time.
const STORMS: f64 = 0.1;
/// How long a control may take to be caught.
const CONTROL: Duration = Duration::from_secs(60);

/// Not where tests run in threads.
#[cfg_attr(not(test), global_allocator)]
static HEAP: heap::Heap = heap::Heap::new();

struct Options {
    /// As long as it takes, if nobody says.
    time: Option<Duration>,
    only: String,
    lists: bool,
    /// Nothing else is done to the victims.
    kills: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options { time: None, only: String::new(), lists: false, kills: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--minutes" => {
                let minutes = args.next().and_then(|minutes| minutes.parse::<f64>().ok());
                let minutes = minutes.filter(|minutes| (0.0..=10_000.0).contains(minutes));
                let minutes = minutes.ok_or("`--minutes` wants a number")?;
                options.time = Some(Duration::from_secs_f64(minutes * 60.0));
            }
            "--only" => options.only = args.next().ok_or("`--only` wants a part of a name")?,
            "--list" => options.lists = true,
            "--kills" => options.kills = true,
            other => {
                return Err(format!("`{other}` is unknown: --minutes <n>, --only <text>, --kills, --list"));
            }
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    os::assert_single_threaded();
    os::come_first();
    os::start_ticking();
    control::start_clock();
    // One line, and from which process: what fails is told again, with its place.
    std::panic::set_hook(Box::new(|info| eprintln!("    process {}: {info}", std::process::id())));
    let mut chosen = scenarios::all();
    chosen.retain(|scenario| scenario.name().contains(&options.only));
    if options.lists {
        chosen.iter().for_each(|scenario| println!("{}", scenario.name()));
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    let desk = match Desk::new() {
        Ok(desk) => desk,
        Err(error) => {
            eprintln!("error: no memory for the driver: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (controls, sound): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|scenario| scenario.is_control());

    let missed = catch_all(&controls);

    let mut storms = scenarios::storms();
    storms.extend(storm_queue::all());
    storms.retain(|(name, _)| format!("storm: {name}").contains(&options.only));
    let share = if sound.is_empty() { 1.0 } else { STORMS };
    let stepping = options.time.map(|time| if storms.is_empty() { time } else { time.mul_f64(1.0 - share) });
    let mut total = Report::default();
    println!("{}", heads());
    let mut show = |at: usize, report: Report, took: Duration| {
        println!("{:<44} {report} {:>6.1}", sound[at].name(), took.as_secs_f64());
        gather(&report.failures).iter().for_each(|failure| println!("    {failure}"));
        total.include(report);
    };
    match stepping {
        Some(time) if sound.len() >= MANY && !options.kills => {
            let wrong = try_some(&sound, time.saturating_sub(started.elapsed()), &mut show);
            wrong.iter().for_each(|wrong| println!("    {wrong}"));
            total.leftovers += wrong.len();
            total.failures.extend(wrong);
        }
        _ => {
            for (at, scenario) in sound.iter().enumerate() {
                // What one has not used is the others'.
                let left =
                    stepping.map(|time| time.saturating_sub(started.elapsed()) / (sound.len() - at) as u32);
                let began = Instant::now();
                let budget = if options.kills { Budget::kills(left) } else { Budget::of(left) };
                let report = try_out(&desk, &**scenario, budget);
                show(at, report, began.elapsed());
            }
        }
    }
    let (mut kills, mut broken) = (0, 0);
    for (name, storm) in &storms {
        let came = storm(options.time.map(|time| time.mul_f64(share) / storms.len() as u32));
        println!("storm: {name}: {came}");
        kills += came.kills;
        broken += usize::from(came.failure.is_some());
    }
    println!(
        "{:<44} {total} {:>6.1}",
        format!("total of {} scenarios", sound.len()),
        started.elapsed().as_secs_f64()
    );
    println!(
        "{kills} random kills, {broken} storms failed; {} of {} controls caught; {:.0} s",
        controls.len() - missed,
        controls.len(),
        started.elapsed().as_secs_f64()
    );
    if total.is_good() && missed == 0 && broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Looks whether all protocols that are known to be wrong are caught, and tells how many are not.
fn catch_all(controls: &[Box<dyn scenario::Scenario>]) -> usize {
    let task = |desk: &Desk, at: usize, say: lanes::Tell<'_>| {
        let began = Instant::now();
        let (tried, caught) = catch(desk, &*controls[at], CONTROL);
        let word = caught.map_or(MISSED.to_owned(), |failure| format!("caught by {failure}"));
        let (name, took) = (controls[at].name(), began.elapsed().as_secs_f64());
        // That it fails is what is wanted: the others are tried all the same.
        say(Told { has_failed: false, line: format!("{name}: {tried} points in {took:.1} s, {word}") });
    };
    let mut caught = 0;
    let wrong = share_out(controls.len(), None, &task, &mut |line| {
        caught += usize::from(!line.ends_with(MISSED));
        println!("control: {line}");
    });
    wrong.iter().for_each(|wrong| println!("    {wrong}"));
    controls.len() - caught
}

const MISSED: &str = "NOT CAUGHT";
