use multiproc_core::sys::fd::{send, set_descriptor_limit};
use multiproc_pipe::{Connection, PipeReader, one_way, pipe, wait};
use multiproc_process::Process;
use multiproc_tests::{Limit, isolated, on_both};
use std::io::IoSlice;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_timeout_bounds_the_call_and_consumes_nothing() {
    isolated(|| {
        let (a, b) = pipe::<String, String>().unwrap();
        let started = Instant::now();
        assert!(b.recv_timeout(SHORT).unwrap_err().is_timeout());
        assert!(started.elapsed() >= SHORT);
        assert!(b.try_recv().unwrap_err().is_timeout());
        assert!(b.recv_deadline(Instant::now()).unwrap_err().is_timeout());
        assert!(b.recv_timeout(Duration::ZERO).unwrap_err().is_timeout());
        a.send("here".into()).unwrap();
        assert_eq!(b.recv_timeout(Duration::MAX).unwrap(), "here");
    });
}

#[test]
fn a_part_of_a_message_is_kept_over_timeouts() {
    isolated(|| {
        let (a, b) = pipe::<String, String>().unwrap();
        let frame = b"\0\0\0\x06\x05hello";
        for byte in &frame[..frame.len() - 1] {
            send(&a, &[IoSlice::new(&[*byte])], &[], true).unwrap();
            assert!(b.recv_timeout(Duration::from_millis(2)).unwrap_err().is_timeout());
        }
        assert!(b.poll(Duration::ZERO).unwrap(), "a message has begun");
        send(&a, &[IoSlice::new(b"o")], &[], true).unwrap();
        a.send("next".into()).unwrap();
        assert_eq!(b.recv().unwrap(), "hello");
        assert_eq!(b.try_recv().unwrap(), "next");
    });
}

#[test]
fn an_end_is_not_sent_while_it_holds_a_part_of_a_message() {
    isolated(|| {
        let (a, b) = pipe::<String, String>().unwrap();
        let (carrier, far) = pipe::<Connection<String, String>, ()>().unwrap();
        send(&a, &[IoSlice::new(b"\0\0\0\x06\x05hel")], &[], true).unwrap();
        assert!(b.recv_timeout(SHORT).unwrap_err().is_timeout());
        let error = carrier.send(b).unwrap_err();
        assert!(error.is_encode() && error.to_string().contains("receive the message first"), "{error}");
        let b = error.into_inner();
        let copy = b.try_clone().unwrap();
        assert!(carrier.send(copy).unwrap_err().is_encode(), "a copy holds it too");
        send(&a, &[IoSlice::new(b"lo")], &[], true).unwrap();
        a.send("next".into()).unwrap();
        assert_eq!(b.try_clone().unwrap().recv().unwrap(), "hello");
        carrier.send(b).unwrap();
        assert_eq!(far.recv().unwrap().recv().unwrap(), "next");

        let (reader, writer) = one_way::<String>().unwrap();
        let (carrier, _far) = pipe::<PipeReader<String>, ()>().unwrap();
        send(&writer, &[IoSlice::new(b"\0\0")], &[], true).unwrap();
        assert!(reader.try_recv().unwrap_err().is_timeout());
        assert!(carrier.send(reader).unwrap_err().is_encode());
    });
}

#[test]
fn poll_sees_messages_and_ends() {
    isolated(|| {
        let (a, b) = pipe::<u8, u8>().unwrap();
        let started = Instant::now();
        assert!(!b.poll(SHORT).unwrap());
        assert!(started.elapsed() >= SHORT);
        a.send(1).unwrap();
        assert!(b.poll(Duration::ZERO).unwrap() && b.poll(LONG).unwrap());
        b.recv().unwrap();
        assert!(!b.poll(Duration::ZERO).unwrap());
        drop(a);
        assert!(b.poll(LONG).unwrap());
        assert!(b.recv().unwrap_err().is_eof());

        let (reader, writer) = one_way::<u8>().unwrap();
        assert!(reader.try_recv().unwrap_err().is_timeout());
        let started = Instant::now();
        assert!(reader.recv_deadline(started + SHORT).unwrap_err().is_timeout());
        assert!(started.elapsed() >= SHORT);
        writer.send(1).unwrap();
        writer.send(2).unwrap();
        assert_eq!(reader.try_recv().unwrap(), 1);
        assert_eq!(reader.recv_deadline(Instant::now() + LONG).unwrap(), 2);
    });
}

#[test]
fn one_reader_blocked_does_not_make_another_late() {
    isolated(|| {
        let (a, b) = pipe::<u8, u8>().unwrap();
        std::thread::scope(|scope| {
            let blocked = scope.spawn(|| b.recv().unwrap());
            let started = Instant::now();
            // Whichever of the two holds the turn.
            let timed = b.recv_timeout(SHORT);
            assert!(timed.unwrap_err().is_timeout() && started.elapsed() < LONG);
            a.send(3).unwrap();
            assert_eq!(blocked.join().unwrap(), 3);
        });
    });
}

#[test]
fn many_at_once() {
    on_both(Limit::default(), |_| {
        set_descriptor_limit(Some(4096)).unwrap();
        let (readers, writers): (Vec<_>, Vec<_>) = (0..1000).map(|_| one_way::<u32>().unwrap()).unzip();
        let all: Vec<&dyn AsFd> = readers.iter().map(|reader| reader as &dyn AsFd).collect();
        assert!(wait(&all, Some(Duration::ZERO)).unwrap().is_empty());
        writers[999].send(1).unwrap();
        writers[3].send(1).unwrap();
        assert_eq!(wait(&all, None).unwrap(), [3, 999]);
        drop(writers);
        assert_eq!(wait(&all, Some(LONG)).unwrap().len(), 1000);
        assert!(wait(&[], Some(SHORT)).unwrap().is_empty());
    });
}

#[test]
fn processes_and_connections_together() {
    on_both(Limit::default(), |_| {
        let (go_reader, go) = one_way::<()>().unwrap();
        let (answers, answer) = one_way::<u8>().unwrap();
        let child = Process::spawn((go_reader, answer), |(go, answer): (PipeReader<()>, _)| {
            go.recv().unwrap();
            answer.send(1).unwrap();
            assert!(go.recv().unwrap_err().is_eof());
        });
        let child = child.unwrap();
        assert!(wait(&[&child, &answers], Some(SHORT)).unwrap().is_empty());
        go.send(()).unwrap();
        assert_eq!(wait(&[&child, &answers], Some(LONG)).unwrap(), [1]);
        answers.recv().unwrap();
        drop(go);
        assert_eq!(wait(&[&child], Some(LONG)).unwrap(), [0]);
        assert_eq!(wait(&[&child, &answers], Some(LONG)).unwrap(), [0, 1]);
        child.join().unwrap();
    });
}
