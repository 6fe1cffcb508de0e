use crate::{
    AHEAD, Flag, block, count, each, each_builder, each_that_kills, flag, raise, spin, wait_for, with_workers,
};
use multiproc::{TaskError, TaskOptions, is_stopping};
use multiproc_tests::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn order() {
    with_workers(|| {
        each(2, |pool| {
            let expected: Vec<u64> = (0..20_000).map(|n| n * 3).collect();
            assert_eq!(pool.map(0..20_000u64, |n| n * 3).unwrap(), expected);
            assert_eq!(pool.map_async(0..20_000u64, |n| n * 3).get().unwrap(), expected);
            assert!(pool.imap(0..20_000u64, |n| n * 3).map(Result::unwrap).eq(expected.iter().copied()));
            let calls: Vec<_> = (0..20_000u64).map(|n| pool.apply_async(n, |n| n * 3)).collect();
            assert!(calls.into_iter().map(|call| call.get().unwrap()).eq(expected.iter().copied()));
            // Uneven ones, so that results come out of order.
            let uneven = pool.imap(0..300u64, |n| {
                spin(Duration::from_micros(if n % 50 == 0 { 3_000 } else { 10 }));
                n
            });
            assert!(uneven.map(Result::unwrap).eq(0..300));
        });
    });
}

#[test]
fn each_once() {
    with_workers(|| {
        each(2, |pool| {
            let runs = flag();
            let items = (0..3_000u64).map(|n| (n, runs.clone()));
            let results: Vec<u64> = pool
                .imap_unordered(items, |(n, runs): (u64, Flag)| {
                    raise(&runs);
                    n
                })
                .map(Result::unwrap)
                .collect();
            assert_eq!(results.len(), 3_000);
            assert_eq!(results.into_iter().collect::<BTreeSet<_>>(), (0..3_000).collect());
            assert_eq!(count(&runs), 3_000);
        });
    });
}

#[test]
fn nothing_and_anything() {
    with_workers(|| {
        each(2, |pool| {
            assert_eq!(pool.map(Vec::<u8>::new(), |n| n).unwrap(), [0u8; 0]);
            assert_eq!(pool.map_async(Vec::<u8>::new(), |n| n).get().unwrap(), [0u8; 0]);
            assert_eq!(pool.imap(Vec::<u8>::new(), |n| n).count(), 0);
            assert_eq!(pool.imap_unordered(Vec::<u8>::new(), |n| n).count(), 0);
            assert_eq!(pool.map(vec![(); 1000], |()| ()).unwrap().len(), 1000);
            assert_eq!(pool.apply((), |()| ()), Ok(()));
            // From what lies in a slot to what needs many chunks of a ring.
            for len in [0usize, 1, 21, 22, 23, 100, 70_000, 400_000] {
                assert!(pool.apply(Bytes::patterned(len), |bytes| bytes).unwrap().is_patterned(len), "{len}");
                let many = pool.map((0..5).map(|_| Bytes::patterned(len)), |bytes| bytes).unwrap();
                assert!(many.len() == 5 && many.iter().all(|one| one.is_patterned(len)), "{len}");
            }
        });
    });
}

#[test]
fn endless_inputs_are_pulled_a_bounded_number_ahead() {
    with_workers(|| {
        each(2, |pool| {
            let pulled = std::cell::Cell::new(0u64);
            let endless = || std::iter::repeat_with(|| pulled.replace(pulled.get() + 1));
            let slow = pool.imap(endless(), |n| {
                spin(Duration::from_millis(1));
                n
            });
            assert!(slow.take(50).map(Result::unwrap).eq(0..50));
            assert!(pulled.get() <= 50 + AHEAD, "{} items were pulled", pulled.get());
            pulled.set(0);
            assert_eq!(pool.imap_unordered(endless(), |n| n).take(50).filter(Result::is_ok).count(), 50);
            assert!(pulled.get() <= 500_000, "{} items were pulled", pulled.get());
        });
    });
}

#[test]
fn panics_are_errors_of_their_item_alone() {
    with_workers(|| {
        each(2, |pool| {
            let results: Vec<_> = pool
                .imap(0..500u32, |n| {
                    assert!(n % 100 != 50, "no {n}");
                    n
                })
                .collect();
            for (n, result) in (0..).zip(results) {
                match result {
                    Ok(value) => assert!(value == n && n % 100 != 50),
                    Err(TaskError::Panicked { message, location, .. }) => {
                        assert!(
                            n % 100 == 50
                                && message == format!("no {n}")
                                && location.contains("conformance.rs")
                        );
                    }
                    Err(error) => panic!("{n}: {error}"),
                }
            }
            assert_eq!(pool.apply(1u8, |n| n), Ok(1));
        });
    });
}

#[derive(Debug, PartialEq, Clone, Copy)]
struct Picky(u32);

impl Serialize for Picky {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            13 => Err(serde::ser::Error::custom("thirteen is not sent")),
            14 => panic!("fourteen is not sent"),
            n => n.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Picky, D::Error> {
        match u32::deserialize(deserializer)? {
            17 => Err(serde::de::Error::custom("seventeen is not taken")),
            18 => panic!("eighteen is not taken"),
            n => {
                if n == 19 {
                    // tidy: sleep because an argument that takes longer than anybody has patience is what is tried
                    std::thread::sleep(Duration::from_millis(30));
                }
                Ok(Picky(n))
            }
        }
    }
}

#[test]
fn what_cannot_travel_is_an_error_of_its_item_alone() {
    with_workers(|| {
        each(2, |pool| {
            // An item that panics while it is handed in is the caller's own.
            let there: Vec<_> = pool.imap((0..40).filter(|n| *n != 14).map(Picky), |n| n.0).collect();
            for (n, result) in (0..).filter(|n| *n != 14).zip(there) {
                match n {
                    13 => assert_eq!(result, Err(TaskError::Encode)),
                    17 => assert_eq!(result, Err(TaskError::Decode)),
                    18 => assert!(matches!(result, Err(TaskError::Panicked { .. })), "{result:?}"),
                    n => assert_eq!(result, Ok(n)),
                }
            }
            let check_back = |n, result| match n {
                13 => assert_eq!(result, Err(TaskError::Encode)),
                14 => assert!(matches!(result, Err(TaskError::Panicked { .. })), "{result:?}"),
                17 | 18 => assert_eq!(result, Err(TaskError::Decode)),
                n => assert_eq!(result, Ok(Picky(n))),
            };
            let back: Vec<_> = (0..40u32).map(|n| pool.apply_async(n, Picky)).collect();
            (0..).zip(back).for_each(|(n, result)| check_back(n, result.get()));
            // What came with one that is not taken, and behind it, is lost with it; nobody waits for it.
            assert_eq!(pool.imap(0..40u32, Picky).count(), 40);
            assert_eq!(pool.imap_unordered(0..40u32, Picky).count(), 40);
        });
    });
}

#[test]
fn an_input_that_panics_leaves_the_pool_as_it_was() {
    with_workers(|| {
        each(2, |pool| {
            let items = (0..1_000u32).inspect(|n| assert!(*n != 700, "the input's own panic"));
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.map(items, |n| n)));
            assert!(result.is_err());
            assert_eq!(pool.map(0..100u32, |n| n).unwrap().len(), 100);
        });
    });
}

#[test]
fn queued_tasks_that_are_cancelled_never_run() {
    with_workers(|| {
        each(2, |pool| {
            let (begun, go, runs) = (flag(), flag(), flag());
            let wait = |(begun, go): (Flag, Flag)| {
                raise(&begun);
                wait_for(&go, 1);
            };
            let busy: Vec<_> = (0..2).map(|_| pool.apply_async((begun.clone(), go.clone()), wait)).collect();
            wait_for(&begun, 2);
            let queued: Vec<_> =
                (0..20).map(|_| pool.apply_async(runs.clone(), |runs| _ = raise(&runs))).collect();
            assert!(queued.iter().step_by(2).all(|task| task.cancel()));
            assert!(!queued[0].cancel(), "it was cancelled before");
            raise(&go);
            for (n, task) in queued.into_iter().enumerate() {
                assert_eq!(task.get(), if n % 2 == 0 { Err(TaskError::Cancelled) } else { Ok(()) });
            }
            assert!(busy.into_iter().all(|task| task.get() == Ok(())));
            assert_eq!(count(&runs), 10);
        });
    });
}

#[test]
fn a_task_that_is_asked_to_stop_can_do_so() {
    with_workers(|| {
        each(2, |pool| {
            let options =
                TaskOptions::new().timeout(Duration::from_millis(20)).grace(Duration::from_secs(60));
            let turns = pool.with(options).apply((), |()| {
                let mut turns = 0u64;
                while !is_stopping() {
                    turns += 1;
                }
                turns
            });
            assert!(turns.unwrap() > 0);
            assert_eq!(pool.apply((), |()| is_stopping()), Ok(false), "the next task is not meant");
        });
    });
}

#[test]
fn priorities() {
    with_workers(|| {
        each(1, |pool| {
            let (begun, go, turn) = (flag(), flag(), flag());
            let busy = pool.apply_async((begun.clone(), go.clone()), |(begun, go)| {
                raise(&begun);
                wait_for(&go, 1);
            });
            wait_for(&begun, 1);
            let order = |priority: i32| {
                let with = pool.with(TaskOptions::new().priority(priority));
                with.apply_async(turn.clone(), |turn| raise(&turn))
            };
            let tasks: Vec<_> =
                [-1, 0, 5, 1, 9].into_iter().map(|priority| (priority, order(priority))).collect();
            raise(&go);
            let mut turns: Vec<(u32, i32)> =
                tasks.into_iter().map(|(priority, task)| (task.get().unwrap(), priority)).collect();
            turns.sort_unstable();
            assert!(turns.iter().map(|(_, priority)| *priority).eq([9, 5, 1, 0, -1]), "{turns:?}");
            busy.get().unwrap();
        });
    });
}

#[test]
fn states() {
    with_workers(|| {
        each_builder(2, |builder| {
            let pool = builder.init(10u32, |start| vec![start]).build().unwrap();
            let lens = pool.map_with(0..1_000u32, |seen: &mut Vec<u32>, n| {
                seen.push(n);
                seen.len() as u32
            });
            let lens = lens.unwrap();
            assert!(lens.iter().all(|len| *len >= 2) && lens.iter().copied().max().unwrap() <= 1_001);
            let firsts: Vec<_> = pool.imap_with(0..10u32, |seen: &mut Vec<u32>, _| seen[0]).collect();
            assert!(firsts.into_iter().all(|first| first == Ok(10)));
            assert_eq!(pool.apply(3u8, |n| n), Ok(3), "those without state work as well");
        });
    });
}

#[test]
fn ends() {
    with_workers(|| {
        each(2, |pool| {
            let before = pool.apply_async(5u32, |n| n);
            pool.close();
            assert_eq!(pool.apply(6u32, |n| n), Err(TaskError::Closed));
            assert_eq!(pool.map(0..3u32, |n| n), Err(TaskError::Closed));
            assert_eq!(pool.map_async(0..3u32, |n| n).get(), Err(TaskError::Closed));
            let mut endless = pool.imap(0u32.., |n| n);
            assert_eq!(endless.next(), Some(Err(TaskError::Closed)));
            assert!(endless.count() < 100);
            pool.join();
            assert_eq!(before.get(), Ok(5), "what was given before is done");
            assert!(pool.worker_ids().is_empty());
            pool.terminate();
        });
    });
}

#[test]
fn what_no_worker_has_begun_can_be_dropped_at_the_end() {
    with_workers(|| {
        each(2, |pool| {
            let (begun, go) = (flag(), flag());
            let busy: Vec<_> = (0..2)
                .map(|_| {
                    pool.apply_async((begun.clone(), go.clone()), |(begun, go)| {
                        raise(&begun);
                        wait_for(&go, 1);
                    })
                })
                .collect();
            wait_for(&begun, 2);
            let queued: Vec<_> = (0..10u32).map(|n| pool.apply_async(n, |n| n)).collect();
            assert!(!pool.join_timeout(Duration::from_millis(20)));
            pool.close_now();
            assert!(queued.into_iter().all(|task| task.get() == Err(TaskError::Cancelled)));
            raise(&go);
            assert!(busy.into_iter().all(|task| task.get() == Ok(())));
            pool.join();
        });
    });
}

#[test]
fn terminated_in_each_state() {
    with_workers(|| {
        each_that_kills(2, |make| {
            // Before any worker is ready.
            let pool = make();
            let task = pool.apply_async(1u32, |n| n);
            pool.terminate();
            assert!(matches!(task.get(), Ok(1) | Err(TaskError::Cancelled)));
            // With running, handed over and queued ones.
            let pool = make();
            let begun = flag();
            let tasks: Vec<_> = (0..50).map(|_| pool.apply_async(begun.clone(), block)).collect();
            wait_for(&begun, 2);
            pool.terminate();
            assert!(tasks.into_iter().all(|task| task.get().unwrap_err().is_cancelled()));
            // With nothing to do; and by a drop.
            let pool = make();
            assert_eq!(pool.apply(1u32, |n| n), Ok(1));
            pool.terminate();
            drop(pool);
            drop(make());
        });
    });
}
