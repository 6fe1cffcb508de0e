//! Queues and events that are waited for by descriptors and futures.

use multiproc_pipe::{pipe, wait};
use multiproc_process::Process;
use multiproc_queue::{Queue, Receiver, Sender, channel, spsc};
use multiproc_tests::{Limit, isolated, on_both, on_fork_server};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use multiproc::{Event, Shared};

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// How many watchers this process has, which go some time after the last that they served.
fn watchers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default());
    // As much of the name as the kernel keeps.
    names.filter(|name| name.starts_with("multiproc-watch")).count()
}

fn watchers_end() {
    multiproc_tests::eventually(LONG, "no watcher is left", || watchers() == 0);
}

#[test]
fn one_wait_covers_queues_events_connections_processes_and_sockets() {
    on_both(Limit::default(), |_| {
        let queue = Queue::<u32>::bounded(3).unwrap();
        let (sender, receiver) = channel::<String>(3).unwrap();
        let (single, mut only) = spsc::<u8>(3).unwrap();
        let go = Shared::new(Event::new()).unwrap();
        let (ours, theirs) = pipe::<u8, u8>().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(watchers(), 0, "nobody waits in this way");
        let (messages, texts, bytes) =
            (queue.readiness().unwrap(), receiver.readiness().unwrap(), only.readiness().unwrap());
        let set = Event::readiness(&go, |go| go).unwrap();
        // It has its name a moment after it was started.
        multiproc_tests::eventually(LONG, "one watcher serves all", || watchers() == 1);
        let child = Process::spawn(
            (queue.clone(), sender, single, go.clone(), theirs),
            |(queue, sender, single, go, theirs)| {
                // Each step when the one before was answered.
                queue.put(7).unwrap();
                assert_eq!(theirs.recv().unwrap(), 0);
                sender.send("text".to_owned()).unwrap();
                assert_eq!(theirs.recv().unwrap(), 1);
                single.send(9).unwrap();
                assert_eq!(theirs.recv().unwrap(), 2);
                go.set();
                assert_eq!(theirs.recv().unwrap(), 3);
                theirs.send(4).unwrap();
                assert_eq!(theirs.recv().unwrap(), 4);
            },
        );
        let child = child.unwrap();
        let all: [&dyn AsFd; 7] = [&messages, &texts, &bytes, &set, &ours, &child, &socket];
        let next = || wait(&all, Some(LONG)).unwrap();
        assert_eq!(next(), [0]);
        assert_eq!(next(), [0], "it is ready until it is taken");
        assert_eq!(queue.try_get().unwrap(), 7);
        assert!(wait(&all[..1], Some(Duration::ZERO)).unwrap().is_empty());
        ours.send(0).unwrap();
        assert_eq!(next(), [1]);
        assert_eq!(receiver.try_recv().unwrap(), "text");
        ours.send(1).unwrap();
        assert_eq!(next(), [2]);
        assert_eq!(only.try_recv().unwrap(), 9);
        ours.send(2).unwrap();
        assert_eq!(next(), [3]);
        go.clear();
        ours.send(3).unwrap();
        assert_eq!(next(), [4]);
        assert_eq!(ours.recv().unwrap(), 4);
        let to = socket.local_addr().unwrap();
        socket.send_to(b"x", to).unwrap();
        assert_eq!(next(), [6]);
        socket.recv(&mut [0]).unwrap();
        ours.send(4).unwrap();
        // Its end is the end of what it alone sent to, too.
        let mut ended = next();
        while ended.len() < 4 {
            ended = next();
        }
        assert_eq!(ended, [1, 2, 4, 5]);
        assert!(receiver.try_recv().unwrap_err().is_disconnected());
        child.join().unwrap();
        queue.close();
        assert_eq!(wait(&[&messages], Some(LONG)).unwrap(), [0]);
        drop((messages, texts, bytes, set));
        watchers_end();
        let _ = runtime().block_on(only.recv_async());
        watchers_end();
    });
}

#[test]
fn what_is_awaited_may_be_awaited_in_a_task() {
    fn is_send<T: Send>(_: T) {}
    isolated(|| {
        let queue = Queue::<u32>::bounded(1).unwrap();
        is_send((queue.get_async(), queue.put_async(1)));
        let (sender, receiver) = channel::<u32>(1).unwrap();
        is_send((sender.send_async(1), receiver.recv_async()));
        let (mut sender, mut receiver) = spsc::<u32>(1).unwrap();
        is_send((sender.send_async(1), receiver.recv_async()));
    });
}

#[test]
fn a_busy_queue_lets_other_tasks_run() {
    isolated(|| {
        runtime().block_on(async {
            let queue = Queue::<u32>::bounded(1).unwrap();
            let busy = async {
                loop {
                    queue.put_async(1).await.unwrap();
                    queue.get_async().await.unwrap();
                }
            };
            assert!(timeout(Duration::from_millis(20), busy).await.is_err());
        });
    });
}

#[test]
fn a_death_is_noticed_beside_busy_neighbours_and_panicking_wakers() {
    on_fork_server(Limit::default(), || {
        let other = Queue::<u32>::bounded(1).unwrap();
        // One whose waker panics on the watcher's thread.
        let mut bad = Box::pin(other.get_async());
        let waker = std::task::Waker::from(std::sync::Arc::new(Panics));
        assert!(bad.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        other.put(1).unwrap();
        for _ in 0..5 {
            let queue = Queue::<u32>::bounded(1).unwrap();
            queue.put(5).unwrap();
            let (ours, theirs) = pipe::<(), ()>().unwrap();
            let child =
                Process::builder().daemon(true).spawn((queue.clone(), theirs), |(queue, theirs)| -> () {
                    let lease = queue.lease().unwrap();
                    theirs.send(()).unwrap();
                    let _ = theirs.recv();
                    lease.done();
                });
            let child = child.unwrap();
            ours.recv().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            // Nobody rings for who comes after the death: it is found by a look, which others must not put off.
            let got = runtime().block_on(async {
                let never = Queue::<u32>::bounded(1).unwrap();
                let busy = async {
                    loop {
                        let _ = timeout(Duration::from_millis(1), never.get_async()).await;
                    }
                };
                tokio::select! {
                    got = timeout(LONG, queue.get_async()) => got.unwrap().unwrap(),
                    () = busy => unreachable!("it has no end"),
                }
            });
            assert_eq!(got, 5);
        }
        drop(bad);
        watchers_end();
    });
}

/// A waker that panics.
struct Panics;

impl std::task::Wake for Panics {
    fn wake(self: std::sync::Arc<Panics>) {
        panic!("for the watcher to survive");
    }
}

#[test]
fn many_are_awaited_by_few_threads() {
    on_fork_server(Limit::default(), || {
        const COUNT: usize = 200;
        let queues: Vec<Queue<usize>> = (0..COUNT).map(|_| Queue::bounded(1).unwrap()).collect();
        let child = Process::spawn(queues[1..].to_vec(), |queues| {
            for (at, queue) in queues.iter().enumerate().rev() {
                queue.put(at + 1).unwrap();
            }
        });
        let sum = runtime().block_on(async {
            let local = tokio::task::LocalSet::new();
            let tasks: Vec<_> = queues
                .iter()
                .map(|queue| {
                    let queue = queue.clone();
                    local.spawn_local(async move { queue.get_async().await.unwrap() })
                })
                .collect();
            local
                .run_until(async {
                    let mut tasks = tasks.into_iter();
                    let first = tasks.next().unwrap();
                    let mut sum = 0;
                    for task in tasks {
                        sum += timeout(LONG, task).await.unwrap().unwrap();
                    }
                    assert!((1..=COUNT / 60 + 1).contains(&watchers()), "{} watchers", watchers());
                    queues[0].put(0).unwrap();
                    sum + timeout(LONG, first).await.unwrap().unwrap()
                })
                .await
        });
        assert_eq!(sum, COUNT * (COUNT - 1) / 2);
        child.unwrap().join().unwrap();
        watchers_end();
    });
}

#[test]
fn a_stream_is_awaited_at_both_ends() {
    on_both(Limit::default(), |_| {
        let (sender, receiver) = channel::<u64>(3).unwrap();
        let child = Process::spawn(sender, |sender: Sender<u64>| {
            runtime().block_on(async {
                for number in 0..20_000 {
                    sender.send_async(number).await.unwrap();
                }
            });
        });
        let child = child.unwrap();
        runtime().block_on(async {
            for number in 0..20_000 {
                assert_eq!(timeout(LONG, receiver.recv_async()).await.unwrap().unwrap(), number);
            }
            let end = timeout(LONG, receiver.recv_async()).await.unwrap().unwrap_err();
            assert!(end.is_disconnected());
        });
        child.join().unwrap();
        watchers_end();
    });
}

#[test]
fn awaited_and_sleeping_consumers_share_a_queue() {
    on_fork_server(Limit::default(), || {
        let queue = Queue::<u64>::bounded(2).unwrap();
        let consume = |queue: Queue<u64>| queue.iter().sum::<u64>();
        let awaiting = |queue: Queue<u64>| {
            runtime().block_on(async {
                let mut sum = 0;
                while let Ok(number) = queue.get_async().await {
                    sum += number;
                }
                sum
            })
        };
        let children: Vec<_> = [consume, awaiting, consume, awaiting]
            .into_iter()
            .map(|f| Process::spawn(queue.clone(), f).unwrap())
            .collect();
        for number in 0..5_000 {
            queue.put(number).unwrap();
        }
        queue.close();
        let sum: u64 = children.into_iter().map(|child| child.join().unwrap()).sum();
        assert_eq!(sum, 5_000 * 4_999 / 2);
    });
}

#[test]
fn what_is_dropped_has_taken_and_put_nothing() {
    isolated(|| {
        runtime().block_on(async {
            let short = Duration::from_millis(1);
            let queue = Queue::<u32>::bounded(1).unwrap();
            for number in 0..50 {
                assert!(timeout(short, queue.get_async()).await.is_err());
                queue.put(number).unwrap();
                assert!(timeout(short, queue.put_async(1000)).await.is_err());
                assert_eq!(queue.try_get().unwrap(), number);
                assert!(queue.is_empty());
            }
            let (mut sender, mut receiver) = spsc::<u32>(1).unwrap();
            sender.send_async(1).await.unwrap();
            assert!(timeout(short, sender.send_async(2)).await.is_err());
            assert_eq!(receiver.recv_async().await.unwrap(), 1);
            assert!(timeout(short, receiver.recv_async()).await.is_err());
            let (sent, received) = tokio::join!(sender.send_async(3), receiver.recv_async());
            sent.unwrap();
            assert_eq!(received.unwrap(), 3);
            drop(sender);
            assert!(receiver.recv_async().await.unwrap_err().is_disconnected());
        });
        watchers_end();
    });
}

#[test]
fn the_killed_are_noticed_by_those_who_await() {
    on_fork_server(Limit::default(), || {
        for _ in 0..20 {
            let (sender, receiver) = channel::<u32>(1).unwrap();
            let (back, told) = channel::<u32>(1).unwrap();
            let child = Process::builder().daemon(true).spawn(
                (sender, told),
                |(sender, told): (Sender<u32>, Receiver<u32>)| -> () {
                    sender.send(std::process::id()).unwrap();
                    runtime().block_on(async { told.recv_async().await.unwrap() });
                },
            );
            let child = child.unwrap();
            runtime().block_on(async {
                assert_eq!(timeout(LONG, receiver.recv_async()).await.unwrap().unwrap(), child.id());
                let (end, ()) = tokio::join!(timeout(LONG, receiver.recv_async()), async {
                    child.kill().unwrap();
                });
                assert!(end.unwrap().unwrap_err().is_disconnected());
                // It fits, or nobody is left.
                if back.send_async(1).await.is_ok() {
                    let end = timeout(LONG, back.send_async(2)).await.unwrap();
                    assert!(end.unwrap_err().is_disconnected());
                }
            });
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        // The lease of one that is killed comes back to who awaits it.
        let queue = Queue::<u32>::bounded(1).unwrap();
        queue.put(5).unwrap();
        let (ours, theirs) = pipe::<(), ()>().unwrap();
        let child = Process::builder().daemon(true).spawn((queue.clone(), theirs), |(queue, theirs)| -> () {
            let lease = queue.lease().unwrap();
            theirs.send(()).unwrap();
            let _ = theirs.recv();
            lease.done();
        });
        let child = child.unwrap();
        ours.recv().unwrap();
        let got = runtime().block_on(async {
            let (got, ()) = tokio::join!(timeout(LONG, queue.get_async()), async { child.kill().unwrap() });
            got.unwrap().unwrap()
        });
        assert_eq!(got, 5);
        child.wait().unwrap();
        watchers_end();
    });
}
