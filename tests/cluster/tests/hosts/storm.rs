use crate::uses::crew;
use crate::{spin, times, with_workers};
use multiproc::{Pool, TaskError, TaskOptions};
use multiproc_cluster_tests::{Agent, wait_for_agents};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The longest that one operation may take: several agents in a row may be lost under it.
const HANG: Duration = Duration::from_secs(60);

/// One kind of load, over and over; counts what came back.
fn load(pool: &Pool, is_safe: bool, done: &AtomicU32, failed: &AtomicU32) {
    let options = TaskOptions::new().retries(if is_safe { 1_000 } else { 0 });
    let with = pool.with(options);
    let since = Instant::now();
    let results: Vec<_> = with
        .imap(0..100u32, |n| {
            spin(Duration::from_micros(200));
            n + 1
        })
        .collect();
    assert_eq!(results.len(), 100, "each ends once");
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(value) => {
                assert_eq!(value, n + 1);
                done.fetch_add(1, Ordering::Relaxed);
            }
            Err(TaskError::WorkerDied { .. }) => {
                failed.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("task {n}: {error}"),
        }
    }
    assert!(since.elapsed() < HANG, "{:?}", since.elapsed());
}

#[test]
fn every_task_ends_once_whoever_is_killed() {
    with_workers(|| {
        let Some((server, mut agents, pool)) = crew(3) else { return };
        let (is_over, done, failed) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
        let kills = times(12);
        thread::scope(|scope| {
            for is_safe in [false, true] {
                let (pool, is_over, done, failed) = (&pool, &is_over, &done, &failed);
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        load(pool, is_safe, done, failed);
                    }
                });
            }
            let mut random = 88_172_645_463_325_252u64;
            for _ in 0..kills {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                agents.swap_remove((random % 3) as usize).kill();
                agents.push(Agent::start(&server.url(), 1));
                spin(Duration::from_micros(random % 300_000));
            }
            is_over.store(true, Ordering::Relaxed);
        });
        wait_for_agents(&pool, 3);
        assert!(pool.map(0..1_000u32, |n| n).unwrap().into_iter().eq(0..1_000));
        let stats = pool.stats();
        assert_eq!((stats.queued, stats.under_way), (0, 0));
        let (done, failed) = (done.into_inner(), failed.into_inner());
        println!("figures: {kills} kills in agents, {done} tasks done, {failed} ended with their host");
        pool.join();
        server.wait_until_empty(Duration::from_secs(10));
        drop(agents);
    });
}
