//! Children by plain fork.
//!
//! # Safety
//!
//! A forked child may use nothing that needs a lock which another thread could have held. The functions here use
//! memory of their own, system calls, and the allocator, which glibc repairs in the child; where other threads run
//! beside the fork, they use nothing else.
#![expect(unsafe_code, reason = "calls spawn_forked")]

use multiproc_pipe::one_way;
use multiproc_process::{
    Builder, JoinError, Process, SpawnError, Stdio, active_children, current_process, parent_process,
};
use multiproc_tests::{Bytes, Limit, eventually, on_both, proc, raw};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{Read, Seek, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

fn fork<A, R: Serialize + DeserializeOwned + 'static>(
    builder: Builder,
    args: A,
    f: fn(A) -> R,
) -> Result<Process<R>, SpawnError> {
    // SAFETY: see the head of this file.
    unsafe { builder.spawn_forked(args, f) }
}

#[test]
fn arguments_are_simply_there() {
    on_both(Limit::default(), |_| {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        COUNTER.store(40, Ordering::Relaxed);
        // No message: a reference, and a closure that captures.
        let text = String::from("borrowed");
        let length = || text.len() as u32;
        let child =
            fork(Process::builder(), &length, |length| COUNTER.fetch_add(2, Ordering::Relaxed) + length());
        assert_eq!(child.unwrap().join().unwrap(), 48);
        assert_eq!(COUNTER.load(Ordering::Relaxed), 40, "the memory is a copy");
    });
}

#[test]
fn it_is_a_process_like_others() {
    on_both(Limit::default(), |_| {
        let child = fork(Process::builder().name("forked").env("FORKED", "1"), (), |()| {
            let parent = parent_process().unwrap();
            let me = (current_process().name().to_owned(), parent.id(), raw::system_parent());
            (me, proc::variable("FORKED"), active_children().len())
        });
        let child = child.unwrap();
        assert_eq!(child.name(), "forked");
        let own = std::process::id();
        let (me, variable, children) = child.join().unwrap();
        assert_eq!(me, ("forked".to_owned(), own, own));
        assert_eq!((variable.as_deref(), children), (Some("1"), 0));
    });
}

#[test]
fn it_ends_in_all_the_ways() {
    on_both(Limit::default(), |_| {
        let error =
            fork(Process::builder(), (), |()| -> u8 { panic!("forked panic") }).unwrap().join().unwrap_err();
        assert!(
            matches!(&error, JoinError::Panicked { message, .. } if message == "forked panic"),
            "{error}"
        );
        let child = fork(Process::builder(), (), |()| -> u8 { std::process::exit(6) }).unwrap();
        assert_eq!(child.join().unwrap_err(), JoinError::Exited { code: 6 });
        let child = fork(Process::builder(), (), |()| -> u8 { std::process::abort() }).unwrap();
        assert!(matches!(child.join(), Err(JoinError::Signaled { signal: 6, .. })));
        let child = fork(Process::builder(), 8 << 20, Bytes::patterned).unwrap();
        assert!(child.join().unwrap().is_patterned(8 << 20));
    });
}

#[test]
fn its_children_are_its_own() {
    on_both(Limit::default(), |_| {
        let child = fork(Process::builder(), (), |()| {
            // The spawner thread and the fork server are the parent's: it gets its own.
            let ours = Process::spawn(20, |n| n + 1).unwrap().join().unwrap();
            drop(Process::builder().daemon(true).spawn((), |()| -> () { thread::park() }).unwrap());
            (ours, proc::own_children().len())
        });
        let (answer, children) = child.unwrap().join().unwrap();
        assert!(answer == 21 && children >= 1);
        assert_eq!(Process::spawn(20, |n| n + 1).unwrap().join().unwrap(), 21);
    });
}

#[test]
fn a_daemon_by_fork_dies_with_its_parent() {
    on_both(Limit::default(), |_| {
        let (reader, writer) = one_way().unwrap();
        let parent = Process::spawn(writer, |writer| -> () {
            let child = fork(Process::builder().daemon(true), (), |()| {
                loop {
                    thread::park();
                }
            });
            let child: Process<()> = child.unwrap();
            writer.send(child.id()).unwrap();
            loop {
                thread::park();
            }
        });
        let parent = parent.unwrap();
        let daemon: u32 = reader.recv().unwrap();
        assert!(proc::is_alive(daemon));
        parent.kill().unwrap();
        parent.wait().unwrap();
        eventually(Duration::from_secs(5), "the daemon is dead", || !proc::is_alive(daemon));
    });
}

#[test]
fn inherited_handles_are_not_its_own() {
    on_both(Limit::default(), |_| {
        let (reader, writer) = one_way::<()>().unwrap();
        let elder = Process::spawn(reader, |reader| drop(reader.recv())).unwrap();
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let child = fork(Process::builder(), (elder, threads), |(elder, threads)| {
            let error = elder.wait().unwrap_err().kind();
            let seen = active_children().len();
            drop(elder);
            (format!("{error:?}"), seen, threads())
        });
        assert_eq!(child.unwrap().join().unwrap(), ("InvalidInput".to_owned(), 0, 1));
        // It was moved, so the parent has let go of it too.
        drop(writer);
        eventually(Duration::from_secs(30), "the elder ends", || active_children().is_empty());
    });
}

#[test]
fn beside_threads_that_start_processes() {
    on_both(Limit::default(), |_| {
        let done = AtomicBool::new(false);
        // Relaxed: it only says when to stop.
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(Process::spawn(1, |n| n + 1).unwrap().join().unwrap(), 2);
                        active_children();
                    }
                });
            }
            for n in 0..300 {
                let child = fork(Process::builder(), n, |n| n * 2).unwrap();
                assert_eq!(child.join().unwrap(), n * 2);
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn what_waits_to_be_written_is_written_once() {
    on_both(Limit::default(), |_| {
        let mut output = tempfile::tempfile().unwrap();
        let child = Process::builder().stdout(output.try_clone().unwrap()).spawn((), |()| {
            print!("parent ");
            fork(Process::builder(), (), |()| print!("child ")).unwrap().join().unwrap();
            print!("parent");
        });
        child.unwrap().join().unwrap();
        let mut text = String::new();
        output.rewind().unwrap();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "parent child parent");
    });
}

#[test]
fn standard_output_is_free_beside_threads_that_print() {
    on_both(Limit::default(), |_| {
        let child = Process::builder().stdout(Stdio::null()).spawn((), |()| {
            let done = AtomicBool::new(false);
            // Relaxed: it only says when to stop.
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            let mut output = std::io::stdout().lock();
                            // Whoever has it may start processes.
                            writeln!(output, "a line of some length").unwrap();
                            drop(Process::spawn((), |()| ()).unwrap());
                        }
                    });
                }
                for n in 0..100 {
                    let child = fork(Process::builder(), n, |n| {
                        print!("child {n}");
                        n
                    });
                    assert_eq!(child.unwrap().join().unwrap(), n);
                }
                done.store(true, Ordering::Relaxed);
            });
        });
        child.unwrap().join().unwrap();
    });
}

#[test]
fn a_start_that_fails_has_called_nothing() {
    on_both(Limit::default(), |_| {
        let null = std::fs::File::open("/dev/null").unwrap();
        let runs = tempfile::NamedTempFile::new().unwrap();
        let count = std::fs::File::options().append(true).open(runs.path()).unwrap();
        // What stays open for good is made now.
        fork(Process::builder(), (), |()| ()).unwrap().join().unwrap();
        raw::set_hard_descriptor_limit(128);
        let mut held = Vec::new();
        while let Ok(file) = null.try_clone() {
            held.push(file);
        }
        let (mut expected, mut failed) = (0, 0);
        while held.pop().is_some() && expected < 40 {
            // However far it gets: the last step that needs a descriptor comes after the fork.
            for _ in 0..20 {
                match fork(Process::builder(), &count, |mut count| count.write_all(b"!").unwrap()) {
                    Ok(child) => {
                        child.join().unwrap();
                        expected += 1;
                    }
                    Err(_) => failed += 1,
                }
                assert_eq!(runs.as_file().metadata().unwrap().len(), expected);
            }
        }
        assert!(failed > 0 && expected > 0);
    });
}
