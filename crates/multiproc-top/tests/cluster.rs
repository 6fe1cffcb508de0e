//! The subcommand `cluster`, with a real server and a real agent.
#![cfg(feature = "cluster")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use multiproc_cluster_tests::{Agent, KEY, Server, pool_at, wait_for_agents};
use std::process::{Command, Output};

fn top(key: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_multiproc-top"));
    command.env("MULTIPROC_CLUSTER_KEY", key).arg("cluster").args(arguments).output().unwrap()
}

#[test]
fn agents_are_shown_to_who_has_the_key() {
    let Some(server) = Server::start() else { return };
    let agent = Agent::start(&server.url(), 2);
    let pool = pool_at(&server.url()).build().unwrap();
    wait_for_agents(&pool, 2);
    assert_eq!(pool.map(0..100u32, |n| n).unwrap().len(), 100);
    let output = top(KEY, &[&server.url(), "--json", "--wait", "2"]);
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let only = &seen.as_array().unwrap()[..];
    assert_eq!(only.len(), 1, "{seen}");
    let done: u64 =
        only[0]["workers"].as_array().unwrap().iter().map(|worker| worker["done"].as_u64().unwrap()).sum();
    assert_eq!((&only[0]["process"], &only[0]["callers"], done), (&agent.id().into(), &1.into(), 100));
    let output = top(KEY, &[&server.url(), "--once", "--wait", "2"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("1 agents, 2 workers") && text.contains(&agent.id().to_string()), "{text}");
    let output = top("another key", &[&server.url(), "--once", "--wait", "0.2"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("0 agents"));
    let output = top(KEY, &["nats://127.0.0.1:1", "--once"]);
    assert!(!output.status.success() && String::from_utf8(output.stderr).unwrap().contains("cannot reach"));
}
