use multiproc_core::sys::fd::set_descriptor_limit;
use multiproc_pipe::one_way;
use multiproc_process::{JoinError, Process};
use multiproc_tests::{Limit, on_both, proc, raw};
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard input, output, error, the boot socket, the parent's pidfd.
pub(crate) const BASE: usize = 5;

/// What a child has open, in words.
pub(crate) fn open_here(_: ()) -> Vec<(i32, String)> {
    proc::own_descriptors()
}

/// Says what is wrong with a child's descriptors, if it was given `handles` of them.
pub(crate) fn check(open: &[(i32, String)], handles: usize) {
    assert_eq!(open.len(), BASE + handles, "{open:?}");
    assert!((0..3).all(|standard| open.iter().any(|(number, _)| *number == standard)), "{open:?}");
    let count = |prefix: &str| open[3..].iter().filter(|(_, target)| target.starts_with(prefix)).count();
    assert_eq!(count("socket:"), 1 + handles, "{open:?}");
    assert_eq!(count("anon_inode:[pidfd]") + count("pidfd:"), 1, "{open:?}");
}

#[test]
fn exactly_what_it_needs() {
    on_both(Limit::default(), |_| {
        let open = Process::spawn((), open_here).unwrap().join().unwrap();
        check(&open, 0);
        let (_reader, writer) = one_way::<()>().unwrap();
        let child = Process::spawn(Some((1u8, writer)), |writer| {
            let open = open_here(());
            drop(writer);
            (open, open_here(()))
        });
        let (with, without) = child.unwrap().join().unwrap();
        check(&with, 1);
        check(&without, 0);
    });
}

#[test]
fn a_daemon_and_a_grandchild_too() {
    on_both(Limit::default(), |_| {
        let child = Process::builder().daemon(true).spawn((), |()| {
            let before = open_here(());
            (before, Process::spawn((), open_here).unwrap().join().unwrap())
        });
        let (daemon, grandchild) = child.unwrap().join().unwrap();
        check(&daemon, 0);
        check(&grandchild, 0);
    });
}

#[test]
fn others_of_the_program_are_not_inherited() {
    on_both(Limit::default(), |_| {
        let null = File::open("/dev/null").unwrap();
        let numbers: Vec<i32> = (0..100).map(|_| raw::dup_inheritable(&null)).collect();
        check(&Process::spawn((), open_here).unwrap().join().unwrap(), 0);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let careless = scope.spawn(|| {
                // Relaxed: it only says when to stop.
                while !done.load(Ordering::Relaxed) {
                    raw::close_number(raw::dup_inheritable(&null));
                }
            });
            for _ in 0..100 {
                check(&Process::spawn((), open_here).unwrap().join().unwrap(), 0);
            }
            done.store(true, Ordering::Relaxed);
            careless.join().unwrap();
        });
        numbers.into_iter().for_each(raw::close_number);
    });
}

#[test]
fn the_two_hundredth_child_has_as_few_as_the_first() {
    on_both(Limit::default(), |_| {
        let (children, writers): (Vec<_>, Vec<_>) = (0..200)
            .map(|_| {
                let (reader, writer) = one_way::<()>().unwrap();
                let child = Process::spawn(reader, |reader| {
                    let open = open_here(());
                    assert!(reader.recv().unwrap_err().is_eof());
                    open
                });
                (child.unwrap(), writer)
            })
            .unzip();
        drop(writers);
        for child in children {
            check(&child.join().unwrap(), 1);
        }
    });
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    on_both(Limit::default(), |_| {
        for _ in 0..20 {
            Process::builder().current_dir("/missing").spawn((), |()| ()).unwrap_err();
            let (_reader, writer) = one_way::<()>().unwrap();
            Process::builder().cpu_affinity(&[]).spawn(writer, drop).unwrap_err();
        }
    });
}

#[test]
fn when_descriptors_run_out_the_error_says_so_and_nothing_is_lost() {
    on_both(Limit::default(), |_| {
        let null = File::open("/dev/null").unwrap();
        let allowed = multiproc_core::sys::fd::descriptor_limit();
        // Lowered for good: the hard limit stays as high as it is, so the library may raise it again.
        set_descriptor_limit(Some(64)).unwrap();
        let (children, writers): (Vec<_>, Vec<_>) = (0..100)
            .map(|_| {
                let (reader, writer) = one_way::<()>().unwrap();
                let child = Process::spawn(reader, |reader| drop(reader.recv()));
                (child.unwrap(), writer)
            })
            .unzip();
        drop(writers);
        for child in children {
            child.join().unwrap();
        }
        // Children get what the program began with, not what the library needed.
        let soft =
            Process::spawn((), |()| multiproc_core::sys::fd::descriptor_limit()).unwrap().join().unwrap();
        assert_eq!(soft, Some(64));

        raw::set_hard_descriptor_limit(128);
        let mut held = Vec::new();
        while let Ok(file) = null.try_clone() {
            held.push(file);
        }
        for spare in 0..24 {
            // However far a start gets, it succeeds or fails as a whole.
            match Process::spawn(7, |n| n * 2) {
                Ok(child) => assert_eq!(child.join().unwrap(), 14),
                Err(error) => assert!(error.to_string().contains("descriptor"), "{spare} left: {error}"),
            }
            held.pop();
        }
        assert_eq!(Process::spawn(7, |n| n * 2).unwrap().join().unwrap(), 14);
        assert!(allowed.is_some());
    });
}

#[test]
fn a_result_that_finds_no_descriptor_is_not_taken_for_a_crash() {
    on_both(Limit::default(), |_| {
        let spawn = |len| Process::spawn(len, |len: usize| vec![1u8; len]).unwrap();
        let null = File::open("/dev/null").unwrap();
        set_descriptor_limit(Some(64)).unwrap();
        let fill = || {
            let mut held = Vec::new();
            while let Ok(file) = null.try_clone() {
                held.push(file);
            }
            held
        };
        // A soft limit is raised in time.
        let child = spawn(1 << 20);
        let held = fill();
        assert_eq!(child.join().unwrap().len(), 1 << 20);
        drop(held);
        // A hard one is not; a result that needs no descriptor goes through all the same.
        let (small, large) = (spawn(10), spawn(1 << 20));
        raw::set_hard_descriptor_limit(128);
        let held = fill();
        let error = large.join().unwrap_err();
        assert!(
            matches!(&error, JoinError::NotReceived { message } if message.contains("descriptors")),
            "{error}"
        );
        assert_eq!(small.join().unwrap().len(), 10);
        drop(held);
    });
}
