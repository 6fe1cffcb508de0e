//! What is tried. Each file is one noun; [`all`] is the list.

mod exclusive;
mod handing;
mod lock;
mod monitor;
mod named;
pub(crate) mod queue;
mod reading;
mod robust;
mod seeded;
mod signals;
mod trial;
mod weather;

use crate::scenario::Scenario;
use crate::storm::{Run, Weather, storm};
use exclusive::Tried;
use lock::{Guarded, Locking, Long, SHAPES, Shape, Short, Subject};
use multiproc_sync::{BoundedSemaphore, Mutex, ReentrantMutex, RwLock, Semaphore};
use robust::Robust;
use weather::{Crowd, Handover, Library, Meeting, Relay};

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
    for shape in [Shape::Free, Shape::Inherited] {
        all.push(Box::new(Locking::<Tried<Mutex<u64>>>::new(shape)));
        all.push(Box::new(Locking::<Tried<RwLock<u64>>>::new(shape)));
    }
    // What looks for the dead for some milliseconds at most finds none when it is stepped.
    all.push(Box::new(Locking::<Tried<Semaphore>>::new(Shape::Free)));
    all.extend(reading::all());
    all.extend(monitor::all());
    all.extend(signals::all());
    all.extend(named::all());
    all.extend(handing::all());
    all.push(Box::new(Locking::<Robust>::new(Shape::Stolen)));
    all.extend(seeded::all());
    all.extend(queue::all());
    all
}

fn shapes<L: Subject>(all: &mut Vec<Box<dyn Scenario>>) {
    all.extend(SHAPES.map(|shape| Box::new(Locking::<L>::new(shape)) as Box<dyn Scenario>));
}

/// The storms, each with its name.
pub(crate) fn storms() -> Vec<(&'static str, Run)> {
    fn one<W: Weather>() -> (&'static str, Run) {
        (W::NAME, storm::<W>)
    }
    vec![
        one::<Guarded<Short>>(),
        one::<Guarded<Mutex<u64>>>(),
        one::<Guarded<ReentrantMutex<u64>>>(),
        one::<Guarded<RwLock<u64>>>(),
        one::<Guarded<Semaphore>>(),
        one::<Guarded<BoundedSemaphore>>(),
        one::<Crowd>(),
        one::<Library>(),
        one::<Relay>(),
        one::<Meeting>(),
        one::<Handover>(),
    ]
}
