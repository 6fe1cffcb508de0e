use multiproc_queue::{channel, spsc};
use multiproc_threads::{Plain, together};
use std::sync::Mutex;
use std::time::Duration;

const EACH: usize = 4_000;

fn places() -> Vec<Plain<u64>> {
    (0..EACH).map(|_| Plain::new(0)).collect()
}

#[test]
fn one_to_one_without_locks() {
    for capacity in [1, 3, EACH] {
        let (places, (sender, receiver)) = (places(), spsc(capacity).unwrap());
        // Each end is used by one thread, which takes it along.
        let ends = (Mutex::new(Some(sender)), Mutex::new(Some(receiver)));
        together(2, |number| {
            if number == 0 {
                let sender = ends.0.lock().unwrap().take().unwrap();
                for (at, place) in places.iter().enumerate() {
                    place.set(at as u64 + 1);
                    if at % 5 == 0 {
                        while let Err(error) = sender.try_send(at) {
                            assert!(error.is_full(), "{error}");
                            std::thread::yield_now();
                        }
                    } else {
                        sender.send(at).unwrap();
                    }
                }
            } else {
                let receiver = ends.1.lock().unwrap().take().unwrap();
                let mut next = 0;
                while let Ok(at) = receiver.recv() {
                    assert_eq!((at, places[at].get()), (next, at as u64 + 1));
                    next += 1;
                }
                assert_eq!(next, EACH);
            }
        });
    }
}

#[test]
fn one_to_one_in_batches() {
    let (places, (sender, receiver)) = (places(), spsc(20).unwrap());
    let ends = (Mutex::new(Some(sender)), Mutex::new(Some(receiver)));
    together(2, |number| {
        if number == 0 {
            let sender = ends.0.lock().unwrap().take().unwrap();
            for batch in 0..EACH / 16 {
                let batch = batch * 16..(batch + 1) * 16;
                batch.clone().for_each(|at| places[at].set(at as u64 + 1));
                sender.send_many(batch).unwrap();
            }
        } else {
            let receiver = ends.1.lock().unwrap().take().unwrap();
            let mut next = 0;
            while let Ok(batch) = receiver.recv_many(7) {
                for at in batch {
                    assert_eq!((at, places[at].get()), (next, at as u64 + 1));
                    next += 1;
                }
            }
            assert_eq!(next, EACH);
        }
    });
}

#[test]
fn who_sends_next_sees_what_was_received() {
    // Two words that are used in turns, with room for one message: a third one cannot be on its way.
    let ((sender, receiver), (back, answers)) = (spsc(1).unwrap(), spsc(1).unwrap());
    let ends = (Mutex::new(Some((sender, answers))), Mutex::new(Some((receiver, back))));
    let place = Plain::new(0u64);
    together(2, |number| {
        if number == 0 {
            let (sender, answers) = ends.0.lock().unwrap().take().unwrap();
            for round in 1..=EACH as u64 {
                place.set(round);
                sender.send(()).unwrap();
                answers.recv_timeout(Duration::MAX).unwrap();
                assert_eq!(place.get(), round + 1);
            }
        } else {
            let (receiver, back) = ends.1.lock().unwrap().take().unwrap();
            while let Ok(()) = receiver.recv() {
                place.add(1);
                back.send(()).unwrap();
            }
        }
    });
}

#[test]
fn many_ends_with_locks() {
    for capacity in [1, 6] {
        let (places, (sender, receiver)) = (places(), channel(capacity).unwrap());
        let ends = (Mutex::new(vec![sender.clone(), sender]), Mutex::new(vec![receiver.clone(), receiver]));
        let counts = together(4, |number| {
            if number < 2 {
                let sender = ends.0.lock().unwrap().pop().unwrap();
                for at in (number..EACH).step_by(2) {
                    places[at].set(at as u64 + 1);
                    sender.send(at).unwrap();
                }
                return 0;
            }
            let receiver = ends.1.lock().unwrap().pop().unwrap();
            let mut count = 0;
            while let Ok(at) = receiver.recv() {
                assert_eq!(places[at].get(), at as u64 + 1);
                places[at].set(u64::MAX);
                count += 1;
            }
            count
        });
        assert_eq!(counts.iter().sum::<usize>(), EACH);
        assert!(places.iter().all(|place| place.get() == u64::MAX));
    }
}

#[test]
fn ends_that_leave_while_others_sleep() {
    for round in 0..300 {
        let (sender, receiver) = channel::<u32>(1).unwrap();
        let ends = (Mutex::new(Some(sender)), Mutex::new(Some(receiver)));
        together(2, |number| {
            if (number == 0) == (round % 2 == 0) {
                let sender = ends.0.lock().unwrap().take().unwrap();
                if round % 2 == 1 {
                    while sender.send(7).is_ok() {}
                }
            } else {
                let receiver = ends.1.lock().unwrap().take().unwrap();
                if round % 2 == 0 {
                    assert!(receiver.recv().unwrap_err().is_disconnected());
                }
            }
        });
    }
}
