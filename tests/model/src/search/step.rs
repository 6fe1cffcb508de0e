//! What one step does to the words, the sleepers and the watched.

use super::{DIED, Move, Process, SLEEPERS, Search, Status, Stop, TimeOuts};
use crate::explore::End;
use crate::machine::{Request, id, process_of};
use multiproc_core::sync::model::{Access, Action, CHANGED, TIMED_OUT};
use multiproc_core::sync::thread::NUMBER;

impl<C: Fn(&End) -> Result<(), String>> Search<'_, C> {
    /// Lets a process take its next step, and tells among how many sleepers it could choose.
    pub(super) fn step(&mut self, at: usize, choice: usize, taken: Move) -> Result<usize, Stop> {
        let process = self.processes[at];
        let mut choices = 1;
        let learned = if process.status == Status::Woken {
            process.learned
        } else {
            match self.next(at).request {
                Request::Begin => 0,
                Request::Do(Action::Access(access)) => self.access(&access),
                Request::Do(Action::Wait { words, count }) => {
                    if words[..count].iter().any(|word| self.has_changed(*word)) {
                        CHANGED
                    } else {
                        self.set_status(at, Status::Asleep);
                        return Ok(1);
                    }
                }
                Request::Do(Action::Wake { address, count, change }) => {
                    if let Some(change) = change {
                        let (word, shift) = self.world.place(address);
                        let old = self.world.memory()[word].get();
                        let new = change.apply((old >> shift) as u32);
                        self.write(word, old & !(u64::from(u32::MAX) << shift) | u64::from(new) << shift);
                    }
                    let (woken, of) = self.wake(address, count, choice);
                    choices = of;
                    woken as u64
                }
                Request::Do(Action::IsAlive(id)) => {
                    let other = process_of(id);
                    let is_dead = other.is_none_or(|other| {
                        other >= self.plan.processes || self.processes[other].status == Status::Dead
                    });
                    (!is_dead).into()
                }
                Request::Do(Action::Watch(address)) => {
                    self.set_process(at, Process { watched: address, ..process });
                    process.watched as u64
                }
                Request::Done => {
                    let done = Process { status: Status::Done, class: 0, watched: 0, ..process };
                    self.set_process(at, done);
                    return Ok(1);
                }
                Request::Panicked => unreachable!("it is not ready"),
            }
        };
        let class = self.tables[at].advance(self.live, process.class, learned);
        let watched = self.processes[at].watched;
        let step = self.tables[at].step(class);
        if step.request == Request::Panicked {
            let what = self.tables[at].failure(class);
            return Err(self.fail(format!("process {at}: {what}"), taken));
        }
        let after = Process { status: Status::Ready, class, watched, learned: 0, ..process };
        self.set_process(at, after);
        Ok(choices)
    }

    pub(super) fn access(&mut self, access: &Access) -> u64 {
        let (word, shift) = self.world.place(access.address);
        let whole = self.world.memory()[word].get();
        let mask = if access.bytes == 8 { u64::MAX } else { u32::MAX.into() };
        let old = whole >> shift & mask;
        let new = access.change.apply(old) & mask;
        self.write(word, whole & !(mask << shift) | new << shift);
        old
    }

    pub(super) fn has_changed(&self, (address, expected): (usize, u32)) -> bool {
        let (word, shift) = self.world.place(address);
        (self.world.memory()[word].get() >> shift) as u32 != expected
    }

    /// Wakes sleepers of a word, and tells how many, and of how many choices this was one.
    pub(super) fn wake(&mut self, address: usize, count: u32, choice: usize) -> (usize, usize) {
        let sleeps_on = |search: &Self, at: usize| match search.next(at).request {
            Request::Do(Action::Wait { words, count }) if search.processes[at].status == Status::Asleep => {
                words[..count].iter().position(|(word, _)| *word == address)
            }
            _ => None,
        };
        let sleepers: Vec<(usize, usize)> =
            (0..self.plan.processes).filter_map(|at| Some((at, sleeps_on(self, at)?))).collect();
        if sleepers.len() <= count as usize {
            // Where all are taken, the order plays no role.
            sleepers.iter().for_each(|(at, index)| self.wake_one(*at, *index as u64));
            return (sleepers.len(), 1);
        }
        assert!(count <= 1, "wake-ups are for one or all");
        if count == 0 {
            return (0, 1);
        }
        let (at, index) = sleepers[choice];
        self.wake_one(at, index as u64);
        (1, sleepers.len())
    }

    pub(super) fn wake_one(&mut self, at: usize, learned: u64) {
        self.set_process(at, Process { status: Status::Woken, learned, ..self.processes[at] });
    }

    pub(super) fn time_out(&mut self) {
        for at in 0..self.plan.processes {
            if self.may_time_out(at) {
                self.wake_one(at, TIMED_OUT);
            }
        }
    }

    /// Tells whether a process sleeps whose sleep may end by itself.
    pub(super) fn may_time_out(&self, at: usize) -> bool {
        let process = self.processes[at];
        process.status == Status::Asleep
            && match self.plan.time_outs {
                TimeOuts::Never => false,
                // Who hears a death before it is seen hears nothing more of it.
                TimeOuts::OfLateComers if self.plan.slow_deaths => true,
                TimeOuts::OfLateComers => {
                    let dead = self.processes.iter().filter(|process| process.status == Status::Dead);
                    usize::from(process.heard) < dead.count()
                }
                TimeOuts::Always => true,
            }
    }

    /// Does what the kernel does for a process that was killed.
    pub(super) fn bury(&mut self, victim: usize, choice: usize) -> usize {
        let watched = self.processes[victim].watched;
        let status = if self.plan.slow_deaths { Status::Dying } else { Status::Dead };
        self.set_process(victim, Process { status, class: 0, watched: 0, learned: 0, heard: 0 });
        if self.plan.time_outs == TimeOuts::OfLateComers {
            for at in 0..self.plan.processes {
                let process = self.processes[at];
                if process.status == Status::Asleep {
                    self.set_process(at, Process { heard: process.heard + 1, ..process });
                }
            }
        }
        if watched == 0 {
            return 1;
        }
        let (word, shift) = self.world.place(watched);
        let old = self.world.memory()[word].get();
        let value = (old >> shift) as u32;
        let owner = value & NUMBER as u32;
        let is_own = owner == (id(victim) & NUMBER) as u32;
        if is_own {
            let new = u64::from(value & SLEEPERS | DIED);
            self.write(word, old & !(u64::from(u32::MAX) << shift) | new << shift);
        }
        if owner == 0 || is_own && value & SLEEPERS != 0 { self.wake(watched, 1, choice).1 } else { 1 }
    }
}
