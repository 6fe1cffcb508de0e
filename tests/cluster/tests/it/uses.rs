use multiproc_cluster_tests::{Agent, Server, pool_at, wait_for_agents};
use multiproc_tests::{Limit, on_fork_server};
use std::time::Duration;

#[test]
fn tasks_run_elsewhere() {
    on_fork_server(Limit(Duration::from_secs(60)), || {
        let Some(server) = Server::start() else { return };
        let agents = [Agent::start(&server.url(), 1), Agent::start(&server.url(), 1)];
        let pool = pool_at(&server.url()).build().unwrap();
        wait_for_agents(&pool, 2);
        assert_eq!(pool.apply((2, 3), |(a, b): (u32, u32)| a * b), Ok(6));
        let expected: Vec<u64> = (0..20_000).map(|n| n * 3).collect();
        assert_eq!(pool.map(0..20_000u64, |n| n * 3).unwrap(), expected);
        let there = pool.map(0..200u32, |_| std::process::id()).unwrap();
        assert!(there.iter().all(|id| *id != std::process::id()));
        pool.join();
        for agent in agents {
            assert_eq!(agent.leave(), Some(0));
        }
        server.wait_until_empty(Duration::from_secs(5));
    });
}
