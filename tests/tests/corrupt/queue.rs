use crate::image::{LIMIT, Memory, Random, Tally, try_all};
use multiproc_core::codec;
use multiproc_queue::{GetError, Lease, PutError, Queue};
use multiproc_tests::{Bytes, isolated_for};
use std::fs::File;
use std::ops::Range;
use std::time::Duration;

// Where things are in a queue's memory; `the_places_are_these` sees to it.
pub(crate) const HEADER: Range<u64> = 0..64;
pub(crate) const NUMBERS: Range<u64> = 64..112;
pub(crate) const BELL: Range<u64> = 128..168;
pub(crate) const TAIL: Range<u64> = 256..352;
pub(crate) const HEAD: Range<u64> = 384..480;
pub(crate) const OWNERS: Range<u64> = 512..512 + 80 * 8;
pub(crate) const PLACES: Range<u64> = OWNERS.end..OWNERS.end + 80 * 32;
pub(crate) const RECORDS: Range<u64> = 4096..8192;
/// The words of the locks: one that says that another lives and owns it is believed, whoever waits without a limit.
pub(crate) const LOCKS: [u64; 2] = [TAIL.start, HEAD.start];
const CHUNK: u64 = 64 << 10;

pub(crate) type Item = (u32, Bytes, Option<multiproc_pipe::Fd<File>>);

pub(crate) fn item(number: u32) -> Item {
    let file = number.is_multiple_of(2).then(|| multiproc_pipe::Fd::new(File::open("/dev/null").unwrap()));
    (number, Bytes(vec![number as u8; 100]), file)
}

/// A queue with some history: three messages wait in it, one of them with a handle.
pub(crate) fn prepared() -> (Queue<Item>, Memory) {
    let queue = Queue::bounded(5).unwrap();
    (0..4).for_each(|number| queue.put(item(number)).unwrap());
    queue.get().unwrap();
    let memory = Memory::of(&queue);
    (queue, memory)
}

pub(crate) fn put_error<T>(error: &PutError<T>) -> bool {
    error.is_full()
        || error.is_closed()
        || error.is_corrupt()
        || error.is_too_large()
        || error.is_out_of_memory()
        || error.is_handles()
}

pub(crate) fn get_error(error: &GetError) -> bool {
    error.is_empty() || error.is_closed() || error.is_corrupt() || error.is_decode() || error.is_handles()
}

/// Does everything that has a limit of time.
pub(crate) fn use_all(queue: &Queue<Item>, tally: &mut Tally) {
    let soon = Duration::from_micros(200);
    tally.count(queue.try_get(), get_error);
    tally.count(queue.try_put(item(7)), put_error);
    tally.count(queue.try_lease().map(drop), get_error);
    tally.count(queue.get_timeout(soon), get_error);
    tally.count(queue.put_timeout(item(8), soon), put_error);
    tally.count(queue.lease_timeout(soon).map(Lease::done), get_error);
    tally.answer(queue.join_timeout(soon));
    assert!(queue.len() <= queue.capacity() + 80);
    tally.answer((queue.is_empty(), queue.is_full(), queue.is_closed()));
    for _ in 0..6 {
        tally.count(queue.try_get(), get_error);
    }
}

#[test]
fn the_places_are_these() {
    isolated_for(LIMIT, || {
        let (queue, memory) = prepared();
        let _leased = queue.lease().unwrap();
        let words = |places: Range<u64>| places.step_by(8).map(|at| memory.word(at)).collect::<Vec<_>>();
        assert_eq!(words(NUMBERS)[..2], [CHUNK, 5]);
        // One chunk in use, of which the memory is there, and two handles were sent.
        assert_eq!((words(TAIL)[5], words(TAIL)[7], words(TAIL)[10]), (1, 2, 1));
        assert_eq!(words(OWNERS)[0] as u32, std::process::id());
        assert_eq!((words(PLACES)[1], words(PLACES)[5]), (1, 0));
        // The first chunk's turn, and no chunk after it.
        assert_eq!(words(RECORDS)[..2], [1, 0]);
        // A free lock has no owner; what is put afterwards is behind what was.
        assert_eq!(LOCKS.map(|lock| memory.word(lock)), [0, 0]);
    });
}

#[test]
fn in_use() {
    isolated_for(LIMIT, || {
        let places = [BELL, TAIL, HEAD, OWNERS, PLACES, RECORDS, TAIL, HEAD, RECORDS];
        try_all("queue in use", 1, |random, tally| {
            let (queue, memory) = prepared();
            memory.damage(random, &places, &[]);
            tally.watch(|tally| use_all(&queue, tally));
            assert!(memory.allocated() < 4 << 20, "it grew to {}", memory.allocated());
        });
    });
}

#[test]
fn attached_to() {
    isolated_for(LIMIT, || {
        try_all("queue attached to", 1, |random, tally| {
            let (queue, memory) = prepared();
            // What cannot change, and beside it now and then what does.
            memory.damage(random, &[HEADER, NUMBERS], &[]);
            if random.one_in(3) {
                memory.damage(random, &[BELL, TAIL, HEAD, RECORDS], &[]);
            }
            attach_and_use(&queue, tally);
            assert!(memory.allocated() < 4 << 20, "it grew to {}", memory.allocated());
        });
    });
}

/// Ends leases in one way or the other, and does what is left.
pub(crate) fn finish(queue: &Queue<Item>, leases: Vec<Lease<Item>>, random: &mut Random, tally: &mut Tally) {
    for lease in leases {
        if random.one_in(2) {
            drop(lease.done())
        } else {
            drop(lease)
        }
        tally.answer(());
    }
    use_all(queue, tally);
}

fn attach_and_use(queue: &Queue<Item>, tally: &mut Tally) {
    let message = codec::encode(queue).unwrap();
    let fds = message.fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
    tally.watch(|tally| match codec::decode::<Queue<Item>>(&message.bytes, fds) {
        Ok(other) => use_all(&other, tally),
        Err(_) => tally.refused += 1,
    });
}

#[test]
fn with_a_name() {
    isolated_for(LIMIT, || {
        let name = format!("corrupt-{}", std::process::id());
        try_all("named queue", 4, |random, tally| {
            let queue = Queue::<u64>::builder().capacity(5).create_named(&name).unwrap();
            (0..4).for_each(|number| queue.put(number).unwrap());
            let memory = Memory::of(&queue);
            memory.damage(random, &[HEADER, NUMBERS, BELL, TAIL, HEAD, RECORDS], &[]);
            tally.watch(|tally| match Queue::<u64>::builder().open_named(&name) {
                Ok(other) => {
                    tally.count(other.try_put(7), put_error);
                    for _ in 0..6 {
                        tally.count(other.try_get(), get_error);
                    }
                    tally.count(other.try_lease().map(drop), get_error);
                    tally.answer((other.len(), other.is_full()));
                }
                Err(_) => tally.refused += 1,
            });
            Queue::<u64>::unlink(&name).unwrap();
        });
    });
}

#[test]
fn with_leases() {
    isolated_for(LIMIT, || {
        try_all("queue with leases", 1, |random, tally| {
            let queue = Queue::bounded(6).unwrap();
            (0..6).for_each(|number| queue.put(item(number)).unwrap());
            let mut leases: Vec<Lease<Item>> = (0..4).map(|_| queue.lease().unwrap()).collect();
            // Two are delivered again, one with a handle and one without.
            leases.truncate(2);
            let memory = Memory::of(&queue);
            // The first leases, mostly, and what is beside them.
            let first = [OWNERS.start..OWNERS.start + 48, PLACES.start..PLACES.start + 6 * 32];
            let places = [&first[0], &first[1], &first[1], &HEAD, &TAIL, &RECORDS, &OWNERS, &PLACES];
            memory.damage(random, &places.map(Range::clone), &LOCKS);
            tally.watch(|tally| {
                finish(&queue, leases, random, tally);
                if random.one_in(2) {
                    queue.close();
                    (0..8).for_each(|_| drop(tally.count(queue.try_lease().map(Lease::done), get_error)));
                }
            });
            assert!(memory.allocated() < 4 << 20, "it grew to {}", memory.allocated());
        });
    });
}

/// Chunks that are in use; more than are looked at before there is to be a new one.
const CHUNKS: u64 = 20;

#[test]
fn of_many_chunks() {
    isolated_for(LIMIT, || {
        let message = || (1u32, Bytes::patterned(60 << 10), None);
        // All but its random words is the same each time.
        try_all("queue of many chunks", 8, |random, tally| {
            let queue = Queue::<Item>::bounded(60).unwrap();
            queue.put_many((0..CHUNKS).map(|_| message())).unwrap();
            let memory = Memory::of(&queue);
            let links = (0..CHUNKS).map(|chunk| RECORDS.start + chunk * CHUNK).map(|begin| begin..begin + 48);
            let places: Vec<Range<u64>> =
                links.chain(std::iter::repeat_n(TAIL, 8)).chain(std::iter::repeat_n(HEAD, 4)).collect();
            memory.damage(random, &places, &[]);
            let before = memory.allocated();
            tally.watch(|tally| use_long(&queue, message, random, tally));
            let grown = memory.allocated().saturating_sub(before);
            assert!(grown < 4 << 20, "it grew by {grown}");
        });
    });
}

fn use_long(queue: &Queue<Item>, message: impl Fn() -> Item, random: &mut Random, tally: &mut Tally) {
    for _ in 0..3 {
        tally.count(queue.try_put(message()), put_error);
    }
    for _ in 0..CHUNKS {
        if random.one_in(3) {
            tally.count(queue.try_lease().map(Lease::done), get_error);
        } else {
            tally.count(queue.try_get(), get_error);
        }
    }
    tally.count(queue.try_put(message()), put_error);
}
