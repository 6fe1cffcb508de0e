//! What is tried. Each file is one noun; [`all`] is the list.

mod lock;
mod robust;

use crate::scenario::Scenario;
use lock::{Locking, Long, SHAPES, Shape};
use robust::Robust;

/// Everything, in the order in which it runs.
pub(crate) fn all() -> Vec<Box<dyn Scenario>> {
    let mut all: Vec<Box<dyn Scenario>> = Vec::new();
    for shape in SHAPES {
        all.push(Box::new(Locking::<Long>::new(shape)));
    }
    all.push(Box::new(Locking::<Robust>::new(Shape::Stolen)));
    all
}
