//! Atomics, sleeping and threads as the model of kills has them: every access is a step that the model decides on.
//!
//! Outside of the model's own processes they are the ordinary ones.

use std::cell::Cell;

/// The machine that the model plays.
pub trait Machine {
    /// Does what the calling process is about to do, some time, and returns what it learns by it; the caller may be
    /// killed before. Returns nothing if the caller is none of the model's processes, and then does it itself.
    fn act(&self, action: Action) -> Option<u64>;
    /// Who the caller is.
    fn id(&self) -> u64;
    /// The words that the caller goes on holding.
    fn held(&self) -> &Held;
}

/// Words that a thread goes on holding.
pub type Held = [Cell<usize>; 4];

/// What a process of a model is about to do, and nobody can do in two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It reads or writes a word and learns what was there.
    Access(Access),
    /// It sleeps while words, as many, have their values, and learns an end of [`ends`](Action#ends-of-a-sleep).
    ///
    /// # Ends of a sleep
    ///
    /// The number of the word that it was woken by, [`CHANGED`], or [`TIMED_OUT`].
    Wait {
        /// Addresses and expected values.
        words: [(usize, u32); 2],
        /// How many of them count.
        count: usize,
    },
    /// It changes a word and wakes up to `count` of its sleepers, and learns how many.
    Wake {
        /// Where.
        address: usize,
        /// At most so many.
        count: u32,
        /// What becomes of the word before.
        change: Option<crate::sys::futex::Change>,
    },
    /// It asks whether one lives, and learns 0 or 1.
    IsAlive(u64),
    /// It tells the kernel what to look at when it dies, and learns what it was before.
    Watch(usize),
}

/// One access to a word of shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Where.
    pub address: usize,
    /// Four or eight.
    pub bytes: usize,
    /// What becomes of the word.
    pub change: Modify,
    /// Whether no other process can tell when it happens, or cares.
    pub is_alone: bool,
}

/// What an access does to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as the methods of std's atomics")]
pub enum Modify {
    Load,
    Store(u64),
    Or(u64),
    And(u64),
    Add(u64),
    Sub(u64),
    Max(u64),
    Exchange { current: u64, new: u64 },
}

impl Modify {
    /// What the word has afterwards; carries beyond its width are the caller's to cut.
    pub fn apply(self, old: u64) -> u64 {
        match self {
            Modify::Load => old,
            Modify::Store(value) => value,
            Modify::Or(value) => old | value,
            Modify::And(value) => old & value,
            Modify::Add(value) => old.wrapping_add(value),
            Modify::Sub(value) => old.wrapping_sub(value),
            Modify::Max(value) => old.max(value),
            Modify::Exchange { current, new } if old == current => new,
            Modify::Exchange { .. } => old,
        }
    }
}

/// A sleep did not begin, since one of the words had another value.
pub const CHANGED: u64 = 101;
/// A sleep ended by itself.
pub const TIMED_OUT: u64 = 100;

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

fn act(action: Action) -> Option<u64> {
    machine()?.act(action)
}

/// Atomics whose every access is a step.
pub mod atomic {
    use super::{Access, Action, Modify, act};
    use std::sync::atomic::Ordering;

    macro_rules! atomic {
        ($name:ident, $inner:ident, $value:ty, $is_alone:literal) => {
            /// `std`'s, with a step for each access.
            #[derive(Debug, Default)]
            #[repr(transparent)]
            pub struct $name(std::sync::atomic::$inner);

            #[allow(missing_docs, reason = "as std's")]
            impl $name {
                pub const fn new(value: $value) -> $name {
                    $name(std::sync::atomic::$inner::new(value))
                }

                fn access(&self, change: Modify, is_alone: bool) -> Option<$value> {
                    let access = Access {
                        address: self.0.as_ptr().addr(),
                        bytes: size_of::<$value>(),
                        change,
                        is_alone,
                    };
                    act(Action::Access(access)).map(|old| old as $value)
                }

                pub fn load(&self, order: Ordering) -> $value {
                    self.access(Modify::Load, $is_alone).unwrap_or_else(|| self.0.load(order))
                }

                pub fn store(&self, value: $value, order: Ordering) {
                    if self.access(Modify::Store(value.into()), $is_alone).is_none() {
                        self.0.store(value, order);
                    }
                }

                pub fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.access(Modify::Store(value.into()), $is_alone)
                        .unwrap_or_else(|| self.0.swap(value, order))
                }

                pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                    self.access(Modify::Or(value.into()), $is_alone)
                        .unwrap_or_else(|| self.0.fetch_or(value, order))
                }

                pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                    self.access(Modify::And(value.into()), $is_alone)
                        .unwrap_or_else(|| self.0.fetch_and(value, order))
                }

                pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    self.access(Modify::Add(value.into()), $is_alone)
                        .unwrap_or_else(|| self.0.fetch_add(value, order))
                }

                pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                    self.access(Modify::Sub(value.into()), $is_alone)
                        .unwrap_or_else(|| self.0.fetch_sub(value, order))
                }

                pub fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                    self.access(Modify::Max(value.into()), $is_alone)
                        .unwrap_or_else(|| self.0.fetch_max(value, order))
                }

                pub fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    let change = Modify::Exchange { current: current.into(), new: new.into() };
                    match self.access(change, $is_alone) {
                        Some(old) if old == current => Ok(old),
                        Some(old) => Err(old),
                        None => self.0.compare_exchange(current, new, success, failure),
                    }
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

            impl super::super::Peek for $name {
                type Value = $value;

                fn peek(&self, order: Ordering) -> $value {
                    self.access(Modify::Load, true).unwrap_or_else(|| self.0.load(order))
                }
            }
        };
    }

    atomic!(AtomicU32, AtomicU32, u32, false);
    atomic!(AtomicU64, AtomicU64, u64, false);
    atomic!(GuardedU32, AtomicU32, u32, true);
    atomic!(GuardedU64, AtomicU64, u64, true);
}

/// Words to sleep on.
pub mod futex {
    use super::atomic::{AtomicU32, AtomicU64};
    use super::{Action, CHANGED, TIMED_OUT, act};
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

    const OUTSIDE: &str = "only processes of the model sleep";

    /// Sleeps for ever: no bound hides a lost wake-up.
    pub fn wait(word: Futex<'_>, expected: u32, _: Option<Duration>) -> Wake {
        sleep([(word.0, expected), (0, 0)], 1)
    }

    /// Sleeps for ever on one or two words.
    pub fn wait_any(words: &[(Futex<'_>, u32)], _: Option<Duration>) -> Option<Wake> {
        let mut plain = [(0, 0); 2];
        for (plain, (word, expected)) in plain.iter_mut().zip(words) {
            *plain = (word.0, *expected);
        }
        assert!(words.len() <= plain.len(), "a model knows sleeps on two words at most");
        Some(sleep(plain, words.len()))
    }

    fn sleep(words: [(usize, u32); 2], count: usize) -> Wake {
        match act(Action::Wait { words, count }).expect(OUTSIDE) {
            CHANGED => Wake::Changed,
            TIMED_OUT => Wake::TimedOut,
            index => Wake::Woken(index as usize),
        }
    }

    /// Wakes sleepers.
    pub fn wake(word: Futex<'_>, count: u32) -> usize {
        act(Action::Wake { address: word.0, count, change: None }).unwrap_or(0) as usize
    }

    /// Changes the word and wakes sleepers.
    pub fn wake_op(word: Futex<'_>, count: u32, change: Change) -> Option<usize> {
        let change = Some(change);
        Some(act(Action::Wake { address: word.0, count, change }).expect(OUTSIDE) as usize)
    }
}

/// What a thread knows about itself and others.
pub mod thread {
    use super::futex::Futex;
    use super::{Action, act, machine};

    const OUTSIDE: &str = "only processes of the model take locks";

    /// Who the caller is.
    pub fn id() -> u64 {
        machine().expect(OUTSIDE).id()
    }

    /// Whether that one lives.
    pub fn is_alive(id: u64) -> bool {
        act(Action::IsAlive(id)).is_none_or(|is_alive| is_alive != 0)
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
        act(Action::Watch(word.address())).expect(OUTSIDE) as usize
    }

    /// Does the same, and tells who the caller is.
    pub fn begin(word: Futex<'_>) -> (u64, usize) {
        (id(), watch(word))
    }

    /// Puts back what `watch` returned.
    pub fn watch_again(address: usize) {
        act(Action::Watch(address)).expect(OUTSIDE);
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
        let held = machine().expect(OUTSIDE).held();
        if let Some(at) = held.iter().rposition(|place| place.get() == word.address()) {
            for at in at..held.len() {
                held[at].set(held.get(at + 1).map_or(0, std::cell::Cell::get));
            }
        }
        let last = held.iter().rev().map(std::cell::Cell::get).find(|address| *address != 0);
        watch_again(last.unwrap_or(0));
    }
}
