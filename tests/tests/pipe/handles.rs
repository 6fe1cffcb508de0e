use multiproc_core::sys::fd::set_descriptor_limit;
use multiproc_pipe::{Connection, Fd, PipeWriter, one_way, pipe};
use multiproc_process::Process;
use multiproc_tests::{Bytes, Limit, isolated, on_both, proc};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::Duration;

#[test]
fn a_connection_over_a_connection() {
    on_both(Limit::default(), |_| {
        type Inner = Connection<u32, u32>;
        let (ours, theirs) = pipe::<Option<Inner>, Inner>().unwrap();
        let child = Process::spawn(theirs, |theirs: Connection<Inner, Option<Inner>>| {
            // Takes one end, makes a pair of its own and sends an end of that.
            let inner = theirs.recv().unwrap().unwrap();
            inner.send(inner.recv().unwrap() + 1).unwrap();
            let (mine, yours) = pipe::<u32, u32>().unwrap();
            theirs.send(yours).unwrap();
            mine.send(mine.recv().unwrap() * 2).unwrap();
        });
        let (a, b) = pipe::<u32, u32>().unwrap();
        ours.send(Some(b)).unwrap();
        a.send(1).unwrap();
        assert_eq!(a.recv().unwrap(), 2);
        let c = ours.recv().unwrap();
        c.send(21).unwrap();
        assert_eq!(c.recv().unwrap(), 42);
        assert!(c.recv().unwrap_err().is_eof());
        assert!(a.recv().unwrap_err().is_eof());
        child.unwrap().join().unwrap();
    });
}

#[test]
fn more_handles_than_one_system_call_takes() {
    isolated(|| {
        let (reader, writer) = one_way::<Vec<PipeWriter<usize>>>().unwrap();
        for count in [1, 252, 253, 254, 506, 507, 1000] {
            let (ends, writers): (Vec<_>, Vec<_>) = (0..count).map(|_| one_way::<usize>().unwrap()).unzip();
            std::thread::scope(|scope| {
                scope.spawn(|| writer.send(writers).unwrap());
                for (number, writer) in reader.recv().unwrap().into_iter().enumerate() {
                    writer.send(number).unwrap();
                }
            });
            for (number, end) in ends.iter().enumerate() {
                assert_eq!(end.recv().unwrap(), number, "{count} handles");
                assert!(end.recv().unwrap_err().is_eof(), "{count} handles: a copy of {number} is left");
            }
        }
    });
}

#[test]
fn files_share_their_offset() {
    on_both(Limit::default(), |_| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        file.rewind().unwrap();
        let (reader, writer) = one_way::<Fd<File>>().unwrap();
        let child = Process::spawn(reader, |reader| {
            let mut bytes = [0; 4];
            reader.recv().unwrap().read_exact(&mut bytes).unwrap();
            bytes
        });
        writer.send(Fd::new(file.try_clone().unwrap())).unwrap();
        assert_eq!(&child.unwrap().join().unwrap(), b"0123");
        let mut rest = String::new();
        file.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "456789");
    });
}

#[test]
fn a_message_that_cannot_be_sent_comes_back_with_its_handles() {
    isolated(|| {
        let before = proc::own_descriptors().len();
        let (ours, theirs) = pipe::<(u8, Fd<File>), ()>().unwrap();
        drop(theirs);
        let error = ours.send((7, Fd::new(File::open("/dev/null").unwrap()))).unwrap_err();
        assert!(error.is_closed() && !error.is_encode(), "{error}");
        let (seven, file) = error.into_inner();
        assert_eq!((seven, file.metadata().unwrap().len()), (7, 0));
        drop((ours, file));
        assert_eq!(proc::own_descriptors().len(), before);
    });
}

#[test]
fn handles_that_nobody_receives_are_closed() {
    isolated(|| {
        let before = proc::own_descriptors().len();
        let (end, writer) = one_way::<u8>().unwrap();
        let (ours, theirs) = pipe::<PipeWriter<u8>, PipeWriter<u8>>().unwrap();
        ours.send(writer).unwrap();
        assert!(!end.poll(Duration::ZERO).unwrap(), "in flight it is open");
        drop((ours, theirs));
        assert!(end.recv().unwrap_err().is_eof());
        // Received as another type.
        let (ours, theirs) = pipe::<Fd<File>, ()>().unwrap();
        let (strange, _) = pipe::<(), u32>().unwrap();
        drop(strange);
        ours.send(Fd::new(File::open("/dev/null").unwrap())).unwrap();
        assert!(!theirs.recv_bytes().unwrap().is_empty(), "the bytes alone");
        drop((ours, theirs, end));
        assert_eq!(proc::own_descriptors().len(), before);
    });
}

#[test]
fn an_arrival_for_which_there_is_no_room_is_an_error() {
    isolated(|| {
        let (reader, writer) = one_way::<Vec<Fd<File>>>().unwrap();
        let files = (0..100).map(|_| Fd::new(File::open("/dev/null").unwrap())).collect();
        writer.send(files).unwrap();
        let open = proc::own_descriptors();
        set_descriptor_limit(Some(open.len() as u64 + 50)).unwrap();
        let error = reader.recv().unwrap_err();
        assert!(error.is_out_of_descriptors() && !error.is_decode() && !error.is_torn(), "{error}");
        assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
        assert_eq!(proc::own_descriptors().len(), open.len(), "those that came are closed");
        // That message alone is lost, and for the next one the limit is raised.
        let again = |count| (0..count).map(|_| Fd::new(File::open("/dev/null").unwrap())).collect();
        writer.send(again(1)).unwrap();
        writer.send(again(100)).unwrap();
        assert_eq!(reader.recv().unwrap().len(), 1);
        assert_eq!(reader.recv().unwrap().len(), 100);
    });
}

#[test]
fn a_long_message_that_lost_its_handles_is_read_to_its_end() {
    isolated(|| {
        let (reader, writer) = one_way::<(Bytes, Vec<Fd<File>>)>().unwrap();
        let files = |count| (0..count).map(|_| Fd::new(File::open("/dev/null").unwrap())).collect();
        std::thread::scope(|scope| {
            // More than a socket holds, in several batches: the limit is lowered before the last of it is written.
            let all = files(600);
            set_descriptor_limit(Some(proc::own_descriptors().len() as u64 + 650)).unwrap();
            let sender = scope.spawn(|| {
                writer.send((Bytes::patterned(1 << 20), all)).unwrap();
                writer.send((Bytes::patterned(7), Vec::new())).unwrap();
            });
            assert!(reader.poll(Duration::from_secs(30)).unwrap());
            set_descriptor_limit(Some(3)).unwrap();
            assert!(reader.recv().unwrap_err().is_out_of_descriptors());
            assert!(reader.recv().unwrap().0.is_patterned(7));
            sender.join().unwrap();
        });
    });
}

#[test]
fn a_handle_for_which_there_is_no_room_here_raises_the_limit() {
    isolated(|| {
        let (reader, writer) = one_way::<Fd<File>>().unwrap();
        let file = Fd::new(File::open("/dev/null").unwrap());
        set_descriptor_limit(Some(64)).unwrap();
        let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(taken.len() < 64 && file.try_clone().is_err());
        writer.send(file).unwrap();
        assert_eq!(reader.recv().unwrap().metadata().unwrap().len(), 0);
    });
}
