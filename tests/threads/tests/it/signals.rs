use multiproc_shm::Shared;
use multiproc_sync::{Barrier, BoundedSemaphore, Condvar, Event, Mutex, Semaphore};
use multiproc_threads::{Plain, together};
use std::time::Duration;

const THREADS: usize = 4;
const ROUNDS: u64 = 2_000;

#[test]
fn semaphores() {
    let (plain, bounded) =
        (Shared::new(Semaphore::new(1)).unwrap(), Shared::new(BoundedSemaphore::new(1)).unwrap());
    let counts = [Plain::new(0), Plain::new(0)];
    together(THREADS, |_| {
        for _ in 0..ROUNDS {
            let permit = plain.acquire();
            counts[0].add(1);
            drop(permit);
            let permit = bounded.acquire_timeout(Duration::MAX).unwrap();
            counts[1].add(1);
            drop(permit);
        }
    });
    assert_eq!(counts.each_ref().map(Plain::get), [THREADS as u64 * ROUNDS; 2]);
    assert_eq!((plain.available(), bounded.available()), (1, 1));
}

#[test]
fn what_is_released_by_another_thread() {
    // Full and free places, as in a bounded buffer of one.
    let gates = Shared::new([Semaphore::new(1), Semaphore::new(0)]).unwrap();
    let place = Plain::new(0);
    together(2, |number| {
        for round in 1..=ROUNDS {
            gates[number].acquire().forget();
            if number == 0 {
                place.set(round)
            } else {
                assert_eq!(place.get(), round)
            }
            gates[1 - number].release();
        }
    });
}

#[test]
fn conditions() {
    let state = Shared::new(Turn { turn: Mutex::new(0), changed: Condvar::new() }).unwrap();
    let place = Plain::new(0);
    together(THREADS, |number| {
        let (turn, changed) = (&state.turn, &state.changed);
        for round in 0..ROUNDS / 4 {
            let mine = round * THREADS as u64 + number as u64;
            let mut guard = changed.wait_while(turn.lock().unwrap(), |turn| *turn != mine).unwrap();
            assert_eq!(place.get(), mine);
            place.set(mine + 1);
            *guard += 1;
            drop(guard);
            changed.notify_all();
        }
    });
    assert_eq!(place.get(), ROUNDS / 4 * THREADS as u64);
}

#[test]
fn one_is_notified_at_a_time() {
    let state = Shared::new(Turn { turn: Mutex::new(0), changed: Condvar::new() }).unwrap();
    let place = Plain::new(0);
    together(THREADS, |number| {
        for _ in 0..ROUNDS / 4 {
            if number == 0 {
                let mut tokens = state.turn.lock().unwrap();
                place.add(1);
                *tokens += THREADS as u64 - 1;
                drop(tokens);
                (1..THREADS).for_each(|_| state.changed.notify_one());
            } else {
                let mut tokens =
                    state.changed.wait_while(state.turn.lock().unwrap(), |tokens| *tokens == 0).unwrap();
                assert!(place.get() > 0);
                *tokens -= 1;
            }
        }
    });
    assert_eq!((*state.turn.lock().unwrap(), place.get()), (0, ROUNDS / 4));
}

#[test]
fn barriers() {
    let barrier = Shared::new(Barrier::new(THREADS as u32)).unwrap();
    let places = [const { Plain::new(0) }; THREADS];
    let leads = together(THREADS, |number| {
        let mut leads = 0;
        for round in 1..=ROUNDS / 2 {
            places[number].set(round);
            leads += u64::from(barrier.wait().unwrap().is_leader());
            assert!(places.iter().all(|place| place.get() == round));
            barrier.wait().unwrap();
        }
        leads
    });
    assert_eq!(leads.iter().sum::<u64>(), ROUNDS / 2);
}

#[test]
fn events() {
    let events = Shared::new([const { Event::new() }; 2]).unwrap();
    let place = Plain::new(0);
    together(2, |number| {
        for round in 1..=ROUNDS {
            if number == 0 {
                place.set(round);
                events[0].set();
                events[1].wait();
                events[1].clear();
            } else {
                events[0].wait();
                events[0].clear();
                assert_eq!(place.get(), round);
                events[1].set();
            }
        }
    });
}

#[test]
fn many_wait_for_one_event() {
    for round in 1..=300 {
        let (event, place) = (Shared::new(Event::new()).unwrap(), Plain::new(0));
        together(THREADS, |number| match number {
            0 => {
                place.set(round);
                event.set();
                // It is not missed by who waits already.
                event.clear();
                event.set();
            }
            1 => {
                while !event.is_set() {
                    std::thread::yield_now();
                }
                assert_eq!(place.get(), round);
            }
            _ => {
                event.wait();
                assert_eq!(place.get(), round);
            }
        });
    }
}

/// A turn, and what tells of its change.
#[derive(multiproc_shm::ShmSafe)]
#[repr(C)]
struct Turn {
    turn: Mutex<u64>,
    changed: Condvar,
}
