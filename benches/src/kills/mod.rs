//! The same programs over several systems, in each of which a process is killed at a random moment amid its work: how
//! often do the others hang, and what is lost?

mod book;
#[cfg(feature = "peers")]
mod heavy;
mod ours;

pub(crate) use ours::serve;

use crate::peer::{NO_HEAVY, interpreter, peer_version};
use crate::{Result, role, sys};
use book::{Book, DONE, FIRST, GO, MOST, PROGRESS, SECOND, STOP};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Where the build script has put the one of Boost; empty where it could not.
const BOOST: &str = env!("BOOST_KILLS");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/kills.py");
const OURS: &str = "ours";
const ICEORYX: &str = "iceoryx2";
const IPC_CHANNEL: &str = "ipc-channel";
/// How long the survivors may take for [`STEPS`] operations each, or to end.
const HANG: Duration = Duration::from_secs(3);
/// More than a queue holds, so that none of them lives on what was there before.
const STEPS: u64 = 200;
const WORKERS: usize = 4;
/// Tasks of 1 ms in a pool.
const TASKS: u64 = 20;
/// When, in microseconds after all have begun, the kill is at the latest.
const LATEST: u64 = 5_000;

/// What is done while somebody is killed.
struct Program {
    name: &'static str,
    sentence: &'static str,
    trial: fn(Command, &mut Random) -> Result<Trial>,
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "queue",
        sentence: "two processes put into a queue of 64, two take; lost is what was accepted and not delivered, but for \
                   one that a killed taker had in its hands",
        trial: |command, random| workers(command, random, queue_books),
    },
    Program {
        name: "channel",
        sentence: "three processes send to one; who sends goes on until it is told that nobody receives; lost is what \
                   was accepted while the receiver lived",
        trial: |command, random| workers(command, random, channel_books),
    },
    Program {
        name: "lock",
        sentence: "four processes take a lock, count and release it; lost is what was counted and is not there, twice \
                   where two had the lock",
        trial: |command, random| workers(command, random, lock_books),
    },
    Program {
        name: "pool",
        sentence: "two workers run 20 tasks of 1 ms; lost are those without a result, but for the one whose error tells \
                   of the kill",
        trial: pool,
    },
];

/// What came of one kill, or of several.
#[derive(Default)]
struct Trial {
    hangs: u64,
    lost: u64,
    twice: u64,
}

/// Kills so many processes of each system in each program, and prints a table.
pub(crate) fn run(kills: u64, only: &str, is_json: bool) -> Result {
    let mut bad = Vec::new();
    for program in PROGRAMS.iter().filter(|program| program.name.contains(only)) {
        if !is_json {
            println!("\n{}: {}", program.name, program.sentence);
        }
        for (system, command) in systems(program.name) {
            let command = match command {
                Ok(command) => command,
                Err(why) => {
                    if is_json {
                        let scenario = format!("kills-{}", program.name);
                        println!("{}", json!({ "scenario": scenario, "system": system, "absent": why }));
                    } else {
                        println!("  absent: {system}: {why}");
                    }
                    continue;
                }
            };
            let (mut sum, mut random) = (Trial::default(), Random(0x9e37_79b9_7f4a_7c15));
            for _ in 0..kills {
                let trial = (program.trial)(command()?, &mut random)
                    .map_err(|error| format!("{}, {system}: {error}", program.name))?;
                sum.hangs += trial.hangs;
                sum.lost += trial.lost;
                sum.twice += trial.twice;
            }
            tell(program, system, kills, &sum, is_json);
            if system == OURS && sum.hangs + sum.lost + sum.twice > 0 {
                bad.push(program.name);
            }
        }
    }
    if !is_json {
        println!("\niceoryx2 and ipc-channel, with one receiver, have channels alone; Boost has no pool");
        if !NO_HEAVY.is_empty() {
            println!("absent: {NO_HEAVY}");
        }
    }
    if bad.is_empty() { Ok(()) } else { Err(format!("ours failed: {}", bad.join(", ")).into()) }
}

fn tell(program: &Program, system: &str, kills: u64, sum: &Trial, is_json: bool) {
    let of_thousand = |number: u64| number as f64 * 1000.0 / kills.max(1) as f64;
    let [hangs, lost, twice] = [sum.hangs, sum.lost, sum.twice].map(of_thousand);
    if is_json {
        let version = peer_version(system).unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
        let line = json!({
            "scenario": format!("kills-{}", program.name), "system": system, "unit": "in 1,000 kills",
            "version": version, "kills": kills, "hangs": hangs, "lost": lost, "twice": twice,
        });
        println!("{line}");
    } else {
        println!(
            "  {system:<26}{kills:>6} kills; in 1,000: {hangs:>6.1} hangs, {lost:>7.1} lost, {twice:>5.1} twice"
        );
    }
}

/// Makes the command that runs a program over a system, but for its last argument.
type Make = Box<dyn Fn() -> Result<Command>>;

/// Who can do it, and who is not here.
fn systems(program: &'static str) -> Vec<(&'static str, std::result::Result<Make, String>)> {
    let own = |kind: &'static str| -> Make {
        Box::new(move || {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(role::kills(kind));
            Ok(command)
        })
    };
    let python = interpreter().map(|python| -> Make {
        Box::new(move || {
            let mut command = Command::new(&python);
            command.args([SCRIPT, program]);
            Ok(command)
        })
    });
    let mut systems = vec![(OURS, Ok(own(program))), ("CPython multiprocessing", python)];
    if program != "pool" {
        let boost: Make = Box::new(move || {
            let mut command = Command::new(BOOST);
            command.arg(program);
            Ok(command)
        });
        let why = "peers/kills.cpp was not built; it takes a C++ compiler and libboost-dev";
        systems.push(("Boost.Interprocess", if BOOST.is_empty() { Err(why.to_owned()) } else { Ok(boost) }));
    }
    if program == "channel" && NO_HEAVY.is_empty() {
        systems.extend([ICEORYX, IPC_CHANNEL].map(|kind| (kind, Ok(own(kind)))));
    }
    systems
}

/// A running program; all of it is gone when this is dropped.
struct Running {
    child: Child,
    /// `None` while it is being ended.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(mut command: Command) -> Result<Running> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a program without pipes".into());
        };
        Ok(Running { child, input: Some(input), output: BufReader::new(output) })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It kills its own then.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// Looks into the book when all have ended; the victim is told.
type Look = fn(&Book, usize) -> Result<Trial>;

fn workers(mut command: Command, random: &mut Random, look: Look) -> Result<Trial> {
    let path = PathBuf::from(format!("/dev/shm/multiproc-bench-kills-{}", std::process::id()));
    let book = Book::create(path.clone())?;
    command.arg(path);
    let mut running = Running::start(command)?;
    let line = running.line()?;
    let numbers: Vec<u32> = line.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
    if numbers.len() != WORKERS {
        return Err(format!("the program said {line:?}").into());
    }
    let progress = |who: usize| book.word(PROGRESS + who as u64);
    book.note(GO, 1)?;
    if !all_within(Duration::from_secs(20), None, |who| Ok(progress(who)? > 0))? {
        return Err("not all workers began".into());
    }
    let victim = random.below(WORKERS as u64) as usize;
    thread::sleep(Duration::from_micros(random.below(LATEST)));
    sys::kill(numbers[victim])?;
    let before: Vec<u64> = (0..WORKERS).map(progress).collect::<std::io::Result<_>>()?;
    let goes_on = |who: usize| {
        let now = progress(who)?;
        // Or it has ended, since the only one that received is dead.
        let is_told = victim == WORKERS - 1 && book.word(DONE + who as u64)? > 0;
        Ok(now >= before[who] + STEPS || now >= MOST || is_told)
    };
    let mut is_well = all_within(HANG, Some(victim), goes_on)?;
    if is_well {
        book.note(STOP, 1)?;
        is_well = all_within(HANG, Some(victim), |who| Ok(book.word(DONE + who as u64)? > 0))?;
    }
    // What is still in a queue in which somebody hangs is not lost.
    if is_well { look(&book, victim) } else { Ok(Trial { hangs: 1, ..Trial::default() }) }
}

/// Tells whether something becomes true of all workers, or of all but one.
fn all_within(limit: Duration, but: Option<usize>, is_so: impl Fn(usize) -> Result<bool>) -> Result<bool> {
    let began = Instant::now();
    for who in (0..WORKERS).filter(|who| Some(*who) != but) {
        while !is_so(who)? {
            if began.elapsed() > limit {
                return Ok(false);
            }
            thread::sleep(Duration::from_micros(200));
        }
    }
    Ok(true)
}

fn queue_books(book: &Book, victim: usize) -> Result<Trial> {
    let mut trial = Trial::default();
    for producer in 0..2 {
        let (lost, twice) = book.taken(2, producer, book.word(PROGRESS + producer)?)?;
        trial.lost += lost;
        trial.twice += twice;
    }
    if victim >= 2 {
        trial.lost = trial.lost.saturating_sub(1);
    }
    Ok(trial)
}

fn channel_books(book: &Book, victim: usize) -> Result<Trial> {
    let mut trial = Trial::default();
    if victim == WORKERS - 1 {
        return Ok(trial);
    }
    for producer in 0..3 {
        let (lost, twice) = book.taken(3, producer, book.word(PROGRESS + producer)?)?;
        trial.lost += lost;
        trial.twice += twice;
    }
    Ok(trial)
}

fn lock_books(book: &Book, _: usize) -> Result<Trial> {
    let mut noted = 0;
    for who in 0..WORKERS as u64 {
        noted += book.word(PROGRESS + who)?;
    }
    let (first, second) = (book.word(FIRST)?, book.word(SECOND)?);
    // The victim may have counted what it did not come to note, and have died between the two words.
    let had_two = second > first || first > second + 1;
    Ok(Trial { lost: noted.saturating_sub(first), twice: u64::from(had_two), hangs: 0 })
}

fn pool(mut command: Command, random: &mut Random) -> Result<Trial> {
    command.arg(TASKS.to_string());
    let mut running = Running::start(command)?;
    if let Some(input) = &mut running.input {
        writeln!(input, "{}", random.below(TASKS * 400) as f64 / 1000.0)?;
    }
    let lost: u64 = running.line()?.trim().parse()?;
    // Who waits for one of them without a limit waits for ever.
    Ok(Trial { hangs: u64::from(lost > 0), lost, twice: 0 })
}

/// Xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
