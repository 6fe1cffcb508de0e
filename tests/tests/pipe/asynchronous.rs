//! What is awaited: without threads, and without losses where a future is dropped before its end.

use multiproc_core::sys::fd::send;
use multiproc_pipe::{AsyncConnection, AsyncListener, Connection, Fd, Listener, pipe, ready};
use multiproc_process::{JoinError, Process, Stdio};
use multiproc_tests::{Bytes, Limit, isolated, on_both, proc};
use std::fs::File;
use std::future::{Future, IntoFuture};
use std::io::{IoSlice, Write};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn awaited<S, R>(connection: Connection<S, R>) -> AsyncConnection<S, R> {
    AsyncConnection::new(connection).unwrap()
}

/// Drops a future after so many attempts to go on.
async fn dropped_after<F: Future>(attempts: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = attempts;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

#[test]
fn many_connections_on_one_thread() {
    isolated(|| {
        let before = threads();
        runtime().block_on(async {
            let mut tasks = Vec::new();
            for n in 0..100u32 {
                let (a, b) = pipe::<u32, u32>().unwrap();
                let (a, b) = (awaited(a), awaited(b));
                tasks.push(tokio::spawn(async move {
                    while let Ok(number) = b.recv().await {
                        b.send(number + 1).await.unwrap();
                    }
                }));
                tasks.push(tokio::spawn(async move {
                    for round in 0..20 {
                        a.send(n + round).await.unwrap();
                        assert_eq!(a.recv().await.unwrap(), n + round + 1);
                    }
                }));
            }
            assert_eq!(threads(), before, "a thread for somebody");
            for task in tasks {
                timeout(LONG, task).await.unwrap().unwrap();
            }
        });
    });
}

#[test]
fn large_messages_and_handles_to_a_process() {
    on_both(Limit::default(), |_| {
        let (ours, theirs) = pipe::<(Bytes, Fd<File>), Bytes>().unwrap();
        let child = Process::spawn(theirs, |theirs: Connection<Bytes, (Bytes, Fd<File>)>| {
            while let Ok((bytes, file)) = theirs.recv() {
                assert_eq!(file.metadata().unwrap().len(), 0);
                theirs.send(bytes).unwrap();
            }
        });
        let child = child.unwrap();
        runtime().block_on(async {
            let ours = awaited(ours);
            for len in [0, 1, 65_536, 5 << 20] {
                let file = Fd::new(File::open("/dev/null").unwrap());
                // Both at once, or each would wait for the other's room.
                let (sent, received) = tokio::join!(ours.send((Bytes::patterned(len), file)), ours.recv());
                sent.unwrap();
                assert!(received.unwrap().is_patterned(len));
            }
            drop(ours);
            timeout(LONG, ready(&child)).await.unwrap().unwrap();
        });
        child.join().unwrap();
    });
}

#[test]
fn a_receive_that_is_dropped_loses_nothing() {
    isolated(|| {
        runtime().block_on(async {
            let (a, b) = pipe::<(), String>().unwrap();
            let b = b;
            let a = awaited(a);
            for (text, frame) in [("hello", &b"\0\0\0\x06\x05hello"[..]), ("you", b"\0\0\0\x04\x03you")] {
                for byte in &frame[..frame.len() - 1] {
                    send(&b, &[IoSlice::new(&[*byte])], &[], true).unwrap();
                    assert!(dropped_after(3, a.recv()).await.is_none());
                    assert!(timeout(Duration::ZERO, a.recv()).await.is_err());
                }
                send(&b, &[IoSlice::new(&frame[frame.len() - 1..])], &[], true).unwrap();
                assert_eq!(timeout(LONG, a.recv()).await.unwrap().unwrap(), text);
            }
            drop(b);
            assert!(a.recv().await.unwrap_err().is_eof());
        });
    });
}

#[test]
fn a_send_that_is_dropped_sends_nothing_or_all() {
    isolated(|| {
        runtime().block_on(async {
            let (a, b) = pipe::<(Bytes, Vec<Fd<File>>), ()>().unwrap();
            let (a, b) = (awaited(a), awaited(b));
            let files = || (0..600).map(|_| Fd::new(File::open("/dev/null").unwrap())).collect::<Vec<_>>();
            let mut sent = 0;
            for attempts in 0..20u32 {
                // Now it is known that there is room, so that the next one begins at once.
                a.send((Bytes(vec![9]), Vec::new())).await.unwrap();
                b.recv().await.unwrap();
                // More than there is room for, so that it cannot be done at once.
                let len = 600_000 + attempts as usize;
                let outcome = dropped_after(attempts, a.send((Bytes::patterned(len), files()))).await;
                assert!(outcome.is_none());
                // There is room for a part of it, so it has begun, and comes whole with the next one.
                let (flushed, received) = tokio::join!(a.flush(), timeout(LONG, b.recv()));
                flushed.unwrap();
                let (bytes, fds) = received.unwrap().unwrap();
                assert!(bytes.is_patterned(len) && fds.len() == 600);
                sent += 1;
            }
            // With the stream full nothing of a message goes, and it is as if it had not been sent.
            while dropped_after(0, a.send((Bytes(vec![1; 1000]), Vec::new()))).await.is_some() {
                sent += 1;
            }
            assert!(dropped_after(2, a.send((Bytes(vec![2; 1000]), Vec::new()))).await.is_none());
            let (last, ()) = tokio::join!(a.send((Bytes(vec![3; 10]), Vec::new())), async {
                let mut threes = 0;
                while threes == 0 {
                    let (bytes, _) = timeout(LONG, b.recv()).await.unwrap().unwrap();
                    assert!(bytes.0.iter().all(|byte| *byte == bytes.0[0]), "mixed up");
                    threes += u32::from(bytes.0[0] == 3);
                }
            });
            last.unwrap();
            assert!(sent > 20);
        });
    });
}

#[test]
fn tasks_that_share_an_end_do_not_interleave() {
    isolated(|| {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(async {
            let (a, b) = pipe::<Bytes, ()>().unwrap();
            let (a, b) = (Arc::new(awaited(a)), Arc::new(awaited(b)));
            let mut tasks = Vec::new();
            for task in 0..4 {
                let a = Arc::clone(&a);
                tasks.push(tokio::spawn(async move {
                    for n in 0..20 {
                        a.send(Bytes::patterned(100_000 * task + n)).await.unwrap();
                    }
                    0
                }));
            }
            for _ in 0..2 {
                let b = Arc::clone(&b);
                tasks.push(tokio::spawn(async move {
                    let mut count = 0;
                    while let Ok(bytes) = b.recv().await {
                        assert!(bytes.is_patterned(bytes.0.len()));
                        count += 1;
                    }
                    count
                }));
            }
            drop(a);
            let mut total = 0;
            for task in tasks {
                total += timeout(LONG, task).await.unwrap().unwrap();
            }
            assert_eq!(total, 80);
        });
    });
}

#[test]
fn what_is_dropped_with_a_rest_is_torn() {
    isolated(|| {
        runtime().block_on(async {
            let (a, b) = pipe::<Bytes, ()>().unwrap();
            let copy = a.try_clone().unwrap();
            assert!(AsyncConnection::new(a).is_err(), "there is another handle");
            let a = awaited(copy);
            // Now it is known that there is room, so that the next one begins at once.
            a.send(Bytes::patterned(1)).await.unwrap();
            assert!(b.recv().unwrap().is_patterned(1));
            assert!(dropped_after(0, a.send(Bytes::patterned(1 << 20))).await.is_none());
            assert!(a.into_inner().unwrap_err().to_string().contains("flush"));
            assert!(b.recv().unwrap_err().is_torn());
            // One without a rest goes back to the ordinary form, and its end may travel.
            let (a, b) = pipe::<u8, u8>().unwrap();
            let a = awaited(a);
            a.send(1).await.unwrap();
            let a = a.into_inner().unwrap();
            a.send(2).unwrap();
            assert_eq!((b.recv().unwrap(), b.recv().unwrap()), (1, 2));
            let b = awaited(b);
            a.send_bytes(b"raw").unwrap();
            assert_eq!(b.recv_bytes().await.unwrap(), b"raw");
            b.send_bytes(b"\x09".to_vec()).await.unwrap();
            assert_eq!(a.recv().unwrap(), 9);
            b.close().unwrap();
            assert!(a.recv().unwrap_err().is_eof());
            assert!(b.send(1).await.unwrap_err().is_closed());
        });
    });
}

#[test]
fn clients_are_awaited() {
    on_both(Limit::default(), |_| {
        let listener = Listener::bind_private("secret").unwrap();
        let at = listener.address().to_string();
        let children: Vec<_> = (0..4u32)
            .map(|n| {
                Process::spawn((at.clone(), n), |(at, n)| {
                    let client: Connection<u32, u32> = multiproc_pipe::connect(at, "secret").unwrap();
                    client.send(n).unwrap();
                    client.recv().unwrap()
                })
                .unwrap()
            })
            .collect();
        let before = threads();
        runtime().block_on(async {
            let listener = AsyncListener::new(listener).unwrap();
            let mut tasks = Vec::new();
            for turn in 0..8 {
                if turn >= 4 {
                    let at = at.clone();
                    tasks.push(tokio::spawn(async move {
                        let client = AsyncConnection::<u32, u32>::connect(at, "secret").await.unwrap();
                        client.send(turn).await.unwrap();
                        assert_eq!(client.recv().await.unwrap(), turn + 1);
                    }));
                }
                // Dropped again and again, no client is lost.
                let client = loop {
                    if let Some(client) = dropped_after(1, listener.accept::<u32, u32>()).await {
                        break client.unwrap();
                    }
                    tokio::task::yield_now().await;
                };
                tasks.push(tokio::spawn(async move {
                    client.send(client.recv().await.unwrap() + 1).await.unwrap();
                }));
            }
            assert_eq!(threads(), before, "a thread for somebody");
            for child in &children {
                timeout(LONG, ready(child)).await.unwrap().unwrap();
            }
            for task in tasks {
                timeout(LONG, task).await.unwrap().unwrap();
            }
            // Another key, nobody, and over TCP.
            let (refused, _) = tokio::join!(
                AsyncConnection::<u8, u8>::connect(at.clone(), "other"),
                timeout(Duration::from_millis(200), listener.accept::<u8, u8>()),
            );
            assert!(refused.unwrap_err().is_refused());
            assert_eq!((listener.stats().accepted, listener.stats().refused), (8, 1));
            drop(listener);
            let gone = AsyncConnection::<u8, u8>::connect(at.clone(), "secret").await;
            assert!(gone.unwrap_err().is_not_found());
            let tcp = AsyncListener::new(Listener::bind(("::1", 0), "secret").unwrap()).unwrap();
            let (client, server) = tokio::join!(
                AsyncConnection::<u8, u8>::connect(tcp.address().clone(), "secret"),
                tcp.accept::<u8, u8>(),
            );
            client.unwrap().send(5).await.unwrap();
            assert_eq!(server.unwrap().recv().await.unwrap(), 5);
        });
        for (n, child) in (0..).zip(children) {
            assert_eq!(child.join().unwrap(), n + 1);
        }
    });
}

#[test]
fn nothing_is_left_when_it_is_dropped() {
    isolated(|| {
        let before = proc::own_descriptors().len();
        runtime().block_on(async {
            let (a, b) = pipe::<u8, u8>().unwrap();
            let (a, b) = (awaited(a), awaited(b));
            assert!(dropped_after(1, a.recv()).await.is_none());
            assert!(dropped_after(1, ready(&b)).await.is_none());
            // Twice at once, which one registration could not be.
            let (one, two) = (ready(&b), ready(&b));
            a.send(1).await.unwrap();
            let (one, two) = tokio::join!(one, two);
            one.unwrap();
            two.unwrap();
            b.ready().await.unwrap();
            let listener = AsyncListener::new(Listener::bind_private("secret").unwrap()).unwrap();
            assert!(dropped_after(1, listener.accept::<u8, u8>()).await.is_none());
            let _ = listener.into_inner();
        });
        assert_eq!(proc::own_descriptors().len(), before);
    });
}

#[test]
fn processes_are_awaited() {
    on_both(Limit::default(), |_| {
        let children: Vec<_> =
            (0..20u32).map(|n| Process::spawn(n, |n| Bytes::patterned(n as usize * 5000)).unwrap()).collect();
        let killed = Process::spawn((), |()| -> u8 { std::process::abort() }).unwrap();
        // Writes more than a pipe holds to whoever listens: nobody.
        let loud = Process::builder().stdout(Stdio::piped()).spawn((), |()| {
            let text = vec![b'x'; 1 << 20];
            std::io::stdout().lock().write_all(&text).unwrap();
            7
        });
        let loud = loud.unwrap();
        let before = threads();
        runtime().block_on(async {
            let last = children.last().unwrap();
            assert!(dropped_after(0, last.exited()).await.is_none_or(|status| status.unwrap().success()));
            assert!(timeout(LONG, last.exited()).await.unwrap().unwrap().success());
            assert!(threads() <= before, "a thread for somebody");
            for (n, child) in (0..).zip(children) {
                assert!(timeout(LONG, child.into_future()).await.unwrap().unwrap().is_patterned(n * 5000));
            }
            let error = timeout(LONG, killed.into_future()).await.unwrap().unwrap_err();
            assert!(matches!(error, JoinError::Signaled { signal: 6, .. }), "{error}");
            assert_eq!(timeout(LONG, loud.into_future()).await.unwrap().unwrap(), 7);
        });
    });
}
