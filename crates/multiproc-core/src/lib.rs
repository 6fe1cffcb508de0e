//! The floor that the `multiproc` crates stand on.
//!
//! - [`sys`]: the operating-system seam, the only place that names `rustix` or `libc`.
//! - [`codec`]: messages as bytes and descriptors: postcard's format with limits and carried handles.
//! - [`Deadline`]: one instant that bounds a whole call.
//! - [`Name`]: a checked name of a shared object.
//! - [`Bell`]: what wakes a thread that sleeps in `poll`.
//! - [`sync`]: the seam behind which loom takes the place of `std`'s atomics.
//!
//! This crate is an implementation detail: use `multiproc` or one of the crates above.

#[cfg(target_os = "linux")]
mod bell;
pub mod codec;
mod deadline;
mod name;
#[cfg(target_os = "linux")]
pub mod sync;
pub mod sys;

#[cfg(target_os = "linux")]
pub use bell::Bell;
pub use codec::Message;
pub use deadline::Deadline;
pub use name::{Name, NameError};
