//! A model checker that runs the locks' and queues' own code, and kills processes at every step of it.
//!
//! The processes of a model are fibers that run the ordinary source over the seam
//! `multiproc_core::sync`, compiled with `--cfg multiproc_model`. There every access to shared memory, every system
//! call and every change of what the kernel watches is a step. Before each step all the others may go on, and the
//! process may be killed; then the machine does what the kernel does for a dead thread. A system call is
//! one step, since no signal is acted on inside; of several sleepers a wake-up may take any.
//!
//! `Explorer` visits every state that can be reached, depth first, and remembers the states by their hashes. A
//! state is the shared memory, and of each process its stack and what the kernel knows of it: so nothing has to be
//! said about what a process remembers, and no code can forget to say it. Sleeps have no bound: one that should have
//! been ended by a wake-up is found as a state in which nobody can go on.
//!
//! Some steps nobody else can tell from none: a change of what the kernel watches, an access to words under a lock
//! that the process owns (`Guarded…`). Before those no other process runs, which leaves out orders that make no
//! difference; a kill before such a step is decided on there, and done at any time after.
//!
//! Steps are in the order of the program and seen at once by all, which is how x86-64 makes them for a killed
//! process, whose stores are a prefix of its program; what the C11 orders allow beyond is loom's to try.
#![cfg(all(multiproc_model, target_arch = "x86_64", target_os = "linux"))]

mod explore;
mod fiber;
mod machine;

pub use explore::{End, Explorer, Failure, Figures, is_full, unless_full};
pub use machine::shared;
