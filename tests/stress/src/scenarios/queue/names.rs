//! Named queues: created, opened and unlinked by one that is killed meanwhile.

use multiproc_queue::Queue;
use multiproc_shm::ShmError;
use std::cell::Cell;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::control::Bracket;
use crate::scenario::{Found, Neighbours, Scenario, Stage, Tally};

/// What is done to the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Create,
    Open,
    Unlink,
}

struct Naming {
    act: Act,
    is_contended: bool,
}

const CAPACITY: usize = 4;
/// How long each name is.
const LEN: usize = 24;
/// Every so many operations some unlink the name.
const OFTEN: u32 = 10;

impl Scenario for Naming {
    fn name(&self) -> String {
        let act = match self.act {
            Act::Create => "create_named",
            Act::Open => "open_named, drop",
            Act::Unlink => "unlink",
        };
        format!("named Queue/{act}{}", if self.is_contended { ", contended" } else { "" })
    }

    fn neighbours(&self) -> Neighbours {
        if self.is_contended { Neighbours::Contending(2) } else { Neighbours::None }
    }

    fn stage(&self) -> Box<dyn Stage> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut name = format!("stress-{}-q", std::process::id());
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // All as long as each other, and so the paths over them.
        let width = LEN - name.len();
        let _ = write!(name, "{count:0width$}");
        let stage = Named { act: self.act, name, operations: Cell::new(0) };
        if self.act != Act::Create {
            drop(stage.create());
        }
        Box::new(stage)
    }
}

struct Named {
    act: Act,
    name: String,
    /// How many this process has done.
    operations: Cell<u32>,
}

impl Named {
    fn create(&self) -> Result<Queue<u64>, ShmError> {
        Queue::builder().capacity(CAPACITY).create_named(&self.name)
    }

    fn open(&self) -> Result<Queue<u64>, ShmError> {
        Queue::builder().open_named(&self.name)
    }

    /// While others create and unlink it, it is there or not, and never half of it.
    fn open_or_create(&self) -> Queue<u64> {
        loop {
            match self.open() {
                Ok(queue) => return queue,
                Err(error) if error.is_not_found() => {}
                Err(error) => panic!("{error}"),
            }
            match self.create() {
                Ok(queue) => return queue,
                Err(error) if error.is_already_exists() => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Stage for Named {
    fn victim(&self, bracket: &Bracket<'_>) {
        multiproc_core::sys::thread::process_id();
        bracket.begin();
        match self.act {
            Act::Create => drop(self.create()),
            Act::Open => drop(self.open()),
            Act::Unlink => drop(Queue::<u64>::unlink(&self.name)),
        }
        bracket.end();
    }

    fn operate(&self, who: usize) -> Found {
        let queue = self.open_or_create();
        assert_eq!(queue.capacity(), CAPACITY, "another queue");
        // Others may have filled it; what they put is not asked about.
        if queue.try_put(who as u64).is_ok() {
            drop(queue.try_get());
        }
        let operations = self.operations.get();
        self.operations.set(operations + 1);
        if who.is_multiple_of(2) && operations.is_multiple_of(OFTEN) {
            // Another may have been faster.
            let _ = Queue::<u64>::unlink(&self.name);
        }
        Found::Clean
    }

    fn check(&self, _tally: &Tally) -> Result<(), String> {
        let queue = self.open_or_create();
        while queue.try_get().is_ok() {}
        for number in 0..CAPACITY as u64 {
            queue.try_put(number).map_err(|error| format!("message {number}: {error}"))?;
        }
        let is_full = queue.is_full();
        Queue::<u64>::unlink(&self.name).map_err(|error| error.to_string())?;
        if is_full { Ok(()) } else { Err(format!("it is full, and does not say so: {queue:?}")) }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // It is there only if the point was given up.
        let _ = Queue::<u64>::unlink(&self.name);
    }
}

/// All of this file.
pub(crate) fn all() -> Vec<Box<dyn Scenario>> {
    let acts = [(Act::Create, false), (Act::Create, true), (Act::Open, false), (Act::Unlink, false)];
    acts.map(|(act, is_contended)| Box::new(Naming { act, is_contended }) as Box<dyn Scenario>).into()
}
