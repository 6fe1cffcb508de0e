//! Threads of the model: stacks that can be left, copied and put back.
//!
//! # Safety
//!
//! A fiber's stack is memory that is never moved or freed, and only one fiber runs at a time, on one thread. A
//! fiber is left only inside [`leave`], which stores all registers that a call must preserve on its stack; so
//! the bytes from there to its top are all there is to it, and putting back a copy of them, with the stack pointer of
//! that time, resumes what ran then. That repeats a function from its middle, which is sound as long as it owns
//! nothing: the code under test holds references to the shared memory and numbers.
#![expect(unsafe_code, reason = "switches stacks")]

use std::arch::naked_asm;
use std::cell::Cell;

const SIZE: usize = 256 << 10;
/// How much below a fiber's stack pointer is cleared when it is left: what deeper calls left there would make
/// equal states look different.
const CLEARED: usize = 6 << 10;

/// A stack, and where its fiber was left.
#[derive(Debug)]
pub(crate) struct Fiber {
    stack: &'static mut [u64],
    pointer: usize,
}

thread_local! {
    /// Where the thread that entered a fiber goes on.
    static OUTSIDE: Cell<usize> = const { Cell::new(0) };
    /// Where the running fiber was left.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

impl Fiber {
    pub(crate) fn new() -> Fiber {
        // Never freed: there are a few for the whole program.
        let stack = Box::leak(vec![0; SIZE / 8].into_boxed_slice());
        Fiber { stack, pointer: 0 }
    }

    /// Makes the next [`enter`](Self::enter) call `start`, which must never return.
    pub(crate) fn begin(&mut self, start: extern "sysv64" fn() -> !) {
        self.stack.fill(0);
        let len = self.stack.len();
        // As `switch` leaves it: six registers, and where to return to. Behind that the stack is as after a call: 8 bytes
        // off a multiple of 16.
        let odd = self.stack.as_ptr().addr() / 8 % 2;
        let start_at = len - 4 - odd;
        self.stack[start_at] = start as usize as u64;
        self.pointer = self.stack.as_ptr().addr() + (start_at - 6) * 8;
    }

    /// Runs the fiber until it is left.
    pub(crate) fn enter(&mut self) {
        let outside = OUTSIDE.with(Cell::as_ptr);
        // SAFETY: the pointer is one that `begin` or `leave` made, and the stack above is as it was then.
        unsafe { switch(outside, self.pointer) };
        self.pointer = LEFT.get();
        let used = self.used();
        let below = used.saturating_sub(CLEARED / 8);
        self.stack[below..used].fill(0);
    }

    /// The part of its stack that is in use.
    pub(crate) fn live(&self) -> &[u64] {
        &self.stack[self.used()..]
    }

    /// Puts back what [`live`](Self::live) gave.
    pub(crate) fn restore(&mut self, live: &[u64]) {
        let old = self.used();
        let used = self.stack.len() - live.len();
        self.stack[used..].copy_from_slice(live);
        if old < used {
            self.stack[old..used].fill(0);
        }
        self.pointer = self.stack.as_ptr().addr() + used * 8;
    }

    fn used(&self) -> usize {
        (self.pointer - self.stack.as_ptr().addr()) / 8
    }
}

/// Leaves the running fiber; returns when it is entered again.
pub(crate) fn leave() {
    let left = LEFT.with(Cell::as_ptr);
    // SAFETY: `enter` waits there, on the stack of the thread.
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
