use multiproc_process::Process;
use multiproc_queue::Queue;
use multiproc_tests::{Bytes, Limit, isolated, isolated_for, on_both};
use std::time::Duration;

#[test]
fn from_one_process_to_another() {
    on_both(Limit::default(), |_| {
        let (jobs, results) = (Queue::bounded(3).unwrap(), Queue::unbounded().unwrap());
        let child = Process::spawn((jobs.clone(), results.clone()), |(jobs, results)| {
            for number in &jobs {
                results.put(number * 2u64).unwrap();
            }
        });
        jobs.put_many(0..100).unwrap();
        jobs.close();
        child.unwrap().join().unwrap();
        assert_eq!(results.len(), 100);
        assert_eq!(results.get_many(1000).unwrap(), (0..100).map(|number| number * 2).collect::<Vec<_>>());
        assert!(results.is_empty() && jobs.try_get().unwrap_err().is_closed());
        assert!(jobs.put(1).unwrap_err().is_closed());
    });
}

#[test]
fn of_all_sizes() {
    const SIZES: [usize; 13] =
        [0, 1, 7, 8, 9, 1000, 65_500, 65_520, 65_536, 65_537, 200_000, 5_000_000, 100_000_000];
    isolated_for(Limit(Duration::from_secs(120)), || {
        let queue = Queue::bounded(2).unwrap();
        let child = Process::spawn(queue.clone(), |queue: Queue<Bytes>| {
            for round in 0..2 {
                for len in SIZES {
                    if round == 0 || len < 1_000_000 {
                        queue.put(Bytes::patterned(len)).unwrap();
                    }
                }
            }
        })
        .unwrap();
        for round in 0..2 {
            for len in SIZES {
                if round == 0 || len < 1_000_000 {
                    assert!(queue.get().unwrap().is_patterned(len), "{len}");
                }
            }
        }
        child.join().unwrap();
    });
}

/// Beyond what 32 bits tell of signed lengths is slow without optimisation, and takes memory.
#[test]
#[cfg(not(debug_assertions))]
fn beyond_a_gibibyte() {
    const LEN: usize = (1 << 30) + 123_457;
    isolated_for(Limit(Duration::from_secs(120)), || {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
        let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
        let available: u64 = available.trim().trim_end_matches(" kB").parse().unwrap();
        if available < 8 << 20 {
            return multiproc_tests::skip(
                "a message beyond a gibibyte",
                "less than 8 GiB of memory are free",
            );
        }
        let queue = Queue::bounded(1).unwrap();
        let child = Process::spawn(queue.clone(), |queue| queue.put(Bytes::patterned(LEN)).unwrap());
        assert!(queue.get().unwrap().is_patterned(LEN));
        child.unwrap().join().unwrap();
    });
}

#[test]
fn chunks_are_used_again() {
    isolated(|| {
        let queue = Queue::unbounded().unwrap();
        for round in 0u32..200 {
            for number in 0..200 {
                queue.put((round, vec![number as u8; 500])).unwrap();
            }
            for number in 0..200 {
                assert_eq!(queue.get().unwrap(), (round, vec![number as u8; 500]));
            }
        }
    });
}

#[test]
fn each_message_comes_once_and_in_the_order_of_its_producer() {
    const COUNT: u32 = 2000;
    on_both(Limit::default(), |_| {
        let (queue, seen) = (Queue::bounded(7).unwrap(), Queue::unbounded().unwrap());
        let producers: Vec<_> = (0..2u32)
            .map(|producer| {
                Process::spawn((queue.clone(), producer), |(queue, producer)| {
                    for number in 0..COUNT {
                        queue.put((producer, number)).unwrap();
                    }
                })
                .unwrap()
            })
            .collect();
        let consumers: Vec<_> = (0..2)
            .map(|_| {
                Process::spawn((queue.clone(), seen.clone()), |(queue, seen): (Queue<_>, Queue<_>)| {
                    seen.put(queue.iter().collect::<Vec<(u32, u32)>>()).unwrap();
                })
                .unwrap()
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        queue.close();
        consumers.into_iter().for_each(|consumer| consumer.join().unwrap());
        let seen = seen.get_many(2).unwrap();
        for messages in &seen {
            for producer in 0..2 {
                let numbers: Vec<u32> =
                    messages.iter().filter(|(by, _)| *by == producer).map(|(_, number)| *number).collect();
                assert!(numbers.is_sorted_by(|a, b| a < b));
            }
        }
        let mut all: Vec<_> = seen.into_iter().flatten().collect();
        all.sort_unstable();
        let expected: Vec<_> = (0..2).flat_map(|by| (0..COUNT).map(move |number| (by, number))).collect();
        assert_eq!(all, expected);
    });
}

#[test]
fn closing_wakes_both_sides() {
    isolated(|| {
        let (full, empty) = (Queue::bounded(1).unwrap(), Queue::<u8>::bounded(1).unwrap());
        full.put(1u8).unwrap();
        let producer = Process::spawn(full.clone(), |queue| queue.put(2).unwrap_err().is_closed());
        let consumer = Process::spawn(empty.clone(), |queue| queue.get().unwrap_err().is_closed());
        let (producer, consumer) = (producer.unwrap(), consumer.unwrap());
        assert_eq!(producer.wait_timeout(Duration::from_millis(50)).unwrap(), None);
        assert_eq!(consumer.wait_timeout(Duration::from_millis(50)).unwrap(), None);
        full.close();
        empty.close();
        assert!(producer.join().unwrap() && consumer.join().unwrap());
        assert_eq!(full.get().unwrap(), 1);
        assert!(full.get().unwrap_err().is_closed());
    });
}

#[test]
fn time_limits() {
    isolated(|| {
        let queue = Queue::bounded(1).unwrap();
        assert!(queue.try_get().unwrap_err().is_empty());
        let error = queue.get_timeout(Duration::from_millis(10)).unwrap_err();
        assert!(error.is_timeout() && error.is_empty() && !error.is_closed(), "{error}");
        queue.put("one".to_owned()).unwrap();
        assert!(queue.is_full() && !queue.is_empty() && queue.len() == 1);
        let error = queue.put_timeout("two".to_owned(), Duration::from_millis(10)).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert_eq!(error.into_inner(), "two");
        assert!(!queue.join_timeout(Duration::from_millis(10)));
        queue.get().unwrap();
        assert!(queue.join_timeout(Duration::ZERO));
    });
}

#[test]
fn an_emptied_queue_gives_memory_back() {
    isolated(|| {
        let queue = Queue::unbounded().unwrap();
        let memory = multiproc_core::codec::encode(&queue).unwrap().fds[0].try_clone().unwrap();
        let memory = std::fs::File::from(memory);
        let held = || std::os::unix::fs::MetadataExt::blocks(&memory.metadata().unwrap()) * 512;
        for round in 0..3 {
            for number in 0..100 {
                queue.put(Bytes::patterned(1_000_000 + number)).unwrap();
            }
            assert!(held() > 100 << 20);
            for number in 0..100 {
                assert!(queue.get().unwrap().is_patterned(1_000_000 + number), "{number} of round {round}");
            }
            if round == 0 {
                assert!(held() < 20 << 20, "{} are held", held());
            }
        }
    });
}

/// Nobody is told that there is nothing, or no room, only because another one is between two of its steps.
#[test]
fn what_is_tried_is_not_refused_for_a_lock_that_is_held() {
    isolated(|| {
        let queue = Queue::<u32>::unbounded().unwrap();
        let takers: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                std::thread::spawn(move || {
                    for number in 0..20_000 {
                        queue.try_put(number).unwrap();
                        // It was just put, and each puts before it takes: there is one for everybody.
                        queue.try_get().unwrap();
                    }
                })
            })
            .collect();
        for taker in takers {
            taker.join().unwrap();
        }
        assert!(queue.is_empty());
    });
}
