//! Atomics, sleeping and threads as the model of kills has them: every access is a step that the model decides on.
//!
//! Outside of the model's own threads they are the ordinary ones.

use std::cell::Cell;

/// The machine that the model plays.
///
/// Each of the calls but [`id`](Machine::id) and [`is_alive`](Machine::is_alive) is a step: before it, others may
/// run, and the caller may be killed.
pub trait Machine {
    /// The caller is about to read or write shared memory, or a word that the kernel reads when it dies.
    fn step(&self);
    /// The caller is about to touch what no other process does meanwhile: what the kernel watches for it, or words
    /// under a lock that it owns. It may be killed before, and others need not run in between.
    fn step_alone(&self);
    /// Puts the caller to sleep on words, given as addresses and expected values.
    fn wait(&self, words: &[(usize, u32)]) -> crate::sys::futex::Wake;
    /// Wakes up to `count` sleepers of the word after changing it.
    fn wake(&self, address: usize, count: u32, change: Option<crate::sys::futex::Change>) -> usize;
    /// Who the caller is.
    fn id(&self) -> u64;
    /// Whether that one lives.
    fn is_alive(&self, id: u64) -> bool;
    /// What the kernel looks at when the caller dies.
    fn watched(&self) -> &Cell<usize>;
    /// The words that the caller goes on holding.
    fn held(&self) -> &Held;
}

/// Words that a thread goes on holding.
pub type Held = [Cell<usize>; 4];

thread_local! {
    static MACHINE: Cell<Option<&'static dyn Machine>> = const { Cell::new(None) };
}

/// Has the calling thread's steps go to a machine, or no longer.
pub fn run_on(machine: Option<&'static dyn Machine>) {
    MACHINE.set(machine);
}

fn machine() -> Option<&'static dyn Machine> {
    MACHINE.get()
}

fn step() {
    if let Some(machine) = machine() {
        machine.step();
    }
}

fn step_alone() {
    if let Some(machine) = machine() {
        machine.step_alone();
    }
}

/// Atomics whose every access is a step.
pub mod atomic {
    use super::{step, step_alone};
    use std::sync::atomic::Ordering;

    macro_rules! atomic {
        ($name:ident, $inner:ident, $value:ty, $step:ident) => {
            /// `std`'s, with a step before each access.
            #[derive(Debug, Default)]
            #[repr(transparent)]
            pub struct $name(std::sync::atomic::$inner);

            #[allow(missing_docs, reason = "as std's")]
            impl $name {
                pub const fn new(value: $value) -> $name {
                    $name(std::sync::atomic::$inner::new(value))
                }

                pub fn load(&self, order: Ordering) -> $value {
                    $step();
                    self.0.load(order)
                }

                pub fn store(&self, value: $value, order: Ordering) {
                    $step();
                    self.0.store(value, order);
                }

                pub fn swap(&self, value: $value, order: Ordering) -> $value {
                    $step();
                    self.0.swap(value, order)
                }

                pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                    $step();
                    self.0.fetch_or(value, order)
                }

                pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                    $step();
                    self.0.fetch_and(value, order)
                }

                pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    $step();
                    self.0.fetch_add(value, order)
                }

                pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                    $step();
                    self.0.fetch_sub(value, order)
                }

                pub fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    $step();
                    self.0.compare_exchange(current, new, success, failure)
                }

                pub fn compare_exchange_weak(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.compare_exchange(current, new, success, failure)
                }

                pub const fn as_ptr(&self) -> *mut $value {
                    self.0.as_ptr()
                }
            }
        };
    }

    atomic!(AtomicU32, AtomicU32, u32, step);
    atomic!(AtomicU64, AtomicU64, u64, step);
    atomic!(GuardedU32, AtomicU32, u32, step_alone);
    atomic!(GuardedU64, AtomicU64, u64, step_alone);
}

/// Words to sleep on.
pub mod futex {
    use super::atomic::{AtomicU32, AtomicU64};
    use super::machine;
    use crate::sys::futex::{Change, Wake};
    use std::marker::PhantomData;
    use std::time::Duration;

    /// The address of a word.
    #[derive(Clone, Copy, Debug)]
    pub struct Futex<'a>(usize, PhantomData<&'a AtomicU32>);

    impl Futex<'_> {
        /// The address.
        pub fn address(&self) -> usize {
            self.0
        }
    }

    impl<'a> From<&'a AtomicU32> for Futex<'a> {
        fn from(word: &'a AtomicU32) -> Self {
            Futex(word.as_ptr() as usize, PhantomData)
        }
    }

    impl<'a> From<&'a AtomicU64> for Futex<'a> {
        fn from(word: &'a AtomicU64) -> Self {
            Futex(word.as_ptr() as usize, PhantomData)
        }
    }

    const OUTSIDE: &str = "only threads of the model sleep";

    /// Sleeps for ever: no bound hides a lost wake-up.
    pub fn wait(word: Futex<'_>, expected: u32, _: Option<Duration>) -> Wake {
        machine().expect(OUTSIDE).wait(&[(word.0, expected)])
    }

    /// Sleeps for ever on several words.
    pub fn wait_any(words: &[(Futex<'_>, u32)], _: Option<Duration>) -> Option<Wake> {
        let mut plain = [(0, 0); 4];
        for (plain, (word, expected)) in plain.iter_mut().zip(words) {
            *plain = (word.0, *expected);
        }
        Some(machine().expect(OUTSIDE).wait(&plain[..words.len()]))
    }

    /// Wakes sleepers.
    pub fn wake(word: Futex<'_>, count: u32) -> usize {
        machine().map_or(0, |machine| machine.wake(word.0, count, None))
    }

    /// Changes the word and wakes sleepers.
    pub fn wake_op(word: Futex<'_>, count: u32, change: Change) -> Option<usize> {
        Some(machine().expect(OUTSIDE).wake(word.0, count, Some(change)))
    }
}

/// What a thread knows about itself and others.
pub mod thread {
    use super::futex::Futex;
    use super::machine;

    const OUTSIDE: &str = "only threads of the model take locks";

    /// Who the caller is.
    pub fn id() -> u64 {
        machine().expect(OUTSIDE).id()
    }

    /// Whether that one lives.
    pub fn is_alive(id: u64) -> bool {
        machine().is_none_or(|machine| {
            machine.step();
            machine.is_alive(id)
        })
    }

    /// Who the caller's process is: itself.
    pub fn process_id() -> u64 {
        id()
    }

    /// Whether that one lives.
    pub fn process_is_alive(id: u64) -> bool {
        is_alive(id)
    }

    /// Makes the kernel look at a word if the caller dies.
    pub fn watch(word: Futex<'_>) -> usize {
        let machine = machine().expect(OUTSIDE);
        machine.step_alone();
        machine.watched().replace(word.address())
    }

    /// Puts back what `watch` returned.
    pub fn watch_again(address: usize) {
        let machine = machine().expect(OUTSIDE);
        machine.step_alone();
        machine.watched().set(address);
    }

    /// Notes a word that is held on.
    pub fn hold(word: Futex<'_>) {
        let held = machine().expect(OUTSIDE).held();
        if let Some(place) = held.iter().find(|place| place.get() == 0) {
            place.set(word.address());
        }
    }

    /// Takes the note back.
    pub fn let_go(word: Futex<'_>) {
        let machine = machine().expect(OUTSIDE);
        let held = machine.held();
        if let Some(at) = held.iter().rposition(|place| place.get() == word.address()) {
            for at in at..held.len() {
                held[at].set(held.get(at + 1).map_or(0, std::cell::Cell::get));
            }
        }
        let last = held.iter().rev().map(std::cell::Cell::get).find(|address| *address != 0);
        machine.step_alone();
        machine.watched().set(last.unwrap_or(0));
    }
}
