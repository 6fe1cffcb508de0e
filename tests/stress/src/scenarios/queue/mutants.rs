//! Copies of the ring, each with one of the mistakes of `mistakes.rs`, which must all be caught.

use super::{leases, paths};
use crate::control::Bracket;
use crate::scenario::{Found, Scenario, Stage, Tally};

// The copies need it.
use zerocopy as _;

include!(concat!(env!("OUT_DIR"), "/mutants.rs"));

/// A mistake that cannot be made any more, since the ring has changed: nothing is caught.
#[cfg_attr(is_fresh, expect(dead_code, reason = "all could be made"))]
struct Stale(&'static str);

impl Scenario for Stale {
    fn name(&self) -> String {
        format!("wrong ring: {} (not made: what it changes is not in the ring any more)", self.0)
    }

    fn is_control(&self) -> bool {
        true
    }

    fn stage(&self) -> Box<dyn Stage> {
        Box::new(Empty)
    }
}

#[cfg_attr(is_fresh, expect(dead_code, reason = "all could be made"))]
struct Empty;

impl Stage for Empty {
    fn victim(&self, bracket: &Bracket<'_>) {
        bracket.begin();
        bracket.end();
    }

    fn operate(&self, _who: usize) -> Found {
        Found::Clean
    }

    fn check(&self, _tally: &Tally) -> Result<(), String> {
        Ok(())
    }
}
