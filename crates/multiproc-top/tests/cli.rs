//! The program itself: its arguments, its output, its exit codes.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use multiproc_queue::Queue;
use multiproc_shm::Shared;
use std::process::{Command, Output};

fn top(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_multiproc-top")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A name of this run's.
fn name(what: &str) -> String {
    format!("test-top-{what}-{}", std::process::id())
}

#[test]
fn one_look_as_json() {
    let queue = Queue::bounded(5).unwrap();
    queue.put_many([1u8, 2]).unwrap();
    let output = top(&["--json", "--interval", "0.01"]);
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let used_by_us = |queue: &&serde_json::Value| {
        queue["used_by"].as_array().unwrap().contains(&std::process::id().into()) && queue["message"] == "u8"
    };
    let own = seen["queues"].as_array().unwrap().iter().find(used_by_us).unwrap();
    assert_eq!((&own["len"], &own["capacity"], &own["put_per_second"]), (&2.into(), &5.into(), &0.0.into()));
    let output = top(&["--json", "--interval", "0"]);
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(seen["seconds"].is_null());
    assert_eq!(queue.len(), 2);
}

#[test]
fn one_look_as_text() {
    let queue = Queue::<(u8, String)>::bounded(5).unwrap();
    let output = top(&["--once", "--interval", "0"]);
    assert!(text(&output.stdout).contains("(u8, String)"), "{output:?}");
    drop(queue);
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let output = top(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("use --once or --json"), "{output:?}");
    assert!(!top(&["--interval", "-1", "--once"]).status.success());
    assert!(!top(&["rm"]).status.success());
}

#[test]
fn names_are_listed_and_removed() {
    let (held, stale) = (name("held"), name("stale"));
    let value = Shared::create_named(&held, 7u32).unwrap();
    drop(Queue::<u8>::builder().create_named(&stale).unwrap());
    let listed = text(&top(&["ls"]).stdout);
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(
        line(&held).contains("u32") && line(&held).ends_with(&std::process::id().to_string()),
        "{listed}"
    );
    assert!(line(&stale).contains("queue") && line(&stale).ends_with("stale"), "{listed}");
    let output = top(&["rm", &held]);
    assert!(text(&output.stderr).contains("somebody holds it"), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
    assert!(top(&["rm", &stale]).status.success());
    assert!(top(&["rm", "--force", &held]).status.success());
    let output = top(&["rm", &held]);
    assert!(text(&output.stderr).contains("there is no object of that name"), "{output:?}");
    let listed = text(&top(&["ls", "--json"]).stdout);
    assert!(!listed.contains(&held) && !listed.contains(&stale), "{listed}");
    assert_eq!(*value, 7);
}
