use crate::{Flag, flag, hosts, spin, with_workers};
use multiproc::cluster::{Nats, Storage};
use multiproc::{Fd, Pool, SharedBytesMut, TaskError, TaskOptions};
use multiproc_cluster_tests::{Agent, KEY, LEASE, Server, builder_at, nats_at, pool_at, wait_for_agents};
use multiproc_tests::{Bytes, eventually};
use std::fs::File;
use std::time::{Duration, Instant};

#[test]
fn tasks_run_elsewhere() {
    with_workers(|| {
        let Some((server, agents)) = hosts(2) else { return };
        let pool = pool_at(&server.url()).build().unwrap();
        wait_for_agents(&pool, 2);
        assert_eq!(pool.apply((2, 3), |(a, b): (u32, u32)| a * b), Ok(6));
        let there = pool.map(0..200u32, |_| std::process::id()).unwrap();
        assert!(there.iter().all(|id| *id != std::process::id()));
        pool.join();
        for agent in agents {
            assert_eq!(agent.leave(), Some(0));
        }
        server.wait_until_empty(Duration::from_secs(5));
        // The last one puts out the light.
        eventually(Duration::from_secs(5), "no stream is left", || server.streams().is_empty());
    });
}

#[test]
fn long_arguments_and_results_leave_nothing_behind() {
    with_workers(|| {
        let Some(server) = Server::start() else { return };
        // A debug build takes its time to seal so much, and nobody is to be taken for lost over it.
        let lease = Duration::from_secs(20);
        let agents = [1, 2].map(|_| Agent::start_with(&server.url(), 1, Storage::Memory, lease));
        let pool = Pool::builder().backend(builder_at(&server.url()).lease(lease).connect().unwrap());
        let pool = pool.build().unwrap();
        wait_for_agents(&pool, 2);
        for len in [200 << 10, 300 << 10, 4 << 20] {
            let back = pool.map((0..6).map(|_| Bytes::patterned(len)), |bytes| bytes).unwrap();
            assert!(back.len() == 6 && back.iter().all(|bytes| bytes.is_patterned(len)), "{len}");
        }
        server.wait_until_empty(Duration::from_secs(5));
        drop((pool, agents));
    });
}

#[test]
fn stats_tell_of_the_workers_that_have_the_pools_state() {
    with_workers(|| {
        let Some((server, agents)) = hosts(1) else { return };
        let pool = pool_at(&server.url()).init(5u32, |start| start).build().unwrap();
        assert_eq!(pool.map_with(0..10u32, |start: &mut u32, n| *start + n).unwrap().len(), 10);
        let done = || pool.stats().workers.iter().map(|worker| worker.done).sum::<u64>();
        eventually(Duration::from_secs(10), "its workers have done ten", || done() == 10);
        drop((pool, agents));
    });
}

#[test]
fn leases_may_differ() {
    with_workers(|| {
        let Some(server) = Server::start() else { return };
        // The agent beats once a second, the caller five times in 300 ms.
        let agent = Agent::start_with(&server.url(), 1, Storage::Memory, Duration::from_secs(20));
        let short = builder_at(&server.url()).lease(Duration::from_millis(300)).connect().unwrap();
        let pool = Pool::builder().backend(short).build().unwrap();
        wait_for_agents(&pool, 1);
        assert_eq!(pool.apply(Duration::from_secs(3), spin), Ok(()));
        drop((pool, agent));
    });
}

#[test]
fn handles_are_refused_when_they_are_submitted() {
    with_workers(|| {
        let Some(server) = Server::start() else { return };
        let pool = pool_at(&server.url()).build().unwrap();
        let is_refused = |error: &TaskError| matches!(error, TaskError::Unsupported { message } if message.contains("one machine"));
        // There is no agent: nobody has looked at them but this side.
        let file = || Fd::new(tempfile::tempfile().unwrap());
        let error = pool.apply(file(), |file: Fd<File>| drop(file)).unwrap_err();
        assert!(is_refused(&error), "{error}");
        let bytes = SharedBytesMut::zeroed(100).unwrap().freeze().unwrap();
        assert!(is_refused(&pool.apply(bytes, |bytes| bytes.len()).unwrap_err()));
        assert!(is_refused(&pool.map([file()], |file: Fd<File>| drop(file)).unwrap_err()));
        assert!(is_refused(&pool.map_async([file()], |file: Fd<File>| drop(file)).get().unwrap_err()));
        // Results are seen where they are made.
        let agent = Agent::start(&server.url(), 1);
        let error = pool.apply((), |()| Fd::new(File::open("/dev/null").unwrap())).unwrap_err();
        assert!(is_refused(&error), "{error}");
        assert_eq!(pool.apply(1u8, |n| n), Ok(1));
        drop((pool, agent));
    });
}

#[test]
fn what_agents_decide_is_refused_when_the_pool_is_built() {
    with_workers(|| {
        let Some(server) = Server::start() else { return };
        let nats = nats_at(&server.url());
        let builder = || Pool::builder().backend(nats.clone());
        for (what, built) in [
            ("memory_limit", builder().memory_limit(1 << 30).build()),
            ("pin", builder().pin(&[0]).build()),
            ("tasks_per_worker", builder().tasks_per_worker(5).build()),
            ("min_workers", builder().min_workers(1).build()),
            ("threads", builder().threads().build()),
        ] {
            assert_eq!(built.unwrap_err().kind(), std::io::ErrorKind::Unsupported, "{what}");
        }
        let error = builder().init(Fd::new(tempfile::tempfile().unwrap()), |file| file).build().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let error = builder().init(vec![7u8; 300_000], |bytes| bytes).build().unwrap_err();
        assert!(error.to_string().contains("300"), "{error}");
    });
}

#[test]
fn agents_come_and_go_and_nothing_is_lost() {
    with_workers(|| {
        let Some(server) = Server::start() else { return };
        let pool = pool_at(&server.url()).build().unwrap();
        let runs = flag();
        // Given before anybody is there.
        let slow = |(n, runs): (u32, Flag)| {
            spin(Duration::from_millis(5));
            runs.raise();
            n
        };
        let results: Vec<_> = (0..300u32).map(|n| pool.apply_async((n, runs.clone()), slow)).collect();
        let first = Agent::start(&server.url(), 1);
        runs.wait_for(20);
        let second = Agent::start(&server.url(), 1);
        wait_for_agents(&pool, 2);
        assert_eq!(first.leave(), Some(0));
        runs.wait_for(100);
        let third = Agent::start(&server.url(), 2);
        assert_eq!(second.leave(), Some(0));
        assert!(results.into_iter().zip(0..).all(|(result, n)| result.get() == Ok(n)));
        assert_eq!(runs.count(), 300, "each ran once");
        drop((pool, third));
    });
}

#[test]
fn no_task_waits_behind_a_long_one_while_an_agent_is_idle() {
    with_workers(|| {
        let Some(server) = Server::start() else { return };
        let pool = pool_at(&server.url()).build().unwrap();
        let first = Agent::start(&server.url(), 1);
        wait_for_agents(&pool, 1);
        let sleepy = |(n, go): (u32, Flag)| {
            if n == 0 {
                go.wait_for(1);
            }
            n
        };
        let go = flag();
        // Quick ones, so that they travel together and one more than can be run is taken.
        pool.map((1..2_000u32).map(|n| (n, go.clone())), sleepy).unwrap();
        let together = pool.with(TaskOptions::new().chunk_size(50));
        let mut results = together.imap_unordered((0..50u32).map(|n| (n, go.clone())), sleepy);
        let second = Agent::start(&server.url(), 1);
        let others: Vec<u32> = results.by_ref().take(49).map(Result::unwrap).collect();
        assert!(others.into_iter().all(|n| n != 0));
        go.raise();
        assert_eq!(results.next(), Some(Ok(0)));
        drop(results);
        drop((pool, first, second));
    });
}

#[test]
fn deadlines_cancels_and_crashes_hit_one_task() {
    with_workers(|| {
        let Some((_server, agents, pool)) = crew(2) else { return };
        let options = TaskOptions::new().timeout(Duration::from_millis(60)).grace(Duration::ZERO);
        let results: Vec<_> = pool
            .with(options)
            .imap(0..60u32, |n| {
                if n % 30 == 29 {
                    loop {
                        std::thread::park();
                    }
                }
                n
            })
            .collect();
        for (n, result) in (0..).zip(results) {
            assert_eq!(result, if n % 30 == 29 { Err(TaskError::TimedOut) } else { Ok(n) }, "{n}");
        }
        let crash = pool.apply((), |()| -> u32 { std::process::abort() }).unwrap_err();
        assert!(matches!(crash, TaskError::WorkerDied { status } if status.signal() == Some(6)), "{crash}");
        let begun = flag();
        let running = pool.apply_async(begun.clone(), crate::block);
        begun.wait_for(1);
        assert!(running.cancel());
        assert_eq!(running.get(), Err(TaskError::Cancelled));
        assert_eq!(pool.map(0..100u32, |n| n).unwrap().len(), 100);
        drop((pool, agents));
    });
}

#[test]
fn deadly_tasks_become_letters_and_can_be_put_back() {
    with_workers(|| {
        let Some((server, agents, pool)) = crew(1) else { return };
        let nats = nats_at(&server.url());
        assert!(nats.dead_letters().unwrap().is_empty());
        let (runs, mercy) = (flag(), flag());
        let deadly = |(runs, mercy): (Flag, Flag)| {
            runs.raise();
            if mercy.count() == 0 {
                std::process::abort();
            }
        };
        let with = pool.with(TaskOptions::new().retries(10));
        let error = with.apply((runs.clone(), mercy.clone()), deadly).unwrap_err();
        assert!(error.is_worker_death());
        assert_eq!(runs.count(), 3, "no task costs more workers than `max_kills`");
        let letter_but = |other: u64| {
            let mut letters = Vec::new();
            eventually(Duration::from_secs(10), "the letter is there", || {
                letters = nats.dead_letters().unwrap();
                letters.len() == 1 && letters[0].number() != other
            });
            letters.remove(0)
        };
        let letter = letter_but(0);
        let number = letter.number();
        assert!(
            letter.error().contains("signal 6")
                && !letter.program().is_empty()
                && !letter.arguments().is_empty()
        );
        letter.put_back(&pool);
        // Deadly still: there is a new one.
        runs.wait_for(6);
        let letter = letter_but(number);
        let number = letter.number();
        let closed = Pool::builder().backend(nats.clone()).build().unwrap();
        closed.close();
        letter.put_back(&closed);
        closed.join();
        // A pool that ends before the task does has lost nothing.
        assert_eq!(letter_but(0).number(), number);
        mercy.raise();
        letter_but(0).put_back(&pool);
        runs.wait_for(7);
        eventually(Duration::from_secs(10), "it is done", || nats.dead_letters().unwrap().is_empty());
        drop((pool, agents));
    });
}

#[test]
fn what_is_known_of_agents() {
    with_workers(|| {
        let Some((_server, agents, pool)) = crew(2) else { return };
        pool.map(0..500u32, |n| n).unwrap();
        eventually(Duration::from_secs(10), "the agents tell what they have done", || {
            pool.stats().workers.iter().map(|worker| worker.done).sum::<u64>() >= 500
        });
        let stats = pool.stats();
        let ids: Vec<String> = agents.iter().map(|agent| agent.id().to_string()).collect();
        assert!(stats.workers.iter().all(|worker| ids.iter().any(|id| worker.name.contains(id))));
        assert_eq!((stats.run.count(), stats.queued, stats.under_way), (500, 0, 0));
        drop((pool, agents));
    });
}

#[test]
fn pools_on_one_server_do_not_meet() {
    with_workers(|| {
        let Some((server, agents, pool)) = crew(1) else { return };
        let other = Nats::builder(&server.url()).key(KEY).lease(LEASE).pool("other").connect().unwrap();
        let other = Pool::builder().backend(other).build().unwrap();
        let task = other.apply_async(1u32, |n| n);
        assert_eq!(pool.apply(1u32, |n| n), Ok(1));
        assert_eq!(task.get_timeout(Duration::from_millis(100)), Err(TaskError::NotReady));
        assert!(other.stats().workers.is_empty());
        let since = Instant::now();
        other.terminate();
        assert!(since.elapsed() < Duration::from_secs(5));
        assert_eq!(task.get(), Err(TaskError::Cancelled));
        drop((pool, agents));
    });
}

/// A server, agents of one worker each, and a pool that knows them.
pub(crate) fn crew(workers: usize) -> Option<(Server, Vec<Agent>, Pool)> {
    let (server, agents) = hosts(workers)?;
    let pool = pool_at(&server.url()).build().unwrap();
    wait_for_agents(&pool, workers);
    Some((server, agents, pool))
}
