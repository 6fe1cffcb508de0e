use multiproc_process::{JoinError, Process, Stdio};
use multiproc_tests::{Limit, on_both, proc, raw};
use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{self, Read, Seek, Write};

/// The variables of a process, without those that the tests use themselves.
fn variables(_: ()) -> BTreeMap<String, String> {
    env::vars().filter(|(name, _)| !name.starts_with("MULTIPROC_TEST_")).collect()
}

fn set(name: &str, value: &str) {
    multiproc_tests::raw::set_variable(name, value);
}

#[test]
fn standard_input_is_empty_by_default() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn((), |()| {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(child.unwrap().join().unwrap(), "");
    });
}

#[test]
fn all_three_as_pipes() {
    on_both(Limit::default(), |_| {
        let mut child = Process::builder()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn((), |()| {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).unwrap();
                print!("out {text}");
                eprint!("err {text}");
            })
            .unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        child.take_stdin().unwrap().write_all(b"said").unwrap();
        assert!(child.take_stdin().is_none());
        child.take_stdout().unwrap().read_to_string(&mut out).unwrap();
        child.take_stderr().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((out.as_str(), err.as_str()), ("out said", "err said"));
        child.join().unwrap();
    });
}

#[test]
fn join_reads_an_output_that_nobody_took() {
    on_both(Limit::default(), |_| {
        let writer = Process::builder().stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = writer.spawn((), |()| {
            for _ in 0..20_000 {
                println!("more than a pipe holds");
                eprintln!("more than a pipe holds");
            }
            5
        });
        assert_eq!(child.unwrap().join().unwrap(), 5);
    });
}

#[test]
fn join_closes_an_input_that_nobody_took() {
    on_both(Limit::default(), |_| {
        let child = Process::builder().stdin(Stdio::piped()).spawn((), |()| {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).unwrap()
        });
        assert_eq!(child.unwrap().join().unwrap(), 0);
    });
}

#[test]
fn a_file_and_nothing() {
    on_both(Limit::default(), |_| {
        let mut file = tempfile::tempfile().unwrap();
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(b"from a file").unwrap();
        input.rewind().unwrap();
        let mut child = Process::builder()
            .stdin(input)
            .stdout(file.try_clone().unwrap())
            .stderr(Stdio::null())
            .spawn((), |()| {
                eprintln!("nobody sees this");
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).unwrap();
                println!("{text}");
                std::fs::read_link("/proc/self/fd/2").unwrap().display().to_string()
            })
            .unwrap();
        assert!(
            child.take_stdout().is_none() && child.take_stderr().is_none() && child.take_stdin().is_none()
        );
        assert_eq!(child.join().unwrap(), "/dev/null");
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "from a file\n");
    });
}

#[test]
fn variables_are_set_overridden_and_cleared() {
    on_both(Limit::default(), |_| {
        let child = Process::builder()
            .env("COLOUR", "red")
            .env("EMPTY", "")
            .env("COLOUR", "green=blue")
            .env("HOME", "/elsewhere")
            .spawn((), variables);
        let mut expected = variables(());
        let changes = [("COLOUR", "green=blue"), ("EMPTY", ""), ("HOME", "/elsewhere")];
        expected.extend(changes.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(child.unwrap().join().unwrap(), expected);

        let child = Process::builder().env("GONE", "1").env_clear().env("ONLY", "this").spawn((), variables);
        assert_eq!(child.unwrap().join().unwrap(), [("ONLY".to_owned(), "this".to_owned())].into());
        let child = Process::builder().env_clear().spawn((), |()| env::vars_os().count());
        assert_eq!(child.unwrap().join().unwrap(), 0);
        for (name, value) in [("", "x"), ("a=b", "x"), ("a\0", "x"), ("a", "x\0")] {
            let error = Process::builder().env(name, value).spawn((), |()| ()).unwrap_err();
            assert_eq!(error.io_error().unwrap().kind(), io::ErrorKind::InvalidInput, "{error}");
        }
    });
}

#[test]
fn the_mark_of_a_child_is_gone_from_its_environment() {
    on_both(Limit::default(), |_| {
        let marks = |()| env::vars().filter(|(name, _)| name.starts_with("MULTIPROC_BOOT")).count();
        assert_eq!(Process::spawn((), marks).unwrap().join().unwrap(), 0);
    });
}

#[test]
fn changes_of_the_parent_are_seen_by_later_children() {
    on_both(Limit::default(), |_| {
        for value in ["one", "two", "three"] {
            set("CHANGING", value);
            let child = Process::spawn((), |()| proc::variable("CHANGING")).unwrap();
            assert_eq!(child.join().unwrap().as_deref(), Some(value));
        }
    });
}

#[test]
fn ten_thousand_variables() {
    on_both(Limit::default(), |_| {
        let mut builder = Process::builder();
        for n in 0..10_000 {
            builder = builder.env(format!("VARIABLE_{n:05}"), format!("value {n}"));
        }
        let child = builder.spawn((), |()| {
            let ours = env::vars().filter(|(name, _)| name.starts_with("VARIABLE_"));
            let nested = Process::spawn((), |()| env::var("VARIABLE_09999").unwrap()).unwrap();
            (ours.count(), env::var("VARIABLE_01234").unwrap(), nested.join().unwrap())
        });
        assert_eq!(child.unwrap().join().unwrap(), (10_000, "value 1234".into(), "value 9999".into()));
    });
}

#[test]
fn directories() {
    on_both(Limit::default(), |_| {
        let here = |()| env::current_dir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        std::fs::create_dir(path.join("inner")).unwrap();
        assert_eq!(Process::builder().current_dir(&path).spawn((), here).unwrap().join().unwrap(), path);
        // A change of the parent's is seen, and relative paths count from there.
        env::set_current_dir(&path).unwrap();
        assert_eq!(Process::spawn((), here).unwrap().join().unwrap(), path);
        let inner = Process::builder().current_dir("inner").spawn((), here).unwrap().join().unwrap();
        assert_eq!(inner, path.join("inner"));
        for wrong in ["missing", "/dev/null"] {
            let error = Process::builder().current_dir(wrong).spawn((), here).unwrap_err();
            assert!(error.to_string().contains(wrong) && error.io_error().is_some(), "{error}");
        }
        env::set_current_dir("/").unwrap();
    });
}

#[test]
fn the_directory_of_the_parent_is_gone() {
    on_both(Limit::default(), |_| {
        let folder = tempfile::tempdir().unwrap();
        env::set_current_dir(folder.path()).unwrap();
        drop(folder);
        assert_eq!(Process::spawn(2, |n| n * 2).unwrap().join().unwrap(), 4);
        env::set_current_dir("/").unwrap();
    });
}

#[test]
fn memory_is_limited() {
    on_both(Limit::default(), |_| {
        let allocate = |mib: usize| vec![1u8; mib << 20].iter().map(|byte| usize::from(*byte)).sum::<usize>();
        let limited = || Process::builder().memory_limit(64 << 20);
        assert_eq!(limited().spawn(4, allocate).unwrap().join().unwrap(), 4 << 20);
        let error = limited().spawn(256, allocate).unwrap().join().unwrap_err();
        assert!(matches!(error, JoinError::Signaled { signal: 6, .. }), "{error}");
        // The function needs no memory of its own before it asks for some.
        assert_eq!(Process::builder().memory_limit(1 << 20).spawn(0, allocate).unwrap().join().unwrap(), 0);
    });
}

#[test]
fn processors_are_chosen() {
    on_both(Limit::default(), |_| {
        let allowed = |()| {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
            (line.trim().to_owned(), multiproc_process::cpu_count())
        };
        let child = Process::builder().cpu_affinity(&[0]).spawn((), allowed).unwrap();
        assert_eq!(child.join().unwrap(), ("0".to_owned(), 1));
        assert_eq!(Process::spawn((), allowed).unwrap().join().unwrap(), allowed(()));
        for wrong in [&[][..], &[100_000], &[0, 1000]] {
            let error = Process::builder().cpu_affinity(wrong).spawn((), allowed).unwrap_err();
            assert_eq!(error.io_error().unwrap().kind(), io::ErrorKind::InvalidInput, "{error}");
        }
    });
}

#[test]
fn processors_are_those_of_the_thread_that_asks() {
    on_both(Limit::default(), |_| {
        let allowed = |()| {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
            line.trim().to_owned()
        };
        let before = allowed(());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                raw::set_own_affinity(1);
                assert_eq!(Process::spawn((), allowed).unwrap().join().unwrap(), "0");
                if multiproc_core::sys::process::check_affinity(&[1]).is_ok() {
                    // Not one of this thread's, and yet to be had.
                    let child = Process::builder().cpu_affinity(&[1]).spawn((), allowed).unwrap();
                    assert_eq!(child.join().unwrap(), "1");
                }
            });
        });
        assert_eq!(Process::spawn((), allowed).unwrap().join().unwrap(), before);
    });
}

#[test]
fn arguments_of_the_program_are_there() {
    on_both(Limit::default(), |_| {
        let arguments = |()| env::args().collect::<Vec<_>>();
        assert_eq!(Process::spawn((), arguments).unwrap().join().unwrap(), arguments(()));
    });
}

#[test]
fn children_of_a_fork_server_do_not_share_an_offset_with_it() {
    on_both(Limit::default(), |_| {
        // Two children, one file: it is shared among them because they were both given it, as with spawn.
        let mut file = tempfile::tempfile().unwrap();
        for word in ["one ", "two "] {
            let shared: File = file.try_clone().unwrap();
            let child = Process::builder().stdout(shared).spawn(word.to_owned(), |word| print!("{word}"));
            child.unwrap().join().unwrap();
        }
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two ");
    });
}
