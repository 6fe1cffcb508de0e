use crate::{assert_soon, go_on, kill, stay, stop, with_children};
use multiproc::{BoundedSemaphore, Process, Semaphore, Shared, one_way};
use multiproc_tests::eventually;
use std::time::Duration;

fn holder(gate: &Shared<Semaphore>, permits: usize) -> Process<()> {
    let (reader, writer) = one_way::<()>().unwrap();
    let child = Process::spawn((gate.clone(), writer, permits), |(gate, writer, permits)| -> () {
        let _permits: Vec<_> = (0..permits).map(|_| gate.acquire()).collect();
        writer.send(()).unwrap();
        stay()
    });
    reader.recv().unwrap();
    child.unwrap()
}

#[test]
fn never_more_inside_than_permits() {
    use std::sync::atomic::{AtomicU32, Ordering};

    with_children(|| {
        let gate = Shared::new(Semaphore::new(2)).unwrap();
        let inside = Shared::new(AtomicU32::new(0)).unwrap();
        let children = [(); 4].map(|()| {
            Process::spawn((gate.clone(), inside.clone()), |(gate, inside)| {
                // Relaxed: one word, whose changes are seen in one order.
                for _ in 0..5_000 {
                    let _permit = gate.acquire();
                    assert!(inside.fetch_add(1, Ordering::Relaxed) < 2, "three are inside");
                    inside.fetch_sub(1, Ordering::Relaxed);
                }
            })
            .unwrap()
        });
        for child in children {
            child.join().unwrap();
        }
        assert_eq!(gate.available(), 2);
    });
}

#[test]
fn permits_of_the_dead_come_back_to_those_who_wait() {
    with_children(|| {
        let gate = Shared::new(Semaphore::new(3)).unwrap();
        let children = [holder(&gate, 2), holder(&gate, 1)];
        assert!(gate.try_acquire().is_none());
        assert!(gate.acquire_timeout(Duration::from_millis(5)).is_none());
        let waiter = Process::spawn(gate.clone(), |gate| {
            let _permits = [(); 3].map(|()| gate.acquire());
        });
        children.into_iter().for_each(kill);
        assert_soon("three permits", || waiter.unwrap().join().unwrap());
        assert_eq!(gate.available(), 3);
    });
}

#[test]
fn one_that_only_tries_gets_them_too() {
    with_children(|| {
        let gate = Shared::new(Semaphore::new(2)).unwrap();
        kill(holder(&gate, 2));
        assert_eq!(gate.available(), 0, "nobody has asked for one");
        eventually(Duration::from_secs(1), "a permit", || gate.try_acquire().is_some());
        assert_eq!(gate.available(), 2);
    });
}

#[test]
fn a_holder_that_is_stopped_is_not_dead() {
    with_children(|| {
        let gate = Shared::new(Semaphore::new(1)).unwrap();
        let child = holder(&gate, 1);
        stop(child.id());
        assert!(gate.acquire_timeout(Duration::from_millis(300)).is_none());
        go_on(child.id());
        kill(child);
        drop(assert_soon("the permit", || gate.acquire()));
    });
}

#[test]
fn forgotten_permits_are_released_by_hand() {
    with_children(|| {
        let gate = Shared::new(Semaphore::new(1)).unwrap();
        let child = Process::spawn(gate.clone(), |gate| gate.acquire().forget());
        child.unwrap().join().unwrap();
        assert!(gate.acquire_timeout(Duration::from_millis(20)).is_none());
        let waiter = Process::spawn(gate.clone(), |gate| drop(gate.acquire()));
        gate.release();
        waiter.unwrap().join().unwrap();
        gate.release();
        assert_eq!(gate.available(), 2);
    });
}

#[test]
fn more_processes_than_the_ledger_has_places() {
    with_children(|| {
        const HOLDERS: u32 = 130;
        let gate = Shared::new(Semaphore::new(HOLDERS)).unwrap();
        let children: Vec<_> = (0..HOLDERS)
            .map(|_| {
                Process::spawn(gate.clone(), |gate| -> () {
                    let _permit = gate.acquire();
                    stay()
                })
                .unwrap()
            })
            .collect();
        eventually(Duration::from_secs(30), "all hold a permit", || gate.available() == 0);
        for child in children {
            kill(child);
        }
        // Those in the ledger come back.
        let back: Vec<_> = (0..128).map(|_| assert_soon("a permit", || gate.acquire())).collect();
        assert!(gate.try_acquire().is_none());
        drop(back);
    });
}

#[test]
fn a_bounded_one_is_not_released_above_its_number() {
    with_children(|| {
        let seats = Shared::new(BoundedSemaphore::new(2)).unwrap();
        assert!(seats.release().is_err());
        let child = Process::spawn(seats.clone(), |seats| {
            let permit = seats.acquire();
            // It comes back by itself.
            let early = seats.release().is_err();
            permit.forget();
            early
        });
        assert!(child.unwrap().join().unwrap());
        assert_eq!(seats.available(), 1);
        seats.release().unwrap();
        let error = seats.release().unwrap_err();
        assert!(error.to_string().contains("initial number of 2"), "{error}");
        assert_eq!(seats.available(), 2);
    });
}
