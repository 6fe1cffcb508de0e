//! How a traced process is led to a place: by traps where its way is known, and step by step.
//!
//! A path that is the same each time is noted once, instruction by instruction. To come to one of them again, a trap
//! is set at it, or a little before, and the process runs until it has sprung the trap as often as it came there the
//! first time. So a place costs about the same wherever it is, and a path of thousands of instructions can be tried
//! at all of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::control::phase;
use crate::crew::{HANG, Watch};
use crate::os::{self, Change, Pid, Trap};
use crate::point::{Failure, Place};

/// How far before its place a trap is set at most.
const NEAR: usize = 300;
/// What it costs to spring a trap, in single steps.
const SPRING: usize = 3;

/// A path that is the same each time.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// The address of the instruction that comes after so many others.
    addresses: Vec<u64>,
    /// At which of them each address comes, in order.
    visits: HashMap<u64, Vec<usize>>,
    /// After which of them the process sleeps.
    sleeps: Vec<usize>,
}

/// How to come from one place to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ride {
    address: u64,
    /// How often the trap is sprung.
    times: usize,
    /// After how many instructions that is.
    ends: usize,
}

impl Way {
    /// Of what was noted.
    pub(crate) fn new(addresses: Vec<u64>, sleeps: Vec<usize>) -> Way {
        let mut visits: HashMap<u64, Vec<usize>> = HashMap::new();
        for (at, address) in addresses.iter().enumerate() {
            visits.entry(*address).or_default().push(at);
        }
        Way { addresses, visits, sleeps }
    }

    /// The ride to the operation's first instruction: those before are nobody's place.
    fn beginning(&self) -> Option<Ride> {
        self.addresses.first().map(|address| Ride { address: *address, times: 1, ends: 0 })
    }

    /// The place to go to first: one's aim, or the next sleep on the way to it.
    fn stop(&self, from: usize, aim: usize) -> usize {
        let next = self.sleeps.iter().find(|sleep| **sleep >= from);
        next.map_or(aim, |sleep| aim.min(*sleep))
    }

    /// The fastest ride towards a place, if there is one that is faster than to walk.
    fn ride(&self, from: usize, to: usize) -> Option<Ride> {
        let walk = to.checked_sub(from)?;
        let ride = |ends: usize| {
            let address = *self.addresses.get(ends)?;
            let visits = self.visits.get(&address)?;
            let before = |at: usize| visits.partition_point(|visit| *visit <= at);
            Some(Ride { address, times: before(ends) - before(from), ends })
        };
        let cost = |ride: &Ride| ride.times * SPRING + (to - ride.ends);
        let rides = (to.saturating_sub(NEAR).max(from + 1)..=to).filter_map(ride);
        rides.min_by_key(cost).filter(|ride| cost(ride) < walk)
    }
}

/// How far the travelling came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    Place,
    Asleep,
    End,
    /// It went another way than the noted one, and nothing is known of where it is.
    Astray,
}

/// What is noted of a way that is walked for the first time.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// How many instructions there were.
    pub(crate) steps: usize,
    /// After which of them it slept.
    pub(crate) sleeps: Vec<usize>,
    /// Their addresses; empty where they cannot be told.
    pub(crate) addresses: Vec<u64>,
}

/// Leads a process to a place, or to the end of its bracket if there is none.
///
/// `on_sleep` is called when it sleeps, and told whether it is to stay so.
pub(crate) fn advance(
    pid: Pid,
    phase: &AtomicU32,
    target: Option<Place>,
    way: Option<&Way>,
    notes: &mut Notes,
    mut on_sleep: impl FnMut(bool) -> Result<(), Failure>,
) -> Result<Reached, Failure> {
    if let (Some(ride), Some(_)) = (way.and_then(Way::beginning), target)
        && phase.load(Ordering::Acquire) < phase::INSIDE
        && !take(pid, ride)?
    {
        return Ok(Reached::Astray);
    }
    // Until there it was asked whether to ride.
    let mut asked = None;
    loop {
        let is_inside = match phase.load(Ordering::Acquire) {
            phase::DONE => return Ok(Reached::End),
            other => other == phase::INSIDE,
        };
        let is_there = is_inside && target.is_some_and(|place| place.steps == notes.steps);
        let stays = is_there && target.is_some_and(|place| place.asleep);
        if is_there && !stays {
            return Ok(Reached::Place);
        }
        if let (Some(way), Some(place)) = (way, target)
            && is_inside
            && asked != Some(way.stop(notes.steps, place.steps))
        {
            let stop = way.stop(notes.steps, place.steps);
            asked = Some(stop);
            if let Some(ride) = way.ride(notes.steps, stop) {
                if !take(pid, ride)? || phase.load(Ordering::Acquire) != phase::INSIDE {
                    return Ok(Reached::Astray);
                }
                notes.steps = ride.ends;
                continue;
            }
        }
        if target.is_none() && is_inside {
            notes.addresses.extend(os::position(pid));
        }
        if step(pid, notes.steps, &mut || {
            if target.is_none() {
                notes.sleeps.push(notes.steps);
            }
            on_sleep(stays)?;
            Ok(stays)
        })? {
            return Ok(Reached::Asleep);
        }
        notes.steps += usize::from(is_inside);
    }
}

/// Does one instruction; tells whether it sleeps in it and is to stay so.
fn step(
    pid: Pid,
    steps: usize,
    on_sleep: &mut dyn FnMut() -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let failed = |end: Change| Failure::Lost(format!("the victim failed after {steps} steps: {end:?}"));
    os::step(pid);
    let (mut watch, mut has_slept) = (None, false);
    loop {
        match os::wait_a_tick(pid) {
            Some(Change::Stopped(os::SIGTRAP)) => return Ok(false),
            // Somebody else wanted it to stand still.
            Some(Change::Stopped(_)) => os::step(pid),
            Some(end) => return Err(failed(end)),
            None => {}
        }
        let watch = watch.get_or_insert_with(Watch::new);
        if !has_slept && os::sleeps_on_word(pid) {
            // Not one that has come to its end just now.
            match os::poll(pid) {
                Some(Change::Stopped(os::SIGTRAP)) => return Ok(false),
                Some(end) => return Err(failed(end)),
                None => {}
            }
            has_slept = true;
            if on_sleep()? {
                return Ok(true);
            }
        }
        if watch.elapsed() > HANG {
            return Err(Failure::Hang(format!("the victim itself, after {steps} steps")));
        }
    }
}

/// Takes a ride; tells whether it came there.
fn take(pid: Pid, ride: Ride) -> Result<bool, Failure> {
    for _ in 0..ride.times {
        if os::position(pid) == Some(ride.address) {
            // The instruction itself, without the trap in its place.
            step(pid, ride.ends, &mut || Ok(false))?;
            if os::position(pid) == Some(ride.address) {
                continue;
            }
        }
        let Some(trap) = Trap::set(pid, ride.address) else { return Ok(false) };
        os::run(pid);
        let mut watch = Watch::new();
        loop {
            match os::wait_a_tick(pid) {
                Some(Change::Stopped(os::SIGTRAP)) if trap.is_sprung() => break,
                Some(Change::Stopped(signal)) if signal != os::SIGTRAP => os::run(pid),
                // It has ended: it went another way.
                Some(Change::Exited(0)) => return Ok(false),
                Some(end) => return Err(Failure::Lost(format!("the victim failed on its way: {end:?}"))),
                // It sleeps where it did not the first time.
                None if watch.elapsed() > HANG / 20 => return Ok(false),
                None => {}
            }
        }
        trap.take();
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rides_are_shorter_than_the_walk() {
        // A loop of two, ten times, between what comes once.
        let addresses: Vec<u64> = [1, 2, 3].into_iter().chain([7, 8].repeat(10)).chain([9, 10]).collect();
        let way = Way::new(addresses, vec![5]);
        assert_eq!(way.ride(0, 24), Some(Ride { address: 10, times: 1, ends: 24 }));
        assert_eq!(way.ride(0, 2), None);
        // The seventh time costs more than the first one and the walk from there.
        assert_eq!(way.ride(0, 3 + 14), Some(Ride { address: 8, times: 1, ends: 4 }));
        assert_eq!(way.stop(0, 20), 5);
        assert_eq!(way.stop(5, 20), 5);
        assert_eq!(way.stop(6, 20), 20);
    }

    #[test]
    fn what_was_passed_is_not_counted_again() {
        let way = Way::new([1, 5].into_iter().chain([1; 30]).chain([5, 2]).collect(), Vec::new());
        assert_eq!(way.ride(2, 32), Some(Ride { address: 5, times: 1, ends: 32 }));
        assert_eq!(way.ride(0, 32), Some(Ride { address: 5, times: 2, ends: 32 }));
    }
}
