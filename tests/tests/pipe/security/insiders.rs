use super::{KEY, LONG, dial, enter};
use multiproc::shm::{BytesPool, PooledBytes, Shared, SharedBytes, SharedBytesMut};
use multiproc_core::codec;
use multiproc_core::sys::fd;
use multiproc_pipe::{Address, Connection, Fd, Listener, connect, frame, one_way};
use multiproc_process::Process;
use multiproc_tests::{Limit, isolated, on_both, proc};
use std::fs::File;
use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread;

/// Somebody with the key, at both ends; what the peer sends is up to them.
fn inside<S: multiproc_core::Message, R: multiproc_core::Message>(
    listener: &Listener,
) -> (Connection<S, R>, UnixStream) {
    let Address::Path(path) = listener.address().clone() else { unreachable!("it is a path") };
    thread::scope(|scope| {
        let insider = scope.spawn(|| {
            let mut wire = UnixStream::connect(path).unwrap();
            wire.set_read_timeout(Some(LONG)).unwrap();
            enter(&mut wire);
            wire
        });
        (listener.accept_timeout(LONG).unwrap(), insider.join().unwrap())
    })
}

/// A true message whose descriptors are exchanged for others.
fn forged<T: multiproc_core::Message>(socket: &UnixStream, value: &T, fds: &[BorrowedFd<'_>]) {
    let message = codec::encode(value).unwrap();
    assert_eq!(message.fds.len(), fds.len());
    frame::write(socket, &message.bytes, fds, true).unwrap();
}

#[test]
fn memory_that_could_change_or_shrink_is_refused() {
    isolated(|| {
        let castle = Listener::bind_private(KEY).unwrap();
        let (server, insider) = inside::<(), SharedBytes>(&castle);
        let good = || SharedBytesMut::zeroed(4096).unwrap().freeze().unwrap();
        // A file, and memory, that can still be written.
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        forged(&insider, &good(), &[file.as_fd()]);
        assert!(server.recv().unwrap_err().is_decode(), "a file");
        let word = Shared::new(AtomicU32::new(1)).unwrap();
        forged(&insider, &good(), &[codec::encode(&word).unwrap().fds[0].as_fd()]);
        assert!(server.recv().unwrap_err().is_decode(), "memory that can be written");
        let whole = codec::encode(&good()).unwrap();
        for strange in strangers() {
            forged(&insider, &good(), &[strange.as_fd()]);
            assert!(server.recv().unwrap_err().is_decode());
        }
        // The true one goes through, or nothing was shown.
        forged(&insider, &good(), &[whole.fds[0].as_fd()]);
        assert_eq!(server.recv().unwrap().len(), 4096);

        let (server, insider) = inside::<(), Shared<AtomicU32>>(&castle);
        for strange in strangers() {
            forged(&insider, &word, &[strange.as_fd()]);
            assert!(server.recv().unwrap_err().is_decode());
        }
        forged(&insider, &word, &[file.as_fd()]);
        assert!(server.recv().unwrap_err().is_decode());
    });
}

/// Descriptors that are neither memory nor a stream.
fn strangers() -> Vec<OwnedFd> {
    vec![
        File::open("/dev/null").unwrap().into(),
        File::open("/proc/self/stat").unwrap().into(),
        UdpSocket::bind("127.0.0.1:0").unwrap().into(),
        fd::eventfd().unwrap(),
        fd::pipe().unwrap().0,
        fd::packet_pair().unwrap().0,
    ]
}

#[test]
fn descriptors_of_another_kind_are_no_connections() {
    isolated(|| {
        let castle = Listener::bind_private(KEY).unwrap();
        let open = proc::own_descriptors().len();
        let (server, insider) = inside::<(), Connection<u8, u8>>(&castle);
        let (end, _other) = multiproc_pipe::pipe::<u8, u8>().unwrap();
        for strange in strangers() {
            forged(&insider, &end, &[strange.as_fd()]);
            let error = server.recv().unwrap_err();
            assert!(error.is_decode() && error.to_string().contains("connection"), "{error}");
        }
        // Another kind of handle, none at all, and one too many.
        let file = codec::encode(&Fd::new(File::open("/dev/null").unwrap())).unwrap();
        frame::write(&insider, &file.bytes, &[file.fds[0].as_fd()], true).unwrap();
        assert!(server.recv().unwrap_err().is_decode());
        let message = codec::encode(&end).unwrap();
        frame::write(&insider, &message.bytes, &[], true).unwrap();
        assert!(server.recv().unwrap_err().is_decode());
        frame::write(&insider, &message.bytes, &[message.fds[0].as_fd(); 2], true).unwrap();
        assert!(server.recv().unwrap_err().is_decode());
        drop((server, insider, end, _other, file, message));
        assert_eq!(proc::own_descriptors().len(), open, "all of them were closed");
    });
}

#[test]
fn too_many_descriptors_are_closed_and_the_next_message_comes() {
    isolated(|| {
        let castle = Listener::bind_private(KEY).unwrap();
        let (server, insider) = inside::<(), u8>(&castle);
        let (end, writer) = one_way::<u8>().unwrap();
        let open = proc::own_descriptors().len();
        thread::scope(|scope| {
            scope.spawn(|| {
                frame::write(&insider, &[0; 64], &[writer.as_fd(); 5000], true).unwrap();
                frame::write(&insider, b"\x07", &[], true).unwrap();
            });
            let error = server.recv().unwrap_err();
            assert!(error.to_string().contains("1024 descriptors"), "{error}");
            assert_eq!(server.recv().unwrap(), 7);
        });
        assert_eq!(proc::own_descriptors().len(), open);
        // With the middle of a message, where nobody looks for them.
        fd::send(&insider, &[IoSlice::new(b"\0\0\0\x01")], &[], true).unwrap();
        fd::send(&insider, &[IoSlice::new(b"\x08")], &[writer.as_fd(); 100], true).unwrap();
        assert_eq!(server.recv().unwrap(), 8);
        assert_eq!(proc::own_descriptors().len(), open);
        drop(writer);
        assert!(end.recv().unwrap_err().is_eof());
    });
}

#[test]
fn messages_that_are_too_long_or_grow() {
    isolated(|| {
        let castle = Listener::builder().max_message(1000).bind_private(KEY).unwrap();
        let (server, insider) = inside::<(), Vec<u8>>(&castle);
        // 3 bytes of length before the bytes.
        let long = codec::encode(&vec![7u8; 998]).unwrap();
        frame::write(&insider, &codec::encode(&vec![7u8; 998]).unwrap().bytes, &[], true).unwrap();
        assert_eq!(server.recv().unwrap().len(), 998);
        assert_eq!(long.bytes.len(), 1000);
        frame::write(&insider, &codec::encode(&vec![7u8; 999]).unwrap().bytes, &[], true).unwrap();
        for _ in 0..2 {
            let error = server.recv().unwrap_err();
            assert!(error.is_too_long() && !error.is_decode(), "{error}");
            assert!(error.into_bytes().is_none());
        }
        // A billion elements in ten bytes.
        let (server, insider) = inside::<(), Vec<()>>(&castle);
        frame::write(&insider, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1], &[], true)
            .unwrap();
        assert!(server.recv().unwrap_err().is_decode());
    });
}

#[test]
fn handles_that_are_safe_by_protocol_alone_are_refused() {
    isolated(|| {
        let castle = Listener::bind_private(KEY).unwrap();
        let (server, client) = thread::scope(|scope| {
            let client = scope.spawn(|| connect::<PooledBytes, u8>(castle.address(), KEY).unwrap());
            (castle.accept_timeout::<u8, PooledBytes>(LONG).unwrap(), client.join().unwrap())
        });
        let pool = BytesPool::new(4096, 2).unwrap();
        client.send(pool.take().unwrap().freeze()).unwrap();
        assert!(server.recv().unwrap_err().is_decode());
    });
}

#[test]
fn a_stranger_stays_one_when_the_connection_is_sent_on() {
    on_both(Limit::default(), |_| {
        let castle = Listener::builder().max_message(5000).bind_private(KEY).unwrap();
        let (server, client) = thread::scope(|scope| {
            let client = scope.spawn(|| connect::<PooledBytes, u8>(castle.address(), KEY).unwrap());
            (castle.accept_timeout::<u8, PooledBytes>(LONG).unwrap(), client.join().unwrap())
        });
        let child = Process::spawn(server, |server: Connection<u8, PooledBytes>| {
            let refused = server.recv().unwrap_err().is_decode();
            let too_long = server.recv().unwrap_err().is_too_long();
            (refused, too_long)
        });
        let pool = BytesPool::new(4096, 2).unwrap();
        client.send(pool.take().unwrap().freeze()).unwrap();
        client.send_bytes(&[0; 5001]).unwrap();
        assert_eq!(child.unwrap().join().unwrap(), (true, true));
        // So does one that a stranger has sent: here a whole pipe.
        let (server, insider) = inside::<(), Connection<u8, PooledBytes>>(&castle);
        let (end, other) = multiproc_pipe::pipe::<u8, PooledBytes>().unwrap();
        forged(&insider, &end, &[codec::encode(&end).unwrap().fds[0].as_fd()]);
        let arrived = server.recv().unwrap();
        other.send(pool.take().unwrap().freeze()).unwrap();
        assert!(arrived.recv().unwrap_err().is_decode());
    });
}

#[test]
fn a_socket_that_never_waits_is_waited_for() {
    isolated(|| {
        let castle = Listener::bind_private(KEY).unwrap();
        let (server, insider) = inside::<u8, u8>(&castle);
        // The other end's own flags are its own; these are shared with whoever got a copy.
        let copy = Arc::new(insider.try_clone().unwrap());
        copy.set_nonblocking(true).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| server.recv_timeout(LONG).unwrap());
            frame::write(&insider, b"\x07", &[], true).unwrap();
            assert_eq!(waiting.join().unwrap(), 7);
        });
        drop(dial(castle.address()));
    });
}
