//! What is tried. Each file is one noun; [`all`] is the list.

mod exclusive;
mod lock;
mod monitor;
mod named;
mod reading;
mod robust;
mod seeded;
mod signals;
mod trial;

use crate::scenario::Scenario;
use crate::storm::{Run, storm};
pub(crate) use lock::{Guarded, Subject};
use lock::{Locking, Long, SHAPES, Shape, Short};
use multiproc_sync::{BoundedSemaphore, Mutex, ReentrantMutex, RwLock, Semaphore};
use robust::Robust;

/// Everything, in the order in which it runs.
pub(crate) fn all() -> Vec<Box<dyn Scenario>> {
    let mut all: Vec<Box<dyn Scenario>> = Vec::new();
    shapes::<Short>(&mut all);
    shapes::<Long>(&mut all);
    shapes::<Mutex<u64>>(&mut all);
    shapes::<ReentrantMutex<u64>>(&mut all);
    shapes::<RwLock<u64>>(&mut all);
    shapes::<Semaphore>(&mut all);
    shapes::<BoundedSemaphore>(&mut all);
    all.extend(reading::all());
    all.extend(monitor::all());
    all.extend(signals::all());
    all.extend(named::all());
    all.push(Box::new(Locking::<Robust>::new(Shape::Stolen)));
    all.extend(seeded::all());
    all
}

fn shapes<L: Subject>(all: &mut Vec<Box<dyn Scenario>>) {
    all.extend(SHAPES.map(|shape| Box::new(Locking::<L>::new(shape)) as Box<dyn Scenario>));
}

/// The storms, each with its name.
pub(crate) fn storms() -> Vec<(&'static str, Run)> {
    vec![
        (Short::NAME, storm::<Short>),
        (Mutex::<u64>::NAME, storm::<Mutex<u64>>),
        (ReentrantMutex::<u64>::NAME, storm::<ReentrantMutex<u64>>),
        (RwLock::<u64>::NAME, storm::<RwLock<u64>>),
        (Semaphore::NAME, storm::<Semaphore>),
        (BoundedSemaphore::NAME, storm::<BoundedSemaphore>),
    ]
}
