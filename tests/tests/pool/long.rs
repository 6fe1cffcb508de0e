use crate::spin;
use multiproc::{Pool, TaskOptions};
use multiproc_core::sys::process::resident;
use multiproc_tests::{Limit, isolated_in_role, on_fork_server, raw, role_command};
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

/// Items in a run of the ordinary suite; `MULTIPROC_ITEMS` asks for more.
const ITEMS: u64 = 1_000_000;
/// By how much the memory of a process may differ: what its allocator keeps.
const SLACK: u64 = 4 << 20;

#[test]
fn an_endless_input_takes_no_more_memory_with_time() {
    on_fork_server(Limit(Duration::from_secs(900)), || {
        let items =
            std::env::var("MULTIPROC_ITEMS").ok().and_then(|items| items.parse().ok()).unwrap_or(ITEMS);
        let pool = Pool::new(2).unwrap();
        let all = || {
            let ids = std::iter::once(std::process::id()).chain(pool.worker_ids());
            ids.map(|id| resident(id).unwrap()).collect::<Vec<u64>>()
        };
        let mut early = Vec::new();
        let mut results = pool.imap(0u64.., |n| n + 1);
        for n in 0..items {
            assert_eq!(results.next(), Some(Ok(n + 1)));
            if n == items / 10 {
                early = all();
            }
        }
        let late = all();
        println!("figures: resident after {} and {items} items: {early:?} and {late:?}", items / 10);
        assert_eq!(early.len(), late.len());
        assert!(early.iter().zip(&late).all(|(early, late)| *late <= early + SLACK), "{early:?}, {late:?}");
        drop(results);
    });
}

/// Tells how far it is on its standard error.
fn counting() {
    let pool = Pool::new(2).unwrap();
    let shown = pool.with(TaskOptions::new().progress("counting").chunk_size(5));
    let values = shown.map(0..300u32, |n| {
        spin(Duration::from_millis(3));
        n
    });
    assert_eq!(values.unwrap().len(), 300);
}

#[test]
fn on_a_terminal_there_is_a_bar_elsewhere_there_are_lines() {
    isolated_in_role(Limit(Duration::from_secs(60)), counting, || {
        let (mut screen, terminal) = raw::terminal();
        let mut command = role_command();
        let mut child = command.env("TERM", "xterm").stdout(Stdio::null()).stderr(terminal).spawn().unwrap();
        // What holds the other end open here goes with it.
        drop(command);
        let mut seen = Vec::new();
        let mut bytes = [0; 4096];
        // With its last writer gone a terminal's reads fail.
        while let Ok(count @ 1..) = screen.read(&mut bytes) {
            seen.extend_from_slice(&bytes[..count]);
        }
        assert!(child.wait().unwrap().success());
        let seen = String::from_utf8_lossy(&seen);
        assert!(seen.contains("counting [") && seen.contains("300/300") && seen.contains("left"), "{seen:?}");
        assert!(seen.contains('\r') && seen.contains("; **"), "two workers are busy: {seen:?}");

        let output = role_command().stdout(Stdio::null()).output().unwrap();
        assert!(output.status.success());
        let lines = String::from_utf8_lossy(&output.stderr);
        assert!(!lines.contains(['\r', '\u{1b}']), "{lines:?}");
        let lines: Vec<&str> = lines.lines().collect();
        assert!(lines.iter().all(|line| line.starts_with("counting: ")), "{lines:?}");
        assert!(lines.last().unwrap().starts_with("counting: 300 of 300, "), "{lines:?}");
    });
}
