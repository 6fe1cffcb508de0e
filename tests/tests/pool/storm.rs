use crate::{Random, kill, spin, wait_for_workers};
use multiproc::{Pool, TaskError, TaskOptions};
use multiproc_tests::{Limit, on_fork_server};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Kills in a run of the ordinary suite; `MULTIPROC_KILLS` asks for more.
const KILLS: u32 = 600;
const WORKERS: usize = 3;
/// The longest that one operation may take, on a machine that does something else, too; on an idle one it is far less
/// than a second.
const HANG: Duration = Duration::from_secs(5);

fn kills() -> u32 {
    std::env::var("MULTIPROC_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS)
}

/// An error that a kill, a deadline or a cancel explains.
fn is_expected(error: &TaskError) -> bool {
    matches!(error, TaskError::WorkerDied { .. } | TaskError::TimedOut | TaskError::Cancelled)
}

fn quickly<R>(slowest: &AtomicU32, what: &str, f: impl FnOnce() -> R) -> R {
    let begin = Instant::now();
    let result = f();
    let took = begin.elapsed();
    assert!(took < HANG, "{what} took {took:?}");
    slowest.fetch_max(took.as_millis() as u32, Ordering::Relaxed);
    result
}

/// One kind of load, over and over; counts what came back.
fn load(pool: &Pool, kind: u32, random: &mut Random, slowest: &AtomicU32) -> (u32, u32) {
    let size = 20 + random.next(200) as u32;
    let mut counts = (0, 0);
    let mut count = |n: u32, result: Result<u32, TaskError>| match result {
        Ok(value) => {
            assert_eq!(value, n + 1);
            counts.0 += 1;
        }
        Err(error) if is_expected(&error) => counts.1 += 1,
        Err(error) => panic!("task {n}: {error}"),
    };
    match kind {
        0 => {
            let calls: Vec<_> = (0..size).map(|n| pool.apply_async(n, |n| n + 1)).collect();
            for (n, call) in (0..).zip(calls) {
                count(n, quickly(slowest, "a call", || call.get()));
            }
        }
        1 => {
            let values = quickly(slowest, "a map", || pool.map(0..size, |n| n + 1));
            match values {
                Ok(values) => (0..size).zip(values).for_each(|(n, value)| count(n, Ok(value))),
                Err(error) => count(0, Err(error)),
            }
        }
        2 => {
            let mut results = pool.imap(0..size, |n| {
                spin(Duration::from_micros(50));
                n + 1
            });
            let mut n = 0;
            while let Some(result) = quickly(slowest, "an item", || results.next()) {
                count(n, result);
                n += 1;
            }
            assert_eq!(n, size, "each item ends once");
        }
        3 => {
            let brief = TaskOptions::new().timeout(Duration::from_millis(2)).grace(Duration::ZERO);
            let calls: Vec<_> = (0..10)
                .map(|n| {
                    pool.with(brief.clone()).apply_async(n, |n| {
                        spin(Duration::from_millis(u64::from(n % 5)));
                        n + 1
                    })
                })
                .collect();
            for (n, call) in (0..).zip(calls) {
                count(n, quickly(slowest, "a call with a deadline", || call.get()));
            }
        }
        _ => {
            let calls: Vec<_> = (0..20)
                .map(|n| {
                    pool.apply_async(n, |n| {
                        spin(Duration::from_micros(300));
                        n + 1
                    })
                })
                .collect();
            for call in calls.iter().step_by(3) {
                quickly(slowest, "a cancel", || call.cancel());
            }
            for (n, call) in (0..).zip(calls) {
                count(n, quickly(slowest, "a call amid cancels", || call.get()));
            }
        }
    }
    counts
}

#[test]
fn every_task_ends_once_whoever_is_killed() {
    on_fork_server(Limit(Duration::from_secs(900)), || {
        let kills = kills();
        let pool = Pool::builder().workers(WORKERS).tasks_per_worker(5_000).build().unwrap();
        let (is_over, slowest) = (AtomicBool::new(false), AtomicU32::new(0));
        let (done, failed) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for kind in 0..5 {
                let (pool, is_over, slowest) = (&pool, &is_over, &slowest);
                let (done, failed) = (&done, &failed);
                scope.spawn(move || {
                    let mut random = Random(88_172_645_463_325_252 + u64::from(kind) * 7919);
                    while !is_over.load(Ordering::Relaxed) {
                        let (well, badly) = load(pool, kind, &mut random, slowest);
                        done.fetch_add(well, Ordering::Relaxed);
                        failed.fetch_add(badly, Ordering::Relaxed);
                    }
                });
            }
            let mut random = Random(521_288_629);
            let mut killed = 0;
            while killed < kills {
                // One that works: who is killed before it can begin tests nothing of the pool.
                let workers = pool.stats().workers;
                let ready: Vec<u32> =
                    workers.iter().filter(|worker| worker.is_ready).map(|worker| worker.id).collect();
                if !ready.is_empty() {
                    kill(ready[random.next(ready.len() as u64) as usize]);
                    killed += 1;
                }
                spin(Duration::from_micros(random.next(6_000)));
            }
            is_over.store(true, Ordering::Relaxed);
        });
        wait_for_workers(&pool, WORKERS);
        assert_eq!(pool.map(0..1_000u32, |n| n).unwrap().len(), 1_000);
        let stats = pool.stats();
        assert_eq!((stats.queued, stats.under_way), (0, 0));
        let (done, failed) = (done.into_inner(), failed.into_inner());
        println!(
            "figures: {kills} kills in the storm of the pool, {done} tasks done, {failed} failed, {} workers replaced, slowest operation {} ms",
            stats.restarts,
            slowest.into_inner()
        );
        assert!(done > kills, "the load was too small to test anything");
    });
}
