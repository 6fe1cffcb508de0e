use crate::{assert_soon, kill, with_children};
use multiproc::{Event, Process, Shared, one_way};
use std::time::Duration;

#[test]
fn everybody_who_waits_goes_on() {
    with_children(|| {
        let go = Shared::new(Event::new()).unwrap();
        let waiters = [(); 4].map(|()| Process::spawn(go.clone(), |go| go.wait()).unwrap());
        assert!(!go.wait_timeout(Duration::from_millis(5)));
        go.set();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert!(go.is_set() && go.wait_timeout(Duration::ZERO));
        go.clear();
        assert!(!go.is_set() && !go.wait_timeout(Duration::ZERO));
    });
}

#[test]
fn ping_and_pong() {
    with_children(|| {
        let events = Shared::new([const { Event::new() }; 2]).unwrap();
        let child = Process::spawn(events.clone(), |events| {
            for _ in 0..5_000 {
                events[0].wait();
                events[0].clear();
                events[1].set();
            }
        });
        for _ in 0..5_000 {
            events[0].set();
            events[1].wait();
            events[1].clear();
        }
        child.unwrap().join().unwrap();
    });
}

#[test]
fn setting_never_waits_for_a_waiter_that_was_killed() {
    with_children(|| {
        const KILLS: u32 = 20;
        for _ in 0..KILLS {
            let go = Shared::new(Event::new()).unwrap();
            let (reader, writer) = one_way::<()>().unwrap();
            let dead = Process::spawn((go.clone(), writer), |(go, writer)| {
                writer.send(()).unwrap();
                go.wait();
            });
            reader.recv().unwrap();
            let other = Process::spawn(go.clone(), |go| go.wait()).unwrap();
            kill(dead.unwrap());
            assert_soon("setting", || go.set());
            assert_soon("the other waiter", || other.join().unwrap());
        }
        println!("figures: {KILLS} kills in waiters of an event");
    });
}
