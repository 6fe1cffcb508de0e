use crate::{assert_soon, kill, stay, with_children};
use multiproc::{Process, RwLock, Shared, one_way};
use multiproc_tests::eventually;
use std::time::Duration;

type Table = Shared<RwLock<[u64; 8]>>;

fn reader(table: &Table) -> Process<()> {
    let (reader, writer) = one_way::<()>().unwrap();
    let child = Process::spawn((table.clone(), writer), |(table, writer)| -> () {
        let _guard = table.read().unwrap();
        writer.send(()).unwrap();
        stay()
    });
    reader.recv().unwrap();
    child.unwrap()
}

fn writer(table: &Table) -> Process<()> {
    let (reader, writer) = one_way::<()>().unwrap();
    let child = Process::spawn((table.clone(), writer), |(table, writer)| -> () {
        let mut guard = table.write().unwrap();
        guard[0] = 7;
        writer.send(()).unwrap();
        stay()
    });
    reader.recv().unwrap();
    child.unwrap()
}

#[test]
fn readers_see_whole_writes() {
    with_children(|| {
        let table = Shared::new(RwLock::new([0u64; 8])).unwrap();
        let writers = [(); 2].map(|()| {
            Process::spawn(table.clone(), |table| {
                for _ in 0..2_000 {
                    let mut guard = table.write().unwrap();
                    for place in guard.iter_mut() {
                        *place += 1;
                    }
                }
            })
            .unwrap()
        });
        let readers = [(); 2].map(|()| {
            Process::spawn(table.clone(), |table| {
                for _ in 0..2_000 {
                    let guard = table.read().unwrap();
                    assert!(guard.iter().all(|place| *place == guard[0]), "{guard:?}");
                }
            })
            .unwrap()
        });
        for child in writers.into_iter().chain(readers) {
            child.join().unwrap();
        }
        assert_eq!(*table.read().unwrap(), [4_000; 8]);
    });
}

#[test]
fn readers_share_and_writers_do_not() {
    with_children(|| {
        let table = Shared::new(RwLock::new([0u64; 8])).unwrap();
        let readers = [(); 3].map(|()| reader(&table));
        assert!(table.try_read().is_ok());
        assert!(table.try_write().unwrap_err().is_would_block());
        assert!(table.write_timeout(Duration::from_millis(5)).unwrap_err().is_timeout());
        assert!(table.read_timeout(Duration::from_millis(5)).is_ok(), "the writer has given up");
        readers.into_iter().for_each(kill);
        // A reader leaves nothing half-changed.
        let guard = assert_soon("the lock of dead readers", || table.write().unwrap());
        drop(guard);
    });
}

#[test]
fn one_that_only_tries_finds_dead_readers_too() {
    with_children(|| {
        let table = Shared::new(RwLock::new([0u64; 8])).unwrap();
        [(); 2].map(|()| reader(&table)).into_iter().for_each(kill);
        eventually(Duration::from_secs(1), "nobody reads", || table.try_write().is_ok());
    });
}

#[test]
fn a_dead_writer_is_told_to_readers_and_writers() {
    with_children(|| {
        let table = Shared::new(RwLock::new([0u64; 8])).unwrap();
        let child = writer(&table);
        assert!(table.try_read().unwrap_err().is_would_block());
        assert!(table.read_timeout(Duration::from_millis(5)).unwrap_err().is_timeout());
        kill(child);
        let error = assert_soon("the lock of a dead writer", || table.read().unwrap_err());
        assert!(error.is_owner_dead());
        drop(error);
        assert!(table.try_write().unwrap_err().is_owner_dead());
        let guard = table.try_read().unwrap_err().into_guard();
        assert_eq!(guard[0], 7);
        drop(guard);
        assert!(table.read().is_ok() && table.write().is_ok());
    });
}

#[test]
fn waiting_readers_and_writers_hear_of_a_writers_death() {
    with_children(|| {
        let table = Shared::new(RwLock::new([0u64; 8])).unwrap();
        let child = writer(&table);
        let waiters: Vec<_> = (0..4)
            .map(|n| {
                Process::spawn((table.clone(), n), |(table, n)| {
                    if n % 2 == 0 {
                        drop(table.read().map_err(multiproc::AcquireError::into_guard));
                    } else {
                        drop(table.write().map_err(multiproc::AcquireError::into_guard));
                    }
                })
                .unwrap()
            })
            .collect();
        kill(child);
        assert_soon("all waiters", || waiters.into_iter().for_each(|waiter| waiter.join().unwrap()));
        assert!(table.write().is_ok());
    });
}

#[test]
fn a_writer_that_dies_while_it_waits_has_changed_nothing() {
    with_children(|| {
        let table = Shared::new(RwLock::new([0u64; 8])).unwrap();
        let guard = table.read().unwrap();
        let child = Process::spawn(table.clone(), |table| drop(table.write().unwrap())).unwrap();
        // It is announced, and keeps further readers out.
        eventually(Duration::from_secs(10), "the writer waits", || table.try_read().is_err());
        kill(child);
        drop(assert_soon("another reader", || table.read().unwrap()));
        drop(guard);
        assert!(table.write().is_ok());
    });
}
