//! A scenario in the form of a table: shared state, and what is done with it.

use multiproc_shm::Shared;

use crate::control::{Bracket, Gate};
use crate::memory::{Plain, shared};
use crate::scenario::{Found, Neighbours, Owed, Scenario, Stage, Tally};

/// A scenario over shared state `S`; each part has the meaning of [`Stage`]'s or [`Scenario`]'s method of its name.
#[derive(Clone, Copy)]
pub(crate) struct Trial<S> {
    name: &'static str,
    make: fn() -> S,
    victim: fn(&S, &Bracket<'_>),
    operate: fn(&S, usize) -> Found,
    wait: fn(&S, usize) -> Found,
    hold: Option<fn(&S, &Gate<'_>)>,
    owed: fn(&S, usize) -> Owed,
    relieve: fn(&S),
    check: fn(&S, &Tally) -> Result<(), String>,
    neighbours: Neighbours,
    newcomers: usize,
    works_beside_a_pause: bool,
    allows_pauses: bool,
    allows_doubles: bool,
    needs_bound: bool,
    sleepers_need_bound: bool,
    is_control: bool,
}

impl<S> Trial<S> {
    /// A trial of an operation by a victim that is alone; survivors do `operate`.
    pub(crate) fn new(
        name: &'static str,
        make: fn() -> S,
        victim: fn(&S, &Bracket<'_>),
        operate: fn(&S, usize) -> Found,
    ) -> Trial<S> {
        Trial {
            name,
            make,
            victim,
            operate,
            wait: operate,
            hold: None,
            owed: |_, _| Owed::All,
            relieve: |_| {},
            check: |_, _| Ok(()),
            neighbours: Neighbours::None,
            newcomers: 1,
            works_beside_a_pause: true,
            allows_pauses: true,
            allows_doubles: true,
            needs_bound: false,
            sleepers_need_bound: false,
            is_control: false,
        }
    }

    /// Who is beside the victim.
    pub(crate) fn beside(self, neighbours: Neighbours) -> Self {
        Trial { neighbours, ..self }
    }

    /// How many come after the victim's death.
    pub(crate) fn newcomers(self, newcomers: usize) -> Self {
        Trial { newcomers, ..self }
    }

    /// What sleepers sleep in, how many must wake by themselves, and what wakes the others.
    pub(crate) fn sleepers(
        self,
        wait: fn(&S, usize) -> Found,
        owed: fn(&S, usize) -> Owed,
        relieve: fn(&S),
    ) -> Self {
        Trial { wait, owed, relieve, ..self }
    }

    /// What the victim waits for.
    pub(crate) fn holder(self, hold: fn(&S, &Gate<'_>)) -> Self {
        Trial { hold: Some(hold), ..self }
    }

    /// What must hold in the end.
    pub(crate) fn check(self, check: fn(&S, &Tally) -> Result<(), String>) -> Self {
        Trial { check, ..self }
    }

    /// The others wait, while the victim stands still, until it goes on.
    pub(crate) fn waits_for_the_paused(self) -> Self {
        Trial { works_beside_a_pause: false, ..self }
    }

    /// What the others do is not what one that still comes needs.
    pub(crate) fn without_pauses(self) -> Self {
        Trial { allows_pauses: false, ..self }
    }

    /// One more participant than there are would be one too many.
    pub(crate) fn without_doubles(self) -> Self {
        Trial { allows_doubles: false, ..self }
    }

    /// Who comes after the death finds it when a short sleep ends, as is documented.
    pub(crate) fn with_bound(self) -> Self {
        Trial { needs_bound: true, ..self }
    }

    /// So do those who sleep when it happens.
    pub(crate) fn with_bound_for_all(self) -> Self {
        Trial { sleepers_need_bound: true, ..self }
    }

    /// It is wrong, and must be caught.
    pub(crate) fn control(self) -> Self {
        Trial { is_control: true, ..self }
    }
}

impl<S: Send + Sync + 'static> Scenario for Trial<S> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn neighbours(&self) -> Neighbours {
        self.neighbours
    }

    fn newcomers(&self) -> usize {
        self.newcomers
    }

    fn has_holder(&self) -> bool {
        self.hold.is_some()
    }

    fn needs_bound(&self) -> bool {
        self.needs_bound
    }

    fn sleepers_need_bound(&self) -> bool {
        self.sleepers_need_bound
    }

    fn is_control(&self) -> bool {
        self.is_control
    }

    fn works_beside_a_pause(&self) -> bool {
        self.works_beside_a_pause
    }

    fn allows_pauses(&self) -> bool {
        self.allows_pauses
    }

    fn allows_doubles(&self) -> bool {
        self.allows_doubles
    }

    fn stage(&self) -> Box<dyn Stage> {
        let state = shared((self.make)());
        let parts = Trial { ..*self };
        Box::new(Staged { parts, state })
    }
}

struct Staged<S: Send + Sync + 'static> {
    parts: Trial<S>,
    state: Shared<Plain<S>>,
}

impl<S: Send + Sync + 'static> Stage for Staged<S> {
    fn victim(&self, bracket: &Bracket<'_>) {
        // What a thread learns once is not part of an operation.
        multiproc_core::sys::thread::process_id();
        (self.parts.victim)(&self.state.0, bracket);
    }

    fn operate(&self, who: usize) -> Found {
        (self.parts.operate)(&self.state.0, who)
    }

    fn wait(&self, who: usize) -> Found {
        (self.parts.wait)(&self.state.0, who)
    }

    fn hold(&self, gate: &Gate<'_>) {
        if let Some(hold) = self.parts.hold {
            hold(&self.state.0, gate);
        }
    }

    fn owed(&self, sleepers: usize) -> Owed {
        (self.parts.owed)(&self.state.0, sleepers)
    }

    fn relieve(&self) {
        (self.parts.relieve)(&self.state.0);
    }

    fn check(&self, tally: &Tally) -> Result<(), String> {
        (self.parts.check)(&self.state.0, tally)
    }
}
