//! Readers of a [`RwLock`]: many at once, and none of them beside a writer.

use multiproc_sync::RwLock;

use super::trial::Trial;
use crate::control::Bracket;
use crate::scenario::{Found, Neighbours, Scenario, Tally};

type Pair = RwLock<[u64; 2]>;

fn read(lock: &Pair, body: &mut dyn FnMut()) -> Found {
    match lock.read() {
        Ok(pair) => {
            assert_eq!(pair[0], pair[1], "a reader beside a writer");
            body();
            assert_eq!(pair[0], pair[1], "a writer beside a reader");
            Found::Clean
        }
        Err(error) if error.is_owner_dead() => {
            drop(error);
            // A reader cannot repair it.
            write(lock)
        }
        Err(error) => panic!("{error}"),
    }
}

fn write(lock: &Pair) -> Found {
    let (mut pair, found) = match lock.write() {
        Ok(pair) => (pair, Found::Clean),
        Err(error) if error.is_owner_dead() => (error.into_guard(), Found::Dead),
        Err(error) => panic!("{error}"),
    };
    pair[0] += 1;
    pair[1] = pair[0];
    found
}

fn trial(name: &'static str, victim: fn(&Pair, &Bracket<'_>)) -> Trial<Pair> {
    Trial::new(
        name,
        || RwLock::new([0, 0]),
        victim,
        |lock, who| if who.is_multiple_of(2) { write(lock) } else { read(lock, &mut || {}) },
    )
    .sleepers(|lock, _| write(lock), |_, _| crate::scenario::Owed::All, |_| {})
    .check(|lock: &Pair, _: &Tally| {
        write(lock);
        Ok(())
    })
    .with_bound()
}

/// All of this file.
pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    fn whole(lock: &Pair, bracket: &Bracket<'_>) {
        bracket.begin();
        read(lock, &mut || {});
        bracket.end();
    }
    fn leave(lock: &Pair, bracket: &Bracket<'_>) {
        read(lock, &mut || bracket.begin());
        bracket.end();
    }
    vec![
        Box::new(trial("RwLock::read/free", whole)),
        Box::new(trial("RwLock::read/contended", whole).beside(Neighbours::Contending(2))),
        Box::new(trial("RwLock::read/leave, writers asleep", leave).beside(Neighbours::Asleep(2))),
        Box::new(
            trial("RwLock::read/woken, writer behind", whole).beside(Neighbours::AsleepBehind(1)).holder(
                |lock, gate| {
                    let guard = lock.write();
                    gate.wait(0);
                    drop(guard);
                },
            ),
        ),
    ]
}
