use multiproc_core::sys::fd::send;
use multiproc_pipe::{PipeWriter, frame, one_way, pipe};
use multiproc_process::{Process, StartMethod};
use multiproc_tests::{Bytes, Limit, isolated, on_both};
use std::io::{ErrorKind, IoSlice};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn the_end_comes_with_the_last_copy() {
    on_both(Limit::default(), |_| {
        let (a, b) = pipe::<u8, u8>().unwrap();
        let copy = b.try_clone().unwrap();
        let child = Process::spawn(b, |b| {
            b.send(1).unwrap();
            assert!(b.recv().unwrap_err().is_eof());
        });
        let child = child.unwrap();
        assert_eq!(a.recv().unwrap(), 1);
        copy.send(2).unwrap();
        assert_eq!(a.recv().unwrap(), 2);
        drop(copy);
        assert!(a.try_recv().unwrap_err().is_timeout(), "the child holds the other end");
        drop(a);
        child.join().unwrap();
    });
}

#[test]
fn sending_to_nobody_is_an_error_and_no_signal() {
    isolated(|| {
        let (reader, writer) = one_way::<Bytes>().unwrap();
        drop(reader);
        let error = writer.send(Bytes::patterned(10)).unwrap_err();
        assert!(error.is_closed(), "{error}");
        assert!(error.into_inner().is_patterned(10));
    });
}

#[test]
fn a_torn_message_is_not_the_end() {
    isolated(|| {
        for part in [&b"\0"[..], b"\0\0\0", b"\0\0\0\x0a", b"\0\0\0\x0a123456789", b"\xff\xff\xff\xff\0\0"] {
            let (a, b) = pipe::<Bytes, Bytes>().unwrap();
            a.send(Bytes::patterned(3)).unwrap();
            send(&a, &[IoSlice::new(part)], &[], true).unwrap();
            drop(a);
            assert!(b.recv().unwrap().is_patterned(3));
            let error = b.recv().unwrap_err();
            assert!(error.is_torn() && !error.is_eof() && !error.is_timeout(), "{part:?}: {error}");
            assert!(b.recv().unwrap_err().is_torn(), "it stays torn");
        }
    });
}

#[test]
fn a_message_that_could_not_be_written_whole_is_torn_for_the_other_side() {
    isolated(|| {
        let (a, b) = pipe::<Bytes, Bytes>().unwrap();
        a.send(Bytes::patterned(3)).unwrap();
        let error = frame::write(&a, &[0; 4 << 20], &[], false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero, "{error}");
        // What is sent now must not pass for the rest of that message.
        assert!(a.send(Bytes::patterned(5 << 20)).unwrap_err().is_closed());
        assert!(b.recv().unwrap().is_patterned(3));
        assert!(b.recv().unwrap_err().is_torn());
        // The other direction is as before.
        b.send(Bytes::patterned(4)).unwrap();
        assert!(a.recv().unwrap().is_patterned(4));
    });
}

#[test]
fn more_descriptors_than_a_message_can_carry_are_refused_before_anything_is_written() {
    isolated(|| {
        let (a, b) = pipe::<Bytes, Bytes>().unwrap();
        let error = frame::write(&a, b"", &[a.as_fd(); 4 * 253 + 1], true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        a.send(Bytes::patterned(3)).unwrap();
        assert!(b.recv().unwrap().is_patterned(3));
    });
}

#[test]
fn headers_that_make_no_sense() {
    isolated(|| {
        for header in
            [&b"\xff\xff\xff\xfe"[..], b"\x80\0\0\0", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            let (a, b) = pipe::<Bytes, Bytes>().unwrap();
            send(&a, &[IoSlice::new(header)], &[], true).unwrap();
            let error = b.recv_timeout(LONG).unwrap_err();
            assert!(!error.is_timeout() && !error.is_eof() && !error.is_torn(), "{header:?}: {error}");
        }
        // A claim alone takes no memory: two gigabytes are announced and never come.
        let (a, b) = pipe::<Bytes, Bytes>().unwrap();
        send(&a, &[IoSlice::new(b"\x7f\xff\xff\xff....")], &[], true).unwrap();
        drop(a);
        assert!(b.recv().unwrap_err().is_torn());
    });
}

/// Sends as fast as it can, and never stops by itself.
fn flood(writer: PipeWriter<Bytes>) {
    // Made once: else most of its time is spent between messages, and few kills hit one.
    let bytes = Bytes::patterned(300_000);
    loop {
        writer.send(bytes.clone()).unwrap();
    }
}

#[test]
fn a_sender_killed_anywhere_leaves_whole_messages_and_then_the_end() {
    on_both(Limit::default(), |method| {
        let (mut torn, mut whole) = (0, 0);
        for round in 0..100u64 {
            let (reader, writer) = one_way().unwrap();
            let child = Process::builder().start_method(method).daemon(true).spawn(writer, flood).unwrap();
            // However long the start takes.
            assert!(reader.recv().unwrap().is_patterned(300_000));
            let is_amid = round % 4 == 0;
            if is_amid {
                // It has begun the next one, and cannot end it: there is no room for all of it.
                assert!(reader.poll(LONG).unwrap());
                child.kill().unwrap();
                child.wait().unwrap();
            }
            thread::scope(|scope| {
                let killer = scope.spawn(|| {
                    let at = Instant::now() + Duration::from_micros(round * 7919 % 3000);
                    while Instant::now() < at {
                        thread::yield_now();
                    }
                    child.kill().unwrap();
                });
                let end = loop {
                    match reader.recv() {
                        Ok(bytes) => {
                            assert!(bytes.is_patterned(300_000));
                            whole += 1;
                        }
                        Err(end) => break end,
                    }
                };
                assert!(end.is_torn() || end.is_eof() && !is_amid, "{end}");
                torn += u32::from(end.is_torn());
                killer.join().unwrap();
            });
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        println!("{torn} of 100 ends were torn, after {whole} whole messages");
    });
}

#[test]
fn a_receiver_killed_anywhere_is_an_error_for_the_sender() {
    on_both(Limit::default(), |method| {
        for round in 0..50u64 {
            let (reader, writer) = one_way::<Bytes>().unwrap();
            let builder = Process::builder().start_method(method).daemon(true);
            let child = builder.spawn(reader, |reader| while reader.recv().is_ok() {}).unwrap();
            thread::scope(|scope| {
                scope.spawn(|| {
                    let at = Instant::now() + Duration::from_micros(500 + round * 7919 % 3000);
                    while Instant::now() < at {
                        thread::yield_now();
                    }
                    child.kill().unwrap();
                });
                let error = loop {
                    if let Err(error) = writer.send(Bytes::patterned(300_000)) {
                        break error;
                    }
                };
                assert!(error.is_closed(), "{error}");
                assert!(error.into_inner().is_patterned(300_000));
            });
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        assert!(matches!(method, StartMethod::Spawn | StartMethod::ForkServer));
    });
}
