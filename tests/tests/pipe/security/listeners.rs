use super::{CHALLENGE, KEY, Trap, WELCOME, answer, challenge, dial, get, put};
use multiproc_pipe::{Address, ConnectError, ConnectOptions, Connection, Listener, connect};
use multiproc_tests::isolated;
use std::thread;
use std::time::Duration;

/// A client that walks into a trap; what the trap does with it.
fn trapped(act: impl Fn(&mut dyn super::Wire) + Sync) -> Vec<ConnectError> {
    let folder = tempfile::tempdir().unwrap();
    let errors = Trap::both(folder.path()).map(|(trap, at)| {
        thread::scope(|scope| {
            scope.spawn(|| act(&mut *trap.accept()));
            let options = ConnectOptions::new().timeout(Duration::from_secs(2));
            options.connect::<u8, u8>(&at, KEY).unwrap_err()
        })
    });
    errors.into()
}

#[test]
fn listeners_that_do_not_have_the_key() {
    isolated(|| {
        let question = [CHALLENGE, b"{sha256}", &[9; 40]].concat();
        // Welcomes everybody, and then cannot answer.
        for wrong in [&b"{sha256}"[..], b"", WELCOME, &[0; 40], &[0; 16]] {
            for error in trapped(|wire| {
                put(wire, &question).unwrap();
                get(wire).unwrap();
                put(wire, WELCOME).unwrap();
                assert!(get(wire).unwrap().starts_with(CHALLENGE));
                put(wire, wrong).unwrap();
                let _ = get(wire);
            }) {
                assert!(error.is_refused(), "{error}");
            }
        }
        // Gives the client's challenge back as the answer, or as a question of its own.
        for error in trapped(|wire| {
            put(wire, &question).unwrap();
            get(wire).unwrap();
            put(wire, WELCOME).unwrap();
            let theirs = challenge(wire);
            put(wire, &[CHALLENGE, &theirs].concat()).unwrap();
            assert_eq!(get(wire).unwrap(), b"#FAILURE#");
        }) {
            assert!(error.is_refused(), "{error}");
        }
    });
}

#[test]
fn a_clients_challenge_is_not_answered_by_another_client() {
    isolated(|| {
        let folder = tempfile::tempdir().unwrap();
        for (trap, at) in Trap::both(folder.path()) {
            thread::scope(|scope| {
                let clients: Vec<_> = (0..2)
                    .map(|_| {
                        let options = ConnectOptions::new().timeout(Duration::from_secs(5)).allow_relay(true);
                        let at = at.clone();
                        scope.spawn(move || options.connect::<u8, u8>(&at, KEY).unwrap_err())
                    })
                    .collect();
                let (mut first, mut second) = (trap.accept(), trap.accept());
                put(&mut *first, &[CHALLENGE, b"{sha256}", &[9; 40]].concat()).unwrap();
                get(&mut *first).unwrap();
                put(&mut *first, WELCOME).unwrap();
                let theirs = challenge(&mut *first);
                put(&mut *second, &[CHALLENGE, &theirs].concat()).unwrap();
                assert!(get(&mut *second).is_err(), "the second client answered for the first");
                put(&mut *first, b"no answer").unwrap();
                drop(first);
                for client in clients {
                    let error = client.join().unwrap();
                    assert!(error.is_refused(), "{error}");
                }
            });
        }
    });
}

#[test]
fn a_relay_over_tcp_is_seen() {
    isolated(|| {
        let castle = Listener::bind(("127.0.0.1", 0), KEY).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [_, (trap, at)] = Trap::both(folder.path());
        let relay = |options: &ConnectOptions| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    // Passes on what both say, as far as they say anything.
                    let (mut client, mut server) = (trap.accept(), dial(castle.address()));
                    for turn in 0..6 {
                        let (from, to) = match turn % 2 {
                            0 => (&mut server, &mut client),
                            _ => (&mut client, &mut server),
                        };
                        let Ok(frame) = get(&mut **from) else { return };
                        if put(&mut **to, &frame).is_err() {
                            return;
                        }
                    }
                });
                let accepting = scope.spawn(|| castle.accept_timeout::<u8, u8>(Duration::from_millis(700)));
                let outcome = options.connect::<u8, u8>(&at, KEY);
                (outcome, accepting.join().unwrap())
            })
        };
        let options = ConnectOptions::new().timeout(Duration::from_secs(5));
        let (client, server) = relay(&options);
        let error = client.unwrap_err();
        assert!(error.is_relayed() && error.is_refused(), "{error}");
        assert!(server.unwrap_err().is_timeout(), "the relay got in");
        // Asked for, as with a tunnel, it works: or the test would show nothing.
        let (client, server) = relay(&options.allow_relay(true));
        assert!(client.is_ok(), "{:?}", client.unwrap_err());
        assert!(server.is_ok());
    });
}

#[test]
fn questions_that_are_not_answered() {
    isolated(|| {
        let label = [CHALLENGE, b"{sha256}", b"mpCLIENT", &[9; 32]].concat();
        let short = [CHALLENGE, b"{sha256}", &[9; 19]].concat();
        let other = [CHALLENGE, b"{sha1}", &[9; 40]].concat();
        let none = [CHALLENGE, &[9; 40]].concat();
        let old = [CHALLENGE, &[9; 20]].concat();
        for question in [&label[..], &short, &other, &none, &old, CHALLENGE, WELCOME, b"", b"HTTP/1.1 400"] {
            for error in trapped(|wire| {
                put(wire, question).unwrap();
                assert!(get(wire).is_err(), "{question:?} was answered");
            }) {
                assert!(error.is_refused(), "{question:?}: {error}");
                assert_eq!(error.is_md5(), question == old, "{error}");
            }
        }
    });
}

#[test]
fn a_listener_that_says_nothing_or_hangs_up() {
    isolated(|| {
        for error in trapped(|_| ()) {
            assert!(error.is_closed() && !error.is_refused(), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        for (trap, at) in Trap::both(folder.path()) {
            let options = ConnectOptions::new().timeout(Duration::from_millis(50));
            let error = options.connect::<u8, u8>(&at, KEY).unwrap_err();
            assert!(error.is_timeout(), "{error}");
            drop(trap);
        }
        // Claims a long frame, so that a client that believed it would make room for it.
        for error in trapped(|wire| {
            wire.write_all(b"\x7f\xff\xff\xff#CHALLENGE#").unwrap();
            assert!(get(wire).is_err());
        }) {
            assert!(error.is_refused(), "{error}");
        }
    });
}

#[test]
fn by_hand_with_the_key_one_is_believed() {
    isolated(|| {
        // Or the tests above would prove nothing.
        let folder = tempfile::tempdir().unwrap();
        for (trap, at) in Trap::both(folder.path()) {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut wire = trap.accept();
                    let ours = [&b"{sha256}"[..], &[9; 40]].concat();
                    put(&mut *wire, &[CHALLENGE, &ours].concat()).unwrap();
                    assert_eq!(get(&mut *wire).unwrap(), answer(KEY, &ours));
                    put(&mut *wire, WELCOME).unwrap();
                    let theirs = challenge(&mut *wire);
                    put(&mut *wire, &answer(KEY, &theirs)).unwrap();
                    assert_eq!(get(&mut *wire).unwrap(), WELCOME);
                    put(&mut *wire, b"\x07").unwrap();
                });
                let client: Connection<u8, u8> = connect(&at, KEY).unwrap();
                assert_eq!(client.recv().unwrap(), 7);
            });
        }
        assert!(Address::abstract_name("a") != Address::abstract_name("b"));
    });
}
