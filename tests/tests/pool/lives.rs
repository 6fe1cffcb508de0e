use crate::{Random, flag, raise, spin, wait_for, wait_for_workers, with_workers};
use multiproc::Pool;
use multiproc_tests::eventually;
use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn after_so_many_tasks() {
    with_workers(|| {
        let pool = Pool::builder().workers(2).tasks_per_worker(50).build().unwrap();
        let ids: BTreeSet<u32> =
            (0..40).flat_map(|_| pool.map(vec![(); 25], |()| std::process::id()).unwrap()).collect();
        assert!(ids.len() >= 20, "1,000 tasks by {} workers", ids.len());
        wait_for_workers(&pool, 2);
    });
}

#[test]
fn after_so_many_tasks_also_during_the_last_one() {
    with_workers(|| {
        let pool = Pool::builder().workers(1).tasks_per_worker(1).build().unwrap();
        for _ in 0..20 {
            let (begun, over) = (flag(), flag());
            thread::scope(|scope| {
                let args = (begun.clone(), over.clone());
                scope.spawn(|| {
                    let last = pool.apply(args, |(begun, over)| {
                        raise(&begun);
                        wait_for(&over, 1);
                    });
                    assert_eq!(last, Ok(()));
                });
                wait_for(&begun, 1);
                // The replacement comes while the task runs still, whoever has handed it out.
                let other = pool.apply_async((), |()| ());
                let came = other.get_timeout(SOON);
                raise(&over);
                assert_eq!(came, Ok(()), "no replacement has come");
            });
        }
    });
}

#[test]
fn after_too_much_memory_also_during_a_task() {
    with_workers(|| {
        let pool = Pool::builder().workers(1).max_resident(64 << 20).build().unwrap();
        let (begun, go) = (flag(), flag());
        let task = pool.apply_async((begun.clone(), go.clone()), |(begun, go)| {
            // Or an optimizer takes none.
            std::mem::forget(std::hint::black_box(vec![1u8; 128 << 20]));
            raise(&begun);
            wait_for(&go, 1);
            std::process::id()
        });
        wait_for(&begun, 1);
        // The replacement comes while the task runs still.
        let other = pool.apply((), |()| std::process::id()).unwrap();
        raise(&go);
        assert_ne!(task.get().unwrap(), other);
    });
}

#[test]
fn after_so_long() {
    with_workers(|| {
        let pool = Pool::builder().workers(2).max_age(Duration::from_millis(100)).build().unwrap();
        let first: BTreeSet<u32> = pool.worker_ids().into_iter().collect();
        eventually(SOON, "others have come", || pool.worker_ids().iter().all(|id| !first.contains(id)));
        assert_eq!(pool.map(0..100u32, |n| n).unwrap().len(), 100);
    });
}

#[test]
fn with_the_work() {
    with_workers(|| {
        let builder = Pool::builder().workers(3).min_workers(0).idle_timeout(Duration::from_millis(50));
        let pool = builder.build().unwrap();
        assert!(pool.worker_ids().is_empty(), "lazy");
        let begun = flag();
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                pool.apply_async(begun.clone(), |begun| {
                    raise(&begun);
                    wait_for(&begun, 3);
                })
            })
            .collect();
        assert!(tasks.into_iter().all(|task| task.get() == Ok(())), "as many as there is work for, at once");
        eventually(SOON, "all have left", || pool.worker_ids().is_empty());
        assert_eq!(pool.apply(1u8, |n| n), Ok(1));
    });
}

#[test]
fn with_the_work_that_its_only_caller_waits_for() {
    with_workers(|| {
        // The caller works the pool from before the worker is ready until its result is there, whenever that is: who
        // lets it go has not been told of it by anybody else.
        let builder = Pool::builder().workers(1).min_workers(0).idle_timeout(Duration::from_millis(5));
        let pool = builder.build().unwrap();
        let mut random = Random(7);
        for _ in 0..200 {
            pool.apply(random.next(6_000), |micros| spin(Duration::from_micros(micros))).unwrap();
            eventually(SOON, "it has left", || pool.worker_ids().is_empty());
        }
    });
}

#[test]
fn with_a_pool_that_is_closed_while_its_first_worker_comes() {
    with_workers(|| {
        let mut random = Random(9);
        for _ in 0..100 {
            let slow = Pool::builder().workers(1).init((), |()| spin(Duration::from_millis(3)));
            let pool = slow.build().unwrap();
            thread::scope(|scope| {
                let (micros, pool) = (random.next(4_000), &pool);
                let last =
                    scope.spawn(move || pool.apply(micros, |micros| spin(Duration::from_micros(micros))));
                while pool.stats().queued + pool.stats().under_way == 0 && !last.is_finished() {
                    thread::yield_now();
                }
                assert!(pool.join_timeout(SOON), "the pool does not know that its last task is done");
                assert_eq!(last.join().unwrap(), Ok(()));
            });
        }
    });
}

#[test]
fn pinned() {
    with_workers(|| {
        let pool = Pool::builder().workers(2).pin(&[0, 1]).build().unwrap();
        wait_for_workers(&pool, 2);
        for id in pool.worker_ids() {
            let affinity = multiproc_core::sys::process::Affinity::of_process(id).unwrap();
            assert_eq!(affinity.cpus().len(), 1);
        }
    });
}

#[test]
fn stats_tell_what_was_done() {
    with_workers(|| {
        let pool = Pool::new(2).unwrap();
        pool.map(0..1_000u32, |n| n).unwrap();
        let stats = pool.stats();
        // Those that were taken back from a worker waited twice.
        assert_eq!((stats.run.count(), stats.wait.count() >= 1_000, stats.failed), (1_000, true, 0));
        assert_eq!((stats.queued, stats.under_way), (0, 0));
        assert!(stats.bytes_out >= 1_000 && stats.bytes_in >= 1_000 && !stats.slowest.is_empty());
        assert_eq!(stats.workers.iter().map(|worker| worker.done).sum::<u64>(), 1_000);
        for times in stats.workers.iter().filter(|worker| worker.done > 0).map(|worker| &worker.times) {
            assert!(times.run.count() > 0 && times.serialize.count() > 0 && times.wait.count() > 0);
            assert!(times.idle.count() > 0, "{times:?}");
        }
        assert!(stats.to_string().contains("1000 done"), "{stats}");
    });
}

fn interrupt() {
    let own = multiproc_core::sys::process::open_pidfd(std::process::id()).unwrap();
    multiproc_core::sys::process::send_signal(own, 2).unwrap();
}

#[test]
fn an_interrupt_ends_what_was_begun_and_a_second_one_ends_all() {
    with_workers(|| {
        let child = multiproc::Process::spawn((), |()| {
            let pool = Pool::builder().workers(1).handle_interrupt().build().unwrap();
            let (begun, go) = (flag(), flag());
            let running = pool.apply_async((begun.clone(), go.clone()), |(begun, go)| {
                raise(&begun);
                wait_for(&go, 1);
                7u32
            });
            wait_for(&begun, 1);
            let queued = pool.apply_async(1u32, |n| n);
            interrupt();
            let cancelled = queued.get();
            raise(&go);
            (running.get().unwrap(), cancelled.is_err(), pool.apply(1u32, |n| n).is_err())
        });
        assert_eq!(child.unwrap().join().unwrap(), (7, true, true));
        let child = multiproc::Process::spawn((), |()| {
            let pool = Pool::builder().workers(1).handle_interrupt().build().unwrap();
            let begun = flag();
            let endless = pool.apply_async(begun.clone(), crate::block);
            wait_for(&begun, 1);
            let queued = pool.apply_async(1u32, |n| n);
            interrupt();
            queued.get().unwrap_err();
            interrupt();
            // The program ends while this waits.
            drop(endless.get());
            std::thread::park();
        });
        assert_eq!(child.unwrap().wait().unwrap().code(), Some(130));
    });
}

#[test]
fn what_a_backend_lacks_is_refused_when_the_pool_is_built() {
    with_workers(|| {
        let error = Pool::builder().workers(1).threads().memory_limit(1 << 30).build().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
        let error = Pool::builder().workers(1).threads().pin(&[0]).build().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
        assert!(Pool::builder().workers(2).min_workers(3).build().is_err());
        assert!(Pool::threads(0).is_err());
    });
}
