use crate::{Random, flag, kill, raise, wait_for, wait_for_workers, with_workers};
use multiproc::{Pool, Process, Shared, TaskError};
use multiproc_core::sys::process::{open_pidfd, send_signal};
use multiproc_tests::eventually;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const PAGE: u64 = 4096;
const SOON: Duration = Duration::from_secs(20);
const STOP: i32 = 19;
const CONTINUE: i32 = 18;

/// What is written over: the words of the two rings, what lies in them, the marks with the journal, all of these.
const TARGETS: [&str; 4] = ["words", "records", "marks", "all"];

/// Tells whether a mapping of so many bytes is meant; there are flags in shared memory, too, which are one page.
fn is_meant(target: &str, name: &str, len: u64) -> bool {
    let is_ring = name.contains("memfd:multiproc-queue");
    match target {
        "words" => is_ring && len == PAGE,
        "records" => is_ring && len > PAGE,
        "marks" => name.contains("memfd:multiproc-shared") && len > 4 * PAGE,
        _ => TARGETS[..3].iter().any(|target| is_meant(target, name, len)),
    }
}

/// Writes over what this process shares with its pool: zeros, ones, or anything.
fn scribble(target: &str, kind: u32) -> u64 {
    let memory = OpenOptions::new().write(true).open("/proc/self/mem").unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15 + u64::from(kind));
    let mut written = 0;
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else { continue };
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        if !rights.starts_with("rw") || !is_meant(target, line, end - start) {
            continue;
        }
        for page in (start..end).step_by(PAGE as usize) {
            let bytes: Vec<u8> = match kind {
                0 => vec![0; PAGE as usize],
                1 => vec![0xff; PAGE as usize],
                _ => (0..PAGE).map(|_| random.next(256) as u8).collect(),
            };
            // The first 128 bytes of a file of ours are read once, when it is opened.
            let skip = if page == start { 128 } else { 0 };
            // Beyond the end of its file a mapping has no page.
            if memory.write_at(&bytes[skip..], page + skip as u64).is_ok() {
                written += 1;
            }
        }
    }
    written
}

#[test]
fn a_task_that_writes_over_its_own_rings_harms_itself_alone() {
    with_workers(|| {
        let pool = Pool::new(2).unwrap();
        let mut died = 0;
        for target in TARGETS {
            for kind in 0..6 {
                wait_for_workers(&pool, 2);
                let before: Vec<_> = (0..20u32).map(|n| pool.apply_async(n, |n| n)).collect();
                assert!(before.into_iter().map(|task| task.get().unwrap()).eq(0..20));
                let bad =
                    pool.apply_async((target.to_owned(), kind), |(target, kind)| scribble(&target, kind));
                let after: Vec<_> = (0..20u32).map(|n| pool.apply_async(n, |n| n)).collect();
                match bad.get_timeout(SOON) {
                    // What it wrote over was not needed any more.
                    Ok(written) => assert!(written > 0),
                    Err(TaskError::WorkerDied { .. } | TaskError::Decode) => died += 1,
                    Err(error) => panic!("{target} {kind}: {error}"),
                }
                for (n, task) in (0..).zip(after) {
                    assert_eq!(task.get_timeout(SOON), Ok(n), "{target} {kind}");
                }
            }
        }
        println!(
            "figures: of {} tasks that wrote over what they share {died} cost their worker",
            6 * TARGETS.len()
        );
        assert!(died > 0, "nothing was harmed");
        wait_for_workers(&pool, 2);
        assert_eq!(pool.map(0..1_000u32, |n| n).unwrap().len(), 1_000);
    });
}

/// The letter for what a process is doing.
fn state(id: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn a_worker_killed_between_its_result_and_the_acknowledgement() {
    with_workers(|| {
        for _ in 0..10 {
            let (worker, go, runs) = (flag(), flag(), flag());
            let owner = Process::spawn([worker.clone(), go.clone(), runs.clone()], |flags| {
                let pool = Pool::new(1).unwrap();
                let done = pool.apply(flags, |flags: [Shared<AtomicU32>; 3]| {
                    let [worker, go, runs] = flags;
                    // SeqCst: partner of the one in `wait_for`.
                    worker.store(std::process::id(), Ordering::SeqCst);
                    wait_for(&go, 1);
                    raise(&runs);
                    7u32
                });
                done.map_err(|error| error.to_string())
            });
            let owner = owner.unwrap();
            wait_for(&worker, 1);
            let id = worker.load(Ordering::SeqCst); // SeqCst: as in `wait_for`
            // The pool takes nothing from now on.
            send_signal(open_pidfd(owner.id()).unwrap(), STOP).unwrap();
            eventually(SOON, "the pool's process is stopped", || state(owner.id()) == Some('T'));
            raise(&go);
            // It sleeps when it has nothing to do any more: its result is on its way.
            eventually(SOON, "the worker has given its result", || {
                runs.load(Ordering::Relaxed) == 1 && state(id) == Some('S')
            });
            kill(id);
            eventually(SOON, "the worker is dead", || matches!(state(id), None | Some('Z' | 'X')));
            send_signal(open_pidfd(owner.id()).unwrap(), CONTINUE).unwrap();
            assert_eq!(owner.join().unwrap(), Ok(7), "it was given before the death");
            assert_eq!(runs.load(Ordering::Relaxed), 1, "and is not run again");
        }
    });
}
