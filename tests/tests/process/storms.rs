use crate::descriptors::{check, open_here};
use multiproc_pipe::one_way;
use multiproc_process::{JoinError, Process};
use multiproc_tests::{Limit, eventually, on_both, proc, raw};
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Runs `work` beside a thread that opens descriptors carelessly and one that takes whatever status it can get.
fn among_bad_neighbours(work: impl FnOnce()) -> u32 {
    let done = AtomicBool::new(false);
    let stolen = AtomicU32::new(0);
    let null = File::open("/dev/null").unwrap();
    // Relaxed: the flag only says when to stop, and the join orders the count.
    thread::scope(|scope| {
        let careless = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let numbers: Vec<i32> = (0..20).map(|_| raw::dup_inheritable(&null)).collect();
                numbers.into_iter().for_each(raw::close_number);
            }
        });
        let thief = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                match raw::steal_status() {
                    Some(_) => {
                        stolen.fetch_add(1, Ordering::Relaxed);
                    }
                    None => thread::yield_now(),
                }
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
        careless.join().unwrap();
        thief.join().unwrap();
    });
    stolen.into_inner()
}

#[test]
fn a_thousand_starts_from_eight_threads_among_bad_neighbours() {
    on_both(Limit(Duration::from_secs(120)), |_| {
        let unknown = AtomicU32::new(0);
        let stolen = among_bad_neighbours(|| {
            thread::scope(|scope| {
                let starters: Vec<_> = (0..8)
                    .map(|thread| {
                        let unknown = &unknown;
                        scope.spawn(move || {
                            for n in 0..125 {
                                let code = (thread * 125 + n) % 256;
                                let child = Process::spawn(code, |code| {
                                    if code % 2 == 0 {
                                        std::process::exit(code);
                                    }
                                    open_here(())
                                });
                                let child = child.unwrap();
                                let status = child.wait().unwrap();
                                let expected = if code % 2 == 0 { code } else { 0 };
                                if status.is_unknown() {
                                    unknown.fetch_add(1, Ordering::Relaxed);
                                } else {
                                    assert_eq!(status.code(), Some(expected), "{status}");
                                }
                                match child.join() {
                                    Ok(open) => check(&open, 0),
                                    Err(JoinError::Lost) => assert!(status.is_unknown()),
                                    Err(error) => assert_eq!(error, JoinError::Exited { code }),
                                }
                            }
                        })
                    })
                    .collect();
                for starter in starters {
                    starter.join().unwrap();
                }
            });
        });
        println!("{stolen} statuses stolen, {} unknown", unknown.into_inner());
        assert!(stolen > 0, "the thief got nothing: the test tests nothing");
        let zombies: Vec<_> = proc::own_children().into_iter().filter(|child| child.state == 'Z').collect();
        assert!(zombies.is_empty(), "{zombies:?}");
    });
}

#[test]
fn detached_children_among_bad_neighbours() {
    on_both(Limit::default(), |_| {
        among_bad_neighbours(|| {
            for n in 0..200 {
                drop(Process::spawn(n, |n| n).unwrap());
            }
            eventually(Duration::from_secs(30), "all are reaped", || {
                multiproc_process::active_children().is_empty()
            });
        });
    });
}

#[test]
fn a_thousand_alive_at_once() {
    on_both(Limit(Duration::from_secs(120)), |_| {
        let (children, writers): (Vec<_>, Vec<_>) = (0u64..1000)
            .map(|number| {
                let (reader, writer) = one_way::<u64>().unwrap();
                let child = Process::spawn((number, reader), |(number, reader)| {
                    let open = open_here(());
                    (number * reader.recv().unwrap(), open)
                });
                (child.unwrap(), writer)
            })
            .unzip();
        assert_eq!(multiproc_process::active_children().len(), 1000);
        for (factor, writer) in (0..).zip(&writers) {
            writer.send(factor).unwrap();
        }
        for (number, child) in (0..).zip(children) {
            let (product, open) = child.join().unwrap();
            assert_eq!(product, number * number);
            check(&open, 1);
        }
    });
}
