use multiproc_queue::Queue;
use multiproc_shm::{Shared, SharedBytes};
use multiproc_threads::{Plain, together};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const EACH: usize = 3_000;

/// What the messages tell of: each producer has a row, and a message is a place in it.
struct Rows(Vec<Plain<u64>>);

impl Rows {
    fn new(producers: usize) -> Rows {
        Rows((0..producers * EACH).map(|_| Plain::new(0)).collect())
    }

    /// Writes a place, of which a message is to tell.
    fn fill(&self, producer: usize, at: usize) -> usize {
        let place = producer * EACH + at;
        self.0[place].set(place as u64 + 1);
        place
    }

    /// Reads a place that a message told of, and marks it.
    fn take(&self, place: usize) {
        assert_eq!(self.0[place].get(), place as u64 + 1);
        self.0[place].set(u64::MAX);
    }

    fn assert_all_taken(&self) {
        assert!(self.0.iter().all(|place| place.get() == u64::MAX));
    }
}

/// Has two producers and two consumers use a queue until it is closed and empty.
fn drive(
    queue: &Queue<usize>,
    put: impl Fn(&Queue<usize>, usize, &Rows) + Sync,
    get: impl Fn(&Queue<usize>, &Rows) + Sync,
) {
    let (rows, left) = (Rows::new(2), AtomicU64::new(2));
    together(4, |number| {
        let queue = queue.clone();
        if number >= 2 {
            return get(&queue, &rows);
        }
        put(&queue, number, &rows);
        // Relaxed: who closes has put all of its own, and so has the other.
        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
            queue.close();
        }
    });
    rows.assert_all_taken();
}

fn put_each(queue: &Queue<usize>, producer: usize, rows: &Rows) {
    for at in 0..EACH {
        let place = rows.fill(producer, at);
        match at % 3 {
            0 => queue.put(place).unwrap(),
            1 => queue.put_timeout(place, Duration::MAX).unwrap(),
            _ => {
                while let Err(error) = queue.try_put(place) {
                    assert!(error.is_full(), "{error}");
                    std::thread::yield_now();
                }
            }
        }
    }
}

fn get_each(queue: &Queue<usize>, rows: &Rows) {
    queue.iter().for_each(|place| rows.take(place));
}

#[test]
fn a_short_one() {
    drive(&Queue::bounded(2).unwrap(), put_each, get_each);
}

#[test]
fn a_long_one() {
    drive(&Queue::unbounded().unwrap(), put_each, get_each);
}

#[test]
fn who_finds_room_sees_what_was_taken() {
    let (queue, place) = (Queue::bounded(1).unwrap(), [Plain::new(0), Plain::new(0)]);
    together(2, |number| {
        for round in 1..=EACH as u64 {
            if number == 0 {
                // There is room for this one only when the one before the last was taken.
                place[(round % 2) as usize].set(round);
                queue.put(round).unwrap();
                queue.put(0).unwrap();
            } else {
                assert_eq!(queue.get().unwrap(), round);
                assert_eq!(place[(round % 2) as usize].get(), round);
                assert_eq!(queue.get().unwrap(), 0);
            }
        }
    });
}

#[test]
fn in_batches() {
    drive(
        &Queue::bounded(40).unwrap(),
        |queue, producer, rows| {
            for batch in 0..EACH / 25 {
                queue.put_many((0..25).map(|at| rows.fill(producer, batch * 25 + at))).unwrap();
            }
        },
        |queue, rows| {
            while let Ok(batch) = queue.get_many(32) {
                batch.into_iter().for_each(|place| rows.take(place));
            }
        },
    );
}

#[test]
fn messages_of_many_chunks() {
    let queue = Queue::<(usize, Vec<u64>)>::bounded(3).unwrap();
    together(3, |number| {
        if number > 0 {
            for at in 0..60 {
                queue.put((number, vec![at; 40_000 * number])).unwrap();
            }
            return;
        }
        let mut next = [0; 3];
        for _ in 0..120 {
            let (producer, words) = queue.get().unwrap();
            assert!(words.len() == 40_000 * producer && words.iter().all(|word| *word == next[producer]));
            next[producer] += 1;
        }
    });
}

#[test]
fn leases() {
    drive(&Queue::bounded(5).unwrap(), put_each, |queue, rows| {
        while let Ok(lease) = queue.lease() {
            // One in eight is given back, once.
            if lease.is_redelivered() || *lease % 8 != 0 {
                rows.take(*lease);
                lease.done();
            }
        }
    });
}

#[test]
fn who_joins_sees_what_was_done() {
    for round in 1..=400 {
        let (queue, done) = (Queue::bounded(4).unwrap(), [Plain::new(0), Plain::new(0)]);
        queue.put_many([0usize, 1]).unwrap();
        together(3, |number| {
            if number < 2 {
                let lease = queue.lease().unwrap();
                done[*lease].set(round);
                lease.done();
            } else if round % 2 == 0 {
                queue.join();
                assert_eq!(done.each_ref().map(Plain::get), [round; 2]);
            } else {
                while !queue.join_timeout(Duration::ZERO) {
                    std::hint::spin_loop();
                }
                assert_eq!(done.each_ref().map(Plain::get), [round; 2]);
            }
        });
    }
}

#[test]
fn handles_in_messages() {
    type Item = (usize, Shared<AtomicU64>, Option<SharedBytes>);
    let queue = Queue::<Item>::bounded(6).unwrap();
    together(4, |number| {
        let queue = queue.clone();
        for at in 0..100 {
            if number < 2 {
                let counter = Shared::new(AtomicU64::new(at as u64)).unwrap();
                let bytes = (at % 2 == 0).then(|| SharedBytes::copy_from(&[at as u8; 5_000]).unwrap());
                queue.put((at, counter, bytes)).unwrap();
            } else if at % 3 == 0 {
                let lease = queue.lease().unwrap();
                check(&lease);
                lease.done();
            } else {
                check(&queue.get().unwrap());
            }
        }
    });
    queue.join();

    fn check((at, counter, bytes): &Item) {
        assert_eq!(counter.fetch_add(1, Ordering::Relaxed), *at as u64);
        assert_eq!(bytes.is_some(), at % 2 == 0);
        assert!(bytes.iter().all(|bytes| bytes.iter().all(|byte| *byte == *at as u8)));
    }
}

#[test]
fn what_a_queue_says_while_others_use_it() {
    let queue = Queue::bounded(8).unwrap();
    together(3, |number| match number {
        0 => put_numbers(&queue),
        1 => assert_eq!(queue.iter().take(EACH).count(), EACH),
        _ => {
            for _ in 0..EACH {
                let len = queue.len();
                assert!(len <= queue.capacity());
                assert!(format!("{queue:?}").contains("capacity: 8"));
                let _ = (queue.is_empty(), queue.is_full(), queue.is_closed());
            }
        }
    });

    fn put_numbers(queue: &Queue<usize>) {
        (0..EACH).for_each(|number| queue.put(number).unwrap());
    }
}
