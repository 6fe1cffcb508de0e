use multiproc_core::sys::process::{open_pidfd, send_signal};
use multiproc_pipe::{PipeReader, one_way, wait};
use multiproc_process::{JoinError, Process};
use multiproc_tests::{Bytes, Limit, eventually, on_both, proc, raw};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(30);

/// Runs until the other end is dropped.
fn until_dropped(reader: PipeReader<()>) -> u32 {
    assert!(reader.recv().unwrap_err().is_eof());
    17
}

#[test]
fn the_four_ways_to_wait() {
    on_both(Limit::default(), |_| {
        let (reader, writer) = one_way().unwrap();
        let child = Process::spawn(reader, until_dropped).unwrap();
        assert!(child.is_alive());
        assert_eq!((child.try_wait().unwrap(), child.exit_code()), (None, None));
        let started = Instant::now();
        assert_eq!(child.wait_timeout(SHORT).unwrap(), None);
        assert!(started.elapsed() >= SHORT);
        assert_eq!(child.wait_deadline(Instant::now()).unwrap(), None);
        drop(writer);
        assert!(child.wait_timeout(LONG).unwrap().unwrap().success());
        // Again and again the same.
        assert!(child.wait().unwrap().success() && child.try_wait().unwrap().unwrap().success());
        assert!(child.wait_timeout(Duration::MAX).unwrap().unwrap().success());
        assert!(!child.is_alive());
        assert_eq!((child.exit_code(), child.join().unwrap()), (Some(0), 17));
    });
}

#[test]
fn join_without_wait_and_from_another_thread() {
    on_both(Limit::default(), |_| {
        let (reader, writer) = one_way().unwrap();
        let child = Process::spawn(reader, until_dropped).unwrap();
        let joining = std::thread::spawn(move || child.join());
        assert!(!joining.is_finished());
        drop(writer);
        assert_eq!(joining.join().unwrap().unwrap(), 17);
    });
}

#[test]
fn many_threads_wait_for_one_child() {
    on_both(Limit::default(), |_| {
        let (reader, writer) = one_way().unwrap();
        let child = Process::spawn(reader, until_dropped).unwrap();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..8).map(|_| scope.spawn(|| child.wait().unwrap())).collect();
            drop(writer);
            for thread in waiting {
                assert!(thread.join().unwrap().success());
            }
        });
    });
}

#[test]
fn processes_can_be_waited_for_together() {
    on_both(Limit::default(), |_| {
        let (children, mut writers): (Vec<_>, Vec<_>) = (0..5)
            .map(|_| {
                let (reader, writer) = one_way().unwrap();
                (Process::spawn(reader, until_dropped).unwrap(), Some(writer))
            })
            .unzip();
        let all: Vec<&dyn AsFd> = children.iter().map(|child| child as &dyn AsFd).collect();
        assert!(wait(&all, Some(Duration::ZERO)).unwrap().is_empty());
        for place in [3, 0, 4, 1, 2] {
            writers[place] = None;
            assert_eq!(wait(&all[place..=place], Some(LONG)).unwrap(), [0]);
            let ended = writers.iter().filter(|writer| writer.is_none()).count();
            assert_eq!(wait(&all, Some(LONG)).unwrap().len(), ended);
        }
        for child in children {
            child.join().unwrap();
        }
    });
}

#[test]
fn a_large_result_does_not_hold_up_wait() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn(64 << 20, |len| Bytes(vec![1; len])).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(child.join().unwrap().0.len(), 64 << 20);
        // Nor is anything wrong if nobody wants it.
        let child = Process::spawn(64 << 20, |len| Bytes(vec![1; len])).unwrap();
        assert!(child.wait().unwrap().success());
        drop(child);
        drop(Process::spawn(64 << 20, |len| Bytes(vec![1; len])).unwrap());
    });
}

#[test]
fn a_dropped_handle_leaves_a_process_that_goes_on_and_no_zombie() {
    on_both(Limit::default(), |_| {
        let (reader, writer) = one_way::<()>().unwrap();
        let (answers, answer) = one_way().unwrap();
        let child = Process::spawn((reader, answer), |(reader, answer)| {
            answer.send(until_dropped(reader)).unwrap();
        });
        let child = child.unwrap();
        let id = child.id();
        drop(child);
        assert!(proc::is_alive(id));
        drop(writer);
        assert_eq!(answers.recv().unwrap(), 17, "it has lost its pipe or its life with the handle");
        eventually(LONG, "the detached child is reaped", || {
            proc::entry(id).is_none_or(|entry| entry.parent == 0)
        });
    });
}

#[test]
fn a_handle_dropped_after_the_end_leaves_no_zombie() {
    on_both(Limit::default(), |_| {
        for _ in 0..50 {
            let child = Process::spawn((), |()| ()).unwrap();
            let id = child.id();
            // Ended or not, nobody has waited.
            drop(child);
            eventually(LONG, "the child is reaped", || proc::entry(id).is_none());
        }
    });
}

#[test]
fn a_stopped_child_is_alive() {
    const SIGSTOP: i32 = 19;
    const SIGCONT: i32 = 18;
    on_both(Limit::default(), |_| {
        let (reader, writer) = one_way().unwrap();
        let child = Process::spawn(reader, until_dropped).unwrap();
        let pidfd = open_pidfd(child.id()).unwrap();
        send_signal(&pidfd, SIGSTOP).unwrap();
        eventually(LONG, "it is stopped", || proc::entry(child.id()).is_some_and(|entry| entry.state == 'T'));
        drop(writer);
        assert_eq!(child.wait_timeout(SHORT).unwrap(), None);
        assert!(child.is_alive());
        send_signal(&pidfd, SIGCONT).unwrap();
        assert_eq!(child.join().unwrap(), 17);

        // A stopped process can be killed.
        let (reader, _writer) = one_way().unwrap();
        let child = Process::spawn(reader, until_dropped).unwrap();
        send_signal(open_pidfd(child.id()).unwrap(), SIGSTOP).unwrap();
        child.kill().unwrap();
        assert!(matches!(child.join(), Err(JoinError::Signaled { signal: 9, .. })));
    });
}

#[test]
fn sigchld_ignored_by_others() {
    on_both(Limit::default(), |_| {
        raw::ignore_children();
        for code in [0, 3] {
            let child = Process::spawn(code, |code| -> u32 { std::process::exit(code) }).unwrap();
            let status = child.wait().unwrap();
            assert!(status.is_unknown() || status.code() == Some(code), "{status}");
            let error = child.join().unwrap_err();
            assert!(error == JoinError::Lost || error == JoinError::Exited { code }, "{error}");
        }
        // The result does not come by the status.
        assert_eq!(Process::spawn(2, |n| n + 2).unwrap().join().unwrap(), 4);
    });
}

#[test]
fn a_stolen_status_is_right_or_unknown() {
    on_both(Limit::default(), |_| {
        for _ in 0..20 {
            let child = Process::spawn((), |()| -> u32 { std::process::exit(5) }).unwrap();
            eventually(LONG, "the thief has it", || raw::steal_status() == Some(child.id()));
            let status = child.wait().unwrap();
            assert!(status.is_unknown() || status.code() == Some(5), "{status}");
            assert!(!child.is_alive());
            child.kill().unwrap();
        }
        let child = Process::spawn((), |()| 8).unwrap();
        eventually(LONG, "the thief has it", || raw::steal_status() == Some(child.id()));
        assert_eq!(child.join().unwrap(), 8);
    });
}

#[test]
fn no_child_of_others_is_reaped() {
    on_both(Limit::default(), |_| {
        let mut foreign = std::process::Command::new("/bin/sh").args(["-c", "exit 9"]).spawn().unwrap();
        let pidfd = open_pidfd(foreign.id()).unwrap();
        assert_eq!(wait(&[&pidfd], Some(LONG)).unwrap(), [0]);
        for _ in 0..10 {
            Process::spawn((), |()| ()).unwrap().join().unwrap();
        }
        assert!(multiproc_process::active_children().is_empty());
        assert_eq!(foreign.wait().unwrap().code(), Some(9));
    });
}
