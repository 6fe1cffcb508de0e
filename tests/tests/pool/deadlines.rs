use crate::{block, flag, raise, spin, wait_for, wait_for_workers, with_workers};
use multiproc::{Pool, TaskError, TaskOptions};
use std::time::{Duration, Instant};

#[test]
fn a_time_beyond_all_clocks_is_none() {
    with_workers(|| {
        let pool = Pool::new(1).unwrap();
        let options = TaskOptions::new().timeout(Duration::MAX).grace(Duration::MAX);
        assert_eq!(pool.with(options).apply(1u8, |n| n), Ok(1));
    });
}

#[test]
fn each_item_has_its_own_time() {
    with_workers(|| {
        let pool = Pool::new(2).unwrap();
        // Quick ones first, so that many travel together.
        pool.map(0..5_000u32, |n| n).unwrap();
        let options = TaskOptions::new().timeout(Duration::from_millis(40)).grace(Duration::ZERO);
        let results: Vec<_> = pool
            .with(options)
            .imap(0..200u32, |n| {
                if n % 60 == 59 {
                    loop {
                        std::thread::park();
                    }
                }
                n
            })
            .collect();
        for (n, result) in (0..).zip(results) {
            assert_eq!(result, if n % 60 == 59 { Err(TaskError::TimedOut) } else { Ok(n) }, "{n}");
        }
        wait_for_workers(&pool, 2);
    });
}

#[test]
fn the_clock_runs_from_the_beginning_and_is_fine() {
    with_workers(|| {
        let pool = Pool::new(1).unwrap();
        let with = |time: u64| {
            pool.with(TaskOptions::new().timeout(Duration::from_millis(time)).grace(Duration::ZERO))
        };
        // Ten of 100 ms wait for each other for longer than the time of one.
        let waiting: Vec<_> = (0..10u32)
            .map(|n| {
                with(600).apply_async(n, |n| {
                    spin(Duration::from_millis(100));
                    n
                })
            })
            .collect();
        for (n, result) in (0..).zip(waiting) {
            assert_eq!(result.get(), Ok(n));
        }
        let brief = with(30);
        let mut quickest = Duration::MAX;
        // On a machine that is busy with something else most are late.
        for _ in 0..60 {
            if quickest < Duration::from_millis(45) {
                break;
            }
            wait_for_workers(&pool, 1);
            let begin = Instant::now();
            assert_eq!(brief.apply(flag(), block), Err(TaskError::TimedOut));
            quickest = quickest.min(begin.elapsed());
        }
        assert!((Duration::from_millis(30)..Duration::from_millis(50)).contains(&quickest), "{quickest:?}");
    });
}

#[test]
fn what_the_task_has_started_ends_with_it() {
    with_workers(|| {
        let pool = Pool::new(1).unwrap();
        let (sender, started) = multiproc::channel::<u32>(1).unwrap();
        let task = pool.apply_async(sender, |sender| -> () {
            #[expect(clippy::zombie_processes, reason = "its parent is killed before it could wait")]
            let child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
            sender.send(child.id()).unwrap();
            loop {
                std::thread::park();
            }
        });
        let grandchild = started.recv().unwrap();
        assert!(multiproc_tests::proc::is_alive(grandchild));
        assert!(task.cancel());
        assert_eq!(task.get(), Err(TaskError::Cancelled));
        multiproc_tests::eventually(Duration::from_secs(5), "the grandchild is gone", || {
            !multiproc_tests::proc::is_alive(grandchild)
        });
    });
}

#[test]
fn a_task_that_is_cancelled_takes_nothing_along() {
    with_workers(|| {
        let pool = Pool::new(2).unwrap();
        for _ in 0..10 {
            let begun = flag();
            let endless = pool.apply_async(begun.clone(), block);
            wait_for(&begun, 1);
            let others: Vec<_> = (0..50u32).map(|n| pool.apply_async(n, |n| n)).collect();
            assert!(endless.cancel());
            assert_eq!(endless.get(), Err(TaskError::Cancelled));
            assert!(others.into_iter().map(|task| task.get().unwrap()).eq(0..50));
        }
        let begun = flag();
        let items = vec![begun.clone(); 20];
        let map = pool.map_async(items, block);
        wait_for(&begun, 2);
        assert!(map.cancel());
        assert_eq!(map.get(), Err(TaskError::Cancelled));
        assert_eq!(pool.apply(1u8, |n| n), Ok(1));
    });
}

#[test]
fn retries_begin_anew_and_end() {
    with_workers(|| {
        let pool = Pool::builder().workers(2).max_kills(2).build().unwrap();
        let again = pool.with(TaskOptions::new().retries(5));
        let runs = flag();
        let third = again.apply(runs.clone(), |runs| {
            raise(&runs);
            let run = runs.load(std::sync::atomic::Ordering::Relaxed);
            assert!(run >= 3, "not yet");
            run
        });
        assert_eq!(third, Ok(3));
        let runs = flag();
        let never = again.apply(runs.clone(), |runs| -> () {
            raise(&runs);
            panic!("never")
        });
        assert!(matches!(never, Err(TaskError::Panicked { .. })));
        assert_eq!(runs.load(std::sync::atomic::Ordering::Relaxed), 6, "once, and five times again");
        let deaths = flag();
        let killer = again.apply(deaths.clone(), |deaths| -> () {
            raise(&deaths);
            std::process::exit(1)
        });
        assert!(killer.unwrap_err().is_worker_death());
        assert_eq!(deaths.load(std::sync::atomic::Ordering::Relaxed), 2, "it is given up after two workers");
        // Only the item that failed is run again.
        let (runs, bad) = (flag(), flag());
        let items = (0..100u32).map(|n| (n, runs.clone(), bad.clone()));
        let values = again.map(items, |(n, runs, bad)| {
            raise(&runs);
            if n == 50 {
                raise(&bad);
                assert!(bad.load(std::sync::atomic::Ordering::Relaxed) > 1, "once more");
            }
            n
        });
        assert!(values.unwrap().into_iter().eq(0..100));
        assert_eq!(runs.load(std::sync::atomic::Ordering::Relaxed), 101);
    });
}
