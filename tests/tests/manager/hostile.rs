//! Those who have no key, or have it and mean no good.

use crate::helpers::{SOON, limit, manager, objects};
use multiproc::{Connection, Manager, Process, RemoteManager, connect};
use multiproc_core::codec;
use multiproc_tests::{eventually, on_fork_server};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

type Raw = Connection<(), ()>;

/// A manager at a path in a directory of its own, where frames are not signed and so can be made by hand.
fn at_path() -> (tempfile::TempDir, PathBuf, Manager) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("manager");
    let manager = Manager::builder().bind(path.clone()).authkey("secret").start().unwrap();
    (directory, path, manager)
}

fn tcp() -> (SocketAddr, Manager) {
    let manager = Manager::builder().bind(("127.0.0.1", 0)).authkey("secret").start().unwrap();
    (manager.address().unwrap(), manager)
}

/// Everybody else goes on.
fn still_serves(manager: &RemoteManager) {
    let value = manager.value(1).unwrap();
    assert_eq!(value.timeout(SOON).replace(2).unwrap(), 1);
}

/// A message as the protocol has it: its head, and no body.
fn packet(head: &impl serde::Serialize) -> Vec<u8> {
    let head = codec::encode(head).unwrap().bytes;
    [&(head.len() as u32).to_le_bytes()[..], &[0; 4], &head].concat()
}

/// What a client says first, of this build or another.
fn hello(build: &[u8]) -> Vec<u8> {
    let magic = u32::from_be_bytes(*b"mpmg");
    // The role: a client, of some process.
    packet(&(magic, 1u16, build.to_vec(), [7u8; 32], 0u32, 1u32))
}

fn own_build() -> Vec<u8> {
    multiproc_core::sys::image::image().unwrap().build_id().as_bytes().to_vec()
}

/// Connects and is welcomed.
fn welcomed(path: &Path) -> Raw {
    let raw: Raw = connect(path, "secret").unwrap();
    raw.send_bytes(&hello(&own_build())).unwrap();
    // The head of a welcome begins with the number 0 of its variant.
    assert_eq!(raw.recv_bytes().unwrap()[8], 0);
    raw
}

#[test]
fn another_build_is_told_so() {
    on_fork_server(limit(60), || {
        let (_directory, path, manager) = at_path();
        for build in [&b"another"[..], b"", &[0; 2000]] {
            let raw: Raw = connect(path.as_path(), "secret").unwrap();
            raw.send_bytes(&hello(build)).unwrap();
            let answer = raw.recv_bytes().unwrap();
            let (refused, why): (u32, String) = codec::decode(&answer[8..answer.len()], vec![]).unwrap();
            assert!(refused == 1 && why.contains("start both from the same file"), "{why}");
            assert!(raw.recv_bytes().unwrap_err().is_eof());
        }
        assert_eq!(manager.stats().unwrap().clients, 1);
        drop(welcomed(&path));
        still_serves(&manager);
    });
}

#[test]
fn garbage_is_the_end_of_its_sender_alone() {
    on_fork_server(limit(120), || {
        let (_directory, path, manager) = at_path();
        let note = |head: &[u8]| [&(head.len() as u32).to_le_bytes()[..], &[0; 4], head].concat();
        let mut frames: Vec<Vec<u8>> = vec![
            vec![],
            vec![0xff; 8],
            vec![0xff; 4000],
            note(&[0xff; 20]),
            note(&[]),
            // Says that descriptors come along, and none do.
            [&1u32.to_le_bytes()[..], &3u32.to_le_bytes(), &[1]].concat(),
            // A head longer than the message.
            [&u32::MAX.to_le_bytes()[..], &[0; 4], &[0; 4]].concat(),
        ];
        let mut seed = 1u64;
        frames.extend((0..200).map(|n| {
            (0..n % 61)
                .map(|_| {
                    seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (seed >> 33) as u8
                })
                .collect()
        }));
        for frame in &frames {
            // In place of what a client says first, and as a note of one who was let in.
            let raw: Raw = connect(path.as_path(), "secret").unwrap();
            let _ = raw.send_bytes(frame);
            let raw = welcomed(&path);
            let _ = raw.send_bytes(frame);
        }
        still_serves(&manager);
        eventually(SOON, "they are gone", || manager.stats().unwrap().clients == 1);
        let children = multiproc::active_children();
        assert_eq!(children.len(), 1);
    });
}

#[test]
fn a_length_is_not_believed() {
    on_fork_server(limit(60), || {
        let (_directory, path, manager) = at_path();
        let memory = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", manager.id())).unwrap();
            let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
            line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        let before = memory();
        let many: Vec<Raw> = (0..64)
            .map(|_| {
                let raw = welcomed(&path);
                // 200 MiB are to come, and do not.
                let mut stream = std::os::unix::net::UnixStream::from(fd_of(&raw));
                stream.write_all(&(200i32 << 20).to_be_bytes()).unwrap();
                stream.write_all(&[0; 100]).unwrap();
                raw
            })
            .collect();
        still_serves(&manager);
        let after = memory();
        assert!(after < before + (150 << 10), "{before} KiB before, {after} after");
        // Longer than anything that is let in.
        let raw = welcomed(&path);
        std::os::unix::net::UnixStream::from(fd_of(&raw)).write_all(&i32::MAX.to_be_bytes()).unwrap();
        assert!(raw.recv_bytes_timeout(SOON).unwrap_err().is_eof());
        drop((many, raw));
        let all_gone = multiproc_tests::proc::holds_within(SOON, || manager.stats().unwrap().clients == 1);
        assert!(all_gone, "they are gone: {:?}", manager.stats());
    });
}

fn fd_of(raw: &Raw) -> std::os::fd::OwnedFd {
    std::os::fd::AsFd::as_fd(raw).try_clone_to_owned().unwrap()
}

#[test]
fn the_silent_keep_nobody_out() {
    on_fork_server(limit(60), || {
        let (address, manager) = tcp();
        // Some say nothing at all, some have the key and then say nothing.
        let strangers: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
        let known: Vec<Raw> = (0..300).map(|_| connect(address, "secret").unwrap()).collect();
        let remote = RemoteManager::connect_timeout(address, "secret", Duration::from_secs(10)).unwrap();
        still_serves(&remote);
        still_serves(&manager);
        drop((strangers, known));
    });
}

#[test]
fn frames_that_were_changed_or_repeated_are_refused() {
    on_fork_server(limit(60), || {
        let (address, manager) = tcp();
        let value = manager.create((), |()| 0u32).unwrap();
        manager.publish("value", &value).unwrap();
        // Somebody in between, who lets the beginning through.
        for attack in [Attack::None, Attack::Change, Attack::Repeat] {
            let relay = TcpListener::bind("127.0.0.1:0").unwrap();
            let place = relay.local_addr().unwrap();
            let client = thread::spawn(move || {
                multiproc::ConnectOptions::new().allow_relay(true).connect::<(), ()>(place, "secret")
            });
            let (mut near, _) = relay.accept().unwrap();
            let mut far = TcpStream::connect(address).unwrap();
            let (mut back, mut forth) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut back, &mut forth));
            // The handshake: the answer to the challenge, a challenge, and a welcome.
            for _ in 0..3 {
                pass(&mut near, &mut far, Attack::None);
            }
            let raw = client.join().unwrap().unwrap();
            // A first word without the signature is not even looked at; nor is anything after it.
            raw.send_bytes(&hello(&own_build())).unwrap();
            pass(&mut near, &mut far, attack);
            assert!(raw.recv_bytes_timeout(SOON).is_err());
        }
        assert_eq!(value.call((), |value, ()| *value).unwrap(), 0);
        assert_eq!(manager.stats().unwrap().clients, 1);
        still_serves(&manager);
    });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attack {
    None,
    Change,
    Repeat,
}

/// Passes a frame on.
fn pass(from: &mut TcpStream, to: &mut TcpStream, attack: Attack) {
    let mut header = [0; 4];
    from.read_exact(&mut header).unwrap();
    let mut body = vec![0; u32::from_be_bytes(header) as usize];
    from.read_exact(&mut body).unwrap();
    if attack == Attack::Change {
        body[20] ^= 1;
    }
    let frame = [&header[..], &body].concat();
    let _ = to.write_all(&frame);
    if attack == Attack::Repeat {
        let _ = to.write_all(&frame);
    }
}

#[test]
fn a_client_has_its_limits() {
    on_fork_server(limit(60), || {
        let manager = Manager::builder()
            .max_objects(50)
            .max_calls(8)
            .max_clients(2)
            .max_bytes(1 << 20)
            .start()
            .unwrap();
        let child = Process::spawn(manager.handle(), |manager: RemoteManager| {
            // A flood of objects ends at the limit, and goes on when some are dropped.
            let mut kept: Vec<_> = (0..50).map(|n| manager.value(n).unwrap()).collect();
            assert!(manager.value(0).unwrap_err().is_limit());
            kept.truncate(10);
            manager.value(0).unwrap();
            // So does a flood of calls that wait.
            let event = manager.event().unwrap();
            let refused = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..20 {
                    scope.spawn(|| {
                        let error = event.wait().unwrap_err();
                        assert!(error.is_limit() && !error.may_have_run(), "{error}");
                        refused.fetch_add(1, Ordering::Relaxed);
                    });
                }
                eventually(SOON, "those beyond the limit are told", || refused.load(Ordering::Relaxed) == 12);
                std::process::exit(0)
            })
        });
        let child: Process<()> = child.unwrap();
        let second = Process::spawn(manager.handle(), |_| ());
        assert!(child.wait().unwrap().success());
        drop(second.unwrap().join());
        let list = manager.create((), |()| Vec::<u8>::new()).unwrap();
        let error = list.call(vec![0u8; 2 << 20], |list, more: Vec<u8>| list.extend(more)).unwrap_err();
        assert!(error.is_limit() && !error.may_have_run(), "{error}");
        still_serves(&manager);
        objects(&manager, 1);
    });
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up() {
    on_fork_server(limit(60), || {
        let manager = manager();
        let big = manager.create((), |()| vec![7u8; 8 << 20]).unwrap();
        let child = Process::spawn(big.clone(), |big| {
            // Stopped while its answer comes.
            let stopper = thread::spawn(|| {
                let own = multiproc_core::sys::process::open_pidfd(std::process::id()).unwrap();
                multiproc_core::sys::process::send_signal(own, 19).unwrap();
            });
            let len = big.call((), |big, ()| big.clone()).unwrap().len();
            stopper.join().unwrap();
            len
        })
        .unwrap();
        for _ in 0..50 {
            assert_eq!(big.timeout(SOON).call((), |big, ()| big.len()).unwrap(), 8 << 20);
        }
        let state = || multiproc_tests::proc::entry(child.id()).map(|entry| entry.state);
        eventually(SOON * 10, "it is stopped", || state() == Some('T'));
        still_serves(&manager);
        let pidfd = multiproc_core::sys::process::open_pidfd(child.id()).unwrap();
        multiproc_core::sys::process::send_signal(pidfd, 18).unwrap();
        assert_eq!(child.join().unwrap(), 8 << 20);
    });
}
