use crate::uses::crew;
use crate::{Flag, block, flag, spin, with_workers};
use multiproc::cluster::Storage;
use multiproc::{Cause, Pool, Process, TaskError, TaskOptions};
use multiproc_cluster_tests::{Agent, LEASE, Server, Wire, builder_at, nats_at, pool_at, wait_for_agents};
use multiproc_core::sys::process::{open_pidfd, send_signal};
use multiproc_tests::{Bytes, eventually};
use std::time::{Duration, Instant};

const SIGSTOP: i32 = 19;
const SIGCONT: i32 = 18;

/// What a lost host's tasks take to run elsewhere: the lease, and a second.
const SOON: Duration = LEASE.saturating_add(Duration::from_secs(1));

fn is_host_loss(error: &TaskError) -> bool {
    matches!(error, TaskError::WorkerDied { status } if status.cause() == Cause::HostLost)
}

/// Waits for a flag once; then is quick.
fn first_waits((begun, go): (Flag, Flag)) -> u32 {
    let before = begun.raise();
    if before == 0 {
        go.wait_for(1);
    }
    before
}

#[test]
fn a_killed_agents_tasks_err_or_run_elsewhere_within_the_lease() {
    with_workers(|| {
        let Some((_server, mut agents, pool)) = crew(1) else { return };
        let mut slowest = Duration::ZERO;
        for is_safe in [false, true] {
            let (begun, go) = (flag(), flag());
            let options = TaskOptions::new().retries(if is_safe { 1 } else { 0 });
            let task = pool.with(options).apply_async((begun.clone(), go.clone()), first_waits);
            begun.wait_for(1);
            agents.pop().unwrap().kill();
            let killed = Instant::now();
            agents.push(Agent::start(&_server.url(), 1));
            match task.get() {
                Ok(before) => assert!(is_safe && before == 1),
                Err(error) => assert!(!is_safe && is_host_loss(&error), "{error}"),
            }
            let took = killed.elapsed();
            slowest = slowest.max(took);
            assert!(took < SOON + Duration::from_secs(3), "{took:?}, on a busy machine");
            assert_eq!(begun.count(), if is_safe { 2 } else { 1 });
            wait_for_agents(&pool, 1);
        }
        println!(
            "figures: 2 kills in agents, told or run elsewhere after {slowest:?}, the lease is {LEASE:?}"
        );
        drop((pool, agents));
    });
}

#[test]
fn a_server_that_is_killed_costs_time_and_no_task() {
    with_workers(|| {
        for storage in [multiproc::cluster::Storage::Memory, multiproc::cluster::Storage::File] {
            let Some(mut server) = Server::start() else { return };
            let agents = [1, 2].map(|_| Agent::start_with(&server.url(), 1, storage, LEASE));
            let nats = multiproc_cluster_tests::builder_at(&server.url()).storage(storage).connect().unwrap();
            let pool = multiproc::Pool::builder().backend(nats).build().unwrap();
            wait_for_agents(&pool, 2);
            let runs = flag();
            let slow = |(n, runs): (u32, Flag)| {
                spin(Duration::from_millis(4));
                runs.raise();
                n
            };
            let rounds = crate::times(4).min(40);
            let total = 100 * rounds;
            let results: Vec<_> = (0..total).map(|n| pool.apply_async((n, runs.clone()), slow)).collect();
            for round in 0..rounds {
                runs.wait_for(60 * round + 10);
                server.kill();
                server.restart();
            }
            for (result, n) in results.into_iter().zip(0..) {
                assert_eq!(result.get(), Ok(n), "{storage:?}");
            }
            assert_eq!(runs.count(), total, "{storage:?}: each ran once");
            println!("figures: {rounds} kills in servers, {storage:?}");
            pool.join();
            server.wait_until_empty(Duration::from_secs(10));
            drop(agents);
        }
    });
}

#[test]
fn long_arguments_outlive_the_server_that_had_them() {
    with_workers(|| {
        let Some((mut server, agents, pool)) = crew(1) else { return };
        let (begun, go) = (flag(), flag());
        let other = pool_at(&server.url()).build().unwrap();
        wait_for_agents(&other, 1);
        let first = other.apply_async((begun.clone(), go.clone()), first_waits);
        begun.wait_for(1);
        // It lies on the server while the only worker has something to do for somebody else.
        let long = pool.apply_async(Bytes::patterned(1 << 20), |bytes: Bytes| bytes.is_patterned(1 << 20));
        let messages = || server.streams().iter().map(|(_, count)| count).sum::<u64>();
        eventually(Duration::from_secs(20), "its arguments are on the server", || messages() >= 3);
        server.kill();
        server.restart();
        go.raise();
        assert_eq!((first.get(), long.get()), (Ok(0), Ok(true)));
        assert_eq!(begun.count(), 1);
        pool.join();
        other.join();
        server.wait_until_empty(Duration::from_secs(10));
        drop(agents);
    });
}

#[test]
fn long_results_outlive_the_server_that_had_them() {
    with_workers(|| {
        let Some(mut server) = Server::start() else { return };
        let lease = Duration::from_secs(20);
        let agent = Agent::start_with(&server.url(), 1, Storage::Memory, lease);
        let wire = Wire::to(&server.url());
        let pool = Pool::builder().backend(builder_at(&wire.url()).lease(lease).connect().unwrap());
        let pool = pool.build().unwrap();
        wait_for_agents(&pool, 1);
        let (begun, go) = (flag(), flag());
        let long = pool.apply_async((begun.clone(), go.clone()), |(begun, go): (Flag, Flag)| {
            begun.raise();
            go.wait_for(1);
            Bytes::patterned(1 << 20)
        });
        begun.wait_for(1);
        // It is stored while its caller cannot hear of it, and gone when it can.
        wire.cut(true);
        go.raise();
        let messages = || server.streams().iter().map(|(_, count)| count).sum::<u64>();
        eventually(Duration::from_secs(20), "the result is on the server", || messages() >= 3);
        server.kill();
        server.restart();
        wire.cut(false);
        assert!(long.get().unwrap().is_patterned(1 << 20));
        assert_eq!(begun.count(), 1);
        server.wait_until_empty(Duration::from_secs(10));
        drop((pool, agent));
    });
}

#[test]
fn an_agent_that_is_stopped_past_its_lease_disturbs_nobody() {
    with_workers(|| {
        let Some((server, agents, pool)) = crew(1) else { return };
        let (begun, go) = (flag(), flag());
        let once = pool.apply_async((begun.clone(), go.clone()), first_waits);
        begun.wait_for(1);
        agents[0].signal(SIGSTOP);
        assert!(is_host_loss(&once.get().unwrap_err()));
        // Its worker goes on, and is told to end when the agent does.
        let other = Agent::start(&server.url(), 1);
        wait_for_agents(&pool, 1);
        assert_eq!(pool.map(0..500u32, |n| n + 1).unwrap().len(), 500);
        agents[0].signal(SIGCONT);
        wait_for_agents(&pool, 2);
        let runs = flag();
        let many = pool.map((0..500u32).map(|n| (n, runs.clone())), |(n, runs): (u32, Flag)| {
            runs.raise();
            n
        });
        assert!(many.unwrap().into_iter().eq(0..500));
        assert_eq!((runs.count(), begun.count()), (500, 1));
        drop((pool, agents, other));
    });
}

#[test]
fn partitions_shorter_and_longer_than_the_lease() {
    with_workers(|| {
        let Some(server) = Server::start() else { return };
        let wire = Wire::to(&server.url());
        let agent = Agent::start(&wire.url(), 1);
        let pool = pool_at(&server.url()).build().unwrap();
        wait_for_agents(&pool, 1);
        // A short one is only a pause.
        let (begun, go) = (flag(), flag());
        let task = pool.apply_async((begun.clone(), go.clone()), first_waits);
        begun.wait_for(1);
        wire.cut(true);
        assert_eq!(task.get_timeout(LEASE / 3), Err(TaskError::NotReady));
        go.raise();
        wire.cut(false);
        assert_eq!(task.get(), Ok(0));
        // After a long one the task is somebody else's.
        let (begun, go) = (flag(), flag());
        let once = pool.apply_async((begun.clone(), go.clone()), first_waits);
        begun.wait_for(1);
        wire.cut(true);
        assert!(is_host_loss(&once.get().unwrap_err()));
        let other = Agent::start(&server.url(), 1);
        wait_for_agents(&pool, 1);
        assert_eq!(pool.apply(7u32, |n| n), Ok(7));
        wire.cut(false);
        wait_for_agents(&pool, 2);
        assert!(pool.map(0..300u32, |n| n).unwrap().into_iter().eq(0..300));
        assert_eq!(begun.count(), 1);
        drop((pool, agent, other, wire));
    });
}

#[test]
fn a_slow_link_only_takes_longer() {
    with_workers(|| {
        let Some(server) = Server::start() else { return };
        let wires = [1, 2].map(|_| Wire::to(&server.url()));
        wires.iter().for_each(|wire| wire.delay(Duration::from_millis(20)));
        let agents = wires.each_ref().map(|wire| Agent::start(&wire.url(), 1));
        let pool = pool_at(&wires[0].url()).build().unwrap();
        wait_for_agents(&pool, 2);
        assert!(pool.map(0..20_000u32, |n| n).unwrap().into_iter().eq(0..20_000));
        assert!((0..5).all(|n| pool.apply(n, |n: u32| n) == Ok(n)));
        drop((pool, agents, wires));
    });
}

#[test]
fn a_callers_tasks_end_with_it() {
    with_workers(|| {
        let Some(server) = Server::start() else { return };
        let agent = Agent::start(&server.url(), 1);
        let (begun, url) = (flag(), server.url());
        let pids = begun.clone();
        let caller = Process::builder().daemon(true).spawn((url.clone(), begun.clone()), |(url, begun)| {
            let pool = pool_at(&url).build().unwrap();
            let tasks: Vec<_> = (0..20).map(|_| pool.apply_async(begun.clone(), block)).collect();
            drop(tasks);
            std::thread::park();
        });
        let caller = caller.unwrap();
        pids.wait_for(1);
        caller.kill().unwrap();
        // Its worker is free again for others, and nothing of its tasks is left.
        let pool = pool_at(&server.url()).build().unwrap();
        assert_eq!(pool.apply(1u32, |n| n), Ok(1));
        assert_eq!(begun.count(), 1, "those that waited never run");
        pool.join();
        server.wait_until_empty(Duration::from_secs(10));
        drop(agent);
    });
}

#[test]
fn a_caller_that_is_stopped_past_its_lease_goes_on() {
    with_workers(|| {
        let Some(server) = Server::start() else { return };
        let agents = [(); 2].map(|()| Agent::start(&server.url(), 1));
        let (begun, go) = (flag(), flag());
        let arguments = (server.url(), begun.clone(), go.clone());
        let caller = Process::spawn(arguments, |(url, begun, go): (String, Flag, Flag)| {
            let pool = pool_at(&url).build().unwrap();
            let with = pool.with(TaskOptions::new().retries(10));
            let wait = |(begun, go, number): (Flag, Flag, u32)| {
                begun.raise();
                go.wait_for(1);
                number
            };
            let tasks: Vec<_> =
                (0..4u32).map(|number| with.apply_async((begun.clone(), go.clone(), number), wait)).collect();
            tasks.into_iter().map(|task| task.get().unwrap()).sum::<u32>()
        })
        .unwrap();
        begun.wait_for(2);
        let handle = open_pidfd(caller.id()).unwrap();
        send_signal(&handle, SIGSTOP).unwrap();
        // Its agents give it up, and have time for others.
        let other = pool_at(&server.url()).build().unwrap();
        assert_eq!(other.apply(1u32, |n| n), Ok(1));
        go.raise();
        send_signal(&handle, SIGCONT).unwrap();
        assert_eq!(caller.join().unwrap(), 6);
        other.join();
        server.wait_until_empty(Duration::from_secs(10));
        drop(agents);
    });
}

#[test]
fn an_agent_that_leaves_ends_what_it_has_begun() {
    with_workers(|| {
        let Some((server, mut agents, pool)) = crew(1) else { return };
        let nats = nats_at(&server.url());
        let (begun, go) = (flag(), flag());
        let task = pool.apply_async((begun.clone(), go.clone()), first_waits);
        let queued = pool.apply_async(5u32, |n| n);
        begun.wait_for(1);
        agents[0].signal(15);
        eventually(Duration::from_secs(10), "it takes no more", || {
            nats.agents(Duration::from_millis(20)).unwrap().iter().any(|agent| agent.is_leaving)
        });
        go.raise();
        assert_eq!(task.get(), Ok(0));
        assert_eq!(agents.pop().unwrap().wait(), Some(0));
        assert_eq!(queued.get_timeout(Duration::from_millis(50)), Err(TaskError::NotReady));
        agents.push(Agent::start(&server.url(), 1));
        assert_eq!(queued.get(), Ok(5));
        drop((pool, agents));
    });
}
