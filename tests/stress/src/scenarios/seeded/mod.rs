//! Protocols with one mistake each. Every one looks right, works as long as nobody dies, stands still or is just slow
//! at the wrong instruction, and must be caught.

mod lock;
mod signals;
mod state;

use crate::scenario::Scenario;

/// All of them.
pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    let mut all = lock::all();
    all.extend(signals::all());
    all.extend(state::all());
    all
}
