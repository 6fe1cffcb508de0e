//! Queues and channels, and the ring below them.

mod attach;
mod belt;
mod case;
mod depot;
mod ends;
mod history;
mod leases;
mod line;
mod mutants;
mod names;
mod paths;
mod short;
mod way;

use belt::sound::Belt;
use multiproc_queue::Queue;

use crate::scenario::Scenario;
pub(crate) use line::Line;
pub(crate) use short::CHUNKS as SHORT_CHUNKS;
pub(crate) use way::{Item, Leasing, Way};

/// The ring that ships, over short chunks.
pub(crate) type ShortChunks = Belt<SHORT_CHUNKS>;

/// All of this folder.
pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    let mut all = paths::all::<Queue<Item>>();
    all.extend(paths::with_handles::<Queue<Item>>());
    all.extend(leases::all::<Queue<Item>>());
    all.extend(leases::with_handles::<Queue<Item>>());
    all.extend(paths::all::<ShortChunks>());
    all.extend(paths::with_handles::<ShortChunks>());
    all.extend(leases::all::<ShortChunks>());
    all.extend(short::all());
    all.extend(paths::all::<way::Both>());
    all.extend(ends::all());
    all.extend(attach::all());
    all.extend(names::all());
    all.extend(mutants::all());
    all.extend(short::wrong_depots().into_iter().map(case::Case::boxed));
    all
}
