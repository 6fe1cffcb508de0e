use crate::{flag, kill, spin, wait_for, wait_for_workers, with_workers};
use multiproc::{Cause, Pool, TaskError, WorkerStatus};
use multiproc_tests::Bytes;
use std::thread;
use std::time::{Duration, Instant};

/// Runs a task that harms its worker amid others, which must not notice.
fn amid_others(pool: &Pool, task: fn(u32) -> u32) -> WorkerStatus {
    let before: Vec<_> = (0..20u32).map(|n| pool.apply_async(n, |n| n)).collect();
    let bad = pool.apply_async(0, task);
    let after: Vec<_> = (0..20u32).map(|n| pool.apply_async(n, |n| n)).collect();
    for others in [before, after] {
        assert!(others.into_iter().map(|task| task.get().unwrap()).eq(0..20));
    }
    let status = match bad.get() {
        Err(TaskError::WorkerDied { status }) => status,
        other => panic!("it should have died: {other:?}"),
    };
    wait_for_workers(pool, 2);
    assert_eq!(pool.map(0..100u32, |n| n).unwrap().len(), 100);
    status
}

#[test]
fn the_cause_is_told() {
    with_workers(|| {
        let pool = Pool::new(2).unwrap();
        let left = amid_others(&pool, |_| std::process::exit(3));
        assert_eq!((left.code(), left.cause()), (Some(3), Cause::Exit));
        assert!(left.peak_memory().is_some_and(|peak| peak > 100_000));
        let aborted = amid_others(&pool, |_| std::process::abort());
        assert_eq!((aborted.signal(), aborted.cause()), (Some(6), Cause::Crash));
        let killed = amid_others(&pool, |n| {
            kill(std::process::id());
            spin(Duration::from_secs(30));
            n
        });
        assert_eq!((killed.signal(), killed.cause()), (Some(9), Cause::Killed));
        #[expect(unconditional_recursion, reason = "a stack overflow is what is wanted")]
        fn deep(n: u32) -> u32 {
            std::hint::black_box([n; 1000])[999] + deep(n + 1)
        }
        let overflown = amid_others(&pool, deep);
        assert_eq!((overflown.signal(), overflown.cause()), (Some(11), Cause::Crash));
    });
}

#[test]
fn a_caller_that_has_waited_long_is_told_at_once() {
    // Long enough that nobody takes the next worker's coming for the news.
    const LONG: Duration = Duration::from_millis(300);
    with_workers(|| {
        // tidy: sleep because the next worker is to take long to come
        let pool = Pool::builder().workers(1).init((), |()| thread::sleep(LONG)).build().unwrap();
        let mut delays: Vec<Duration> = (0..7)
            .map(|_| {
                let begun = flag();
                let task = pool.apply_async(begun.clone(), crate::block);
                wait_for(&begun, 1);
                let id = pool.worker_ids()[0];
                let killed = thread::spawn(move || {
                    // tidy: sleep because the caller is to have been waiting for long
                    thread::sleep(LONG);
                    kill(id);
                    Instant::now()
                });
                assert!(task.get().unwrap_err().is_worker_death());
                let told = Instant::now();
                told.saturating_duration_since(killed.join().unwrap())
            })
            .collect();
        delays.sort_unstable();
        assert!(delays[3] < Duration::from_millis(20), "{delays:?}");
    });
}

#[test]
fn memory_beyond_the_limit() {
    with_workers(|| {
        let pool = Pool::builder().workers(2).memory_limit(256 << 20).build().unwrap();
        let status = amid_others(&pool, |_| {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1u8; 16 << 20]);
            }
        });
        assert_eq!((status.signal(), status.cause()), (Some(6), Cause::MemoryLimit));
    });
}

#[test]
fn descriptors_that_are_all_closed() {
    with_workers(|| {
        let pool = Pool::new(2).unwrap();
        let before: Vec<_> = (0..20u32).map(|n| pool.apply_async(n, |n| n)).collect();
        let bad = pool.apply_async(1u32, |n| {
            (3..1_024).for_each(multiproc_tests::raw::close_number);
            n
        });
        // What comes of it is its result or a death; never a hang, and nothing for the others.
        assert!(matches!(bad.get(), Ok(1) | Err(TaskError::WorkerDied { .. })));
        assert!(before.into_iter().map(|task| task.get().unwrap()).eq(0..20));
        for _ in 0..100 {
            let large = pool.apply(Bytes::patterned(300_000), |bytes| bytes.is_patterned(300_000));
            assert!(
                matches!(large, Ok(true) | Err(TaskError::WorkerDied { .. } | TaskError::Decode)),
                "{large:?}"
            );
        }
        assert_eq!(pool.map(0..100u32, |n| n).unwrap().len(), 100);
        // The harmed one goes at the latest when it is to.
        pool.join();
    });
}

#[test]
fn a_fork_answers_nothing() {
    with_workers(|| {
        let pool = Pool::new(2).unwrap();
        for _ in 0..5 {
            let runs = flag();
            let forks = pool.apply(runs.clone(), |runs| {
                // SAFETY of the call is the library's: the fork returns from the task as its original does.
                multiproc_tests::raw::fork_and_go_on();
                crate::raise(&runs);
                std::process::id()
            });
            assert!(pool.worker_ids().contains(&forks.unwrap()), "the worker's answer, not the fork's");
            wait_for(&runs, 2);
            assert_eq!(pool.map(0..100u32, |n| n).unwrap().len(), 100);
        }
    });
}

#[test]
fn a_worker_that_blocks_termination_is_ended_all_the_same() {
    with_workers(|| {
        let pool = Pool::new(1).unwrap();
        let begun = flag();
        let task = pool.apply_async(begun.clone(), |begun| -> () {
            multiproc_tests::raw::ignore_termination();
            crate::raise(&begun);
            loop {
                std::thread::park();
            }
        });
        wait_for(&begun, 1);
        assert!(task.cancel());
        let begin = Instant::now();
        assert_eq!(task.get(), Err(TaskError::Cancelled));
        assert!(begin.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_death_is_told_and_repaired_at_once() {
    with_workers(|| {
        let pool = Pool::new(2).unwrap();
        let (mut told, mut repaired) = (Duration::MAX, Duration::MAX);
        const KILLS: u32 = 10;
        for _ in 0..KILLS {
            wait_for_workers(&pool, 2);
            let begun = flag();
            let task = pool.apply_async(begun.clone(), |begun| -> u32 {
                begun.store(std::process::id(), std::sync::atomic::Ordering::SeqCst); // SeqCst: a test's flag
                loop {
                    std::thread::park();
                }
            });
            wait_for(&begun, 1);
            let id = begun.load(std::sync::atomic::Ordering::SeqCst); // SeqCst: as above
            let begin = Instant::now();
            kill(id);
            assert!(task.get().unwrap_err().is_worker_death());
            told = told.min(begin.elapsed());
            wait_for_workers(&pool, 2);
            repaired = repaired.min(begin.elapsed());
        }
        println!("figures: {KILLS} kills in tasks, told after {told:?} and repaired after {repaired:?}");
        assert!(told < Duration::from_millis(50), "{told:?}");
    });
}

#[test]
fn idle_workers_that_are_killed_are_replaced() {
    with_workers(|| {
        let pool = Pool::new(2).unwrap();
        for _ in 0..10 {
            wait_for_workers(&pool, 2);
            pool.worker_ids().into_iter().for_each(kill);
            assert!(pool.map(0..50u32, |n| n).is_ok(), "none of them had been begun");
        }
        assert!(pool.stats().restarts >= 10);
    });
}

#[test]
fn results_are_not_lost_with_who_has_sent_them() {
    with_workers(|| {
        let pool = Pool::new(1).unwrap();
        // Many quick ones travel together with one that ends their worker: those before it have been run, and are told.
        pool.map(0..20_000u32, |n| n).unwrap();
        for _ in 0..20 {
            let runs = flag();
            let items: Vec<_> = (0..200u32)
                .map(|n| {
                    pool.apply_async((n, runs.clone()), |(n, runs)| {
                        if n == 150 {
                            std::process::exit(1);
                        }
                        crate::raise(&runs);
                        n
                    })
                })
                .collect();
            for (n, item) in (0..).zip(items) {
                match item.get() {
                    Ok(value) => assert_eq!(value, n),
                    Err(TaskError::WorkerDied { .. }) => assert_eq!(n, 150),
                    Err(error) => panic!("{n}: {error}"),
                }
            }
            assert_eq!(runs.load(std::sync::atomic::Ordering::Relaxed), 199, "each of the others once");
        }
        let plain: Vec<_> = pool
            .with(multiproc::TaskOptions::new().chunk_size(1000))
            .imap(0..1000u32, |n| {
                if n == 700 {
                    std::process::exit(1);
                }
                n
            })
            .collect();
        assert_eq!(plain.iter().filter(|result| result.is_ok()).count(), 999);
        assert!(plain[700].as_ref().unwrap_err().is_worker_death());
    });
}

#[test]
fn an_initializer_that_fails_is_the_pools_error() {
    with_workers(|| {
        for builder in [
            Pool::builder().workers(2).init((), |()| -> u32 { panic!("no state today") }),
            Pool::builder().workers(2).threads().init((), |()| -> u32 { panic!("no state today") }),
        ] {
            let pool = builder.build().unwrap();
            let begin = Instant::now();
            match pool.apply(1u8, |n| n) {
                Err(TaskError::NoWorker { message }) => {
                    assert!(message.contains("no state today"), "{message}")
                }
                other => panic!("{other:?}"),
            }
            assert!(begin.elapsed() < Duration::from_secs(5));
            pool.terminate();
        }
        let pool =
            Pool::builder().workers(2).init((), |()| -> u32 { std::process::exit(9) }).build().unwrap();
        assert!(matches!(pool.map(0..10u8, |n| n), Err(TaskError::NoWorker { .. })));
    });
}
