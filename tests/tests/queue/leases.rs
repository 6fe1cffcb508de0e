use multiproc_pipe::one_way;
use multiproc_process::Process;
use multiproc_queue::Queue;
use multiproc_tests::{Limit, isolated, on_both};
use std::time::{Duration, Instant};

#[test]
fn done_and_not_done() {
    isolated(|| {
        let queue = Queue::bounded(3).unwrap();
        queue.put_many(["a", "b", "c"].map(str::to_owned)).unwrap();
        let first = queue.lease().unwrap();
        let second = queue.lease().unwrap();
        assert_eq!((first.as_str(), second.as_str(), first.is_redelivered()), ("a", "b", false));
        assert_eq!(queue.len(), 1);
        // A lease takes no room.
        queue.put_many(["d", "e"].map(str::to_owned)).unwrap();
        assert!(queue.is_full() && !queue.join_timeout(Duration::ZERO));
        assert_eq!(first.done(), "a");
        drop(second);
        assert_eq!(queue.len(), 4);
        // What came back is first, for everybody.
        let again = queue.lease().unwrap();
        assert!(again.is_redelivered() && *again == "b");
        drop(again);
        assert_eq!(queue.get().unwrap(), "b");
        assert_eq!(queue.get_many(9).unwrap(), ["c", "d", "e"]);
        assert!(queue.join_timeout(Duration::ZERO));
        assert!(queue.try_lease().unwrap_err().is_empty());
        assert!(queue.lease_timeout(Duration::from_millis(5)).unwrap_err().is_timeout());
    });
}

#[test]
fn long_messages_keep_their_chunks() {
    isolated(|| {
        let queue = Queue::unbounded().unwrap();
        let long = |number: u8| vec![number; 150_000];
        queue.put(long(1)).unwrap();
        let lease = queue.lease().unwrap();
        for number in 2..30 {
            queue.put(long(number)).unwrap();
            assert_eq!(queue.get().unwrap(), long(number));
        }
        drop(lease);
        let lease = queue.lease().unwrap();
        assert!(lease.is_redelivered() && *lease == long(1));
        lease.done();
        assert!(queue.is_empty() && queue.join_timeout(Duration::ZERO));
    });
}

#[test]
fn of_a_process_that_is_killed() {
    on_both(Limit::default(), |_| {
        let (queue, ready) = (Queue::bounded(9).unwrap(), Queue::bounded(1).unwrap());
        queue.put_many([1, 2]).unwrap();
        let child =
            Process::spawn((queue.clone(), ready.clone()), |(queue, ready): (Queue<u32>, Queue<()>)| {
                let _lease = queue.lease().unwrap();
                ready.put(()).unwrap();
                std::thread::park();
            })
            .unwrap();
        ready.get().unwrap();
        let other = queue.lease().unwrap();
        assert_eq!(*other, 2);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let lease = queue.lease().unwrap();
                (Instant::now(), lease.is_redelivered(), lease.done())
            });
            let joining = scope.spawn(|| queue.join());
            child.kill().unwrap();
            let killed = Instant::now();
            let (found, is_redelivered, value) = waiting.join().unwrap();
            assert!(is_redelivered && value == 1);
            assert!(found - killed < Duration::from_secs(1), "{:?}", found - killed);
            other.done();
            joining.join().unwrap();
        });
        assert!(child.join().is_err());
    });
}

#[test]
fn of_the_dead_for_who_never_waits() {
    on_both(Limit::default(), |_| {
        let (queue, ready) = (Queue::bounded(9).unwrap(), Queue::bounded(1).unwrap());
        for number in 0..10 {
            queue.put(number).unwrap();
            let arguments = (queue.clone(), ready.clone());
            let child = Process::spawn(arguments, |(queue, ready): (Queue<u32>, Queue<()>)| {
                let _lease = queue.lease().unwrap();
                ready.put(()).unwrap();
                std::thread::park();
            })
            .unwrap();
            ready.get().unwrap();
            assert!(queue.try_get().unwrap_err().is_empty());
            child.kill().unwrap();
            child.wait().unwrap();
            // At once, though it has only just looked.
            let is_leased = number % 2 == 0;
            let found = if is_leased { queue.try_lease().unwrap().done() } else { queue.try_get().unwrap() };
            assert_eq!(found, number);
        }
    });
}

#[test]
fn of_a_closed_queue() {
    isolated(|| {
        let queue = Queue::bounded(9).unwrap();
        queue.put_many([1, 2]).unwrap();
        queue.close();
        let first = queue.lease().unwrap();
        let second = queue.lease().unwrap();
        // A message may come back.
        assert!(queue.lease_timeout(Duration::from_millis(20)).unwrap_err().is_timeout());
        assert!(queue.try_get().unwrap_err().is_closed());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                assert_eq!(queue.lease().unwrap().done(), 2);
                queue.lease().unwrap_err().is_closed()
            });
            drop(second);
            first.done();
            assert!(waiting.join().unwrap());
        });
    });
}

#[test]
fn as_many_as_there_can_be() {
    isolated(|| {
        let queue = Queue::unbounded().unwrap();
        queue.put_many(0..100u32).unwrap();
        let mut leases: Vec<_> = std::iter::from_fn(|| queue.try_lease().ok()).collect();
        assert_eq!(leases.len(), 80);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.lease().unwrap().done());
            leases.pop().unwrap().done();
            assert_eq!(waiting.join().unwrap(), 80);
        });
        drop(leases);
        assert_eq!(queue.len(), 79 + 19);
    });
}

#[test]
fn with_handles() {
    on_both(Limit::default(), |_| {
        let queue = Queue::unbounded().unwrap();
        for count in [1usize, 2, 300] {
            let (ends, writers): (Vec<_>, Vec<_>) = (0..count).map(|_| one_way::<usize>().unwrap()).unzip();
            queue.put(writers).unwrap();
            let child = Process::spawn(queue.clone(), |queue: Queue<Vec<_>>| -> () {
                let lease = queue.lease().unwrap();
                for writer in &*lease {
                    writer.send(1).unwrap();
                }
                std::process::abort()
            });
            assert!(child.unwrap().join().is_err());
            drop(queue.lease().unwrap());
            let (end, writer) = one_way::<usize>().unwrap();
            queue.put(vec![writer]).unwrap();
            let lease = queue.lease().unwrap();
            assert!(lease.is_redelivered() && lease.len() == count);
            let other = queue.lease().unwrap();
            assert_eq!((other.is_redelivered(), other.len()), (false, 1));
            for writer in lease.done() {
                writer.send(2).unwrap();
            }
            other.done();
            for end in ends.into_iter() {
                assert_eq!((end.recv().unwrap(), end.recv().unwrap()), (1, 2));
                assert!(end.recv().unwrap_err().is_eof(), "a copy is left");
            }
            assert!(end.recv().unwrap_err().is_eof(), "a copy is left");
        }
    });
}
