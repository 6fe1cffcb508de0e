use multiproc_pipe::{PipeReader, PipeWriter, one_way};
use multiproc_process::{JoinError, Process};
use multiproc_tests::{Limit, isolated_in_role, on_both, raw, role_command};
use std::thread;
use std::time::{Duration, Instant};

const GRACE: Duration = Duration::from_secs(2);
const SHORT: Duration = Duration::from_millis(50);

fn for_ever() {
    loop {
        thread::park();
    }
}

fn start_daemon(writer: PipeWriter<u32>, stubborn: bool) {
    let daemon = Process::builder().daemon(true).spawn((writer, stubborn), |(writer, stubborn)| {
        if stubborn {
            raw::ignore_termination();
        }
        writer.send(std::process::id()).unwrap();
        for_ever()
    });
    daemon.unwrap();
}

/// How a process leaves.
type Leave = fn() -> ();

fn ways() -> [(Leave, i32); 4] {
    [
        (|| (), 0),
        (|| std::process::exit(4), 4),
        (|| thread::spawn(|| std::process::exit(5)).join().unwrap(), 5),
        (|| panic!("leaving"), 101),
    ]
}

#[test]
fn daemons_end_when_their_parent_exits() {
    on_both(Limit::default(), |_| {
        for (way, (_, code)) in ways().into_iter().enumerate() {
            let (reader, writer) = one_way::<u32>().unwrap();
            let parent = Process::spawn((way, writer), |(way, writer)| {
                let (ours, theirs) = one_way().unwrap();
                start_daemon(theirs, false);
                writer.send(ours.recv().unwrap()).unwrap();
                ways()[way].0();
            });
            let parent = parent.unwrap();
            let daemon = reader.recv().unwrap();
            let started = Instant::now();
            assert_eq!(parent.wait().unwrap().code(), Some(code));
            assert!(started.elapsed() < GRACE, "it obeys at once");
            // The parent has waited for it, so it is gone and no zombie is left.
            assert_eq!(multiproc_tests::proc::entry(daemon), None);
        }
    });
}

#[test]
fn a_stubborn_daemon_is_killed_after_the_grace() {
    on_both(Limit::default(), |_| {
        let (reader, writer) = one_way::<u32>().unwrap();
        let parent = Process::spawn(writer, |writer| {
            let (ours, theirs) = one_way().unwrap();
            start_daemon(theirs, true);
            writer.send(ours.recv().unwrap()).unwrap();
        });
        let parent = parent.unwrap();
        let daemon = reader.recv().unwrap();
        let started = Instant::now();
        assert_eq!(parent.wait().unwrap().code(), Some(0));
        assert!(started.elapsed() >= GRACE - SHORT, "it had its time: {:?}", started.elapsed());
        assert_eq!(multiproc_tests::proc::entry(daemon), None);
    });
}

#[test]
fn others_are_waited_for() {
    on_both(Limit::default(), |_| {
        for (way, (_, code)) in ways().into_iter().enumerate() {
            let (waiting, go) = one_way::<()>().unwrap();
            let (answers, answer) = one_way::<String>().unwrap();
            let parent = Process::spawn(
                (way, waiting, answer),
                |(way, waiting, answer): (usize, PipeReader<()>, PipeWriter<String>)| {
                    // Detached or not makes no difference.
                    let child = Process::spawn((waiting, answer), |(waiting, answer)| {
                        waiting.recv().unwrap();
                        answer.send("the child is done".to_owned()).unwrap();
                    });
                    drop(child.unwrap());
                    ways()[way].0();
                },
            );
            let parent = parent.unwrap();
            assert_eq!(parent.wait_timeout(SHORT).unwrap(), None, "it waits");
            go.send(()).unwrap();
            assert_eq!(answers.recv().unwrap(), "the child is done");
            assert_eq!(parent.wait().unwrap().code(), Some(code));
        }
    });
}

#[test]
fn the_result_of_a_parent_comes_before_it_waits() {
    on_both(Limit::default(), |_| {
        let (waiting, go) = one_way::<()>().unwrap();
        let parent = Process::spawn(waiting, |waiting| {
            drop(Process::spawn(waiting, |waiting| drop(waiting.recv())).unwrap());
            7
        });
        let parent = parent.unwrap();
        assert_eq!(parent.wait_timeout(SHORT).unwrap(), None);
        go.send(()).unwrap();
        assert_eq!(parent.join().unwrap(), 7);
    });
}

#[test]
fn the_main_process_waits_too_and_keeps_its_code() {
    let role = || {
        let daemon = Process::builder().daemon(true).spawn((), |()| for_ever()).unwrap();
        drop(Process::spawn((), |()| println!("the child is done")).unwrap());
        println!("daemon {}", daemon.id());
        thread::spawn(|| std::process::exit(7)).join().unwrap();
    };
    isolated_in_role(Limit::default(), role, || {
        let output = role_command().output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(7), "{text}");
        assert!(text.contains("the child is done"), "{text}");
        let daemon = text.lines().find_map(|line| line.split("daemon ").nth(1)?.parse().ok()).unwrap();
        assert_eq!(multiproc_tests::proc::entry(daemon), None);
    });
}

#[test]
fn exit_while_children_are_starting() {
    on_both(Limit::default(), |_| {
        for round in 0..20 {
            let (reader, writer) = one_way::<u32>().unwrap();
            let parent = Process::spawn((round, writer), |(round, writer)| {
                let (ours, theirs) = multiproc_pipe::pipe::<u32, u32>().unwrap();
                for _ in 0..4 {
                    let theirs = theirs.try_clone().unwrap();
                    thread::spawn(move || {
                        loop {
                            let daemon =
                                Process::builder().daemon(true).spawn(theirs.try_clone().unwrap(), |out| {
                                    let _ = out.send(std::process::id());
                                    for_ever()
                                });
                            // While the process exits a start may fail; nobody is left to be told.
                            drop(daemon);
                        }
                    });
                }
                for _ in 0..round {
                    writer.send(ours.recv().unwrap()).unwrap();
                }
                std::process::exit(3)
            });
            let parent: Process<()> = parent.unwrap();
            let daemons: Vec<u32> = (0..round).map(|_| reader.recv().unwrap()).collect();
            assert_eq!(parent.join().unwrap_err(), JoinError::Exited { code: 3 });
            for daemon in daemons {
                multiproc_tests::eventually(Duration::from_secs(5), "the daemon ends", || {
                    !multiproc_tests::proc::is_alive(daemon)
                });
            }
        }
    });
}
