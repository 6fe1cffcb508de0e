//! The processes of one point, none of which outlives it.

use multiproc_core::sync::sleep_without_bound;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::control::{Bracket, Control, Gate, SEATS, Seat, stage, step};
use crate::os::{self, Change, Pid};
use crate::run::Numbers;
use crate::scenario::{Scenario, Stage};

/// How long anything may take before it counts as a hang.
pub(crate) const HANG: Duration = Duration::from_secs(1);
/// How many times as long those have who are awake: on a busy machine they do not come to work.
pub(crate) const PATIENCE: u32 = 20;
/// What contenders do before they rest for a moment.
const BURST: usize = 8;
/// How long they rest at most, in microseconds: an operation of a few dozen steps fits in.
const REST: u64 = 1500;
/// The holder's place among the survivors.
const HOLDER: usize = SEATS - 1;

/// A survivor's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Holder,
    Sleeper,
    Contender,
    Newcomer { relieves: bool },
}

/// Whose sleeps are bounded as in production. All others sleep until they are woken, so that no time-out hides a lost
/// wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Nobody,
    /// Of those who come after the death: nobody was there to hear it.
    Newcomers,
    Everybody,
}

/// The survivors, and who else lives at one point; all of them are gone when this is dropped.
pub(crate) struct Crew<'a> {
    pub(crate) control: &'a Control,
    pub(crate) stage: &'a dyn Stage,
    bound: Bound,
    operations: usize,
    survivors: Vec<Survivor>,
    others: Vec<Pid>,
    /// This process itself had no core for a while, or was stopped: how long others took says nothing.
    pub(crate) was_held_up: bool,
}

struct Survivor {
    pid: Pid,
    seat: usize,
    part: Part,
    end: Option<Change>,
}

/// How long something takes, without the time in which this process itself did not run.
#[derive(Debug)]
pub(crate) struct Watch {
    last: Instant,
    elapsed: Duration,
    pub(crate) was_held_up: bool,
}

/// Who looks every fifty microseconds and has not looked for so long was held up.
const HELD_UP: Duration = Duration::from_millis(20);

impl Watch {
    /// Starts now.
    pub(crate) fn new() -> Watch {
        Watch { last: Instant::now(), elapsed: Duration::ZERO, was_held_up: false }
    }

    /// The time since the start; asked every now and then.
    pub(crate) fn elapsed(&mut self) -> Duration {
        let since = self.last.elapsed();
        self.last += since;
        self.was_held_up |= since > HELD_UP;
        self.elapsed += since.min(HELD_UP);
        self.elapsed
    }
}

impl<'a> Crew<'a> {
    /// Nobody yet.
    pub(crate) fn new(
        control: &'a Control,
        stage: &'a dyn Stage,
        scenario: &dyn Scenario,
        is_pause: bool,
    ) -> Crew<'a> {
        // A pause is where a bounded sleep could take the living for dead, so there they are as in production.
        let bound = match scenario.needs_bound() {
            _ if is_pause || scenario.sleepers_need_bound() => Bound::Everybody,
            true => Bound::Newcomers,
            false => Bound::Nobody,
        };
        let operations = scenario.operations();
        Crew {
            control,
            stage,
            bound,
            operations,
            survivors: Vec::new(),
            others: Vec::new(),
            was_held_up: false,
        }
    }

    /// Starts a survivor.
    pub(crate) fn add(&mut self, part: Part) {
        let seat = if part == Part::Holder { HOLDER } else { self.survivors.len() };
        let (control, stage, operations) = (self.control, self.stage, self.operations);
        let comes_before = part == Part::Sleeper;
        // Who sleeps when another dies must hear it; who comes later may have to look.
        let (first, later) = match self.bound {
            Bound::Nobody => (true, true),
            Bound::Newcomers => (comes_before, false),
            Bound::Everybody => (false, false),
        };
        let pid = os::spawn(|| {
            os::roam();
            sleep_without_bound(first);
            survive(part, control, stage, (seat, operations), || sleep_without_bound(later));
        });
        self.survivors.push(Survivor { pid, seat, part, end: None });
    }

    /// Starts one that is going to be stepped, and waits until it stands at the beginning of its bracket.
    ///
    /// Its steps take so long that bounded sleeps would end all the time, and each path would be another one.
    pub(crate) fn add_stepped(
        &mut self,
        is_unbounded: bool,
        body: impl FnOnce(&Control, &dyn Stage),
    ) -> Result<Pid, String> {
        let is_unbounded = is_unbounded || self.bound == Bound::Nobody;
        let (control, stage) = (self.control, self.stage);
        let pid = os::spawn(|| {
            sleep_without_bound(is_unbounded);
            body(control, stage);
        });
        self.others.push(pid);
        // Nothing is tried yet: it may take long.
        match os::wait(pid, 10 * HANG) {
            Some(Change::Stopped(os::SIGSTOP)) => Ok(pid),
            other => Err(format!("the victim did not come to its operation: {other:?}")),
        }
    }

    /// Takes back that a process is to be killed in the end: it is reaped.
    pub(crate) fn forget(&mut self, pid: Pid) {
        self.others.retain(|other| *other != pid);
    }

    /// The survivors' seats.
    pub(crate) fn seats(&self) -> impl Iterator<Item = (Part, &'a Seat)> {
        self.survivors.iter().map(|survivor| (survivor.part, &self.control.seats[survivor.seat]))
    }

    /// How many of some kind are as far as `at`.
    pub(crate) fn count(&self, is_meant: impl Fn(Part) -> bool, at: u32) -> usize {
        let seats = self.seats().filter(|(part, _)| is_meant(*part));
        seats.filter(|(_, seat)| seat.step.load(Ordering::Acquire) >= at).count()
    }

    /// Waits until a condition holds, at most for `limit`; tells whether it does.
    ///
    /// # Errors
    ///
    /// A survivor has failed.
    pub(crate) fn until(
        &mut self,
        limit: Duration,
        mut holds: impl FnMut(&Crew<'_>) -> bool,
    ) -> Result<bool, String> {
        let mut watch = Watch::new();
        loop {
            self.look()?;
            if holds(self) {
                return Ok(true);
            }
            if watch.elapsed() > limit {
                self.was_held_up |= watch.was_held_up;
                return Ok(false);
            }
            os::wait_for_any(Duration::from_micros(50));
            self.was_held_up |= watch.was_held_up;
        }
    }

    /// Waits as [`until`](Self::until) does for those who are to be as far as `at`: at most for [`HANG`], and longer
    /// while one of them is awake, since that one waits for a core.
    ///
    /// # Errors
    ///
    /// A survivor has failed.
    pub(crate) fn until_hang(
        &mut self,
        at: u32,
        mut holds: impl FnMut(&Crew<'_>) -> bool,
    ) -> Result<bool, String> {
        for _ in 0..PATIENCE {
            if self.until(HANG, &mut holds)? {
                return Ok(true);
            }
            let is_awake = |survivor: &Survivor| {
                let step = self.control.seats[survivor.seat].step.load(Ordering::Acquire);
                survivor.end.is_none() && step < at && !os::sleeps_on_word(survivor.pid)
            };
            if !self.survivors.iter().any(is_awake) {
                break;
            }
            self.was_held_up = true;
        }
        Ok(false)
    }

    /// Waits until those who sleep do so again, or have come through: only they must hear a death by themselves.
    ///
    /// # Errors
    ///
    /// A survivor has failed.
    pub(crate) fn until_calm(&mut self) -> Result<(), String> {
        if self.bound == Bound::Newcomers {
            let mut looks = 0;
            self.until(HANG / 20, |crew| {
                // Twice: one may have slept for another who was not done.
                looks =
                    if crew.survivors.iter().all(|survivor| crew.is_calm(survivor)) { looks + 1 } else { 0 };
                looks == 2
            })?;
        }
        Ok(())
    }

    fn is_calm(&self, survivor: &Survivor) -> bool {
        let is_through = || self.control.seats[survivor.seat].step.load(Ordering::Acquire) >= step::THROUGH;
        match survivor.part {
            Part::Contender => true,
            Part::Holder | Part::Sleeper | Part::Newcomer { .. } => {
                is_through() || survivor.end.is_some() || os::sleeps_on_word(survivor.pid)
            }
        }
    }

    /// Waits until the sleepers sleep.
    pub(crate) fn until_asleep(&mut self) -> Result<(), String> {
        let asleep = self.until(HANG, |crew| {
            crew.survivors.iter().filter(|survivor| survivor.part == Part::Sleeper).all(|survivor| {
                let seat = &crew.control.seats[survivor.seat];
                seat.step.load(Ordering::Acquire) >= step::ENTERED && os::sleeps_on_word(survivor.pid)
            })
        })?;
        if asleep { Ok(()) } else { Err("those who were to sleep do not".to_owned()) }
    }

    /// All survivors have ended well.
    pub(crate) fn is_done(&self) -> bool {
        self.survivors.iter().all(|survivor| survivor.end.is_some())
    }

    /// Who is not as far as `at`, for a message.
    pub(crate) fn laggards(&self, at: u32) -> String {
        let late = self.survivors.iter().filter_map(|survivor| {
            let seat = &self.control.seats[survivor.seat];
            let step = seat.step.load(Ordering::Acquire);
            let rests = if os::sleeps_on_word(survivor.pid) { "asleep" } else { "awake" };
            let operations = seat.operations.load(Ordering::Acquire);
            (survivor.end.is_none() && step < at)
                .then(|| format!("{:?} at step {step} after {operations} operations, {rests}", survivor.part))
        });
        late.collect::<Vec<_>>().join("; ")
    }

    /// Reaps who has ended.
    fn look(&mut self) -> Result<(), String> {
        for survivor in self.survivors.iter_mut().filter(|survivor| survivor.end.is_none()) {
            survivor.end = os::poll(survivor.pid);
            match survivor.end {
                None | Some(Change::Exited(0)) => {}
                Some(end) => return Err(format!("a survivor ({:?}) failed: {end:?}", survivor.part)),
            }
        }
        Ok(())
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        let alive = self.survivors.iter().filter(|survivor| survivor.end.is_none());
        for pid in alive.map(|survivor| survivor.pid).chain(self.others.iter().copied()) {
            os::kill_and_reap(pid);
        }
    }
}

/// The body of a survivor; `is_through` is called when it has done its first operation.
fn survive(
    part: Part,
    control: &Control,
    stage: &dyn Stage,
    (who, operations): (usize, usize),
    is_through: impl FnOnce(),
) {
    let seat = &control.seats[who];
    seat.step.store(step::ENTERED, Ordering::Release);
    match part {
        Part::Holder => {
            stage.hold(&Gate(control));
            control.holder_done();
        }
        Part::Sleeper => {
            if stage.wait(who) == crate::scenario::Found::Dead {
                seat.deaths.fetch_add(1, Ordering::Relaxed);
            }
            seat.first();
        }
        Part::Contender => {
            os::come_second();
            let mut numbers = Numbers::new(who as u64 + 1);
            while control.stage() < stage::GONE {
                // In bursts: one that is stepped would never come between others that never pause.
                for _ in 0..BURST {
                    seat.count(stage.operate(who));
                }
                os::wait_for_any(Duration::from_micros(40 + numbers.below(REST)));
            }
            seat.count(stage.operate(who));
            seat.first();
        }
        Part::Newcomer { relieves } => {
            control.await_stage(stage::RELIEF);
            if relieves {
                stage.relieve();
            }
        }
    }
    is_through();
    seat.step.store(step::THROUGH, Ordering::Release);
    control.await_stage(stage::WORK);
    for _ in 0..operations {
        seat.count(stage.operate(who));
        if matches!(part, Part::Newcomer { .. }) {
            seat.first();
        }
    }
    seat.step.store(step::DONE, Ordering::Release);
}

/// The body of a victim.
pub(crate) fn be_victim(control: &Control, stage: &dyn Stage) {
    stage.victim(&Bracket(Some(&control.victim)));
}

/// The body of one that does what the victim left; it sleeps already if the sleepers do.
pub(crate) fn be_recoverer(control: &Control, stage: &dyn Stage, sleeps: bool) {
    let bracket = Bracket(Some(&control.recoverer));
    // What is done once per thread is not part of an operation.
    multiproc_core::sys::thread::process_id();
    bracket.begin();
    if sleeps {
        let _ = stage.wait(SEATS - 2);
    } else {
        let _ = stage.operate(SEATS - 2);
    }
    bracket.end();
}
