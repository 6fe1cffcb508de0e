//! The way through the states: what processes, memory and kernel are in each, and what can happen next.

mod step;

use crate::explore::{End, Failure, Figures};
use crate::local::{Live, Plain, Table};
use crate::machine::{PROCESSES, Request, World};
use multiproc_core::sync::model::TIMED_OUT;
use std::collections::HashSet;
use std::fmt;
use std::hash::BuildHasherDefault;
use xxhash_rust::xxh3::xxh3_64;

const DIED: u32 = 1 << 30;
const SLEEPERS: u32 = 1 << 31;
/// After so many of them it is none that an exploration can come to an end of.
const ENDLESS: usize = 10_000;

/// What an exploration is to try.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) processes: usize,
    pub(crate) kills: usize,
    pub(crate) early: usize,
    pub(crate) limit: usize,
    pub(crate) time_outs: TimeOuts,
    pub(crate) slow_deaths: bool,
    pub(crate) is_reduced: bool,
}

/// Whose sleeps end where somebody sleeps who should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeOuts {
    /// Nobody's.
    Never,
    /// That of whoever has not slept through each death: who has must have heard of it.
    OfLateComers,
    /// Everybody's.
    Always,
}

/// Why a search did not come to its end.
pub(crate) enum Stop {
    /// It must begin again.
    Differ,
    /// It failed, after these moves.
    Failure(Box<Failure>, Vec<Move>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Ready,
    Asleep,
    /// Its sleep has ended, as it will learn.
    Woken,
    /// It will be killed before its next step, some time.
    Doomed,
    /// The kernel has done what it does for the dead, but it is not yet seen to be dead.
    Dying,
    Dead,
    Done,
}

#[derive(Clone, Copy, Debug)]
struct Process {
    status: Status,
    /// What it remembers.
    class: u32,
    /// The address of what the kernel watches for it.
    watched: usize,
    learned: u64,
    /// During how many deaths it slept.
    heard: u8,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Move {
    Run(u8, u8),
    Kill(u8, u8),
    Doom(u8),
    Bury(u8, u8),
    Vanish(u8),
    WakeEarly(u8),
    TimeOut,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Move::Run(process, 0) => write!(f, "{process}"),
            Move::Run(process, choice) => write!(f, "{process}/{choice}"),
            Move::Kill(process, _) => write!(f, "kill{process}"),
            Move::Doom(process) => write!(f, "doom{process}"),
            Move::Bury(process, _) => write!(f, "bury{process}"),
            Move::Vanish(process) => write!(f, "vanish{process}"),
            Move::WakeEarly(process) => write!(f, "early{process}"),
            Move::TimeOut => f.write_str("time"),
        }
    }
}

/// What it takes to go back one change.
enum Undo {
    Word(usize, u64),
    Process(usize, Process),
    Kills(usize),
    Early(usize),
}

/// A state on the way to the present one.
struct Node {
    taken: Move,
    /// How long the list of changes was.
    changes: usize,
    /// Where its moves begin in the list of moves that are still to be taken.
    moves: usize,
}

pub(crate) struct Search<'a, C> {
    world: &'static World,
    plan: &'a Plan,
    check: &'a C,
    live: &'a mut Live,
    tables: &'a mut [Table],
    processes: [Process; PROCESSES],
    kills: usize,
    early: usize,
    changes: Vec<Undo>,
    path: Vec<Node>,
    moves: Vec<Move>,
    visited: HashSet<u64, BuildHasherDefault<Plain>>,
    /// How many words of the memory have been used.
    used: usize,
    words: Vec<u64>,
    pub(crate) figures: Figures,
    outcomes: HashSet<u64, BuildHasherDefault<Plain>>,
    /// How many steps are taken at most after it was known that the search must begin again.
    last: Option<usize>,
}

impl<'a, C: Fn(&End) -> Result<(), String>> Search<'a, C> {
    /// A search through what begins with the memory as it is.
    pub(crate) fn new(
        world: &'static World,
        plan: &'a Plan,
        check: &'a C,
        live: &'a mut Live,
        tables: &'a mut [Table],
    ) -> Self {
        let unused = Process { status: Status::Done, class: 0, watched: 0, learned: 0, heard: 0 };
        let mut processes = [unused; PROCESSES];
        for (at, process) in processes[..plan.processes].iter_mut().enumerate() {
            process.status = Status::Ready;
            process.class = tables[at].begin(live);
        }
        let used = world.memory().iter().rposition(|word| word.get() != 0).map_or(0, |last| last + 1);
        Search {
            world,
            plan,
            check,
            live,
            tables,
            processes,
            kills: plan.kills,
            early: plan.early,
            changes: Vec::new(),
            path: Vec::new(),
            moves: Vec::new(),
            visited: HashSet::default(),
            used,
            words: Vec::new(),
            figures: Figures { complete: true, ..Figures::default() },
            outcomes: HashSet::default(),
            last: None,
        }
    }

    /// Visits all states.
    pub(crate) fn run(&mut self) -> Result<(), Stop> {
        let result = self.visit();
        if self.live.differs { Err(Stop::Differ) } else { result }
    }

    /// Takes moves, and tells how that ends.
    pub(crate) fn replay(&mut self, moves: &[Move]) -> Result<(), Stop> {
        let mut last = Move::TimeOut;
        for next in moves {
            self.settle(last)?;
            self.take(*next)?;
            last = *next;
        }
        self.arrive(last)
    }

    fn visit(&mut self) -> Result<(), Stop> {
        self.arrive(Move::TimeOut)?;
        while let Some(node) = self.path.last() {
            let (changes, moves) = (node.changes, node.moves);
            self.go_back(changes);
            if self.moves.len() == moves {
                self.path.pop();
                continue;
            }
            if self.figures.states >= self.plan.limit {
                self.figures.complete = false;
                return Ok(());
            }
            if self.live.differs {
                // What else differs is found on the way; but this way may be one that does not exist.
                let last = *self.last.get_or_insert(self.figures.transitions * 5 / 4 + 1000);
                if self.figures.transitions >= last || self.live.is_over() {
                    return Err(Stop::Differ);
                }
            }
            let Some(next) = self.moves.pop() else { unreachable!("there is one, as its length says") };
            self.take(next)?;
            self.arrive(next)?;
        }
        Ok(())
    }

    /// Takes a move, and adds to the list the others of its kind, of which it is only now known that there are any.
    fn take(&mut self, next: Move) -> Result<(), Stop> {
        self.figures.transitions += 1;
        let choices = match next {
            Move::Run(process, choice) => self.step(process.into(), choice.into(), next)?,
            Move::Kill(process, choice) => {
                self.set_kills(self.kills - 1);
                self.bury(process.into(), choice.into())
            }
            Move::Bury(process, choice) => self.bury(process.into(), choice.into()),
            Move::Doom(process) => {
                self.set_kills(self.kills - 1);
                self.set_status(process.into(), Status::Doomed);
                1
            }
            Move::Vanish(process) => {
                self.set_status(process.into(), Status::Dead);
                1
            }
            Move::WakeEarly(process) => {
                self.changes.push(Undo::Early(self.early));
                self.early -= 1;
                self.wake_one(process.into(), TIMED_OUT);
                1
            }
            Move::TimeOut => {
                self.time_out();
                1
            }
        };
        let others = 1..choices as u8;
        match next {
            Move::Run(process, 0) => self.moves.extend(others.map(|choice| Move::Run(process, choice))),
            Move::Kill(process, 0) => self.moves.extend(others.map(|choice| Move::Kill(process, choice))),
            Move::Bury(process, 0) => self.moves.extend(others.map(|choice| Move::Bury(process, choice))),
            _ => {}
        }
        Ok(())
    }

    /// Goes on from the state that a move has led to, unless that was visited.
    fn arrive(&mut self, taken: Move) -> Result<(), Stop> {
        if let Some(process) = self.settle(taken)? {
            let moves = self.moves.len();
            self.moves.extend([Move::Doom(process), Move::Run(process, 0)]);
            self.path.push(Node { taken, changes: self.changes.len(), moves });
            return Ok(());
        }
        let fingerprint = self.fingerprint();
        if !self.visited.insert(fingerprint) {
            return Ok(());
        }
        self.figures.states += 1;
        let moves = self.moves.len();
        let mut can_go_on = false;
        for at in 0..self.plan.processes {
            let process = self.processes[at];
            let number = at as u8;
            let is_killable = match process.status {
                Status::Ready => !self.plan.is_reduced || !self.next(at).is_pure,
                Status::Asleep => true,
                _ => false,
            };
            if is_killable && self.kills > 0 {
                self.moves.push(Move::Kill(number, 0));
            }
            if process.status == Status::Asleep && self.early > 0 {
                self.moves.push(Move::WakeEarly(number));
            }
        }
        for at in 0..self.plan.processes {
            let number = at as u8;
            match self.processes[at].status {
                Status::Ready => self.moves.push(Move::Run(number, 0)),
                Status::Doomed => self.moves.push(Move::Bury(number, 0)),
                Status::Dying => self.moves.push(Move::Vanish(number)),
                _ => continue,
            }
            can_go_on = true;
        }
        if !can_go_on {
            let end = self.end();
            match (self.check)(&end) {
                Ok(()) => {
                    self.figures.ends += 1;
                    let outcome = self.outcome(&end);
                    if self.outcomes.insert(outcome) {
                        self.figures.outcomes += 1;
                        self.figures.digest ^= outcome;
                    }
                }
                Err(what) if (0..self.plan.processes).any(|at| self.may_time_out(at)) => {
                    // A time-out that leads back here would be taken for a state that was visited.
                    if !self.goes_on(taken)? {
                        return Err(self.fail(format!("{what}, also after bounded sleeps"), taken));
                    }
                    self.figures.stuck += 1;
                    self.moves.push(Move::TimeOut);
                }
                Err(what) => return Err(self.fail(what, taken)),
            }
        }
        self.path.push(Node { taken, changes: self.changes.len(), moves });
        Ok(())
    }

    /// Takes the steps that no other process can tell from none, up to one of which a death could be.
    fn settle(&mut self, taken: Move) -> Result<Option<u8>, Stop> {
        let mut steps = 0;
        while let Some((process, is_pure)) = self.alone() {
            if self.kills > 0 && !is_pure {
                // No step of another can tell whether this one is taken before or after it. A kill can, and is decided
                // on here and done whenever it may be.
                return Ok(Some(process as u8));
            }
            self.step(process, 0, taken)?;
            self.figures.transitions += 1;
            steps += 1;
            if steps >= ENDLESS {
                return Err(self.fail(format!("process {process} goes on without a step for others"), taken));
            }
        }
        Ok(None)
    }

    fn fail(&self, what: String, taken: Move) -> Stop {
        let moves: Vec<Move> = self.path.iter().skip(1).map(|node| node.taken).chain([taken]).collect();
        let trace = moves.iter().map(ToString::to_string).collect();
        Stop::Failure(Box::new(Failure { what, trace, figures: self.figures }), moves)
    }

    /// A process whose next step no other can tell from none, and whether also no death can.
    fn alone(&self) -> Option<(usize, bool)> {
        (0..self.plan.processes).find_map(|at| match self.processes[at].status {
            Status::Woken => Some((at, true)),
            Status::Ready => {
                let next = self.next(at);
                let is_alone = next.is_alone && (self.plan.is_reduced || next.request == Request::Begin);
                is_alone.then_some((at, next.is_pure))
            }
            _ => None,
        })
    }

    fn next(&self, process: usize) -> crate::local::Step {
        self.tables[process].step(self.processes[process].class)
    }

    /// Tells whether a few bounded sleeps later everybody is where they should be, without further kills.
    fn goes_on(&mut self, taken: Move) -> Result<bool, Stop> {
        const SLEEPS: usize = 8;
        let changes = self.changes.len();
        let mut result = false;
        let mut steps = 0;
        'sleeps: for _ in 0..SLEEPS {
            self.time_out();
            let mut is_any_ready = true;
            while is_any_ready {
                is_any_ready = false;
                for at in 0..self.plan.processes {
                    if matches!(self.processes[at].status, Status::Ready | Status::Woken) {
                        is_any_ready = true;
                        steps += 1;
                        if steps >= ENDLESS {
                            break 'sleeps;
                        }
                        match self.step(at, 0, taken) {
                            Ok(_) => {}
                            // It is found again on the way that is explored.
                            Err(Stop::Failure(..)) => {
                                result = true;
                                break 'sleeps;
                            }
                            Err(stop) => return Err(stop),
                        }
                    }
                }
            }
            if (self.check)(&self.end()).is_ok() {
                result = true;
                break;
            }
        }
        self.go_back(changes);
        Ok(result)
    }

    fn end(&self) -> End {
        let is = |status| self.processes[..self.plan.processes].iter().map(move |it| it.status == status);
        End { dead: is(Status::Dead).collect(), asleep: is(Status::Asleep).collect() }
    }

    fn set_process(&mut self, at: usize, process: Process) {
        self.changes.push(Undo::Process(at, self.processes[at]));
        self.processes[at] = process;
    }

    fn set_status(&mut self, at: usize, status: Status) {
        self.set_process(at, Process { status, ..self.processes[at] });
    }

    fn set_kills(&mut self, kills: usize) {
        self.changes.push(Undo::Kills(self.kills));
        self.kills = kills;
    }

    fn write(&mut self, word: usize, value: u64) {
        let cell = &self.world.memory()[word];
        if cell.get() != value {
            self.changes.push(Undo::Word(word, cell.replace(value)));
            self.used = self.used.max(word + 1);
        }
    }

    fn go_back(&mut self, to: usize) {
        while self.changes.len() > to {
            match self.changes.pop() {
                Some(Undo::Word(word, value)) => self.world.memory()[word].set(value),
                Some(Undo::Process(at, process)) => self.processes[at] = process,
                Some(Undo::Kills(kills)) => self.kills = kills,
                Some(Undo::Early(early)) => self.early = early,
                None => {}
            }
        }
    }

    /// A number for how it ended: for who is dead or sleeps, and for what is in the memory.
    fn outcome(&mut self, end: &End) -> u64 {
        let words = &mut self.words;
        words.clear();
        words.extend(end.dead.iter().chain(&end.asleep).map(|is| u64::from(*is)));
        words.extend(self.world.memory().iter().map(std::cell::Cell::get));
        xxh3_64(zerocopy::IntoBytes::as_bytes(&words[..]))
    }

    /// A number for the state, of 64 bits: that two states of a billion have the same is less than likely.
    fn fingerprint(&mut self) -> u64 {
        let words = &mut self.words;
        words.clear();
        words.push(self.kills as u64 | (self.early as u64) << 32);
        for process in &self.processes[..self.plan.processes] {
            let status = process.status as u64;
            match process.status {
                // What they remember plays no role any more.
                Status::Done | Status::Dead | Status::Dying => words.push(status),
                Status::Doomed => words.extend([status, process.watched as u64]),
                Status::Ready | Status::Asleep | Status::Woken => {
                    let heard = u64::from(process.heard) << 8;
                    words.extend([status | heard | u64::from(process.class) << 32, process.watched as u64]);
                }
            }
        }
        words.extend(self.world.memory()[..self.used].iter().map(std::cell::Cell::get));
        // How many words were used on the way here plays no role.
        let used = words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        xxh3_64(zerocopy::IntoBytes::as_bytes(&words[..used]))
    }
}
