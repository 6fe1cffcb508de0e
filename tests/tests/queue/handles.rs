use multiproc_core::sys::fd::set_descriptor_limit;
use multiproc_pipe::{Fd, PipeWriter, one_way, pipe};
use multiproc_process::Process;
use multiproc_queue::Queue;
use multiproc_tests::{Limit, isolated, on_both, proc};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::Duration;

#[derive(Serialize, Deserialize)]
struct Everything {
    shared: multiproc::Shared<u64>,
    bytes: multiproc::SharedBytes,
    queue: Queue<u32>,
    connection: multiproc_pipe::Connection<u8, u8>,
    file: Fd<File>,
}

#[test]
fn of_every_kind() {
    on_both(Limit::default(), |_| {
        let queue = Queue::bounded(4).unwrap();
        let answers = Queue::bounded(1).unwrap();
        let (ours, theirs) = pipe::<u8, u8>().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"text").unwrap();
        file.rewind().unwrap();
        queue
            .put(Everything {
                shared: multiproc::Shared::new(7).unwrap(),
                bytes: multiproc::SharedBytes::try_from(b"bytes".as_slice()).unwrap(),
                queue: answers.clone(),
                connection: theirs,
                file: Fd::new(file),
            })
            .unwrap();
        let child = Process::spawn(queue, |queue: Queue<Everything>| {
            let mut message = queue.get().unwrap();
            let mut text = String::new();
            message.file.read_to_string(&mut text).unwrap();
            assert_eq!((&*message.bytes, text.as_str(), *message.shared), (&b"bytes"[..], "text", 7));
            message.queue.put(1).unwrap();
            message.connection.send(2).unwrap();
        });
        assert_eq!((answers.get().unwrap(), ours.recv().unwrap()), (1, 2));
        child.unwrap().join().unwrap();
    });
}

#[test]
fn messages_with_and_without_keep_their_order() {
    isolated(|| {
        let queue = Queue::unbounded().unwrap();
        let mut ends = Vec::new();
        for number in 0u32..100 {
            let writer = (number % 3 == 0).then(|| {
                let (reader, writer) = one_way::<u32>().unwrap();
                ends.push(reader);
                writer
            });
            queue.put((number, writer)).unwrap();
        }
        let mut ends = ends.into_iter();
        let mut next = 0;
        while next < 100 {
            for (number, writer) in queue.get_many(10).unwrap() {
                assert_eq!(number, next);
                next += 1;
                if let Some(writer) = writer {
                    writer.send(number).unwrap();
                    drop(writer);
                    let reader = ends.next().unwrap();
                    assert_eq!(reader.recv().unwrap(), number);
                    assert!(reader.recv().unwrap_err().is_eof(), "a copy of {number} is left");
                }
            }
        }
    });
}

#[test]
fn more_than_one_packet_takes() {
    isolated(|| {
        let queue = Queue::unbounded().unwrap();
        for count in [0, 1, 252, 253, 254, 506, 507, 1000] {
            let (ends, writers): (Vec<_>, Vec<_>) = (0..count).map(|_| one_way::<usize>().unwrap()).unzip();
            queue.put(writers).unwrap();
            for (number, writer) in queue.get().unwrap().into_iter().enumerate() {
                writer.send(number).unwrap();
            }
            for (number, end) in ends.iter().enumerate() {
                assert_eq!(end.recv().unwrap(), number, "{count} handles");
                assert!(end.recv().unwrap_err().is_eof(), "{count} handles: a copy of {number} is left");
            }
        }
    });
}

#[test]
fn a_queue_inside_itself() {
    #[derive(Serialize, Deserialize)]
    struct Loop(Queue<Loop>, u32, Option<PipeWriter<u8>>);

    isolated(|| {
        let before = proc::own_descriptors().len();
        let queue = Queue::unbounded().unwrap();
        let with_queue = proc::own_descriptors().len();
        queue.put(Loop(queue.clone(), 1, None)).unwrap();
        let inner = queue.get().unwrap();
        inner.0.put(Loop(inner.0.clone(), 2, None)).unwrap();
        assert_eq!(queue.get().unwrap().1, 2);
        drop(inner);
        assert_eq!(proc::own_descriptors().len(), with_queue);
        // Left inside: nothing keeps it alive, and what else is inside is closed with it.
        let (end, writer) = one_way::<u8>().unwrap();
        queue.put(Loop(queue.clone(), 3, None)).unwrap();
        queue.put(Loop(queue.clone(), 4, Some(writer))).unwrap();
        assert!(!end.poll(Duration::ZERO).unwrap(), "in the queue it is open");
        drop(queue);
        assert!(end.recv().unwrap_err().is_eof());
        drop(end);
        assert_eq!(proc::own_descriptors().len(), before);
    });
}

#[test]
fn a_full_depot_makes_room_when_it_is_emptied() {
    isolated(|| {
        let queue = Queue::unbounded().unwrap();
        let null = || Fd::new(File::open("/dev/null").unwrap());
        let mut put = 0;
        let error = loop {
            match queue.try_put(vec![null()]) {
                Ok(()) => put += 1,
                Err(error) => break error,
            }
        };
        assert!(put > 200 && error.is_full_of_handles() && error.is_full(), "{put}: {error}");
        assert!(queue.put_timeout(vec![null()], Duration::from_millis(10)).unwrap_err().is_timeout());
        queue.put(vec![]).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..100 {
                    queue.put(vec![null()]).unwrap();
                }
            });
            for number in 0..put + 101 {
                assert_eq!(queue.get().unwrap().len(), usize::from(number != put), "{number}");
            }
        });
        assert!(queue.is_empty());
    });
}

#[test]
fn they_outlive_who_put_them_and_go_with_the_queue() {
    on_both(Limit::default(), |_| {
        let queue = Queue::unbounded().unwrap();
        let (end, writer) = one_way::<u8>().unwrap();
        let child = Process::spawn((queue.clone(), writer), |(queue, writer)| -> () {
            queue.put(writer).unwrap();
            std::process::abort()
        });
        assert!(child.unwrap().join().is_err());
        queue.get().unwrap().send(1).unwrap();
        assert_eq!(end.recv().unwrap(), 1);
        assert!(end.recv().unwrap_err().is_eof());
        let (end, writer) = one_way::<u8>().unwrap();
        queue.put(writer).unwrap();
        drop(queue);
        assert!(end.recv().unwrap_err().is_eof());
    });
}

#[test]
fn an_arrival_for_which_there_is_no_room_is_an_error() {
    isolated(|| {
        let queue = Queue::unbounded().unwrap();
        let files = |count| (0..count).map(|_| Fd::new(File::open("/dev/null").unwrap())).collect::<Vec<_>>();
        queue.put(files(100)).unwrap();
        let open = proc::own_descriptors().len();
        // The hard limit as well, so that it cannot be raised.
        multiproc_tests::raw::set_hard_descriptor_limit(open as u64 + 50);
        let error = queue.get().unwrap_err();
        assert!(error.is_handles() && error.to_string().contains("RLIMIT_NOFILE"), "{error}");
        assert_eq!(proc::own_descriptors().len(), open, "those that came are closed");
        queue.put(files(3)).unwrap();
        assert_eq!(queue.get().unwrap().len(), 3);
    });
}

#[test]
fn the_limit_is_raised_for_an_arrival() {
    isolated(|| {
        let queue = Queue::unbounded().unwrap();
        let files = |count| (0..count).map(|_| Fd::new(File::open("/dev/null").unwrap())).collect::<Vec<_>>();
        queue.put(files(100)).unwrap();
        let open = proc::own_descriptors().len();
        set_descriptor_limit(Some(open as u64 + 50)).unwrap();
        assert_eq!(queue.get().unwrap().len(), 100);
    });
}
