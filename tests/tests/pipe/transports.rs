//! Every handle through every transport, in every order.

use multiproc::Pool;
use multiproc::shm::{BytesPool, PooledBytes, Shared, SharedBytes, SharedBytesMut, SharedSlice};
use multiproc::sync::{Mutex, Semaphore};
use multiproc_pipe::{Connection, Fd, PipeReader, PipeWriter, one_way, pipe};
use multiproc_process::{Func, Process};
use multiproc_queue::{Queue, Receiver, Sender, SpscReceiver, SpscSender, channel, spsc};
use multiproc_tests::{Limit, isolated, on_both};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// One of each kind, nested as users nest them.
#[derive(Debug, Serialize, Deserialize)]
struct Luggage {
    queue: Queue<u32>,
    memory: (Shared<AtomicU32>, Shared<Mutex<u32>>, Option<Shared<Semaphore>>),
    bytes: Vec<SharedBytes>,
    pooled: PooledBytes,
    slice: SharedSlice<u64>,
    channel: (Sender<u32>, Receiver<u32>),
    single: (SpscSender<u32>, SpscReceiver<u32>),
    ends: Ends,
    file: Result<Fd<File>, String>,
    function: Func<u32, u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ends {
    there: Connection<u32, u32>,
    back: Connection<u32, u32>,
    reader: PipeReader<u32>,
    writer: PipeWriter<u32>,
}

fn pack(pool: &BytesPool) -> Luggage {
    let (there, back) = pipe().unwrap();
    let (reader, writer) = one_way().unwrap();
    let mut bytes = SharedBytesMut::zeroed(5000).unwrap();
    bytes[4999] = 7;
    let mut pooled = pool.take().unwrap();
    pooled[0] = 8;
    Luggage {
        queue: Queue::bounded(8).unwrap(),
        memory: (
            Shared::new(AtomicU32::new(0)).unwrap(),
            Shared::new(Mutex::new(0)).unwrap(),
            Some(Shared::new(Semaphore::new(1)).unwrap()),
        ),
        bytes: vec![bytes.freeze().unwrap()],
        pooled: pooled.freeze(),
        slice: SharedSlice::from_slice(&[1, 2, 3]).unwrap(),
        channel: channel(4).unwrap(),
        single: spsc(4).unwrap(),
        ends: Ends { there, back, reader, writer },
        file: Ok(Fd::new(tempfile::tempfile().unwrap())),
        function: Func::new(|number| number + 1),
    }
}

/// Uses each of them.
fn unpack(luggage: &mut Luggage) {
    let Luggage { queue, memory, bytes, pooled, slice, channel, single, ends, file, function } = luggage;
    let stop = memory.0.fetch_add(1, Ordering::Relaxed);
    *memory.1.lock().unwrap() += 1;
    drop(memory.2.as_ref().unwrap().try_acquire().unwrap());
    queue.put(stop).unwrap();
    assert_eq!(queue.get().unwrap(), stop);
    assert_eq!((bytes[0][4999], pooled[0]), (7, 8));
    slice.set(0, slice.load(0) + 1);
    channel.0.send(stop).unwrap();
    assert_eq!(channel.1.recv().unwrap(), stop);
    single.0.send(stop).unwrap();
    assert_eq!(single.1.recv().unwrap(), stop);
    ends.there.send(stop).unwrap();
    assert_eq!(ends.back.recv().unwrap(), stop);
    ends.writer.send(stop).unwrap();
    assert_eq!(ends.reader.recv().unwrap(), stop);
    file.as_mut().unwrap().write_all(&[stop as u8]).unwrap();
    assert_eq!(function.call(stop), stop + 1);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    Spawn,
    Queue,
    Pipe,
    Pool,
}

/// Uses the luggage and goes on by the next way; it comes back by the way that it went.
fn travel((mut luggage, mut ways): (Luggage, Vec<Way>)) -> Luggage {
    unpack(&mut luggage);
    let Some(way) = ways.pop() else { return luggage };
    let daemon = || Process::builder().daemon(true);
    match way {
        Way::Spawn => daemon().spawn((luggage, ways), travel).unwrap().join().unwrap(),
        Way::Queue => {
            let (there, back) = (Queue::unbounded().unwrap(), Queue::unbounded().unwrap());
            let child = daemon().spawn((there.clone(), back.clone()), |(there, back)| {
                back.put(travel(there.get().unwrap())).unwrap();
            });
            there.put((luggage, ways)).unwrap();
            let luggage = back.get().unwrap();
            child.unwrap().join().unwrap();
            luggage
        }
        Way::Pipe => {
            let (ours, theirs) = pipe::<(Luggage, Vec<Way>), Luggage>().unwrap();
            let child = daemon().spawn(theirs, |theirs: Connection<Luggage, (Luggage, Vec<Way>)>| {
                theirs.send(travel(theirs.recv().unwrap())).unwrap();
            });
            ours.send((luggage, ways)).unwrap();
            let luggage = ours.recv().unwrap();
            child.unwrap().join().unwrap();
            luggage
        }
        Way::Pool => Pool::new(1).unwrap().apply((luggage, ways), travel).unwrap(),
    }
}

#[test]
fn every_handle_by_every_way_in_every_order() {
    on_both(Limit(Duration::from_secs(120)), |_| {
        let all = [Way::Spawn, Way::Queue, Way::Pipe, Way::Pool];
        let mut orders = 0;
        for first in all {
            for second in all {
                for third in all {
                    let ways: Vec<Way> = [first, second, third].into_iter().collect();
                    if first == second || second == third || first == third {
                        continue;
                    }
                    // The fourth one is the one that is left.
                    let last = all.into_iter().find(|way| !ways.contains(way)).unwrap();
                    let ways: Vec<Way> = ways.into_iter().chain([last]).collect();
                    let pool = BytesPool::new(4096, 2).unwrap();
                    let mut luggage = travel((pack(&pool), ways.clone()));
                    // What came of a pool that is gone is forgotten with the last message.
                    drop(pool);
                    assert_eq!(luggage.memory.0.load(Ordering::Relaxed), 5, "{ways:?}");
                    assert_eq!(*luggage.memory.1.lock().unwrap(), 5, "{ways:?}");
                    assert_eq!(luggage.slice.load(0), 6, "{ways:?}");
                    let mut stamps = Vec::new();
                    let file = luggage.file.as_mut().unwrap();
                    file.rewind().unwrap();
                    file.read_to_end(&mut stamps).unwrap();
                    assert_eq!(stamps, [0, 1, 2, 3, 4], "{ways:?}");
                    orders += 1;
                }
            }
        }
        assert_eq!(orders, 24);
    });
}

#[test]
fn what_a_process_sent_that_died_right_after() {
    on_both(Limit::default(), |_| {
        for round in 0..20 {
            let pool = BytesPool::new(4096, 2).unwrap();
            let (ours, theirs) = pipe::<Luggage, Luggage>().unwrap();
            let (queue, depot) =
                (Queue::<Luggage>::bounded(2).unwrap(), Queue::<Luggage>::bounded(2).unwrap());
            depot.put(pack(&pool)).unwrap();
            let child =
                Process::builder().daemon(true).spawn(
                    (theirs, queue.clone(), depot.clone()),
                    |(theirs, queue, depot): (
                        Connection<Luggage, Luggage>,
                        Queue<Luggage>,
                        Queue<Luggage>,
                    )|
                     -> () {
                        // By the pipe what came by the pipe, by the queue what came by the queue; and no more.
                        theirs.send(theirs.recv().unwrap()).unwrap();
                        queue.put(depot.get().unwrap()).unwrap();
                        std::process::abort();
                    },
                );
            let child = child.unwrap();
            ours.send(pack(&pool)).unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(6), "round {round}");
            let mut arrived = [ours.recv().unwrap(), queue.get().unwrap()];
            drop(pool);
            arrived.iter_mut().for_each(unpack);
            assert!(ours.recv().unwrap_err().is_eof());
        }
    });
}

#[test]
fn a_handle_inside_a_handle_inside_a_handle() {
    isolated(|| {
        type One = Connection<(), Fd<File>>;
        type Two = PipeReader<Vec<One>>;
        let (outer, far) = pipe::<Option<Two>, ()>().unwrap();
        let (reader, writer) = one_way::<Vec<One>>().unwrap();
        let (inner, near) = pipe::<(), Fd<File>>().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"deep").unwrap();
        file.rewind().unwrap();
        near.send(Fd::new(file)).unwrap();
        writer.send(vec![inner]).unwrap();
        outer.send(Some(reader)).unwrap();
        drop((outer, writer, near));
        let mut text = String::new();
        let inner = far.recv().unwrap().unwrap().recv().unwrap().pop().unwrap();
        inner.recv().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "deep");
        assert!(inner.recv().unwrap_err().is_eof());
    });
}
