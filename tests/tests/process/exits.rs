use multiproc_core::sys::process::{exit_now, open_pidfd, send_signal};
use multiproc_process::{JoinError, Process};
use multiproc_tests::{Limit, on_both};

fn end_by(signal: i32) {
    send_signal(open_pidfd(std::process::id()).unwrap(), signal).unwrap();
    loop {
        std::thread::park();
    }
}

/// Uses up the stack, in a way that no optimiser removes.
fn overflow(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { overflow(depth + 1) + std::hint::black_box(room)[7] }
}

#[test]
fn codes() {
    on_both(Limit::default(), |_| {
        for code in [0, 1, 44, 101, 255] {
            let child = Process::spawn(code, |code| -> () { std::process::exit(code) }).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(code));
            assert_eq!(child.exit_code(), Some(code));
            assert_eq!(child.join().unwrap_err(), JoinError::Exited { code });
        }
        let child = Process::spawn(300, |code| -> () { std::process::exit(code) }).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(300 & 0xff));
        let child = Process::spawn(9, |code| -> () { exit_now(code) }).unwrap();
        assert_eq!(child.join().unwrap_err(), JoinError::Exited { code: 9 });
    });
}

#[test]
fn a_returned_number_is_no_code() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn((), |()| 1).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success() && status.signal().is_none() && !status.is_unknown());
        assert_eq!((child.exit_code(), child.join().unwrap()), (Some(0), 1));
    });
}

#[test]
fn signals() {
    on_both(Limit::default(), |_| {
        for signal in [1, 2, 3, 9, 10, 15] {
            let child = Process::spawn(signal, end_by).unwrap();
            let status = child.wait().unwrap();
            assert_eq!(
                (status.signal(), status.code(), child.exit_code()),
                (Some(signal), None, Some(-signal))
            );
            let error = child.join().unwrap_err();
            assert!(matches!(error, JoinError::Signaled { signal: s, .. } if s == signal), "{error}");
            assert!(error.to_string().contains(&format!("signal {signal}")), "{error}");
        }
    });
}

#[test]
fn crashes() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn((), |()| -> () { std::process::abort() }).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(6));
        let child = Process::spawn(0, overflow).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(11));
        let error = child.join().unwrap_err();
        assert!(error.to_string().contains("stack overflow"), "{error}");
    });
}

#[test]
fn ending_it_from_outside() {
    on_both(Limit::default(), |_| {
        type Way = fn(&Process) -> std::io::Result<()>;
        let ways: [(Way, i32); 3] = [(Process::interrupt, 2), (Process::terminate, 15), (Process::kill, 9)];
        for (way, signal) in ways {
            let child = Process::spawn((), |()| -> () {
                loop {
                    std::thread::park();
                }
            });
            let child = child.unwrap();
            way(&child).unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(signal));
            // It has ended: nothing happens, whoever has its number by now.
            for (again, _) in ways {
                again(&child).unwrap();
            }
            assert_eq!(child.exit_code(), Some(-signal));
        }
    });
}

#[test]
fn no_signal_is_lost_at_the_start() {
    on_both(Limit::default(), |_| {
        for _ in 0..200 {
            let child = Process::spawn((), |()| -> () {
                loop {
                    std::thread::park();
                }
            });
            let child = child.unwrap();
            child.interrupt().unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(2));
        }
    });
}

#[test]
fn a_fork_server_is_deaf_to_the_terminal() {
    multiproc_tests::on_fork_server(Limit::default(), || {
        let server = multiproc_tests::proc::own_children().remove(0).id;
        for signal in [1, 2, 3] {
            send_signal(open_pidfd(server).unwrap(), signal).unwrap();
            assert_eq!(Process::spawn(1, |n| n + 1).unwrap().join().unwrap(), 2);
        }
        assert_eq!(multiproc_tests::proc::own_children().remove(0).id, server);
    });
}

#[test]
fn exit_from_another_thread_of_the_child() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn((), |()| {
            std::thread::spawn(|| std::process::exit(12)).join().unwrap();
        });
        assert_eq!(child.unwrap().join().unwrap_err(), JoinError::Exited { code: 12 });
    });
}

#[test]
fn standard_output_is_flushed() {
    use std::io::{Read, Write};
    on_both(Limit::default(), |_| {
        let mut child = Process::builder()
            .stdout(multiproc_process::Stdio::piped())
            .spawn((), |()| write!(std::io::stdout(), "no newline").unwrap())
            .unwrap();
        let mut text = String::new();
        child.take_stdout().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "no newline");
        child.join().unwrap();
    });
}
