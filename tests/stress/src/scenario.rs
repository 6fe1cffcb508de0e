//! What can be tried: an operation, its neighbours, and what must hold afterwards.

use crate::control::{Bracket, Gate};

/// What the victim is not alone with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Neighbours {
    /// Nobody; others come after its death.
    None,
    /// These many sleep when its operation begins: it has prepared something that they wait for.
    Asleep(usize),
    /// These many fall asleep after the victim itself has: a holder is needed.
    AsleepBehind(usize),
    /// These many work all the time.
    Contending(usize),
}

/// What an operation was told about others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Clean,
    /// That somebody has died.
    Dead,
}

/// How much of what sleeps must wake by itself after the victim's death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// So many at least; [`Stage::relieve`] wakes the others.
    AtLeast(usize),
    /// All.
    All,
}

/// What was done at a point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    /// The victim came to the end of its operation.
    pub(crate) is_victim_done: bool,
    /// After how many instructions the victim was killed, if nothing else was done.
    pub(crate) killed_after: Option<usize>,
    /// Those who were killed in an operation, so that it may have happened or not.
    pub(crate) killed: u64,
    /// The operations of the survivors, without the first ones of sleepers.
    pub(crate) operations: u64,
    /// The first ones of sleepers, by [`Stage::wait`].
    pub(crate) waits: u64,
    /// How often survivors were told of a death.
    pub(crate) deaths: u64,
}

/// An operation to be killed at each of its instructions, with certain neighbours.
///
/// To add one: a struct with the knobs, an `impl Scenario` that says who is beside the victim and makes a fresh
/// [`Stage`], an `impl Stage` that does the operation, and a line in `scenarios::all`.
pub(crate) trait Scenario {
    /// A name to choose it by, such as `lock/unlock with sleepers`.
    fn name(&self) -> String;

    /// Who is beside the victim.
    fn neighbours(&self) -> Neighbours {
        Neighbours::None
    }

    /// How many come after the victim's death.
    fn newcomers(&self) -> usize {
        1
    }

    /// How many operations each survivor does afterwards.
    fn operations(&self) -> usize {
        100
    }

    /// Somebody has what the victim wants, see [`Stage::hold`].
    fn has_holder(&self) -> bool {
        false
    }

    /// It is documented that who comes after this death finds it when a short sleep ends, so their sleeps are bounded.
    ///
    /// Those who sleep when it happens must hear it.
    fn needs_bound(&self) -> bool {
        false
    }

    /// It is documented that so do those who sleep when it happens.
    fn sleepers_need_bound(&self) -> bool {
        false
    }

    /// How many have died before the victim, so that the survivors may be told of them.
    fn deaths_before(&self) -> u64 {
        0
    }

    /// So does the victim itself; otherwise what it sleeps in must end without.
    fn victim_needs_bound(&self) -> bool {
        false
    }

    /// Newcomers and sleepers can work while the victim stands still, or wait for it without harm.
    fn works_beside_a_pause(&self) -> bool {
        true
    }

    /// It goes on well after the others have worked.
    fn allows_pauses(&self) -> bool {
        true
    }

    /// One more may take part, who is killed after the victim.
    fn allows_doubles(&self) -> bool {
        true
    }

    /// The protocol is known to be wrong, and must be caught.
    fn is_control(&self) -> bool {
        false
    }

    /// Makes what is shared, for one point.
    fn stage(&self) -> Box<dyn Stage>;
}

/// What is shared at one point. Every process has a copy of the value, made by `fork`, and the memory in common.
pub(crate) trait Stage {
    /// The victim's part: prepare, `bracket.begin()`, the operation, `bracket.end()`.
    fn victim(&self, bracket: &Bracket<'_>);

    /// One operation of a survivor; `who` tells them apart. It must come to an end with the help of those that
    /// work at the same time.
    fn operate(&self, who: usize) -> Found;

    /// What a sleeper sleeps in.
    fn wait(&self, who: usize) -> Found {
        self.operate(who)
    }

    /// The holder's part: take, `gate.wait(0)`, give back; perhaps again with the next gate.
    fn hold(&self, _gate: &Gate<'_>) {}

    /// How many of `sleepers` must come through by themselves now that the victim is dead.
    fn owed(&self, _sleepers: usize) -> Owed {
        Owed::All
    }

    /// Done by the first newcomer before anybody goes on working.
    fn relieve(&self) {}

    /// Looks whether everything is as it must be after everybody has ended.
    ///
    /// # Errors
    ///
    /// Says what is lost.
    fn check(&self, tally: &Tally) -> Result<(), String>;
}
