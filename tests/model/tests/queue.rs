//! The queue, with kills at every step: nothing accepted is lost, nothing comes twice, nobody hangs.
#![cfg(all(multiproc_model, target_arch = "x86_64", target_os = "linux"))]

use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU64, Ordering};
use multiproc_model::{End, Explorer, shared};
use multiproc_queue::ring::{Broken, Control, Fault, Memory, OutOfMemory, Record, Ring, Shape, Sink};

const CHUNKS: usize = 3;
const WORDS: usize = 4;

#[repr(C)]
struct World {
    control: Control,
    chunks: [[AtomicU64; WORDS]; CHUNKS],
    /// For each message whether its put has returned, and how often it was got.
    put: [AtomicU64; 8],
    got: [AtomicU64; 8],
}

#[derive(Clone, Copy, Debug)]
struct Model;

impl Memory for Model {
    fn control(&self) -> &Control {
        &shared::<World>().control
    }

    fn chunk(&self, index: u32) -> Result<&[AtomicU64], Broken> {
        shared::<World>().chunks.get(index as usize).map(|chunk| &chunk[..]).ok_or(Broken("no such chunk"))
    }

    fn allocate(&self, _: u32) -> Result<(), OutOfMemory> {
        Ok(())
    }
}

/// Records of one word, by their value.
#[derive(Default)]
struct One(u64);

impl Sink for One {
    fn begin(&mut self, len: usize, token: Option<u64>) {
        assert!(len == 8 && token.is_none());
    }

    fn words(&mut self, words: &[AtomicU64]) {
        self.0 = words[0].load(Ordering::Relaxed);
    }

    fn forget(&mut self) {
        self.0 = 0;
    }
}

fn ring(capacity: u32) -> Ring<Model> {
    Ring::attach(Model, Shape { capacity, max_chunks: CHUNKS as u32, chunk_words: WORDS as u32 })
}

fn put(ring: &Ring<Model>, value: u64) {
    ring.put(&[Record { bytes: &value.to_le_bytes(), parcel: None }], Deadline::NEVER).unwrap();
    // Not a step of its own: the caller knows when `put` has returned.
    mark(&shared::<World>().put[value as usize]);
}

fn get(ring: &Ring<Model>) -> Option<u64> {
    let mut one = One::default();
    match ring.take(1, Deadline::NEVER, &mut one) {
        Ok(()) => {
            mark(&shared::<World>().got[one.0 as usize]);
            Some(one.0)
        }
        Err(Fault::Closed) => None,
        Err(fault) => panic!("{fault:?}"),
    }
}

fn mark(word: &AtomicU64) {
    word.fetch_add(1, Ordering::Relaxed);
}

fn values(words: &[AtomicU64]) -> Vec<u64> {
    words.iter().map(|word| word.load(Ordering::Relaxed)).collect()
}

/// Producers put `operations` values each, consumers get as many each.
fn explore(producers: usize, consumers: usize, operations: usize, capacity: u32, kills: usize, limit: usize) {
    let program = move |process: usize| {
        let ring = ring(capacity);
        for operation in 0..operations {
            if process < producers {
                put(&ring, (process * operations + operation + 1) as u64);
            } else {
                get(&ring);
            }
        }
    };
    let check = move |end: &End| {
        let world = shared::<World>();
        let ring = ring(capacity);
        let (put, got) = (values(&world.put), values(&world.got));
        if got.iter().any(|times| *times > 1) {
            return Err(format!("something came twice: {got:?}"));
        }
        let dead = end.dead.iter().filter(|dead| **dead).count() as u64;
        let accepted: u64 = put.iter().sum();
        let seen: u64 = got.iter().sum();
        // Each of the dead may have put without having said so, or taken one with it.
        let left = u64::from(ring.len());
        if seen + left + dead < accepted || seen + left > accepted + dead {
            return Err(format!("{accepted} accepted, {seen} got, {left} left, {dead} dead"));
        }
        for (process, asleep) in end.asleep.iter().enumerate() {
            let is_right = if process < producers { left == u64::from(capacity) } else { left == 0 };
            if *asleep && !is_right {
                return Err(format!("process {process} sleeps beside {left} records: {end:?}"));
            }
        }
        Ok(())
    };
    let figures = Explorer::new(producers + consumers)
        .kills(kills)
        .limit(limit)
        .begin(move || ring(capacity).prepare().unwrap())
        .explore(program, check)
        .unwrap_or_else(|failure| panic!("{failure}"));
    println!(
        "queue: {producers} + {consumers}, {operations} operations, capacity {capacity}, {kills} kills: {figures:?}"
    );
}

#[test]
fn small() {
    explore(1, 1, 1, 1, 1, usize::MAX);
    explore(1, 1, 2, 1, 0, usize::MAX);
    explore(1, 1, 2, 1, 2, usize::MAX);
    explore(1, 1, 3, 2, 1, usize::MAX);
    explore(1, 2, 1, 1, 1, 10_000_000);
    explore(2, 1, 1, 1, 1, 10_000_000);
}
