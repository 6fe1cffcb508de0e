use multiproc_core::sys::fd::send;
use multiproc_pipe::{Connection, PipeReader, PipeWriter, one_way, pipe};
use multiproc_process::Process;
use multiproc_tests::{Bytes, Limit, isolated, isolated_for, on_both};
use std::io::IoSlice;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn bytes_arrive_in_the_buffer_that_is_given() {
    isolated(|| {
        let (a, b) = pipe::<(), ()>().unwrap();
        let mut buf = vec![0; 3 << 20];
        for len in [0, 1, 1000, 16_384, 16_385, 212_992, 3 << 20] {
            let bytes = Bytes::patterned(len).0;
            thread::scope(|scope| {
                scope.spawn(|| a.send_bytes(&bytes).unwrap());
                assert_eq!(b.recv_bytes_into(&mut buf).unwrap(), len);
            });
            assert!(buf[..len] == bytes, "{len} bytes");
        }
        // One that is too long is whole in the error, and the next one comes as if nothing had been.
        for (len, room) in [(1, 0), (5, 4), (1 << 20, 4096)] {
            let bytes = Bytes::patterned(len).0;
            thread::scope(|scope| {
                scope.spawn(|| a.send_bytes(&bytes).unwrap());
                let error = b.recv_bytes_into(&mut buf[..room]).unwrap_err();
                assert!(error.is_too_long() && !error.is_decode() && !error.is_torn(), "{error}");
                assert_eq!(error.into_bytes().unwrap(), bytes);
            });
        }
        a.send_bytes(b"next").unwrap();
        assert_eq!(b.recv_bytes_into(&mut buf).unwrap(), 4);
    });
}

#[test]
fn what_a_time_out_has_read_is_not_lost_to_the_buffer() {
    isolated(|| {
        let (a, b) = pipe::<(), ()>().unwrap();
        send(&a, &[IoSlice::new(b"\0\0\0\x05he")], &[], true).unwrap();
        assert!(b.recv_bytes_timeout(Duration::from_millis(5)).unwrap_err().is_timeout());
        assert!(b.try_recv_bytes().unwrap_err().is_timeout());
        assert!(b.recv_bytes_deadline(Instant::now()).unwrap_err().is_timeout());
        send(&a, &[IoSlice::new(b"llo")], &[], true).unwrap();
        let mut buf = [0; 8];
        assert_eq!(b.recv_bytes_into(&mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"hello");
        // And the other way round: torn in the buffer, it stays torn for everybody.
        send(&a, &[IoSlice::new(b"\0\0\0\x05he")], &[], true).unwrap();
        drop(a);
        for _ in 0..2 {
            assert!(b.recv_bytes_into(&mut buf).unwrap_err().is_torn());
            assert!(b.recv_bytes().unwrap_err().is_torn());
        }
    });
}

#[test]
fn the_halves_work_by_themselves() {
    on_both(Limit::default(), |_| {
        let (ours, theirs) = pipe::<u32, u32>().unwrap();
        let (writer, reader) = theirs.split();
        // Each half goes to a process of its own.
        let sender = Process::spawn(writer, |writer: PipeWriter<u32>| {
            (0..100).for_each(|n| writer.send(n).unwrap());
            writer.send_bytes(b"\x05").unwrap();
        });
        let receiver = Process::spawn(reader, |reader: PipeReader<u32>| {
            let sum: u32 = (0..100).map(|_| reader.recv().unwrap()).sum();
            assert_eq!(reader.recv_bytes().unwrap(), b"raw");
            assert!(reader.recv().unwrap_err().is_eof());
            sum
        });
        let (writer, reader) = ours.split();
        let sending = thread::spawn(move || {
            (0..100).for_each(|n| writer.send(n).unwrap());
            writer.send_bytes(b"raw").unwrap();
            writer.close().unwrap();
            // Closed for all that have it, and for good.
            assert!(writer.send(0).unwrap_err().is_closed());
        });
        for n in 0..100 {
            assert_eq!(reader.recv().unwrap(), n);
        }
        assert_eq!(reader.recv().unwrap(), 5);
        sending.join().unwrap();
        assert_eq!(receiver.unwrap().join().unwrap(), 4950);
        sender.unwrap().join().unwrap();
        assert!(reader.recv().unwrap_err().is_eof());
    });
}

#[test]
fn a_reader_that_is_closed_is_an_error_for_the_writer() {
    isolated(|| {
        let (reader, writer) = one_way::<u32>().unwrap();
        writer.send(1).unwrap();
        reader.close().unwrap();
        reader.close().unwrap();
        assert!(writer.send(2).unwrap_err().is_closed());
        assert_eq!(reader.recv().unwrap(), 1);
        assert!(reader.recv().unwrap_err().is_eof());
    });
}

#[test]
fn close_ends_it_for_every_copy() {
    on_both(Limit::default(), |_| {
        let (a, b) = pipe::<u32, u32>().unwrap();
        let (go, gone) = pipe::<(), ()>().unwrap();
        // A child holds the same end, and somebody waits on it here.
        let copy: Connection<u32, u32> = b.try_clone().unwrap();
        let child =
            Process::spawn((copy, gone), |(copy, gone): (Connection<u32, u32>, Connection<(), ()>)| {
                gone.recv().unwrap();
                copy.send(1).unwrap_err().is_closed()
            });
        let child = child.unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| b.recv().unwrap_err().is_eof());
            a.send_bytes(b"").unwrap();
            // Whichever comes first: the empty message is no number, and the end is the end.
            b.close().unwrap();
            waiting.join().unwrap();
        });
        assert!(a.recv().unwrap_err().is_eof());
        go.send(()).unwrap();
        assert!(child.join().unwrap(), "the child's copy is closed too");
    });
}

/// Longer than the short header can tell.
const LONG: usize = (1 << 31) + 12_345;

#[test]
fn more_than_two_gigabytes_in_one_message() {
    isolated_for(Limit(Duration::from_secs(180)), || {
        let (reader, writer) = one_way::<()>().unwrap();
        let child = Process::builder().daemon(true).spawn(writer, |writer: PipeWriter<()>| {
            // Pages that nobody touches are one page.
            let mut bytes = vec![0; LONG];
            bytes[0] = 1;
            bytes[LONG - 1] = 2;
            writer.send_bytes(&bytes).unwrap();
            writer.send_bytes(b"next").unwrap();
        });
        let mut bytes = vec![9; LONG];
        assert_eq!(reader.recv_bytes_into(&mut bytes).unwrap(), LONG);
        assert_eq!((bytes[0], bytes[LONG - 1]), (1, 2));
        let zeros = vec![0; 1 << 20];
        assert!(bytes[1..LONG - 1].chunks(zeros.len()).all(|chunk| *chunk == zeros[..chunk.len()]));
        assert_eq!(reader.recv_bytes().unwrap(), b"next");
        child.unwrap().join().unwrap();
    });
}
