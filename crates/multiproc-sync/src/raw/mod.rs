//! The words that everything here, and the queues above, are made of.
//!
//! [`Lock`] guards shared state for a few instructions or for as long as a user holds it. [`WaitCell`] is a number
//! that changes in one step together with the wake-up of whoever waits for the change. A [`DeathBell`] tells sleepers
//! of a death. [`Monitor`] is one of each, and [`Permits`] is one with a list of who has taken what.
//! `protocol.md`, beside this file, has both sides of each race, the argument, and what tries it.

mod bell;
mod cell;
mod lock;
pub(crate) mod looks;
mod monitor;
mod permits;

pub use bell::DeathBell;
pub use cell::WaitCell;
pub use lock::{Acquired, Lock, Locked};
pub use monitor::{Entered, Monitor};
pub use permits::{NotTaken, Permits, Taken};
