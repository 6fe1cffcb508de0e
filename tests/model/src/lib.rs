//! A model checker that runs the locks' and queues' own code, and kills processes at every step of it.
//!
//! The processes of a model are fibers that run the ordinary source over the seam `multiproc_core::sync`, compiled with
//! `--cfg multiproc_model`. There every access to shared memory, every system call and every change of what the kernel
//! watches is a step, which the machine of the model takes for the process. Before each step all the others may go on,
//! and the process may be killed; then the machine does what the kernel does for a dead thread. A system call is one
//! step, since no signal is acted on inside; of several sleepers a wake-up may take any. Sleeps have no bound: one that
//! should have been ended by a wake-up is found as a state in which nobody can go on. Where a protocol relies on the
//! bound, the model says so (`time_outs`), and lets sleeps end in such states only.
//!
//! `Explorer` visits every state that can be reached, depth first, and remembers them by numbers of 64 bits (two of
//! 10 million states have the same one with a probability of one in 400 000). A state is the shared memory, and of
//! each process what it remembers and what the kernel knows of it.
//!
//! # Stopped, or dead, or not yet seen to be dead
//!
//! A process may be stopped for any time: nothing makes it take its next step. What makes others doubt it is that their
//! bounded sleeps end meanwhile; `Trouble::pauses` lets so many of them end at any moment, and the models assert that
//! nobody is taken for dead then. With `Trouble::slow_deaths` time passes between what the kernel does for a dead
//! process (it rings, it marks the lock) and the moment when others can see that it is dead.
//!
//! # What makes it fast, and why nothing is lost by it
//!
//! - **The source is run once for each thing that can happen to a process**: what it does next is a function of what
//!   it remembers and of what it learns by its step. The search looks that up in a table.
//! - **Stacks are put into classes** (`local.rs`): most words of a stack are left-overs that nothing will read. Those
//!   that matter are found by trial: members of a class, and its first one with any word, or any mixture of words,
//!   replaced by what was found there elsewhere, must come to the same class by whatever the class has ever learned. If
//!   not, the word matters, and the search begins again. That words which play no role by themselves or in the mixtures
//!   that were tried play none in others is the one thing that is not proven but tried. A failure that is found is
//!   taken once more without classes before it is reported.
//! - **Steps that nobody else can tell from none** are taken at once: accesses to words under a lock that the process
//!   owns (`Guarded…`), changes of what the kernel watches, and loads whose moment nobody cares about (`peek`: only
//!   the process itself changes the part that it looks at, or what is done about it fails if it has changed). A kill
//!   before such a step is decided on there, and done at any time after, unless the step is a load: then a kill after it
//!   is the same. So is a kill before any load.
//! - **The reading of a wait cell** is one step at its first load: the valid value does not change before the count
//!   does, and whatever else was read is thrown away by the second look at the count.
//!
//! Every model that is small is explored again without classes and with every access as a step before which anybody may
//! run or be killed, and must come to the very same ends: who is dead, who sleeps, every word of the memory. The
//! controls (`tests/it/controls.rs`) are protocols that are known to be wrong, each of which must be caught.
//!
//! # What is not tried
//!
//! Steps are in the order of the program and seen at once by all, which is how x86-64 makes them for a killed process,
//! whose stores are a prefix of its program; what the C11 orders allow beyond is loom's to try. Time plays no role, so
//! that deadlines are never met. Handles need sockets, so that they, and real processes, are for `tests/stress`, which
//! kills after every instruction.
#![cfg(all(multiproc_model, target_arch = "x86_64", target_os = "linux"))]

mod explore;
mod fiber;
mod local;
mod machine;
mod report;
mod search;

pub use explore::{End, Explorer, Failure, Figures, Trouble};
pub use machine::{id, shared};
pub use report::{is_full, say, unless_full};
