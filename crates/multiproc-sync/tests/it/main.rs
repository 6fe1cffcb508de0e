//! The tests of this crate that need no other process, one module per type.
//!
//! - `hostile`: memory in which a broken program left anything;
//! - `compile`: what must not compile.
//!
//! What happens when processes die is in the package `multiproc-tests`.

mod barrier;
mod compile;
mod condvar;
mod hostile;
mod locks;
mod semaphore;
