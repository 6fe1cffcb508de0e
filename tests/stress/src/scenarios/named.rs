//! Names: created, opened and unlinked by one that is killed meanwhile.

use multiproc_shm::{Shared, ShmError};
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
    OpenOrCreate,
}

struct Naming {
    act: Act,
    is_contended: bool,
}

/// What is created is opened so often before it is unlinked: creating takes long.
const SELDOM: u64 = 8;
/// How long each name is.
const LEN: usize = 24;
/// A value that no half-made object has.
const WHOLE: u64 = 0x5eed;

impl Scenario for Naming {
    fn name(&self) -> String {
        let act = match self.act {
            Act::Create => "create_named",
            Act::Open => "open_named, drop",
            Act::Unlink => "unlink",
            Act::OpenOrCreate => "open_or_create_named",
        };
        format!("Shared/{act}{}", if self.is_contended { ", contended" } else { "" })
    }

    fn neighbours(&self) -> Neighbours {
        if self.is_contended { Neighbours::Contending(2) } else { Neighbours::None }
    }

    fn operations(&self) -> usize {
        // Those of several come to a hundred.
        if self.is_contended { 34 } else { 100 }
    }

    fn stage(&self) -> Box<dyn Stage> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut name = format!("stress-{}-", std::process::id());
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // All as long as each other, and so the paths over them.
        let width = LEN - name.len();
        let _ = write!(name, "{count:0width$}");
        if matches!(self.act, Act::Open | Act::Unlink) {
            drop(Shared::create_named(&name, AtomicU64::new(WHOLE)));
        }
        Box::new(Named { act: self.act, name })
    }
}

struct Named {
    act: Act,
    name: String,
}

impl Named {
    fn open_or_create(&self) -> Result<Shared<AtomicU64>, ShmError> {
        Shared::open_or_create_named(&self.name, AtomicU64::new(WHOLE))
    }
}

impl Stage for Named {
    fn victim(&self, bracket: &Bracket<'_>) {
        bracket.begin();
        match self.act {
            Act::Create => drop(Shared::create_named(&self.name, AtomicU64::new(WHOLE))),
            Act::Open => drop(Shared::<AtomicU64>::open_named(&self.name)),
            Act::Unlink => drop(Shared::<AtomicU64>::unlink(&self.name)),
            Act::OpenOrCreate => drop(self.open_or_create()),
        }
        bracket.end();
    }

    fn operate(&self, who: usize) -> Found {
        match self.open_or_create() {
            Ok(value) => assert_eq!(value.load(Ordering::Relaxed), WHOLE, "an object that is half-made"),
            // While others unlink it all the time.
            Err(error) => panic!("{error}"),
        }
        // Each process has a count of its own.
        static TURNS: AtomicU64 = AtomicU64::new(0);
        if who.is_multiple_of(2) && TURNS.fetch_add(1, Ordering::Relaxed).is_multiple_of(SELDOM) {
            // Another may have been faster.
            let _ = Shared::<AtomicU64>::unlink(&self.name);
        }
        Found::Clean
    }

    fn check(&self, _tally: &Tally) -> Result<(), String> {
        let whole = self.open_or_create().map(|value| value.load(Ordering::Relaxed));
        let unlinked = Shared::<AtomicU64>::unlink(&self.name);
        match (whole, unlinked) {
            (Ok(WHOLE), Ok(())) => Ok(()),
            (whole, unlinked) => Err(format!("the name is not whole: {whole:?}, {unlinked:?}")),
        }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // It is there only if the point was given up.
        let _ = Shared::<AtomicU64>::unlink(&self.name);
    }
}

/// All of this file.
pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    let acts = [Act::Create, Act::Open, Act::Unlink, Act::OpenOrCreate];
    let beside = [false, true];
    let naming = beside.into_iter().flat_map(|is_contended| acts.map(|act| Naming { act, is_contended }));
    naming.map(|naming| Box::new(naming) as Box<dyn Scenario>).collect()
}
