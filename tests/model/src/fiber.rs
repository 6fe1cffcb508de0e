//! Threads of the model: a stack whose contents can be taken away, copied and put back.
//!
//! # Safety
//!
//! The stack is memory that is never moved or freed, and only one fiber runs on it at a time, on one thread. A
//! fiber is left only inside [`leave`], which stores all registers that a call must preserve on the stack; so
//! the words from there to its top are all there is to the fiber, and putting back a copy of them, with the stack
//! pointer at their first, resumes what ran then. That repeats a function from its middle, which is sound as long as
//! it owns nothing: the code under test holds references to the shared memory and numbers. All fibers of a thread use
//! the same stack, one at a time, so that what they remember can be compared.
#![expect(unsafe_code, reason = "switches stacks")]

use std::arch::naked_asm;
use std::cell::Cell;

const SIZE: usize = 256 << 10;
/// How much below a fiber's words is cleared before it goes on: what others left there would make equal fibers
/// different.
const CLEARED: usize = 16 << 10;
/// The word, from the lowest in use, with the place that a fiber goes on at.
pub(crate) const RETURN: usize = 6;

/// A stack for one fiber at a time.
#[derive(Debug)]
pub(crate) struct Stack {
    words: &'static [Cell<u64>],
}

thread_local! {
    /// Where the thread that entered a fiber goes on.
    static OUTSIDE: Cell<usize> = const { Cell::new(0) };
    /// Where the running fiber was left.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

impl Stack {
    pub(crate) fn new() -> Stack {
        // Never freed: there is one for each thread that explores.
        let words = Box::leak(vec![0; SIZE / 8].into_boxed_slice());
        Stack { words: Cell::from_mut(words).as_slice_of_cells() }
    }

    /// What is in use of the stack of a fiber that will call `start`, which must never return.
    pub(crate) fn begin(&self, start: extern "sysv64" fn() -> !) -> Vec<u64> {
        // As `switch` leaves it: six registers, and where to return to. Behind that the stack is as after a call: 8 bytes
        // off a multiple of 16.
        let odd = (self.words.as_ptr().addr() / 8 + self.words.len()) % 2;
        let mut words = vec![0; RETURN + 4 + odd];
        words[RETURN] = start as usize as u64;
        words
    }

    /// Puts back what was in use of a fiber's stack, runs it until it is left, and tells what is in use now.
    pub(crate) fn run(&self, words: &[u64]) -> Vec<u64> {
        let at = self.words.len() - words.len();
        self.words[at.saturating_sub(CLEARED / 8)..at].iter().for_each(|word| word.set(0));
        self.words[at..].iter().zip(words).for_each(|(word, value)| word.set(*value));
        let outside = OUTSIDE.with(Cell::as_ptr);
        // SAFETY: the words from there on are those of a fiber that `begin` made or that was left.
        unsafe { switch(outside, self.words[at..].as_ptr().addr()) };
        let used = (LEFT.get() - self.words.as_ptr().addr()) / 8;
        self.words[used..].iter().map(Cell::get).collect()
    }

    /// Forgets what deep calls, such as those of a panic, left below everything in use.
    pub(crate) fn clear(&self) {
        self.words.iter().for_each(|word| word.set(0));
    }
}

/// Leaves the running fiber; returns when it is resumed.
#[inline(never)]
pub(crate) fn leave() {
    let left = LEFT.with(Cell::as_ptr);
    // SAFETY: `run` waits there, on the stack of the thread.
    unsafe { switch(left, OUTSIDE.get()) };
}

/// Stores the stack pointer and goes on at another one.
#[unsafe(naked)]
unsafe extern "sysv64" fn switch(_store: *mut usize, _to: usize) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}
