//! The two words that everything here, and the queues above, are made of.
//!
//! [`Lock`] guards shared state for a few instructions or for as long as a user holds it. [`WaitCell`] is a number
//! that changes in one step together with the wake-up of whoever waits for the change.

mod cell;
mod lock;

pub use cell::{DeathBell, WaitCell};
pub use lock::{Acquired, Lock, Locked};
