//! One point: prepares, steps the victim so far, kills or pauses it there, and looks at what the others do.

use multiproc_shm::Shared;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::control::{ALL_GATES, Control, HOLDER_DONE, now, stage, step};
use crate::crew::{Crew, HANG, PATIENCE, Part, Watch, be_recoverer, be_victim};
use crate::os::{self, Change, Pid};
use crate::scenario::{Neighbours, Owed, Scenario, Tally};
use crate::travel::{Notes, Reached, Way, advance};

/// What is done to the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nothing: it comes to its end, and its instructions are counted.
    Count,
    /// It is killed.
    Kill,
    /// It stands still while the others work, and goes on.
    Pause,
    /// It is killed, and so is one of the others after so many instructions.
    KillBoth(usize),
}

/// Where it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// After so many instructions.
    pub(crate) steps: usize,
    /// In the sleep that the next one begins.
    pub(crate) asleep: bool,
}

/// How a point has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Somebody did not come on within [`HANG`].
    Hang(String),
    /// Something is lost, twice or wrong.
    Lost(String),
    /// Somebody was taken for dead who only stood still.
    FalseDeath(u64),
}

/// What a point has shown.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The victim came to the place; with [`Deed::Count`] always.
    pub(crate) is_reached: bool,
    /// It went another way than the noted one: nothing was shown.
    pub(crate) is_astray: bool,
    /// What it did on its way.
    pub(crate) notes: Notes,
    /// How long the slowest of the others took for its first operation, if that can be told.
    pub(crate) recovery: Option<Duration>,
    pub(crate) failure: Option<Failure>,
}

/// How long the others have while the victim stands still: longer than their first bounded sleeps.
const PAUSE: Duration = Duration::from_millis(7);

/// Where points are tried, one after the other.
#[derive(Debug)]
pub(crate) struct Desk {
    control: Shared<Control>,
}

impl Desk {
    /// A free one.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    pub(crate) fn new() -> std::io::Result<Desk> {
        Ok(Desk { control: Shared::new(Control::default())? })
    }

    /// Tries one point; `way` is the path's, if it is the same each time.
    pub(crate) fn run(
        &self,
        scenario: &dyn Scenario,
        place: Place,
        deed: Deed,
        way: Option<&Way>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        self.control.clear();
        outcome.failure = attempt(&self.control, scenario, place, deed, way, &mut outcome).err();
        outcome
    }
}

fn attempt(
    control: &Control,
    scenario: &dyn Scenario,
    place: Place,
    deed: Deed,
    way: Option<&Way>,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let staged = scenario.stage();
    let mut crew = Crew::new(control, &*staged, scenario, deed == Deed::Pause);
    let mut point = Point { scenario, control, has_sleepers: false };

    if scenario.has_holder() {
        crew.add(Part::Holder);
        let holds = crew.until(HANG, |_| control.holder() > 0).map_err(lost)?;
        require(holds, || "the holder does not hold".to_owned())?;
    }
    if let Neighbours::Contending(count) = scenario.neighbours() {
        (0..count).for_each(|_| crew.add(Part::Contender));
        let work = |(_, seat): (Part, &crate::control::Seat)| seat.operations.load(Ordering::Acquire) > 0;
        let works = crew.until(HANG, |crew| crew.seats().all(work)).map_err(lost)?;
        require(works, || "the neighbours do not work".to_owned())?;
    }
    for at in 0..scenario.newcomers() {
        // While the victim stands still, what it will do is not to be done by another.
        let relieves = at == 0 && (deed != Deed::Pause || !scenario.works_beside_a_pause());
        crew.add(Part::Newcomer { relieves });
    }
    let victim = crew.add_stepped(!scenario.victim_needs_bound(), be_victim).map_err(lost)?;
    if let Neighbours::Asleep(count) = scenario.neighbours() {
        point.lay_to_sleep(&mut crew, count)?;
    }
    let sleeper = match deed {
        Deed::KillBoth(_) if point.has_sleepers => Some(point.sleeping_recoverer(&mut crew)?),
        _ => None,
    };

    let target = (deed != Deed::Count).then_some(place);
    let reached = point.advance_victim(&mut crew, victim, (target, way), &mut outcome.notes)?;
    if reached == Reached::Astray {
        outcome.is_astray = true;
        // It may have come to its end, and be reaped.
        if matches!(os::poll(victim), Some(Change::Exited(_) | Change::Killed(_))) {
            crew.forget(victim);
        }
        return Ok(());
    }
    outcome.is_reached = deed == Deed::Count || !matches!(reached, Reached::End);
    if let Neighbours::AsleepBehind(count) = scenario.neighbours()
        && !point.has_sleepers
        && !matches!(reached, Reached::End)
    {
        point.lay_to_sleep(&mut crew, count)?;
    }

    crew.until_calm().map_err(lost)?;

    let mut killed = 0;
    let mut is_victim_done = matches!(reached, Reached::End);
    let at = now();
    match deed {
        Deed::Kill | Deed::KillBoth(_) => {
            os::kill_and_reap(victim);
            crew.forget(victim);
            killed += u64::from(!is_victim_done);
        }
        Deed::Count => os::detach(victim),
        Deed::Pause => {
            control.open_gates(ALL_GATES);
            let works = scenario.works_beside_a_pause();
            control.enter(if works { stage::WORK } else { stage::GONE });
            crew.until(PAUSE, |crew| works && crew.is_done()).map_err(lost)?;
            os::detach(victim);
        }
    }
    if let Deed::KillBoth(steps) = deed {
        killed += point.kill_recoverer(&mut crew, sleeper, steps)?;
    }
    control.open_gates(ALL_GATES);
    let gone_at = now();
    if control.stage() < stage::GONE {
        control.enter(stage::GONE);
    }
    if matches!(deed, Deed::Count | Deed::Pause) {
        let mut end = os::wait(victim, HANG);
        for _ in 1..PATIENCE {
            if end.is_some() || os::sleeps_on_word(victim) {
                break;
            }
            // It is awake, and waits for a core.
            end = os::wait(victim, HANG);
        }
        match end {
            Some(Change::Exited(0)) => crew.forget(victim),
            None => return Err(Failure::Hang("the victim itself does not end".to_owned())),
            Some(other) => return Err(lost(format!("the victim failed: {other:?}"))),
        }
        is_victim_done = true;
    }

    // Contenders go on working until they are told, so that only then their next operation is the first.
    let at = if matches!(scenario.neighbours(), Neighbours::Contending(_)) { gone_at } else { at };
    let recovery = settle(&mut crew, at)?;
    outcome.recovery = (!crew.was_held_up).then_some(recovery);
    let killed_after = (deed == Deed::Kill && killed == 1 && !place.asleep).then_some(place.steps);
    let mut tally = Tally { is_victim_done, killed_after, killed, operations: 0, waits: 0, deaths: 0 };
    for (part, seat) in crew.seats() {
        tally.operations += seat.operations.load(Ordering::Acquire);
        tally.waits += u64::from(part == Part::Sleeper);
        tally.deaths += u64::from(seat.deaths.load(Ordering::Acquire));
    }
    if tally.deaths > killed + scenario.deaths_before() {
        return Err(Failure::FalseDeath(tally.deaths));
    }
    staged.check(&tally).map_err(lost)
}

/// Leads the survivors from the victim's death to their end; tells how long the slowest took to go on.
fn settle(crew: &mut Crew<'_>, killed_at: u64) -> Result<Duration, Failure> {
    let control = crew.control;
    let hang = |crew: &Crew<'_>, what: &str, at: u32| Failure::Hang(format!("{what}: {}", crew.laggards(at)));
    let has_holder = crew.seats().any(|(part, _)| part == Part::Holder);
    let is_free = |_: &Crew<'_>| !has_holder || control.holder() == HOLDER_DONE;
    let free = crew.until_hang(step::THROUGH, is_free).map_err(lost)?;
    if !free {
        return Err(hang(crew, "the holder does not come through", step::THROUGH));
    }
    let sleepers = crew.seats().filter(|(part, _)| *part == Part::Sleeper).count();
    let contenders = crew.seats().filter(|(part, _)| *part == Part::Contender).count();
    let through = crew
        .until_hang(step::THROUGH, |crew| {
            // Asked anew each time: one that slept before it was in the list of those who wait gets there now.
            let owed = match crew.stage.owed(sleepers) {
                Owed::All => sleepers,
                Owed::AtLeast(count) => count.min(sleepers),
            };
            crew.count(|part| part == Part::Sleeper, step::THROUGH) >= owed
                && crew.count(|part| part == Part::Contender, step::THROUGH) == contenders
        })
        .map_err(lost)?;
    if !through {
        return Err(hang(crew, "not woken", step::THROUGH));
    }
    let since = |at: u64, from: u64| Duration::from_nanos(at.saturating_sub(from));
    let firsts = crew.seats().map(|(_, seat)| seat.first.load(Ordering::Acquire));
    let mut recovery = firsts.filter(|at| *at > 0).map(|at| since(at, killed_at)).max().unwrap_or_default();

    if control.stage() < stage::RELIEF {
        control.enter(stage::RELIEF);
    }
    let all = |_| true;
    let count = crew.seats().count();
    if !crew.until_hang(step::THROUGH, |crew| crew.count(all, step::THROUGH) == count).map_err(lost)? {
        return Err(hang(crew, "not woken by others", step::THROUGH));
    }
    let works_at = now();
    if control.stage() < stage::WORK {
        control.enter(stage::WORK);
    }
    if !crew.until_hang(step::DONE, |crew| crew.is_done()).map_err(lost)? {
        return Err(hang(crew, "does not go on", step::DONE));
    }
    for (part, seat) in crew.seats() {
        if matches!(part, Part::Newcomer { .. }) {
            recovery = recovery.max(since(seat.first.load(Ordering::Acquire), works_at));
        }
    }
    Ok(recovery)
}

/// What goes with the stepping of one point.
struct Point<'a> {
    scenario: &'a dyn Scenario,
    control: &'a Control,
    has_sleepers: bool,
}

impl Point<'_> {
    fn lay_to_sleep(&mut self, crew: &mut Crew<'_>, count: usize) -> Result<(), Failure> {
        self.has_sleepers = true;
        for _ in 0..count {
            crew.add(Part::Sleeper);
            // One after the other, so that they sleep in the same order at every point.
            crew.until_asleep().map_err(lost)?;
        }
        Ok(())
    }

    fn advance_victim(
        &mut self,
        crew: &mut Crew<'_>,
        victim: Pid,
        (target, way): (Option<Place>, Option<&Way>),
        notes: &mut Notes,
    ) -> Result<Reached, Failure> {
        advance(victim, &self.control.victim, target, way, notes, |stays| {
            if let Neighbours::AsleepBehind(count) = self.scenario.neighbours()
                && !self.has_sleepers
            {
                self.lay_to_sleep(crew, count)?;
            }
            if self.scenario.has_holder() && !stays {
                let stood = self.control.holder();
                self.control.open_gates(self.control.gates().saturating_add(1));
                // At its next gate, or asleep before it.
                crew.until(HANG / 5, |_| self.control.holder() > stood).map_err(lost)?;
            }
            Ok(())
        })
    }

    /// Starts one that sleeps as the sleepers do, and is stepped from there.
    fn sleeping_recoverer(&self, crew: &mut Crew<'_>) -> Result<Pid, Failure> {
        let pid =
            crew.add_stepped(true, |control, stage| be_recoverer(control, stage, true)).map_err(lost)?;
        let mut watch = Watch::new();
        loop {
            os::step(pid);
            loop {
                match os::wait_a_tick(pid) {
                    Some(Change::Stopped(os::SIGTRAP)) => break,
                    // Somebody else wanted it to stand still.
                    Some(Change::Stopped(_)) => os::step(pid),
                    Some(other) => return Err(lost(format!("the recoverer ended: {other:?}"))),
                    None if os::sleeps_on_word(pid) => return Ok(pid),
                    None => {}
                }
                require(watch.elapsed() < PATIENCE * HANG, || "the recoverer does not sleep".to_owned())?;
            }
        }
    }

    /// Has the recoverer do so many instructions after the victim's death, and kills it; tells how many died.
    fn kill_recoverer(
        &self,
        crew: &mut Crew<'_>,
        sleeper: Option<Pid>,
        steps: usize,
    ) -> Result<u64, Failure> {
        let pid = match sleeper {
            // If others were woken in its place it dies asleep.
            Some(pid) => match os::wait(pid, Duration::from_millis(5)) {
                Some(_) => pid,
                None => {
                    os::kill_and_reap(pid);
                    crew.forget(pid);
                    return Ok(1);
                }
            },
            None => {
                crew.add_stepped(false, |control, stage| be_recoverer(control, stage, false)).map_err(lost)?
            }
        };
        let place = Some(Place { steps, asleep: false });
        let mut is_asleep = false;
        let mut notes = Notes::default();
        let reached = advance(pid, &self.control.recoverer, place, None, &mut notes, |_| {
            // Whoever would wake it may wait for this: it dies asleep.
            is_asleep = true;
            Err(Failure::Hang(String::new()))
        });
        match reached {
            Err(_) if is_asleep => {}
            Err(failure) => return Err(failure),
            Ok(_) => {}
        }
        os::kill_and_reap(pid);
        crew.forget(pid);
        // One that had come to its end counts as well: what it did is in nobody's books.
        Ok(1)
    }
}

fn lost(what: String) -> Failure {
    Failure::Lost(what)
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(lost(what())) }
}
