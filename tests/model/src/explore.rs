use crate::local::{Live, Table};
use crate::machine::world;
use crate::report::say;
use crate::search::{Move, Plan, Search, Stop, TimeOuts};
use std::fmt;
use std::time::{Duration, Instant};

/// A model of at most so many states is small.
const SMALL: usize = 1_000;
/// Without reductions so many states are visited at most.
const LARGE: usize = 400_000;

/// A model: how many processes, what each does, how many of them may be killed.
#[derive(Clone, Debug)]
pub struct Explorer<F = fn()> {
    plan: Plan,
    begin: F,
}

/// What can happen to the processes of a model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    /// How many are killed, at any of their steps.
    pub kills: usize,
    /// How many bounded sleeps end early, as if all the others had been stopped for so long.
    pub pauses: usize,
    /// Whether time passes between what the kernel does for a dead process and the moment when it is seen to be dead.
    pub slow_deaths: bool,
}

impl From<usize> for Trouble {
    fn from(kills: usize) -> Trouble {
        Trouble { kills, ..Trouble::default() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kills", self.kills)?;
        if self.pauses > 0 {
            write!(f, ", {} pauses", self.pauses)?;
        }
        f.write_str(if self.slow_deaths { ", slow deaths" } else { "" })
    }
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
    /// In how many ways it ended: who was dead or slept, and what was in the memory.
    pub outcomes: usize,
    /// A number for all of these, the same for the same ones.
    pub digest: u64,
    /// States from which only the end of a bounded sleep led on.
    pub stuck: usize,
    /// How many states led to the same ends without reductions, if that was tried.
    pub unreduced: usize,
    /// How long it took.
    pub elapsed: Duration,
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

impl Explorer {
    /// A model of that many processes.
    pub fn new(processes: usize) -> Explorer {
        let plan = Plan {
            processes,
            kills: 0,
            early: 0,
            limit: usize::MAX,
            time_outs: TimeOuts::Never,
            slow_deaths: false,
            is_reduced: true,
        };
        Explorer { plan, begin: || () }
    }

    /// Fills the shared memory, which is all zeros, before the processes begin.
    pub fn begin<F: Fn()>(self, begin: F) -> Explorer<F> {
        Explorer { plan: self.plan, begin }
    }
}

impl<F: Fn()> Explorer<F> {
    /// Lets all this happen.
    #[must_use]
    pub fn trouble(mut self, trouble: Trouble) -> Explorer<F> {
        (self.plan.kills, self.plan.early) = (trouble.kills, trouble.pauses);
        self.plan.slow_deaths = trouble.slow_deaths;
        self
    }

    /// Lets that many of the processes be killed.
    #[must_use]
    pub fn kills(mut self, kills: usize) -> Explorer<F> {
        self.plan.kills = kills;
        self
    }

    /// Stops after that many states.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Explorer<F> {
        self.plan.limit = limit;
        self
    }

    /// Lets bounded sleeps end where somebody sleeps who should not; without this such a state is a failure.
    #[must_use]
    pub fn time_outs(mut self) -> Explorer<F> {
        self.plan.time_outs = TimeOuts::Always;
        self
    }

    /// Does the same as [`time_outs`](Self::time_outs), but for those who slept while each of the dead died: they must
    /// have heard of it. Where deaths are slow they cannot.
    #[must_use]
    pub fn late_time_outs(mut self) -> Explorer<F> {
        self.plan.time_outs = TimeOuts::OfLateComers;
        self
    }

    /// Visits every state; `check` is asked in each one in which nobody can go on whether it should be so.
    ///
    /// Small models are explored again without any reduction, and must come to the same ends.
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
        // Panics of processes are reported as failures.
        let program: &'static (dyn Fn(usize) + 'static) = Box::leak(Box::new(program));
        let result = self.search(&self.plan, true, program, &check);
        let figures = match &result {
            Ok(figures) => *figures,
            Err(failure) => failure.figures,
        };
        if !figures.complete && result.is_ok() || figures.states > SMALL {
            return result;
        }
        let plan = Plan { is_reduced: false, limit: LARGE, ..self.plan.clone() };
        let again = self.search(&plan, false, program, &check);
        let differ = |what: String| {
            let what = format!("of the model, not of what it tries: {what}");
            Err(Box::new(Failure { what, trace: Vec::new(), figures }))
        };
        match (&result, &again) {
            (_, Ok(again)) if !again.complete => result,
            (Ok(one), Ok(other)) if (one.outcomes, one.digest) == (other.outcomes, other.digest) => {
                Ok(Figures { unreduced: other.states, ..*one })
            }
            (Err(_), Err(_)) => result,
            (one, other) => differ(format!("{one:?}, and without reductions {other:?}")),
        }
    }

    /// Visits every state as [`explore`](Self::explore) does, and says what that was.
    ///
    /// # Panics
    ///
    /// Something went wrong, or not all states were visited.
    pub fn prove(
        &self,
        what: fmt::Arguments<'_>,
        program: impl Fn(usize) + 'static,
        check: impl Fn(&End) -> Result<(), String>,
    ) {
        let figures = match self.explore(program, check) {
            Ok(figures) => figures,
            Err(failure) => panic!("{what}: {failure}"),
        };
        say(format_args!("{what}: {figures}"));
        assert!(figures.complete, "{what}: there are more states");
    }

    /// Visits every state, with stacks put into classes or not.
    fn search(
        &self,
        plan: &Plan,
        is_merged: bool,
        program: &'static (dyn Fn(usize) + 'static),
        check: &impl Fn(&End) -> Result<(), String>,
    ) -> Result<Figures, Box<Failure>> {
        let world = world();
        let began = Instant::now();
        let mut live = Live::new(!is_merged);
        let mut tables: Vec<Table> = (0..plan.processes).map(|at| Table::new(world, at)).collect();
        let mut limits =
            [10_000, 100_000, 1_000_000].into_iter().filter(|limit| is_merged && *limit < plan.limit);
        let mut now = Plan { limit: limits.next().unwrap_or(plan.limit), ..plan.clone() };
        loop {
            world.begin(program);
            (self.begin)();
            (live.differs, live.since) = (false, 0);
            let mut search = Search::new(world, &now, check, &mut live, &mut tables);
            let result = search.run();
            let figures = Figures { elapsed: began.elapsed(), ..search.figures };
            match result {
                Ok(()) if figures.complete || now.limit == plan.limit => {
                    if is_merged {
                        tables.iter_mut().for_each(|table| table.confirm(&mut live));
                    }
                    if !live.differs {
                        return Ok(figures);
                    }
                }
                // What is not known yet is learned by small searches, since each time all begins again.
                Ok(()) => now.limit = limits.next().unwrap_or(plan.limit),
                Err(Stop::Failure(failure, moves)) => {
                    if self.happens(plan, program, check, &failure, &moves) {
                        return Err(failure);
                    }
                    // What was taken for one class may be two.
                    tables.iter_mut().for_each(|table| table.confirm(&mut live));
                    if !live.differs {
                        let what = format!("of the model, not of what it tries: {}", failure.what);
                        return Err(Box::new(Failure { what, ..*failure }));
                    }
                }
                Err(Stop::Differ) => {}
            }
        }
    }

    /// Takes the moves that led to a failure with processes as they are, merged with no others, and tells whether they
    /// lead there.
    fn happens(
        &self,
        plan: &Plan,
        program: &'static (dyn Fn(usize) + 'static),
        check: &impl Fn(&End) -> Result<(), String>,
        failure: &Failure,
        moves: &[Move],
    ) -> bool {
        let world = world();
        let mut live = Live::new(true);
        let mut tables: Vec<Table> = (0..plan.processes).map(|at| Table::new(world, at)).collect();
        world.begin(program);
        (self.begin)();
        let end = Search::new(world, plan, check, &mut live, &mut tables).replay(moves);
        matches!(end, Err(Stop::Failure(again, _)) if again.what == failure.what)
    }
}
