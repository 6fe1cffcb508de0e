use super::{
    CHALLENGE, KEY, LONG, WELCOME, answer, besieged, castles, challenge, dial, enter, get, mac, put,
};
use hmac::Hmac;
use multiproc_core::sys::fd::{self, set_descriptor_limit};
use multiproc_pipe::{Address, AuthKey, Connection, Listener, connect};
use multiproc_tests::{isolated, proc};
use std::io::{IoSlice, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn other_keys() {
    isolated(|| {
        for castle in castles() {
            besieged(&castle, || {
                let keys: [&[u8]; 6] =
                    [b"another", b"the true ke", b"the true keyx", b"The true key", b"\x01", &[b'x'; 1000]];
                for key in keys {
                    let error = connect::<u8, u8>(castle.address(), key).unwrap_err();
                    assert!(error.is_refused(), "{error}");
                }
            });
        }
    });
}

#[test]
fn no_key() {
    isolated(|| {
        for castle in castles() {
            besieged(&castle, || {
                // Takes itself to be in, and what it says is taken for a part of the handshake.
                let client: Connection<String, String> = connect(castle.address(), AuthKey::none()).unwrap();
                client.send("let me in".into()).unwrap();
                assert!(client.recv().unwrap_err().is_decode(), "the challenge");
                assert!(client.recv().unwrap_err().is_decode(), "the refusal");
                assert!(!client.recv_timeout(LONG).unwrap_err().is_timeout(), "the end");
                assert!(connect::<u8, u8>(castle.address(), b"").unwrap_err().to_string().contains("empty"));
            });
        }
        assert!(Listener::bind_private("").unwrap_err().to_string().contains("empty"));
    });
}

/// Answers that must not do; the challenge is for those who would use it.
fn wrong_answers(challenge: &[u8]) -> Vec<Vec<u8>> {
    let right = answer(KEY, challenge);
    let (name, digest) = right.split_at(8);
    let mut flipped = right.clone();
    flipped[20] ^= 1;
    vec![
        Vec::new(),
        WELCOME.to_vec(),
        b"#FAILURE#".to_vec(),
        challenge.to_vec(),
        [CHALLENGE, challenge].concat(),
        right[..right.len() - 1].to_vec(),
        [&right[..], b"x"].concat(),
        flipped,
        digest.to_vec(),
        [&b"{sha384}"[..], &mac::<Hmac<sha2::Sha384>>(KEY, challenge)].concat(),
        [&b"{md5}"[..], &mac::<Hmac<md5::Md5>>(KEY, challenge)].concat(),
        mac::<Hmac<md5::Md5>>(KEY, challenge),
        [name, &mac::<Hmac<sha2::Sha256>>(KEY, &challenge[8..])].concat(),
        [name, &mac::<Hmac<sha2::Sha256>>(b"", challenge)].concat(),
        [name, &mac::<Hmac<sha2::Sha256>>(challenge, KEY)].concat(),
        [&b"{SHA256}"[..], digest].concat(),
        vec![0; 40],
        vec![0; 256],
    ]
}

#[test]
fn wrong_answers_are_all_refused_alike() {
    isolated(|| {
        for castle in castles() {
            besieged(&castle, || {
                for number in 0..wrong_answers(&[0; 48]).len() {
                    let mut wire = dial(castle.address());
                    let theirs = challenge(&mut *wire);
                    put(&mut *wire, &wrong_answers(&theirs)[number]).unwrap();
                    // The same words, and the same end.
                    assert_eq!(get(&mut *wire).unwrap(), b"#FAILURE#", "answer {number}");
                    assert!(get(&mut *wire).is_err(), "answer {number}");
                }
            });
        }
    });
}

#[test]
fn replays_and_reflections() {
    isolated(|| {
        for castle in castles() {
            // What a true client said is heard, and said again.
            let (heard, session) = thread::scope(|scope| {
                let client = scope.spawn(|| {
                    let mut wire = dial(castle.address());
                    let theirs = challenge(&mut *wire);
                    let right = answer(KEY, &theirs);
                    put(&mut *wire, &right).unwrap();
                    assert_eq!(get(&mut *wire).unwrap(), WELCOME);
                    let ours = [CHALLENGE, b"{sha256}", &[5; 40]].concat();
                    put(&mut *wire, &ours).unwrap();
                    get(&mut *wire).unwrap();
                    (right.clone(), [right, ours, WELCOME.to_vec()])
                });
                let accepted = castle.accept_timeout::<u8, u8>(Duration::from_secs(1));
                assert!(accepted.unwrap_err().is_timeout(), "the last word was never said");
                client.join().unwrap()
            });
            besieged(&castle, || {
                let mut wire = dial(castle.address());
                challenge(&mut *wire);
                put(&mut *wire, &heard).unwrap();
                assert_eq!(get(&mut *wire).unwrap(), b"#FAILURE#");
                // All at once, without listening.
                let mut wire = dial(castle.address());
                for frame in &session {
                    // It may have hung up already.
                    let _ = put(&mut *wire, frame);
                }
                get(&mut *wire).unwrap();
                assert_ne!(get(&mut *wire).ok(), Some(WELCOME.to_vec()));
                // The challenge of one session is given to another to answer.
                let (mut first, mut second) = (dial(castle.address()), dial(castle.address()));
                let theirs = challenge(&mut *first);
                challenge(&mut *second);
                put(&mut *second, &[CHALLENGE, &theirs].concat()).unwrap();
                assert_eq!(get(&mut *second).unwrap(), b"#FAILURE#");
                put(&mut *first, &theirs).unwrap();
                assert_eq!(get(&mut *first).unwrap(), b"#FAILURE#");
            });
        }
    });
}

#[test]
fn a_client_that_is_in_does_not_have_the_listener_answer_for_its_own_kind() {
    isolated(|| {
        for castle in castles() {
            besieged(&castle, || {
                // Has the key, and sends the challenge of another session of the listener back as its own.
                let (mut first, mut second) = (dial(castle.address()), dial(castle.address()));
                let theirs = challenge(&mut *first);
                let own = challenge(&mut *second);
                put(&mut *second, &answer(KEY, &own)).unwrap();
                assert_eq!(get(&mut *second).unwrap(), WELCOME);
                put(&mut *second, &[CHALLENGE, &theirs].concat()).unwrap();
                assert!(get(&mut *second).is_err(), "it is an oracle");
            });
        }
    });
}

#[test]
fn garbage_and_oversize() {
    isolated(|| {
        for castle in castles() {
            besieged(&castle, || {
                let words: [&[u8]; 8] = [
                    b"GET / HTTP/1.1\r\n\r\n",
                    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
                    b"\0\0\x01\x01",
                    b"\x7f\xff\xff\xff",
                    b"\x80\0\0\0",
                    b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x05hello",
                    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                    &[0; 4096],
                ];
                for word in words {
                    let mut wire = dial(castle.address());
                    challenge(&mut *wire);
                    let _ = wire.write_all(word);
                    while let Ok(frame) = get(&mut *wire) {
                        assert_eq!(frame, b"#FAILURE#", "{word:?}");
                    }
                }
            });
        }
    });
}

#[test]
fn who_hangs_up_anywhere_leaves_nothing() {
    isolated(|| {
        for castle in castles() {
            let open = proc::own_descriptors().len();
            besieged(&castle, || {
                for end in 0..=4 + 8 + 32 + 4 + 11 + 8 + 40 + 4 {
                    let mut wire = dial(castle.address());
                    let theirs = challenge(&mut *wire);
                    let frames = [answer(KEY, &theirs), [CHALLENGE, b"{sha256}", &[5; 40]].concat()];
                    let bytes: Vec<u8> = frames
                        .iter()
                        .flat_map(|frame| [&(frame.len() as u32).to_be_bytes()[..], frame].concat())
                        .chain((WELCOME.len() as u32).to_be_bytes())
                        .take(end)
                        .collect();
                    wire.write_all(&bytes).unwrap();
                }
            });
            assert_eq!((castle.stats().half_open, proc::own_descriptors().len()), (0, open));
        }
    });
}

#[test]
fn who_is_slow_has_its_time_and_no_more() {
    isolated(|| {
        for castle in castles() {
            let started = Instant::now();
            besieged(&castle, || {
                let mut silent = dial(castle.address());
                let mut slow = dial(castle.address());
                let theirs = challenge(&mut *slow);
                let right = answer(KEY, &theirs);
                let mut frame = (right.len() as u32).to_be_bytes().to_vec();
                frame.extend(right);
                // A byte from time to time buys no time.
                let hung_up = frame.iter().any(|byte| {
                    // tidy: sleep because slowness is the attack
                    thread::sleep(Duration::from_millis(20));
                    slow.write_all(&[*byte]).is_err()
                });
                challenge(&mut *silent);
                assert!(get(&mut *silent).is_err());
                assert!(hung_up || get(&mut *slow).is_err());
            });
            assert_eq!(castle.stats().timed_out, 2);
            assert!(started.elapsed() < LONG);
        }
    });
}

#[test]
fn a_thousand_half_open_ones_do_not_keep_a_client_out() {
    isolated(|| {
        set_descriptor_limit(Some(4096)).unwrap();
        let unix = Listener::bind_private(KEY).unwrap();
        let tcp = Listener::bind(("127.0.0.1", 0), KEY).unwrap();
        for castle in [unix, tcp] {
            let silent: Vec<_> = (0..1000).map(|_| dial(castle.address())).collect();
            let started = Instant::now();
            thread::scope(|scope| {
                let client = scope.spawn(|| connect::<u8, u8>(castle.address(), KEY).unwrap());
                let server: Connection<u8, u8> = castle.accept_timeout(LONG).unwrap();
                client.join().unwrap().send(1).unwrap();
                assert_eq!(server.recv().unwrap(), 1);
            });
            let took = started.elapsed();
            let stats = castle.stats();
            println!("in within {took:?}: {stats:?}");
            assert!(took < Duration::from_secs(1), "{took:?}");
            assert!(stats.half_open <= 256 && stats.evicted >= 700, "{stats:?}");
            drop(silent);
        }
    });
}

#[test]
fn a_flood_that_does_not_end_does_not_keep_a_client_out() {
    isolated(|| {
        set_descriptor_limit(Some(4096)).unwrap();
        let castle = Listener::builder().max_half_open(16).bind_private(KEY).unwrap();
        let Address::Path(path) = castle.address().clone() else { unreachable!("it is a path") };
        thread::scope(|scope| {
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            let flood = scope.spawn(move || {
                let mut open = std::collections::VecDeque::new();
                while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
                    open.extend(UnixStream::connect(&path));
                    if open.len() > 500 {
                        open.pop_front();
                    }
                }
            });
            for _ in 0..5 {
                let client = scope.spawn(|| connect::<u8, u8>(castle.address(), KEY).unwrap());
                let server: Connection<u8, u8> = castle.accept_timeout(LONG).unwrap();
                client.join().unwrap().send(1).unwrap();
                assert_eq!(server.recv().unwrap(), 1);
            }
            drop(stop);
            // It may be waiting for a place in the line.
            while !flood.is_finished() {
                assert!(castle.accept_timeout::<u8, u8>(Duration::from_millis(1)).unwrap_err().is_timeout());
            }
        });
        let stats = castle.stats();
        assert!(stats.evicted + stats.refused > 100, "{stats:?}");
    });
}

#[test]
fn descriptors_with_a_handshake_are_closed() {
    isolated(|| {
        let castle =
            Listener::builder().handshake_timeout(Duration::from_millis(300)).bind_private(KEY).unwrap();
        let Address::Path(path) = castle.address().clone() else { unreachable!("it is a path") };
        besieged(&castle, || {
            let (end, writer) = multiproc_pipe::one_way::<u8>().unwrap();
            let client = UnixStream::connect(&path).unwrap();
            // One frame, each byte of which brings as many as it can.
            for byte in [&[0, 0, 0, 60][..]].into_iter().chain([&b"x"[..]; 50]) {
                fd::send(&client, &[IoSlice::new(byte)], &[writer.as_fd(); 200], true).unwrap();
            }
            drop(writer);
            // All of them are closed while the client is still there, or at its end.
            drop(client);
            assert!(end.recv_timeout(LONG).unwrap_err().is_eof());
        });
    });
}

#[test]
fn by_hand_with_the_key_one_gets_in() {
    isolated(|| {
        // Or the tests above would prove nothing.
        for castle in castles() {
            thread::scope(|scope| {
                let client = scope.spawn(|| {
                    let mut wire = dial(castle.address());
                    enter(&mut *wire);
                    put(&mut *wire, b"\x07").unwrap();
                    wire
                });
                let server: Connection<u8, u8> = castle.accept_timeout(LONG).unwrap();
                assert_eq!(server.recv().unwrap(), 7);
                drop(client.join().unwrap());
                assert!(server.recv().unwrap_err().is_eof());
            });
        }
    });
}
