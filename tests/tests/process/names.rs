use multiproc_core::sys::process::{open_pidfd, send_signal};
use multiproc_pipe::{PipeReader, one_way};
use multiproc_process::{Process, active_children, current_process, parent_process};
use multiproc_tests::{Limit, on_both, on_both_fresh, proc, raw};
use std::time::Duration;

fn own_name(_: ()) -> String {
    current_process().name().to_owned()
}

#[test]
fn every_start_counts() {
    on_both_fresh(Limit::default(), |_| {
        let name = |child: Process<String>| {
            let ours = child.name().to_owned();
            assert_eq!(child.join().unwrap(), ours);
            ours
        };
        assert_eq!(current_process().name(), "MainProcess");
        assert!(parent_process().is_none());
        assert_eq!(name(Process::spawn((), own_name).unwrap()), "Process-1");
        assert_eq!(name(Process::builder().name("the second").spawn((), own_name).unwrap()), "the second");
        assert_eq!(name(Process::spawn((), own_name).unwrap()), "Process-3");
    });
}

#[test]
fn grandchildren_carry_the_numbers_of_their_line() {
    on_both_fresh(Limit::default(), |_| {
        Process::spawn((), |()| ()).unwrap().join().unwrap();
        let nested = Process::spawn((), |()| {
            Process::spawn((), |()| ()).unwrap().join().unwrap();
            let grandchild = Process::spawn((), |()| {
                let great = Process::spawn((), own_name).unwrap();
                (own_name(()), great.join().unwrap(), parent_process().unwrap().name().to_owned())
            });
            grandchild.unwrap().join().unwrap()
        });
        let names = nested.unwrap().join().unwrap();
        assert_eq!(names, ("Process-2:2".into(), "Process-2:2:1".into(), "Process-2".into()));
    });
}

#[test]
fn the_parent_is_who_called_spawn() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn((), |()| {
            let parent = parent_process().unwrap();
            assert!(parent.is_alive() && !parent.wait_timeout(Duration::ZERO).unwrap());
            let me = current_process();
            assert_eq!(me.id(), std::process::id());
            (parent.id(), raw::system_parent(), parent.name().to_owned(), parent.is_daemon(), me.is_daemon())
        });
        let own = std::process::id();
        assert_eq!(child.unwrap().join().unwrap(), (own, own, "MainProcess".into(), false, false));
    });
}

/// Waits for the number that `reader` gives, and tells whether that process has died unexpectedly early.
fn orphan(ready: multiproc_pipe::PipeWriter<(bool, bool, bool)>) {
    let parent = parent_process().unwrap();
    let before = parent.is_alive();
    ready.send((before, false, false)).unwrap();
    let ended = parent.wait_timeout(Duration::from_secs(30)).unwrap();
    ready.send((before, ended, parent.is_alive())).unwrap();
}

#[test]
fn a_killed_parent_is_seen_to_be_dead() {
    on_both(Limit::default(), |_| {
        let (reader, writer) = one_way().unwrap();
        let middle = Process::spawn(writer, |writer| -> () {
            let _child = Process::spawn(writer, orphan).unwrap();
            loop {
                std::thread::park();
            }
        });
        let middle = middle.unwrap();
        assert_eq!(reader.recv().unwrap(), (true, false, false));
        middle.kill().unwrap();
        middle.wait().unwrap();
        assert_eq!(reader.recv().unwrap(), (true, true, false));
        assert!(reader.recv().unwrap_err().is_eof());
    });
}

#[test]
fn active_children_are_those_that_run() {
    on_both(Limit::default(), |_| {
        assert!(active_children().is_empty());
        let wait = |reader: PipeReader<()>| drop(reader.recv());
        let (first_reader, first) = one_way().unwrap();
        let (second_reader, second) = one_way().unwrap();
        let a = Process::builder().name("a").spawn(first_reader, wait).unwrap();
        let b = Process::builder().name("b").daemon(true).spawn(second_reader, wait).unwrap();
        let seen = |()| {
            active_children().iter().map(|c| (c.name().to_owned(), c.id(), c.is_daemon())).collect::<Vec<_>>()
        };
        assert_eq!(seen(()), [("a".to_owned(), a.id(), false), ("b".to_owned(), b.id(), true)]);
        drop(first);
        a.wait().unwrap();
        assert_eq!(seen(()), [("b".to_owned(), b.id(), true)]);
        drop(second);
        let info = active_children().remove(0);
        b.join().unwrap();
        assert!(active_children().is_empty());
        assert!(!info.is_alive() && info.wait_timeout(Duration::ZERO).unwrap());
        let error = current_process().wait_timeout(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    });
}

#[test]
fn daemons_say_so_and_may_have_children() {
    on_both(Limit::default(), |_| {
        let child = Process::builder().daemon(true).spawn((), |()| {
            let plain = Process::spawn((), |()| {
                (current_process().is_daemon(), parent_process().unwrap().is_daemon())
            });
            (current_process().is_daemon(), plain.unwrap().join().unwrap())
        });
        let child = child.unwrap();
        assert!(child.is_daemon());
        assert_eq!(child.join().unwrap(), (true, (false, true)));
    });
}

#[test]
fn the_function_runs_on_a_thread_with_the_name_of_the_process() {
    on_both(Limit::default(), |_| {
        let child = Process::builder().name("counter").spawn((), |()| {
            // What ps shows is the main thread's.
            proc::entry(std::process::id()).unwrap().name
        });
        assert_eq!(child.unwrap().join().unwrap(), "counter");
        let error = Process::builder().name("a\0b").spawn((), |()| ()).unwrap_err();
        assert!(error.to_string().contains("NUL"), "{error}");
        let long = "n".repeat(300);
        let child = Process::builder().name(&long).spawn((), own_name).unwrap();
        assert_eq!(child.join().unwrap(), long);
    });
}

#[test]
fn a_number_can_be_signalled_by_others() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn((), |()| -> () {
            loop {
                std::thread::park();
            }
        });
        let child = child.unwrap();
        send_signal(open_pidfd(child.id()).unwrap(), 15).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(15));
    });
}
