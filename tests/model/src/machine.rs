//! The kernel and the processors, as far as the protocols can see them.
//!
//! # Safety
//!
//! Words are read and written by address. The addresses come from references to atomics in the shared memory, which
//! is a static that is never freed; nothing else runs meanwhile, since fibers share one thread.
#![expect(unsafe_code, reason = "reads and writes words by their address, as the kernel does")]

use crate::fiber::{Fiber, leave};
use multiproc_core::sync::model::{Held, Machine, run_on};
use multiproc_core::sync::thread::NUMBER;
use multiproc_core::sys::futex::{Change, Wake};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The most processes of a model.
pub(crate) const PROCESSES: usize = 4;
/// The shared memory, in bytes.
pub(crate) const SHARED: usize = 4096;

const DIED: u32 = 1 << 30;
const SLEEPERS: u32 = 1 << 31;

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Ready,
    Asleep([usize; 2]),
    /// It will be killed before its next step, some time.
    Doomed,
    Done,
    Dead,
}

pub(crate) struct Process {
    fiber: RefCell<Fiber>,
    pub(crate) state: Cell<State>,
    /// Whether its next step touches only what no other process touches meanwhile.
    pub(crate) alone: Cell<bool>,
    /// What its sleep ended with.
    wake: Cell<usize>,
    watched: Cell<usize>,
    held: Held,
}

/// Everything that is the same for all states.
pub(crate) struct World {
    pub(crate) processes: Vec<Process>,
    running: Cell<usize>,
    /// Which of the possible sleepers the next wake-up takes, and how many there were.
    choice: Cell<usize>,
    pub(crate) choices: Cell<usize>,
    program: Cell<Option<&'static (dyn Fn(usize) + 'static)>>,
    pub(crate) failure: RefCell<Option<String>>,
    memory: *mut u8,
}

/// A state: words of memory, and of each process what there is to it.
pub(crate) type Snapshot = Box<[u64]>;

thread_local! {
    static WORLD: &'static World = Box::leak(Box::new(World::new()));
}

pub(crate) fn world() -> &'static World {
    WORLD.with(|world| *world)
}

/// The shared memory as one value, all zeros when a model begins.
///
/// Panics if it is larger than the memory of a model.
pub fn shared<T>() -> &'static T {
    assert!(size_of::<T>() <= SHARED && align_of::<T>() <= 4096, "too large for the model's memory");
    // SAFETY: the memory lives for ever, is aligned to a page, and models put only atomics there and what is made
    // of them, which zeros are a value of.
    unsafe { &*world().memory.cast::<T>() }
}

impl World {
    fn new() -> World {
        let memory = Box::leak(vec![0u64; 2 * SHARED / 8].into_boxed_slice()).as_mut_ptr().cast::<u8>();
        let memory = memory.wrapping_add(memory.align_offset(4096));
        let processes = (0..PROCESSES)
            .map(|_| Process {
                fiber: RefCell::new(Fiber::new()),
                state: Cell::new(State::Done),
                alone: Cell::new(false),
                wake: Cell::new(0),
                watched: Cell::new(0),
                held: Default::default(),
            })
            .collect();
        World {
            processes,
            running: Cell::new(usize::MAX),
            choice: Cell::new(0),
            choices: Cell::new(1),
            program: Cell::new(None),
            failure: RefCell::new(None),
            memory,
        }
    }

    /// Begins anew, with `count` processes that each run `program`.
    pub(crate) fn begin(&'static self, count: usize, program: &'static (dyn Fn(usize) + 'static)) {
        // SAFETY: it is as long as that, and nobody uses it meanwhile.
        unsafe { self.memory.write_bytes(0, SHARED) };
        self.program.set(Some(program));
        for process in &self.processes[..count] {
            process.fiber.borrow_mut().begin(run);
            process.state.set(State::Ready);
            process.alone.set(false);
            process.wake.set(0);
            process.watched.set(0);
            process.held.iter().for_each(|held| held.set(0));
        }
        for process in &self.processes[count..] {
            process.state.set(State::Done);
        }
        run_on(Some(self));
    }

    /// Lets a process take one step; the choice says whom a wake-up takes.
    pub(crate) fn run(&self, process: usize, choice: usize) {
        self.running.set(process);
        self.choice.set(choice);
        self.choices.set(1);
        self.processes[process].fiber.borrow_mut().enter();
        self.running.set(usize::MAX);
    }

    /// Kills a process before its next step, and does what the kernel does then.
    pub(crate) fn kill(&self, victim: usize, choice: usize) {
        self.choice.set(choice);
        self.choices.set(1);
        let process = &self.processes[victim];
        process.state.set(State::Dead);
        let address = process.watched.get();
        if address == 0 {
            return;
        }
        let word = self.word(address);
        let value = word.get();
        let owner = value & NUMBER as u32;
        if owner == 0 {
            self.wake_sleepers(address, 1);
        } else if owner == number(victim) {
            word.set(value & SLEEPERS | DIED);
            if value & SLEEPERS != 0 {
                self.wake_sleepers(address, 1);
            }
        }
    }

    /// Ends all sleeps as if their time were up; tells whether there was one.
    pub(crate) fn time_out(&self) -> bool {
        let mut any = false;
        for process in &self.processes {
            if let State::Asleep(_) = process.state.get() {
                process.state.set(State::Ready);
                process.wake.set(TIMED_OUT);
                any = true;
            }
        }
        any
    }

    fn word(&self, address: usize) -> &Cell<u32> {
        let offset = address.wrapping_sub(self.memory.addr());
        assert!(offset <= SHARED - 4 && offset.is_multiple_of(4), "a word outside of the shared memory");
        // SAFETY: it lies in the memory, is aligned, and nobody uses it meanwhile.
        unsafe { &*self.memory.wrapping_add(offset).cast::<Cell<u32>>() }
    }

    fn wake_sleepers(&self, address: usize, count: u32) -> usize {
        let mut woken = 0;
        while woken < count {
            let sleepers = self.processes.iter().filter_map(|process| match process.state.get() {
                State::Asleep(words) => Some((process, words.iter().position(|word| *word == address)?)),
                _ => None,
            });
            let number = sleepers.clone().count();
            if number == 0 {
                break;
            }
            // Where all are taken, the order plays no role.
            let choice = if count as usize >= number + woken as usize {
                0
            } else {
                let choices = self.choices.get();
                let choice = self.choice.get() / choices % number;
                self.choices.set(choices * number);
                choice
            };
            if let Some((process, index)) = sleepers.clone().nth(choice) {
                process.state.set(State::Ready);
                process.wake.set(index);
            }
            woken += 1;
        }
        woken as usize
    }

    /// Copies the state out.
    pub(crate) fn save(&self) -> Snapshot {
        let mut words = Vec::with_capacity(512);
        for process in &self.processes {
            match process.state.get() {
                // What they remember plays no role any more.
                State::Done => words.push(1),
                State::Dead => words.push(2),
                State::Doomed => words.extend([5, process.watched.get() as u64]),
                state => {
                    let (kind, asleep) = match state {
                        State::Asleep(on) => (4, on),
                        _ => (3, [0; 2]),
                    };
                    let fiber = process.fiber.borrow();
                    words.extend([kind, asleep[0] as u64, asleep[1] as u64, process.wake.get() as u64]);
                    words.push(process.alone.get().into());
                    words.push(process.watched.get() as u64);
                    words.extend(process.held.iter().map(|held| held.get() as u64));
                    words.push(fiber.live().len() as u64);
                    words.extend_from_slice(fiber.live());
                }
            }
        }
        // SAFETY: the memory is that long and aligned, and nobody uses it meanwhile.
        let memory = unsafe { std::slice::from_raw_parts(self.memory.cast::<u64>(), SHARED / 8) };
        let used = memory.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        words.extend_from_slice(&memory[..used]);
        words.into()
    }

    /// Puts a copy back.
    pub(crate) fn restore(&self, snapshot: &[u64]) {
        let mut words = snapshot;
        let take = |words: &mut &[u64]| {
            let (first, rest) = words.split_first().expect("a snapshot is whole");
            *words = rest;
            *first as usize
        };
        for process in &self.processes {
            let kind = take(&mut words);
            match kind {
                1 => process.state.set(State::Done),
                2 => process.state.set(State::Dead),
                5 => {
                    process.state.set(State::Doomed);
                    process.watched.set(take(&mut words));
                }
                _ => {
                    let asleep = [take(&mut words), take(&mut words)];
                    process.state.set(if kind == 4 { State::Asleep(asleep) } else { State::Ready });
                    process.wake.set(take(&mut words));
                    process.alone.set(take(&mut words) == 1);
                    process.watched.set(take(&mut words));
                    process.held.iter().for_each(|held| held.set(take(&mut words)));
                    let len = take(&mut words);
                    let (live, rest) = words.split_at(len);
                    process.fiber.borrow_mut().restore(live);
                    words = rest;
                }
            }
        }
        // SAFETY: as in `save`, and no reference to it is in use but to atomics.
        let memory = unsafe { std::slice::from_raw_parts_mut(self.memory.cast::<u64>(), SHARED / 8) };
        memory[..words.len()].copy_from_slice(words);
        memory[words.len()..].fill(0);
    }
}

const TIMED_OUT: usize = 100;

fn number(process: usize) -> u32 {
    process as u32 + 1
}

/// What every fiber runs.
extern "sysv64" fn run() -> ! {
    let world = world();
    if let Some(program) = world.program.get()
        && let Err(panic) = catch_unwind(AssertUnwindSafe(|| program(world.running.get())))
    {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        *world.failure.borrow_mut() = Some(format!("process {}: {message}", world.running.get()));
    }
    loop {
        world.processes[world.running.get()].state.set(State::Done);
        leave();
    }
}

impl World {
    fn current(&self) -> &Process {
        &self.processes[self.running.get()]
    }
}

impl Machine for World {
    fn step(&self) {
        // The check at the end of a model looks at memory without being a process.
        if self.running.get() != usize::MAX {
            self.current().alone.set(false);
            leave();
        }
    }

    fn step_alone(&self) {
        if self.running.get() != usize::MAX {
            self.current().alone.set(true);
            leave();
        }
    }

    fn wait(&self, words: &[(usize, u32)]) -> Wake {
        self.step();
        if words.iter().any(|(address, expected)| self.word(*address).get() != *expected) {
            return Wake::Changed;
        }
        let mut asleep = [0; 2];
        for (asleep, (address, _)) in asleep.iter_mut().zip(words) {
            *asleep = *address;
        }
        self.current().state.set(State::Asleep(asleep));
        leave();
        match self.current().wake.replace(0) {
            TIMED_OUT => Wake::TimedOut,
            index => Wake::Woken(index),
        }
    }

    fn wake(&self, address: usize, count: u32, change: Option<Change>) -> usize {
        self.step();
        if let Some(change) = change {
            let word = self.word(address);
            word.set(change.apply(word.get()));
        }
        self.wake_sleepers(address, count)
    }

    fn id(&self) -> u64 {
        u64::from(number(self.running.get())) | 7 << 32
    }

    fn is_alive(&self, id: u64) -> bool {
        let number = (id & NUMBER) as usize;
        number
            .checked_sub(1)
            .and_then(|at| self.processes.get(at))
            .is_some_and(|process| process.state.get() != State::Dead)
    }

    fn watched(&self) -> &Cell<usize> {
        &self.current().watched
    }

    fn held(&self) -> &Held {
        &self.current().held
    }
}
