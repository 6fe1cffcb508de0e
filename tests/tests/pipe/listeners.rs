use multiproc_core::sys::fd::{Interest, poll_one};
use multiproc_core::{Deadline, sys::fd::set_descriptor_limit};
use multiproc_pipe::{
    Address, AuthKey, ConnectOptions, Connection, Fd, Listener, ToAddresses, connect, wait,
};
use multiproc_process::Process;
use multiproc_tests::{Bytes, Limit, isolated, on_both, proc};
use std::fs::{self, File};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);
const KEY: &[u8; 6] = b"secret";

/// One of each kind.
fn addresses(folder: &Path) -> Vec<Address> {
    let name = format!("multiproc-test-{}", std::process::id());
    vec![
        Address::Path(folder.join("socket")),
        Address::abstract_name(name),
        Address::Tcp("127.0.0.1:0".parse().unwrap()),
        Address::Tcp(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))),
    ]
}

/// What travels between processes to say where somebody listens.
fn text(address: &Address) -> (u8, Vec<u8>) {
    match address {
        Address::Path(path) => (0, path.as_os_str().as_encoded_bytes().to_vec()),
        Address::Abstract(name) => (1, name.clone()),
        Address::Tcp(address) => (2, address.to_string().into_bytes()),
        _ => unreachable!("no other kind"),
    }
}

fn address((kind, bytes): (u8, Vec<u8>)) -> Address {
    let text = || String::from_utf8(bytes.clone()).unwrap();
    match kind {
        0 => Address::Path(text().into()),
        1 => Address::Abstract(bytes),
        _ => Address::Tcp(text().parse().unwrap()),
    }
}

fn echo(at: (u8, Vec<u8>)) {
    let connection: Connection<Bytes, Bytes> = connect(address(at), KEY).unwrap();
    while let Ok(message) = connection.recv() {
        connection.send(message).unwrap();
    }
}

#[test]
fn a_process_connects_in_every_way() {
    on_both(Limit::default(), |_| {
        let folder = tempfile::tempdir().unwrap();
        for at in addresses(folder.path()) {
            let listener = Listener::bind(&at, KEY).unwrap();
            let child = Process::spawn(text(listener.address()), echo).unwrap();
            let connection: Connection<Bytes, Bytes> = listener.accept().unwrap();
            for len in [0, 1, 16_384, 65_537, 2 << 20] {
                thread::scope(|scope| {
                    scope.spawn(|| connection.send(Bytes::patterned(len)).unwrap());
                    assert!(connection.recv().unwrap().is_patterned(len), "{at}: {len} bytes");
                });
            }
            let peer = connection.peer_credentials().unwrap();
            match at {
                Address::Tcp(_) => {
                    assert!(peer.is_none());
                    assert!(connection.peer_address().unwrap().ip().is_loopback());
                }
                _ => assert_eq!(peer.unwrap().process, Some(child.id())),
            }
            drop(connection);
            child.join().unwrap();
            assert_eq!(listener.stats().accepted, 1);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the file is gone with its listener");
    });
}

#[test]
fn without_a_key_there_is_no_handshake() {
    isolated(|| {
        let folder = tempfile::tempdir().unwrap();
        for at in addresses(folder.path()) {
            let listener = Listener::bind(&at, AuthKey::none()).unwrap();
            // One after the other: nobody has to answer.
            let client: Connection<u8, u8> = connect(listener.address(), AuthKey::none()).unwrap();
            let server: Connection<u8, u8> = listener.accept_timeout(LONG).unwrap();
            client.send(1).unwrap();
            assert_eq!(server.recv().unwrap(), 1);
        }
    });
}

/// Accepts in another thread.
fn accepted<T: Send>(listener: &Listener, client: impl FnOnce() -> T + Send) -> (Connection<u8, u8>, T) {
    thread::scope(|scope| {
        let client = scope.spawn(client);
        let server = listener.accept_timeout(LONG).unwrap();
        (server, client.join().unwrap())
    })
}

#[test]
fn handles_travel_unless_it_is_over_tcp() {
    isolated(|| {
        for at in addresses(tempfile::tempdir().unwrap().path()) {
            if let Address::Path(_) = at {
                continue;
            }
            let listener = Listener::bind(&at, KEY).unwrap();
            let place = listener.address().clone();
            let (server, client) = thread::scope(|scope| {
                let client = scope.spawn(|| connect::<Fd<File>, ()>(place, KEY).unwrap());
                (listener.accept::<(), Fd<File>>().unwrap(), client.join().unwrap())
            });
            let sent = client.send(Fd::new(File::open("/dev/null").unwrap()));
            if let Address::Tcp(_) = at {
                let error = sent.unwrap_err();
                assert!(error.is_encode() && error.to_string().contains("TCP"), "{error}");
                assert!(client.send_handle(File::open("/dev/null").unwrap()).is_err());
            } else {
                sent.unwrap();
                assert_eq!(server.recv().unwrap().metadata().unwrap().len(), 0);
            }
        }
    });
}

#[test]
fn timeouts_bound_the_call() {
    isolated(|| {
        let listener = Listener::bind_private(KEY).unwrap();
        let short = Duration::from_millis(20);
        let started = Instant::now();
        assert!(listener.accept_timeout::<u8, u8>(short).unwrap_err().is_timeout());
        assert!(listener.accept_deadline::<u8, u8>(Instant::now() + short).unwrap_err().is_timeout());
        assert!(started.elapsed() >= 2 * short);
        assert!(listener.try_accept::<u8, u8>().unwrap_err().is_timeout());
        // A listener that accepts nobody, as when its process is stopped.
        let options = ConnectOptions::new().timeout(short);
        let started = Instant::now();
        let error = options.connect::<u8, u8>(listener.address(), KEY).unwrap_err();
        assert!(error.is_timeout() && started.elapsed() >= short && started.elapsed() < LONG, "{error}");
        // One thread that waits does not make another late.
        thread::scope(|scope| {
            let blocked = scope.spawn(|| listener.accept::<u8, u8>().unwrap());
            assert!(listener.accept_timeout::<u8, u8>(short).unwrap_err().is_timeout());
            let _client: Connection<u8, u8> = connect(listener.address(), KEY).unwrap();
            blocked.join().unwrap();
        });
    });
}

#[test]
fn a_connect_waits_for_room_in_a_full_queue() {
    isolated(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        // Bound by hand, for a queue of its own length: the standard library's 128.
        let listener = UnixListener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        let short = ConnectOptions::new().timeout(Duration::from_millis(20));
        let error = loop {
            match short.connect::<u8, u8>(&path, AuthKey::none()) {
                Ok(client) => waiting.push(client),
                Err(error) => break error,
            }
            assert!(waiting.len() < 5000, "the queue has no end");
        };
        assert!(error.is_timeout(), "{error}");
        thread::scope(|scope| {
            let client = scope.spawn(|| connect::<u8, u8>(&path, AuthKey::none()).unwrap());
            let accepted: Vec<_> = (0..=waiting.len()).map(|_| listener.accept().unwrap()).collect();
            client.join().unwrap();
            drop(accepted);
        });
    });
}

#[test]
fn it_can_be_waited_for_beside_others() {
    isolated(|| {
        let listener = Listener::bind_private(KEY).unwrap();
        let (other, _far) = multiproc_pipe::pipe::<u8, u8>().unwrap();
        let objects: [&dyn AsFd; 2] = [&other, &listener];
        assert!(wait(&objects, Some(Duration::from_millis(10))).unwrap().is_empty());
        thread::scope(|scope| {
            let client = scope.spawn(|| connect::<u8, u8>(listener.address(), KEY).unwrap());
            // Ready means that there is something to do, and at the end of it there is a client.
            let server = loop {
                assert_eq!(wait(&objects, Some(LONG)).unwrap(), [1]);
                match listener.try_accept::<u8, u8>() {
                    Ok(server) => break server,
                    Err(error) => assert!(error.is_timeout(), "{error}"),
                }
            };
            client.join().unwrap().send(7).unwrap();
            assert_eq!(server.recv().unwrap(), 7);
        });
        let quiet = poll_one(&listener, Interest::Read, Deadline::after(Duration::from_millis(20)));
        assert!(!quiet.unwrap(), "who has nothing to do is not ready");
    });
}

#[test]
fn a_private_place_is_private_and_goes() {
    isolated(|| {
        let listener = Listener::bind_private(KEY).unwrap();
        let Address::Path(path) = listener.address().clone() else { unreachable!("it is a path") };
        let folder = path.parent().unwrap().to_owned();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        drop(listener);
        assert!(!folder.exists());
    });
}

#[test]
fn a_socket_file_is_for_its_owner_from_the_first_moment() {
    isolated(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = Listener::bind(&path, KEY).unwrap();
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.mode() & 0o777, 0o600);
        // Somebody has put another file there: it stays.
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"theirs").unwrap();
        drop(listener);
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
    });
}

#[test]
fn the_file_of_a_dead_owner_is_replaced_and_that_of_a_live_one_never() {
    on_both(Limit::default(), |_| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let place = path.to_str().unwrap().to_owned();
        for round in 0..20 {
            let (told, telling) = multiproc_pipe::one_way::<()>().unwrap();
            let child =
                Process::builder().daemon(true).spawn((place.clone(), telling), |(place, telling)| {
                    let listener = Listener::bind(place, KEY).unwrap();
                    telling.send(()).unwrap();
                    let _: Connection<u8, u8> = listener.accept().unwrap();
                });
            let child = child.unwrap();
            told.recv().unwrap();
            let error = Listener::bind(&path, KEY).unwrap_err();
            assert!(error.is_in_use() && !error.is_unsafe_place(), "round {round}: {error}");
            assert!(path.exists());
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(path.exists(), "it was killed");
            assert!(connect::<u8, u8>(&path, KEY).unwrap_err().is_not_found());
        }
        let listener = Listener::bind(&path, KEY).unwrap();
        accepted(&listener, || connect::<u8, u8>(&path, KEY).unwrap());
    });
}

#[test]
fn of_many_who_find_an_old_file_one_gets_the_place() {
    isolated(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        for _ in 0..50 {
            drop(UnixListener::bind(&path).unwrap());
            let winners: Vec<Listener> = thread::scope(|scope| {
                let all: Vec<_> = (0..4).map(|_| scope.spawn(|| Listener::bind(&path, KEY).ok())).collect();
                all.into_iter().filter_map(|one| one.join().unwrap()).collect()
            });
            assert_eq!(winners.len(), 1);
            accepted(&winners[0], || connect::<u8, u8>(&path, KEY).unwrap());
        }
    });
}

#[test]
fn places_that_cannot_be() {
    isolated(|| {
        let long = format!("/tmp/{}", "x".repeat(200));
        let error = Listener::bind(&long, KEY).unwrap_err();
        assert!(error.to_string().contains("107 bytes"), "{error}");
        assert!(connect::<u8, u8>(&long, KEY).unwrap_err().to_string().contains("107 bytes"));
        let error = Listener::bind("/no/such/folder/socket", KEY).unwrap_err();
        assert!(!error.is_in_use() && error.to_string().contains("/no/such/folder"), "{error}");
        assert!(connect::<u8, u8>("/no/such/folder/socket", KEY).unwrap_err().is_not_found());
        let free = Listener::bind(("127.0.0.1", 0), KEY).unwrap();
        let taken = free.address().clone();
        assert!(Listener::bind(&taken, KEY).unwrap_err().is_in_use());
        drop(free);
        assert!(connect::<u8, u8>(&taken, KEY).unwrap_err().is_not_found());
        assert!(("no such host.invalid", 1).to_addresses().is_err());
        let name = Address::abstract_name(format!("multiproc-twice-{}", std::process::id()));
        let _first = Listener::bind(&name, KEY).unwrap();
        assert!(Listener::bind(&name, KEY).unwrap_err().is_in_use());
    });
}

#[test]
fn many_clients_at_once() {
    on_both(Limit::default(), |_| {
        let listener = Listener::bind_private(KEY).unwrap();
        let place = text(listener.address());
        let children: Vec<_> = (0..4)
            .map(|_| {
                Process::spawn(place.clone(), |place| {
                    thread::scope(|scope| {
                        for n in 0..25u32 {
                            let at = address(place.clone());
                            scope.spawn(move || {
                                let client: Connection<u32, u32> = connect(at, KEY).unwrap();
                                client.send(n).unwrap();
                                assert_eq!(client.recv().unwrap(), n + 1);
                            });
                        }
                    });
                })
                .unwrap()
            })
            .collect();
        // Several threads accept from the same listener.
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let server: Connection<u32, u32> = listener.accept_timeout(LONG).unwrap();
                        server.send(server.recv().unwrap() + 1).unwrap();
                    }
                });
            }
        });
        children.into_iter().for_each(|child| child.join().unwrap());
        let stats = listener.stats();
        assert_eq!((stats.accepted, stats.refused, stats.half_open), (100, 0, 0));
    });
}

#[test]
fn what_is_sent_right_behind_the_handshake_is_not_lost() {
    isolated(|| {
        let listener = Listener::bind_private(KEY).unwrap();
        for _ in 0..200 {
            let (server, _client) = accepted(&listener, || {
                let client = connect::<u8, u8>(listener.address(), KEY).unwrap();
                client.send(1).unwrap();
                client.send(2).unwrap();
                client
            });
            assert_eq!((server.recv().unwrap(), server.recv().unwrap()), (1, 2));
        }
    });
}

#[test]
fn where_descriptors_run_out_who_waits_is_served_later() {
    isolated(|| {
        let listener = Listener::bind_private(KEY).unwrap();
        let place = text(listener.address());
        let client = Process::builder().daemon(true).spawn(place, |place| {
            let client: Connection<u8, u8> = connect(address(place), KEY).unwrap();
            client.recv().unwrap()
        });
        let client = client.unwrap();
        assert!(poll_one(&listener, Interest::Read, Deadline::after(LONG)).unwrap());
        let hard = proc::own_descriptors().len() as u64 + 8;
        set_descriptor_limit(Some(hard)).unwrap();
        multiproc_tests::raw::set_hard_descriptor_limit(hard);
        let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        let error = listener.accept_timeout::<u8, u8>(LONG).unwrap_err();
        assert!(error.is_out_of_descriptors() && !error.is_timeout(), "{error}");
        taken.truncate(1);
        let server: Connection<u8, u8> = listener.accept_timeout(LONG).unwrap();
        server.send(9).unwrap();
        assert_eq!(client.join().unwrap(), 9);
    });
}
