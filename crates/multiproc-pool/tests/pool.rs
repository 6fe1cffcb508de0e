//! The pool's own promises, with real workers, killed for real.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use multiproc_pool::{Pool, TaskError};
use multiproc_process::StartMethod;
use multiproc_shm::Shared;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::exit;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Ends the whole test process if `f` does not return in time: a hang must be a failure, not a stuck suite.
fn within<T>(limit: Duration, f: impl FnOnce() -> T) -> T {
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        if waiting.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = writeln!(std::io::stderr(), "a test of the pool hangs");
            std::process::abort();
        }
    });
    let value = f();
    drop(done);
    value
}

const LIMIT: Duration = Duration::from_secs(60);

fn both(test: fn(&Pool)) {
    for method in [StartMethod::Spawn, StartMethod::ForkServer] {
        within(LIMIT, || {
            let pool = Pool::builder().workers(2).start_method(method).build().unwrap();
            let first = pool.worker_ids();
            test(&pool);
            let last = pool.worker_ids();
            pool.join();
            for id in first.into_iter().chain(last) {
                assert!(!Path::new(&format!("/proc/{id}")).exists(), "worker {id} is left");
            }
        });
    }
}

/// A task that says that it has begun, and never ends.
fn block(begun: Shared<AtomicU32>) -> u32 {
    begun.fetch_add(1, Ordering::SeqCst); // SeqCst: a test's flag, seen by `wait_until_begun`
    loop {
        std::thread::park();
    }
}

fn wait_until_begun(begun: &AtomicU32, tasks: u32) {
    // SeqCst: partner of `block`
    while begun.load(Ordering::SeqCst) < tasks {
        std::thread::yield_now();
    }
}

fn kill(id: u32) {
    let pidfd = multiproc_core::sys::process::open_pidfd(id).unwrap();
    multiproc_core::sys::process::send_signal(pidfd, 9).unwrap();
}

#[test]
fn map_keeps_the_order_and_takes_any_size() {
    both(|pool| {
        assert_eq!(pool.map(Vec::<u8>::new(), |n| n), Ok(vec![]));
        let squares = pool.map(0..5_000u64, |n| n * n).unwrap();
        assert!(squares.into_iter().eq((0..5_000).map(|n| n * n)));
        let sizes = [0, 1, 32 << 10, (32 << 10) + 1, 5 << 20];
        let texts = pool.map(sizes, |size| "x".repeat(size)).unwrap();
        assert_eq!(texts.iter().map(String::len).collect::<Vec<_>>(), sizes);
    });
}

#[test]
fn large_arguments_are_handed_in_ahead_of_any_result() {
    both(|pool| {
        let results: Vec<_> = (0..40u8)
            .map(|n| pool.apply_async(String::from(n as char).repeat(1 << 20), |text| text))
            .collect();
        for (n, result) in (0..40u8).zip(results) {
            assert_eq!(result.get().unwrap(), String::from(n as char).repeat(1 << 20));
        }
    });
}

#[test]
fn panics_are_errors_of_their_task_alone() {
    both(|pool| {
        let before = pool.worker_ids();
        let Err(TaskError::Panicked { message, location, backtrace }) =
            pool.apply(3u32, |n| -> u32 { panic!("no {n}") })
        else {
            panic!("should have panicked")
        };
        assert_eq!(message, "no 3");
        assert!(location.contains("pool.rs"), "{location}");
        // Of a release build the closure's own name may be gone.
        assert!(backtrace.contains("multiproc_process"), "{backtrace}");
        assert_eq!(pool.apply(3u32, |n| n), Ok(3));
        assert_eq!(pool.worker_ids(), before, "the worker goes on");
    });
}

#[test]
fn map_gives_the_first_error_and_leaves_nothing_running() {
    both(|pool| {
        let error = pool
            .map(0..200u32, |n| match n {
                7 => exit(7),
                90 => panic!("later"),
                n => n,
            })
            .unwrap_err();
        let TaskError::WorkerDied { status } = error else { panic!("{error}") };
        assert_eq!(status.code(), Some(7));
        assert_eq!(pool.map(0..200u32, |n| n).unwrap().len(), 200);
    });
}

#[test]
fn a_death_is_the_error_of_the_task_that_was_begun() {
    both(|pool| {
        let deaths: Vec<_> =
            (0..20u32).map(|n| pool.apply_async(n, |n| if n % 5 == 0 { exit(3) } else { n })).collect();
        for (n, result) in (0..).zip(deaths) {
            match result.get() {
                Ok(value) => assert!(value == n && n % 5 != 0),
                Err(TaskError::WorkerDied { status }) => {
                    assert!(n % 5 == 0 && status.code() == Some(3), "{n}: {status}")
                }
                Err(error) => panic!("task {n}: {error}"),
            }
        }
        // The last of the dead may be replaced after the last result came.
        while pool.worker_ids().len() != 2 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn a_killed_task_errs_and_the_pool_goes_on() {
    both(|pool| {
        let begun = Shared::new(AtomicU32::new(0)).unwrap();
        let sleeper = pool.apply_async(begun.clone(), block);
        wait_until_begun(&begun, 1);
        // The other worker must be the one that answers: this one is busy for ever.
        let free = pool.apply((), |()| std::process::id()).unwrap();
        let busy = pool.worker_ids().into_iter().find(|id| *id != free).unwrap();
        assert!(!sleeper.is_ready());
        assert_eq!(sleeper.get_timeout(Duration::ZERO), Err(TaskError::NotReady));
        kill(busy);
        let Err(TaskError::WorkerDied { status }) = sleeper.get() else { panic!("should have died") };
        assert_eq!(status.signal(), Some(9));
        assert_eq!(pool.map(0..100u32, |n| n).unwrap().len(), 100);
    });
}

#[test]
fn random_kills_lose_and_repeat_nothing() {
    both(|pool| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap().to_owned();
        let mut state = 88_172_645_463_325_252u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let results: Vec<_> = (0..2_000u32)
            .map(|n| {
                if n % 20 == 0 {
                    let ids = pool.worker_ids();
                    if let Some(id) = ids.get(random() as usize % 2)
                        && let Ok(pidfd) = multiproc_core::sys::process::open_pidfd(*id)
                    {
                        multiproc_core::sys::process::send_signal(pidfd, 9).unwrap();
                    }
                }
                pool.apply_async((n, path.clone()), |(n, path)| {
                    // Each run leaves a mark; a second run of the same task finds it.
                    fs::OpenOptions::new().create_new(true).write(true).open(format!("{path}/{n}")).unwrap();
                    n
                })
            })
            .collect();
        let mut died = 0;
        for (n, result) in (0..).zip(results) {
            match result.get() {
                Ok(value) => assert_eq!(value, n),
                Err(TaskError::WorkerDied { status }) => {
                    assert_eq!(status.signal(), Some(9));
                    died += 1;
                }
                Err(error) => panic!("task {n}: {error}"),
            }
        }
        let marks = fs::read_dir(dir.path()).unwrap().count();
        assert!(marks >= 2_000 - died, "{marks} tasks ran, {died} died");
        assert!(died <= 100, "more tasks died than workers were killed");
    });
}

#[test]
fn a_worker_that_cannot_begin_is_an_error_and_no_hang() {
    within(LIMIT, || {
        // Not enough for the thread that watches the parent: none of them ever begins.
        let pool = Pool::builder().workers(2).memory_limit(1).build().unwrap();
        let error = pool.apply((), |()| ()).unwrap_err();
        assert!(matches!(error, TaskError::NoWorker { .. }), "{error}");
        pool.terminate();
    });
}

#[test]
fn no_task_waits_behind_a_long_one_while_a_worker_is_free() {
    both(|pool| {
        // Short tasks first, so that many are handed to each worker ahead.
        assert_eq!(pool.map(0..2_000u32, |n| n).unwrap().len(), 2_000);
        for _ in 0..20 {
            let flag = Shared::new(AtomicU32::new(0)).unwrap();
            let waits = pool.apply_async(flag.clone(), |flag| wait_until_begun(&flag, 1));
            let between: Vec<_> = (0..9u32).map(|n| pool.apply_async(n, |n| n)).collect();
            let sets = pool.apply_async(flag, |flag| {
                flag.fetch_add(1, Ordering::SeqCst); // SeqCst: partner of `wait_until_begun`
            });
            assert_eq!((sets.get(), waits.get()), (Ok(()), Ok(())));
            assert!(between.into_iter().map(|result| result.get().unwrap()).eq(0..9));
        }
    });
}

#[test]
fn what_is_taken_back_runs_once() {
    both(|pool| {
        let runs = Shared::new(AtomicU32::new(0)).unwrap();
        for round in 1..=30u32 {
            let begun = Shared::new(AtomicU32::new(0)).unwrap();
            let results: Vec<_> = (0..200u32)
                .map(|n| {
                    // A few long ones, behind which short ones are taken back time and again.
                    pool.apply_async((n, runs.clone(), begun.clone()), |(n, runs, begun)| {
                        let until = Instant::now() + Duration::from_millis(if n % 40 == 0 { 3 } else { 0 });
                        while Instant::now() < until {
                            std::hint::spin_loop();
                        }
                        begun.fetch_add(1, Ordering::SeqCst); // SeqCst: a test's counter, as the next
                        runs.fetch_add(1, Ordering::SeqCst);
                        n
                    })
                })
                .collect();
            assert!(results.into_iter().map(|result| result.get().unwrap()).eq(0..200));
            assert_eq!(begun.load(Ordering::SeqCst), 200, "in round {round}"); // SeqCst: as above
        }
        assert_eq!(runs.load(Ordering::SeqCst), 30 * 200); // SeqCst: as above
    });
}

#[test]
fn a_pool_without_workers_refuses_everything_in_one_go() {
    within(LIMIT, || {
        let pool = Pool::builder().workers(2).memory_limit(1).build().unwrap();
        let results: Vec<_> = (0..5_000u32).map(|n| pool.apply_async(n, |n| n)).collect();
        for result in results {
            let error = result.get().unwrap_err();
            assert!(
                matches!(&error, TaskError::NoWorker { message } if message.contains("begin")),
                "{error}"
            );
        }
        pool.join();
    });
}

#[test]
fn a_task_that_leaves_no_descriptors_runs_once() {
    both(|pool| {
        let runs = Shared::new(AtomicU32::new(0)).unwrap();
        let error = pool
            .apply(runs.clone(), |runs| -> u32 {
                runs.fetch_add(1, Ordering::SeqCst); // SeqCst: a test's counter, as the next
                let mut kept = Vec::new();
                while let Ok(file) = fs::File::open("/dev/null") {
                    kept.push(file);
                }
                std::mem::forget(kept);
                panic!("{}", "long ".repeat(20_000))
            })
            .unwrap_err();
        assert!(!matches!(error, TaskError::NoWorker { .. }), "{error}");
        assert_eq!(runs.load(Ordering::SeqCst), 1); // SeqCst: as above
        assert_eq!(pool.map(0..100u32, |n| n).unwrap().len(), 100);
    });
}

#[test]
fn map_does_not_idle_behind_a_slow_item() {
    both(|pool| {
        let flag = Shared::new(AtomicU32::new(0)).unwrap();
        // The first item ends only when the last one has run, far beyond what is handed in ahead.
        let items = (0..500u32).map(|n| (n, flag.clone()));
        let values = pool.map(items, |(n, flag)| {
            match n {
                0 => wait_until_begun(&flag, 1),
                499 => {
                    flag.fetch_add(1, Ordering::SeqCst); // SeqCst: partner of `wait_until_begun`
                }
                _ => {}
            }
            n
        });
        assert!(values.unwrap().into_iter().eq(0..500));
    });
}

#[test]
fn a_second_waiter_keeps_its_own_time() {
    both(|pool| {
        let flag = Shared::new(AtomicU32::new(0)).unwrap();
        let result = pool.apply_async(flag.clone(), |flag| wait_until_begun(&flag, 1));
        std::thread::scope(|scope| {
            let long = scope.spawn(|| result.get_timeout(Duration::from_secs(30)));
            let short = scope.spawn(|| result.get_timeout(Duration::from_millis(10)));
            assert_eq!(short.join().unwrap(), Err(TaskError::NotReady));
            flag.fetch_add(1, Ordering::SeqCst); // SeqCst: partner of `wait_until_begun`
            assert_eq!(long.join().unwrap(), Ok(()));
        });
    });
}
