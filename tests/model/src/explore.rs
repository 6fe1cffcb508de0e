use crate::machine::{Snapshot, State, world};
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

/// A model: how many processes, what each does, how many of them may be killed.
#[derive(Clone, Copy, Debug)]
pub struct Explorer<F = fn()> {
    processes: usize,
    begin: F,
    kills: usize,
    limit: usize,
    time_outs: bool,
}

/// A state in which nobody can go on, since each process has ended, was killed or sleeps.
#[derive(Clone, Debug)]
pub struct End {
    /// Who was killed.
    pub dead: Vec<bool>,
    /// Who sleeps.
    pub asleep: Vec<bool>,
}

impl End {
    /// Objects to anybody sleeping.
    ///
    /// # Errors
    ///
    /// Somebody sleeps.
    pub fn nobody_sleeps(&self) -> Result<(), String> {
        if self.asleep.contains(&true) { Err(format!("hang: {self:?}")) } else { Ok(()) }
    }
}

/// What an exploration went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Different states.
    pub states: usize,
    /// Steps and kills from one of them to another.
    pub transitions: usize,
    /// States in which nobody could go on, and that was right.
    pub ends: usize,
    /// States from which only the end of a bounded sleep led on.
    pub stuck: usize,
    /// Whether all states that can be reached were visited.
    pub complete: bool,
}

/// What went wrong, and what led to it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What went wrong.
    pub what: String,
    /// Which process took each step, or was killed.
    pub trace: Vec<String>,
    /// What was visited until then.
    pub figures: Figures,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, after {} steps: {}", self.what, self.trace.len(), self.trace.join(" "))
    }
}

/// Hashes are spread evenly already.
#[derive(Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

type Visited = HashSet<u128, BuildHasherDefault<Plain>>;

#[derive(Clone, Copy, Debug)]
enum Move {
    Run(usize, usize),
    Kill(usize, usize),
    Doom(usize),
    Bury(usize, usize),
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
            Move::TimeOut => f.write_str("time"),
        }
    }
}

struct Node {
    snapshot: Snapshot,
    kills: usize,
    moves: Vec<Move>,
    taken: Move,
}

/// Tells whether everything is to be visited, however long it takes: `MULTIPROC_MODEL=full` says so.
pub fn is_full() -> bool {
    std::env::var_os("MULTIPROC_MODEL").is_some_and(|value| value == "full")
}

/// How many states to visit where all of them take minutes.
pub fn unless_full(limit: usize) -> usize {
    if is_full() { usize::MAX } else { limit }
}

impl Explorer {
    /// A model of that many processes.
    pub fn new(processes: usize) -> Explorer {
        Explorer { processes, begin: || (), kills: 0, limit: usize::MAX, time_outs: false }
    }

    /// Fills the shared memory, which is all zeros, before the processes begin.
    pub fn begin<F: Fn()>(self, begin: F) -> Explorer<F> {
        let Explorer { processes, kills, limit, time_outs, .. } = self;
        Explorer { processes, begin, kills, limit, time_outs }
    }
}

impl<F: Fn()> Explorer<F> {
    /// Lets that many of the processes be killed.
    #[must_use]
    pub fn kills(self, kills: usize) -> Explorer<F> {
        Explorer { kills, ..self }
    }

    /// Stops after that many states.
    #[must_use]
    pub fn limit(self, limit: usize) -> Explorer<F> {
        Explorer { limit, ..self }
    }

    /// Lets bounded sleeps end where somebody sleeps who should not; without this such a state is a failure.
    #[must_use]
    pub fn time_outs(self) -> Explorer<F> {
        Explorer { time_outs: true, ..self }
    }

    /// Visits every state; `check` is asked in each one in which nobody can go on whether it should be so.
    ///
    /// # Errors
    ///
    /// A panic of a process, or what `check` found.
    pub fn explore(
        &self,
        program: impl Fn(usize) + 'static,
        check: impl Fn(&End) -> Result<(), String>,
    ) -> Result<Figures, Box<Failure>> {
        // The model ends sleeps itself; a bound that grows would be one more thing that tells states apart.
        multiproc_core::sync::sleep_without_bound(true);
        let world = world();
        // Panics of processes are reported as failures.
        let program: &'static (dyn Fn(usize) + 'static) = Box::leak(Box::new(program));
        world.begin(self.processes, program);
        (self.begin)();
        let mut figures = Figures { complete: true, ..Figures::default() };
        let mut visited = Visited::default();
        let mut path: Vec<Node> = Vec::new();
        self.arrive(&mut path, &mut visited, &mut figures, Move::TimeOut, self.kills, &check)?;
        while let Some(node) = path.last_mut() {
            let Some(next) = node.moves.pop() else {
                path.pop();
                continue;
            };
            if figures.states >= self.limit {
                figures.complete = false;
                return Ok(figures);
            }
            world.restore(&node.snapshot);
            let mut kills = node.kills;
            let choice = match next {
                Move::Run(process, choice) => {
                    world.run(process, choice);
                    choice
                }
                Move::Kill(process, choice) => {
                    world.kill(process, choice);
                    kills -= 1;
                    choice
                }
                Move::Doom(process) => {
                    world.processes[process].state.set(State::Doomed);
                    kills -= 1;
                    0
                }
                Move::Bury(process, choice) => {
                    world.kill(process, choice);
                    choice
                }
                Move::TimeOut => {
                    world.time_out();
                    0
                }
            };
            if choice == 0 && !matches!(next, Move::Doom(_) | Move::TimeOut) {
                // Only now is it known whether there was something to choose.
                for other in 1..world.choices.get() {
                    match next {
                        Move::Run(process, _) => node.moves.push(Move::Run(process, other)),
                        Move::Kill(process, _) => node.moves.push(Move::Kill(process, other)),
                        Move::Bury(process, _) => node.moves.push(Move::Bury(process, other)),
                        Move::Doom(_) | Move::TimeOut => {}
                    }
                }
            }
            figures.transitions += 1;
            self.arrive(&mut path, &mut visited, &mut figures, next, kills, &check)?;
        }
        Ok(figures)
    }

    fn arrive(
        &self,
        path: &mut Vec<Node>,
        visited: &mut Visited,
        figures: &mut Figures,
        taken: Move,
        kills: usize,
        check: &impl Fn(&End) -> Result<(), String>,
    ) -> Result<(), Box<Failure>> {
        let world = world();
        let fail = |what: String, path: &[Node], figures: &Figures| {
            let trace = path.iter().skip(1).map(|node| node.taken).chain([taken]);
            Box::new(Failure {
                what,
                trace: trace.map(|taken| taken.to_string()).collect(),
                figures: *figures,
            })
        };
        // Steps that no other process can tell from none, of those that cannot be killed any more, are no states.
        while kills == 0
            && let Some(process) = self.alone()
            && world.failure.borrow().is_none()
        {
            world.run(process, 0);
            figures.transitions += 1;
        }
        if let Some(what) = world.failure.borrow_mut().take() {
            return Err(fail(what, path, figures));
        }
        let snapshot = world.save();
        let bytes: Vec<u8> =
            snapshot.iter().chain([&(kills as u64)]).flat_map(|word| word.to_ne_bytes()).collect();
        if !visited.insert(xxhash_rust::xxh3::xxh3_128(&bytes)) {
            return Ok(());
        }
        figures.states += 1;
        let mut moves = Vec::new();
        let states: Vec<State> =
            world.processes[..self.processes].iter().map(|process| process.state.get()).collect();
        let alone =
            |process: &usize| states[*process] == State::Ready && world.processes[*process].alone.get();
        if let Some(process) = (0..self.processes).find(alone) {
            // No step of another can tell whether this one is taken before or after it. A kill can, and is decided
            // on here and done whenever it may be.
            if kills > 0 {
                moves.push(Move::Doom(process));
            }
            moves.push(Move::Run(process, 0));
            path.push(Node { snapshot, kills, moves, taken });
            return Ok(());
        }
        for (process, state) in states.iter().enumerate() {
            if matches!(state, State::Ready | State::Asleep(_)) && kills > 0 {
                moves.push(Move::Kill(process, 0));
            }
        }
        let killable = moves.len();
        for (process, state) in states.iter().enumerate() {
            match state {
                State::Ready => moves.push(Move::Run(process, 0)),
                State::Doomed => moves.push(Move::Bury(process, 0)),
                State::Asleep(_) | State::Done | State::Dead => {}
            }
        }
        if moves.len() == killable {
            let end = self.end();
            match check(&end) {
                Ok(()) => figures.ends += 1,
                Err(what) if self.time_outs && end.asleep.contains(&true) => {
                    // A time-out that leads back here would be taken for a state that was visited.
                    if !self.goes_on(check) {
                        return Err(fail(format!("{what}, also after bounded sleeps"), path, figures));
                    }
                    world.restore(&snapshot);
                    figures.stuck += 1;
                    moves.push(Move::TimeOut);
                }
                Err(what) => return Err(fail(what, path, figures)),
            }
        }
        path.push(Node { snapshot, kills, moves, taken });
        Ok(())
    }

    /// A process whose next step touches what no other one does.
    fn alone(&self) -> Option<usize> {
        let processes = &world().processes;
        (0..self.processes)
            .find(|at| processes[*at].state.get() == State::Ready && processes[*at].alone.get())
    }

    /// Tells whether a few bounded sleeps later everybody is where they should be, without further kills.
    fn goes_on(&self, check: &impl Fn(&End) -> Result<(), String>) -> bool {
        const SLEEPS: usize = 8;
        let world = world();
        for _ in 0..SLEEPS {
            world.time_out();
            loop {
                let states = world.processes[..self.processes].iter().map(|process| process.state.get());
                let ready: Vec<usize> = states
                    .enumerate()
                    .filter(|(_, state)| *state == State::Ready)
                    .map(|(process, _)| process)
                    .collect();
                if ready.is_empty() {
                    break;
                }
                for process in ready {
                    // One before it may have put it to sleep, or not.
                    if world.processes[process].state.get() == State::Ready {
                        world.run(process, 0);
                    }
                }
            }
            if world.failure.borrow().is_some() {
                // It is found again on the way that is explored.
                *world.failure.borrow_mut() = None;
                return true;
            }
            if check(&self.end()).is_ok() {
                return true;
            }
        }
        false
    }

    fn end(&self) -> End {
        let states = world().processes[..self.processes].iter().map(|process| process.state.get());
        let states: Vec<State> = states.collect();
        End {
            dead: states.iter().map(|state| *state == State::Dead).collect(),
            asleep: states.iter().map(|state| matches!(state, State::Asleep(_))).collect(),
        }
    }
}
