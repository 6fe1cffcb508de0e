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

/// An offset, a length and a name, as ARCHITECTURE.md has them.
#[cfg(all(test, not(any(loom, multiproc_model))))]
type Drawn = (usize, usize, &'static str);

#[cfg(all(test, not(any(loom, multiproc_model))))]
mod layout {
    use super::{DeathBell, Lock, cell, monitor, permits};

    #[test]
    fn as_it_is_drawn() {
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ARCHITECTURE.md"));
        let part = page.split("\n### ").find(|part| part.starts_with("The words of sync")).unwrap();
        let words = [(0, size_of::<Lock>(), "Lock"), (0, size_of::<DeathBell>(), "DeathBell")];
        let drawn = words.iter().chain(&cell::DRAWN).chain(&monitor::DRAWN).chain(&permits::DRAWN);
        for (offset, bytes, what) in drawn {
            let line = format!("\n{offset:>7} {bytes:>6}  {what}\n");
            assert!(part.contains(&line), "ARCHITECTURE.md does not draw {line:?}");
        }
    }
}
