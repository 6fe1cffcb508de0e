//! Models of the ring, every order tried that the memory model of C11 allows:
//! `RUSTFLAGS="--cfg loom" cargo test -p multiproc-queue --test loom --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use multiproc_core::Deadline;
use multiproc_queue::ring::{
    Batch, Broken, Control, End, Fault, Memory, OutOfMemory, Peers, Record, Ring, Shape,
};

const CHUNKS: usize = 3;
/// The links and one record of one word.
const WORDS: usize = 4;

/// The memory, and how many descriptors each end has.
struct World {
    control: Control,
    chunks: [[AtomicU64; WORDS]; CHUNKS],
    holders: [AtomicU64; 2],
}

impl World {
    fn new(producers: u64) -> World {
        World {
            control: Control::default(),
            chunks: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            holders: [AtomicU64::new(producers), AtomicU64::new(1)],
        }
    }
}

impl Memory for World {
    fn control(&self) -> &Control {
        &self.control
    }

    fn chunk(&self, index: u32) -> Result<&[AtomicU64], Broken> {
        self.chunks.get(index as usize).map(|chunk| &chunk[..]).ok_or(Broken("no such chunk"))
    }

    fn allocate(&self, index: u32) -> Result<u32, OutOfMemory> {
        Ok(index + 1)
    }
}

/// Who is at the other end; the kernel's count is a number here.
struct Other<'a, const ALONE: bool>(&'a AtomicU64);

impl<const ALONE: bool> Peers for Other<'_, ALONE> {
    const ALONE: bool = ALONE;

    fn are_gone(&self) -> bool {
        // A system call is a fence.
        self.0.load(Ordering::SeqCst) == 0
    }
}

fn put<const ALONE: bool>(ring: &Ring<World>, value: u64) -> Result<(), Fault> {
    let bytes = value.to_le_bytes();
    let other = Other::<ALONE>(&ring.memory().holders[End::Head as usize]);
    ring.put_among(&[Record { bytes: &bytes, rest: &[], parcel: None }], Deadline::NEVER, &other)
        .map_err(|fault| fault.fault)
}

fn take<const ALONE: bool>(ring: &Ring<World>) -> Result<u64, Fault> {
    let other = Other::<ALONE>(&ring.memory().holders[End::Tail as usize]);
    let mut batch = Batch::default();
    ring.take_among(1, Deadline::NEVER, &other, &mut batch)?;
    let (bytes, _) = batch.iter().next().unwrap();
    Ok(u64::from_le_bytes(bytes.try_into().unwrap()))
}

fn leave<const ALONE: bool>(ring: &Ring<World>, end: End) {
    // SeqCst: in the place of a system call, which closes a descriptor of the end.
    ring.memory().holders[end as usize].fetch_sub(1, Ordering::SeqCst);
    if ALONE { ring.leave_alone(end, true) } else { ring.leave(end) }
}

/// More switches between threads than bugs of orderings need; without a bound it takes days.
fn check(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(f);
}

fn ring(producers: u64) -> Arc<Ring<World>> {
    let shape = Shape { capacity: 1, max_chunks: CHUNKS as u32, chunk_words: WORDS as u32 };
    let ring = Arc::new(Ring::attach(World::new(producers), shape));
    ring.prepare().unwrap();
    ring
}

fn model<const ALONE: bool>(puts: u64, takes: u64, preemptions: usize) {
    check(preemptions, move || {
        let ring = ring(1);
        let producer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                for value in 1..=puts {
                    match put::<ALONE>(&ring, value) {
                        Ok(()) => {}
                        Err(Fault::Closed) if takes < puts => break,
                        Err(fault) => panic!("{fault:?}"),
                    }
                }
                leave::<ALONE>(&ring, End::Tail);
            })
        };
        for value in 1..=takes {
            match take::<ALONE>(&ring) {
                Ok(got) => assert_eq!(got, value),
                Err(Fault::Closed) => assert!(value > puts, "the end came before number {value}"),
                Err(fault) => panic!("{fault:?}"),
            }
        }
        leave::<ALONE>(&ring, End::Head);
        producer.join().unwrap();
    });
}

#[test]
fn one_to_one_without_locks() {
    model::<true>(1, 1, 3);
    model::<true>(1, 2, 2);
    model::<true>(2, 2, 2);
    model::<true>(2, 1, 2);
}

#[test]
fn with_locks() {
    model::<false>(1, 1, 2);
    model::<false>(1, 2, 2);
}

#[test]
fn the_last_of_several_ends_is_noticed() {
    check(1, || {
        let ring = ring(2);
        let producers: Vec<_> = (1..=2)
            .map(|value| {
                let ring = Arc::clone(&ring);
                thread::spawn(move || {
                    if value == 1 {
                        put::<false>(&ring, value).unwrap();
                    }
                    leave::<false>(&ring, End::Tail);
                })
            })
            .collect();
        assert_eq!(take::<false>(&ring).unwrap(), 1, "the end came before what had been put");
        assert!(matches!(take::<false>(&ring), Err(Fault::Closed)));
        producers.into_iter().for_each(|producer| producer.join().unwrap());
    });
}

#[test]
fn who_joins_sees_what_was_done() {
    check(2, || {
        let ring = ring(1);
        put::<false>(&ring, 1).unwrap();
        let work = Arc::new(AtomicU64::new(0));
        let worker = {
            let (ring, work) = (Arc::clone(&ring), Arc::clone(&work));
            thread::spawn(move || {
                let leased = ring.lease(Deadline::NEVER, &mut Batch::default()).unwrap();
                work.store(1, Ordering::Relaxed);
                ring.end(&leased, true, |_| ());
            })
        };
        assert!(ring.wait_done(Deadline::NEVER));
        assert_eq!(work.load(Ordering::Relaxed), 1, "it is done, and what was done is not seen");
        worker.join().unwrap();
    });
}
