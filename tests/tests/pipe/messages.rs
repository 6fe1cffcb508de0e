use multiproc_core::sys::fd::{set_nonblocking, socket_pair};
use multiproc_pipe::frame::{self, Reader};
use multiproc_pipe::{Connection, one_way, pipe};
use multiproc_process::Process;
use multiproc_tests::{Bytes, Limit, eventually, isolated, on_both};
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

fn echo(connection: Connection<Bytes, Bytes>) {
    while let Ok(message) = connection.recv() {
        connection.send(message).unwrap();
    }
}

#[test]
fn all_sizes_there_and_back() {
    on_both(Limit::default(), |_| {
        let (ours, theirs) = pipe().unwrap();
        let child = Process::spawn(theirs, echo).unwrap();
        let sizes = [0, 1, 3, 4, 100, 4095, 4096, 65_535, 65_536, 212_992, 1 << 20, (2 << 20) + 1, 16 << 20];
        for len in sizes {
            ours.send(Bytes::patterned(len)).unwrap();
            assert!(ours.recv().unwrap().is_patterned(len), "{len} bytes");
        }
        drop(ours);
        child.join().unwrap();
    });
}

#[test]
fn bytes_as_they_are() {
    isolated(|| {
        let (a, b) = pipe::<(), ()>().unwrap();
        for len in [0, 1, 5000] {
            let bytes = Bytes::patterned(len).0;
            thread::scope(|scope| {
                scope.spawn(|| a.send_bytes(&bytes).unwrap());
                assert_eq!(b.recv_bytes().unwrap(), bytes);
            });
        }
        // Eight bytes that are no unit: what cannot be decoded comes back.
        a.send_bytes(b"not unit").unwrap();
        let error = b.recv().unwrap_err();
        assert!(error.is_decode() && !error.is_eof() && !error.is_torn(), "{error}");
        assert_eq!(error.into_bytes().unwrap(), b"not unit");
        a.send(()).unwrap();
        b.recv().unwrap();
    });
}

#[test]
fn threads_of_both_sides_do_not_interleave() {
    on_both(Limit::default(), |_| {
        let (ours, theirs) = pipe::<Bytes, Bytes>().unwrap();
        // Larger than a socket's buffer, so that each takes many writes.
        let child = Process::spawn(theirs, |theirs| {
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..20 {
                            theirs.send(theirs.recv().unwrap()).unwrap();
                        }
                    });
                }
            });
        });
        let child = child.unwrap();
        let mut sizes: Vec<usize> = thread::scope(|scope| {
            for thread in 0..2 {
                let ours = &ours;
                scope.spawn(move || {
                    for n in 0..20 {
                        ours.send(Bytes::patterned(300_000 + thread * 100_000 + n)).unwrap();
                    }
                });
            }
            let receivers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let receive = |_| {
                            let bytes = ours.recv().unwrap();
                            assert!(bytes.is_patterned(bytes.0.len()));
                            bytes.0.len()
                        };
                        (0..20).map(receive).collect::<Vec<_>>()
                    })
                })
                .collect();
            receivers.into_iter().flat_map(|receiver| receiver.join().unwrap()).collect()
        });
        sizes.sort_unstable();
        let expected: Vec<usize> = (300_000..300_020).chain(400_000..400_020).collect();
        assert_eq!(sizes, expected);
        child.join().unwrap();
    });
}

#[test]
fn copies_of_an_end_do_not_interleave() {
    isolated(|| {
        let (ours, theirs) = pipe::<Bytes, Bytes>().unwrap();
        thread::scope(|scope| {
            for copy in [ours.try_clone().unwrap(), ours] {
                // Larger than a socket's buffer, so that each takes many writes.
                scope.spawn(move || (0..20).for_each(|n| copy.send(Bytes::patterned(500_000 + n)).unwrap()));
            }
            let receivers = [theirs.try_clone().unwrap(), theirs].map(|copy| {
                scope.spawn(move || {
                    let mut count = 0;
                    while let Ok(bytes) = copy.recv() {
                        assert!(bytes.is_patterned(bytes.0.len()));
                        count += 1;
                    }
                    assert!(copy.recv().unwrap_err().is_eof());
                    count
                })
            });
            assert_eq!(receivers.map(|receiver| receiver.join().unwrap()).iter().sum::<u32>(), 40);
        });
    });
}

#[test]
fn what_was_sent_before_the_end_is_received() {
    on_both(Limit::default(), |_| {
        let (reader, writer) = one_way().unwrap();
        let child = Process::spawn(writer, |writer| {
            for n in 0..1000 {
                writer.send(n).unwrap();
            }
        });
        for n in 0..1000 {
            assert_eq!(reader.recv().unwrap(), n);
        }
        assert!(reader.recv().unwrap_err().is_eof());
        assert!(reader.recv().unwrap_err().is_eof());
        child.unwrap().join().unwrap();
    });
}

#[test]
fn descriptors_are_not_lost_where_a_socket_does_not_wait() {
    isolated(|| {
        let (ours, theirs) = socket_pair().unwrap();
        set_nonblocking(&ours).unwrap();
        // Fill it, so that the frame with the descriptors has to wait for room.
        let mut filled = 0;
        while frame::write(&ours, &[0; 1000], &[], false).is_ok() {
            filled += 1;
        }
        let (mut end, writer) = std::io::pipe().unwrap();
        let copies: Vec<_> = (0..300).map(|_| writer.try_clone().unwrap()).collect();
        drop(writer);
        thread::scope(|scope| {
            let (told, telling) = mpsc::channel();
            scope.spawn(move || {
                told.send(fs::read_link("/proc/thread-self").unwrap()).unwrap();
                let fds: Vec<_> = copies.iter().map(|fd| fd.as_fd()).collect();
                frame::write(&ours, b"with three hundred", &fds, true).unwrap();
            });
            let writing = Path::new("/proc").join(telling.recv().unwrap()).join("stat");
            eventually(Duration::from_secs(10), "the writer waits for room", || {
                fs::read_to_string(&writing).unwrap().contains(") S ")
            });
            let mut reader = Reader::new();
            let never = multiproc_core::Deadline::NEVER;
            for _ in 0..filled {
                // The last of these may have been torn by the refusal to wait.
                assert!(reader.read(&theirs, 4096, never).unwrap().fds.is_empty());
            }
            let frame = reader.read(&theirs, 4096, never).unwrap();
            assert_eq!((frame.body.as_slice(), frame.fds.len()), (&b"with three hundred"[..], 300));
        });
        assert_eq!(end.read(&mut [0]).unwrap(), 0, "somebody holds a copy");
    });
}
