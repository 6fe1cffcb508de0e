//! A real CPython at the other end, of each version that is there.

use multiproc::shm::SharedMemory;
use multiproc_core::sys::fd::{Interest, poll_one};
use multiproc_core::{Deadline, sys::process::open_pidfd};
use multiproc_pipe::{Address, ConnectOptions, Connection, Listener, connect};
use multiproc_tests::{Bytes, Limit, isolated_for, skip};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

const SCRIPT: &str = include_str!("peer.py");
const KEY: &str = "a key that both know";
const LONG: Duration = Duration::from_secs(60);
const SIZES: [usize; 9] = [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 8 << 20];

/// An interpreter.
#[derive(Clone, Debug)]
struct Python {
    program: PathBuf,
    /// Of Python 3.
    minor: u32,
}

impl Python {
    /// Whether it speaks the handshake of 3.12, whose digest is SHA-256.
    fn is_new(&self) -> bool {
        self.minor >= 12
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = Command::new(&self.program);
        command.args(["-c", SCRIPT]).args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().unwrap()
    }
}

/// The interpreters on the PATH and those of pyenv: the oldest, the newest, and those on both sides of the change from
/// MD5 to SHA-256. Says which they are.
fn pythons() -> Vec<Python> {
    let mut found = BTreeMap::new();
    let home = std::env::var("HOME").unwrap_or_default();
    for version in fs::read_dir(Path::new(&home).join(".pyenv/versions")).into_iter().flatten().flatten() {
        let minor = version.file_name().to_str().and_then(|name| name.split('.').nth(1)?.parse().ok());
        let program = version.path().join("bin/python3");
        if let (Some(minor), true) = (minor, program.exists()) {
            found.insert(minor, program);
        }
    }
    // A shim of pyenv's leads to one of those.
    let path = std::env::var_os("PATH").unwrap_or_default();
    for folder in std::env::split_paths(&path).filter(|folder| !folder.ends_with("shims")) {
        for minor in 8..30 {
            let program = folder.join(format!("python3.{minor}"));
            if program.exists() {
                found.entry(minor).or_insert(program);
            }
        }
        let program = folder.join("python3");
        let code = "import sys; print(sys.version_info[1])";
        if let Ok(output) = Command::new(&program).args(["-c", code]).stdin(Stdio::null()).output()
            && let Ok(minor) = String::from_utf8_lossy(&output.stdout).trim().parse()
        {
            found.entry(minor).or_insert(program);
        }
    }
    found.retain(|minor, _| *minor >= 8);
    let ends = [found.keys().next().copied(), found.keys().last().copied()];
    found.retain(|minor, _| ends.contains(&Some(*minor)) || [11, 12].contains(minor));
    if found.is_empty() {
        skip("Python at the other end", "there is no `python3` of 3.8 or later on the PATH");
    } else {
        println!("figures: with the minor versions {:?} of Python 3", found.keys());
    }
    found.into_iter().map(|(minor, program)| Python { program, minor }).collect()
}

/// The time for all versions of a test.
const LIMIT: Limit = Limit(Duration::from_secs(180));

/// What it has written, once it has ended well.
fn output(mut child: Child) -> String {
    let pidfd = open_pidfd(child.id()).unwrap();
    if !poll_one(&pidfd, Interest::Read, Deadline::after(LONG)).unwrap() {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("Python did not end");
    }
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success(), "Python failed: {text}");
    text
}

fn shown(address: &Address) -> String {
    match address {
        Address::Path(path) => format!("path:{}", path.display()),
        Address::Abstract(name) => format!("abstract:{}", String::from_utf8_lossy(name)),
        Address::Tcp(address) => format!("tcp:{address}"),
        _ => unreachable!("no other kind"),
    }
}

fn places(folder: &Path) -> [Address; 3] {
    [
        Address::Path(folder.join("socket")),
        Address::abstract_name(format!("multiproc-python-{}", std::process::id())),
        Address::Tcp("127.0.0.1:0".parse().unwrap()),
    ]
}

/// Bytes of each size there and back.
fn exchange(connection: &Connection<(), ()>) {
    for len in SIZES {
        let bytes = Bytes::patterned(len).0;
        thread::scope(|scope| {
            scope.spawn(|| connection.send_bytes(&bytes).unwrap());
            assert!(connection.recv_bytes().unwrap() == bytes, "{len} bytes");
        });
    }
}

#[test]
fn a_client_of_python() {
    isolated_for(LIMIT, || {
        for python in pythons() {
            let folder = tempfile::tempdir().unwrap();
            for place in places(folder.path()) {
                let listener = Listener::builder().allow_md5(!python.is_new()).bind(&place, KEY).unwrap();
                let child = python.start(&["client", &shown(listener.address()), KEY]);
                let connection: Connection<(), ()> = listener.accept_timeout(LONG).unwrap();
                exchange(&connection);
                drop(connection);
                output(child);
            }
        }
    });
}

#[test]
fn a_client_that_speaks_as_the_new_ones_do() {
    isolated_for(LIMIT, || {
        for python in pythons().into_iter().take(1) {
            let listener = Listener::bind_private(KEY).unwrap();
            let child = python.start(&["client-as-new", &shown(listener.address()), KEY]);
            let connection: Connection<(), ()> = listener.accept_timeout(LONG).unwrap();
            exchange(&connection);
            drop(connection);
            output(child);
            // And with another key.
            let mut child = python.start(&["client-as-new", &shown(listener.address()), "another"]);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let accepted = listener.accept_timeout::<(), ()>(Duration::from_secs(2));
                    assert!(accepted.unwrap_err().is_timeout());
                });
                assert!(!child.wait().unwrap().success());
            });
            assert_eq!(listener.stats().refused, 1);
        }
    });
}

/// Starts a listener of Python's; gives it and where it listens.
fn listening(python: &Python, what: &str, place: &Address) -> (Child, Address) {
    let mut child = python.start(&[what, &shown(place), KEY]);
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    child.stdout = Some(out.into_inner());
    let place = match place {
        Address::Tcp(_) => Address::Tcp(line.trim().parse().unwrap()),
        other => other.clone(),
    };
    (child, place)
}

#[test]
fn a_listener_of_python() {
    isolated_for(LIMIT, || {
        for python in pythons() {
            let folder = tempfile::tempdir().unwrap();
            let what = ["listener", "listener-as-new"];
            for what in &what[..if python.is_new() { 1 } else { 2 }] {
                for place in places(folder.path()) {
                    let (child, place) = listening(&python, what, &place);
                    let md5 = *what == "listener" && !python.is_new();
                    let options = ConnectOptions::new().allow_md5(md5);
                    let connection: Connection<(), ()> = options.connect(&place, KEY).unwrap();
                    exchange(&connection);
                    drop(connection);
                    output(child);
                }
            }
        }
    });
}

#[test]
fn another_key_is_refused_by_both() {
    isolated_for(LIMIT, || {
        for python in pythons() {
            let folder = tempfile::tempdir().unwrap();
            let listener = Listener::builder().allow_md5(true).bind_private(KEY).unwrap();
            let child = python.start(&["client-refused", &shown(listener.address()), "another"]);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let accepted = listener.accept_timeout::<(), ()>(Duration::from_secs(2));
                    assert!(accepted.unwrap_err().is_timeout());
                });
                assert!(output(child).contains("AuthenticationError"));
            });
            assert_eq!((listener.stats().refused, listener.stats().accepted), (1, 0));
            for place in places(folder.path()) {
                let (child, place) = listening(&python, "listener-refuses", &place);
                let options = ConnectOptions::new().allow_md5(true);
                let error = options.connect::<(), ()>(&place, "another").unwrap_err();
                assert!(error.is_refused() && !error.is_md5(), "{error}");
                assert!(output(child).contains("AuthenticationError"));
            }
        }
    });
}

#[test]
fn md5_is_refused_unless_it_was_asked_for() {
    isolated_for(LIMIT, || {
        for python in pythons().into_iter().filter(|python| !python.is_new()) {
            let listener = Listener::bind_private(KEY).unwrap();
            let child = python.start(&["client-refused", &shown(listener.address()), KEY]);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let accepted = listener.accept_timeout::<(), ()>(Duration::from_secs(2));
                    assert!(accepted.unwrap_err().is_timeout());
                });
                assert!(output(child).contains("AuthenticationError"));
            });
            let folder = tempfile::tempdir().unwrap();
            let place = Address::Path(folder.path().join("socket"));
            let (child, place) = listening(&python, "listener-refuses", &place);
            let error = connect::<(), ()>(&place, KEY).unwrap_err();
            assert!(error.is_md5() && error.to_string().contains("3.12"), "{error}");
            output(child);
        }
    });
}

#[test]
fn descriptors_both_ways() {
    isolated_for(LIMIT, || {
        for python in pythons() {
            let listener = Listener::builder().allow_md5(true).bind_private(KEY).unwrap();
            let child = python.start(&["handles", &shown(listener.address()), KEY]);
            let connection: Connection<(), ()> = listener.accept_timeout(LONG).unwrap();
            let mut text = String::new();
            File::from(connection.recv_handle().unwrap()).read_to_string(&mut text).unwrap();
            assert_eq!(text, "from Python");
            let (reader, mut writer) = std::io::pipe().unwrap();
            connection.send_handle(&reader).unwrap();
            drop(reader);
            writer.write_all(b"from Rust").unwrap();
            drop(writer);
            assert_eq!(connection.recv_bytes().unwrap(), b"from Rust");
            output(child);
        }
    });
}

#[test]
fn shared_memory_both_ways() {
    isolated_for(LIMIT, || {
        for python in pythons() {
            let listener = Listener::builder().allow_md5(true).bind_private(KEY).unwrap();
            let child = python.start(&["memory", &shown(listener.address()), KEY]);
            let connection: Connection<(), ()> = listener.accept_timeout(LONG).unwrap();
            let name = format!("multiproc-python-{}-{}", std::process::id(), python.minor);
            let ours = SharedMemory::create(&name, 4096).unwrap();
            ours.write_at(0, b"word").unwrap();
            connection.send_bytes(name.as_bytes()).unwrap();
            let theirs = String::from_utf8(connection.recv_bytes().unwrap()).unwrap();
            let theirs = SharedMemory::open(&theirs).unwrap();
            let mut word = [0; 4];
            theirs.read_at(0, &mut word).unwrap();
            assert_eq!((&word, theirs.len() >= 5000), (b"word", true));
            let mut byte = [0];
            ours.read_at(4, &mut byte).unwrap();
            assert_eq!(byte, [99]);
            theirs.write_at(4999, &[77]).unwrap();
            connection.send_bytes(b"look").unwrap();
            output(child);
            SharedMemory::unlink(&name).unwrap();
        }
    });
}

#[test]
fn an_end_of_a_pipe_that_python_inherits() {
    isolated_for(LIMIT, || {
        for python in pythons().into_iter().rev().take(1) {
            let (ours, theirs) = multiproc_core::sys::fd::socket_pair().unwrap();
            // Its number is the same in the child: the harness' helper leaves it open over the exec.
            let number = multiproc_tests::raw::dup_inheritable(&theirs);
            drop(theirs);
            let child = python.start(&["inherited", "path:none", KEY, &number.to_string()]);
            multiproc_tests::raw::close_number(number);
            let mut reader = multiproc_pipe::frame::Reader::new();
            for len in SIZES {
                let bytes = Bytes::patterned(len).0;
                thread::scope(|scope| {
                    scope.spawn(|| multiproc_pipe::frame::write(&ours, &bytes, &[], true).unwrap());
                    let frame = reader.read(&ours, 1 << 30, Deadline::NEVER).unwrap();
                    assert!(frame.body == bytes, "{len} bytes");
                });
            }
            drop(ours);
            output(child);
        }
    });
}
