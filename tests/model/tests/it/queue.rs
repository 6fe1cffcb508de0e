//! The queue, with kills at every step: nothing accepted is lost, nothing comes twice, nobody hangs.

use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU64, Ordering};
use multiproc_model::{End, Explorer, say, shared, unless_full};
use multiproc_queue::ring::{
    Broken, Control, Fault, Memory, OutOfMemory, PutFault, Record, Ring, Shape, Sink,
};

const CHUNKS: usize = 3;
const WORDS: usize = 4;

#[repr(C)]
struct World {
    control: Control,
    chunks: [[AtomicU64; WORDS]; CHUNKS],
    /// For each message whether its put has returned, and how often it was got, or leased and done.
    put: [AtomicU64; 8],
    got: [AtomicU64; 8],
    /// How often each message was leased for the first time.
    first: [AtomicU64; 8],
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

    fn allocate(&self, index: u32) -> Result<u32, OutOfMemory> {
        Ok(index + 1)
    }
}

/// One record of words that are all its value.
#[derive(Default)]
struct One {
    value: u64,
    left: usize,
}

impl Sink for One {
    fn begin(&mut self, len: usize, token: Option<u64>) {
        assert!(len.is_multiple_of(8) && token.is_none());
        self.left = len / 8;
        self.value = 0;
    }

    fn words(&mut self, words: &[AtomicU64]) {
        for word in words {
            let word = word.load(Ordering::Relaxed);
            assert!(self.value == 0 || self.value == word, "a record of two messages");
            self.value = word;
        }
        self.left -= words.len();
    }

    fn forget(&mut self) {
        self.value = 0;
    }
}

fn ring(capacity: u32) -> Ring<Model> {
    Ring::attach(Model, Shape { capacity, max_chunks: CHUNKS as u32, chunk_words: WORDS as u32 })
}

fn put(ring: &Ring<Model>, value: u64) {
    put_long(ring, value, 1);
}

/// Puts a record of that many words.
fn put_long(ring: &Ring<Model>, value: u64, words: usize) {
    let bytes = [value.to_le_bytes(); 4];
    let record = Record { bytes: bytes[..words].as_flattened(), parcel: None };
    match ring.put(&[record], Deadline::NEVER) {
        // Not a step of its own: the caller knows when `put` has returned.
        Ok(()) => mark(&shared::<World>().put[value as usize]),
        Err(PutFault { done: 0, fault: Fault::Closed }) => {}
        Err(fault) => panic!("{fault:?}"),
    }
}

fn get(ring: &Ring<Model>) -> Option<u64> {
    let mut one = One::default();
    match ring.take(1, Deadline::NEVER, &mut one) {
        Ok(()) => {
            mark(&shared::<World>().got[one.value as usize]);
            Some(one.value)
        }
        Err(Fault::Closed) => None,
        Err(fault) => panic!("{fault:?}"),
    }
}

/// Leases a record, and lets it be done or not; tells whether there was one.
fn lease(ring: &Ring<Model>, is_done: bool) -> bool {
    let mut one = One::default();
    match ring.lease(Deadline::NEVER, &mut one) {
        Ok(leased) => {
            let world = shared::<World>();
            if !leased.is_redelivered {
                mark(&world.first[one.value as usize]);
            }
            if is_done {
                // Before it is done for others: it may be so when this dies.
                mark(&world.got[one.value as usize]);
            }
            ring.end(&leased, is_done, |_| unreachable!("no handles are kept"));
            true
        }
        Err(Fault::Closed) => false,
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
    say(format_args!(
        "queue: {producers} + {consumers}, {operations} operations, capacity {capacity}, {kills} kills: {figures}"
    ));
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

/// Three processes, two operations each, two kills: minutes, so not all of it on every run.
#[test]
fn three_by_two_by_two() {
    explore(1, 2, 2, 1, 2, unless_full(1_000_000));
    explore(2, 1, 2, 1, 2, unless_full(1_000_000));
}

/// What each process of a model does.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Puts records of that many words.
    Put(&'static [usize]),
    /// Puts that many records of a word in one call.
    PutMany(usize),
    Get(usize),
    /// Gets until it is closed and empty.
    Drain,
    /// Leases, and lets the lease be done or not.
    Lease(&'static [bool]),
    /// Leases and lets it be done until it is closed and nobody has a lease.
    LeaseAll,
    Close,
    Join,
}

/// What was put by process `process`, counted from 0.
fn value(process: usize, operation: usize) -> u64 {
    (process * 3 + operation + 1) as u64
}

fn play(parts: &'static [Part], capacity: u32, kills: usize, limit: usize) {
    let program = move |process: usize| {
        let ring = ring(capacity);
        match parts[process] {
            Part::Put(lengths) => {
                for (operation, words) in lengths.iter().enumerate() {
                    put_long(&ring, value(process, operation), *words);
                }
            }
            Part::PutMany(count) => {
                let bytes: [[u8; 8]; 3] = std::array::from_fn(|at| value(process, at).to_le_bytes());
                let records: [Record<'_>; 3] =
                    std::array::from_fn(|at| Record { bytes: &bytes[at], parcel: None });
                ring.put(&records[..count], Deadline::NEVER).unwrap();
                for operation in 0..count {
                    mark(&shared::<World>().put[value(process, operation) as usize]);
                }
            }
            Part::Get(count) => {
                for _ in 0..count {
                    get(&ring);
                }
            }
            Part::Drain => while get(&ring).is_some() {},
            Part::Lease(ends) => {
                for is_done in ends {
                    lease(&ring, *is_done);
                }
            }
            Part::LeaseAll => while lease(&ring, true) {},
            Part::Close => ring.close(),
            Part::Join => {
                assert!(ring.wait_done(Deadline::NEVER));
            }
        }
    };
    let check = move |end: &End| {
        let world = shared::<World>();
        let ring = ring(capacity);
        let (put, got, first) = (values(&world.put), values(&world.got), values(&world.first));
        let dead = end.dead.iter().filter(|dead| **dead).count() as u64;
        let again: u64 = got.iter().map(|times| times.saturating_sub(1)).sum();
        // What was leased may be done twice if the one who did it first died before that was said.
        if again > dead || first.iter().any(|times| *times > 1) {
            return Err(format!("something came twice: {got:?}, first {first:?}, {dead} dead"));
        }
        let accepted: u64 = put.iter().sum();
        let seen = got.iter().filter(|times| **times > 0).count() as u64;
        let left = ring.waiting() as u64;
        if seen + left + dead < accepted || seen + left > accepted + 3 * dead {
            return Err(format!("{accepted} accepted, {seen} got, {left} left, {dead} dead"));
        }
        let is_closed = ring.is_closed();
        for (process, _) in end.asleep.iter().enumerate().filter(|(_, asleep)| **asleep) {
            let is_right = match parts[process] {
                Part::Put(_) | Part::PutMany(_) => !is_closed && !ring.is_done(),
                Part::Get(_) | Part::Drain => !is_closed && left == 0,
                Part::Lease(_) | Part::LeaseAll => !is_closed && left == 0,
                Part::Join => !ring.is_done(),
                Part::Close => false,
            };
            if !is_right {
                return Err(format!("process {process} sleeps beside {left} records: {end:?}"));
            }
        }
        Ok(())
    };
    let mut explorer =
        Explorer::new(parts.len()).kills(kills).limit(limit).begin(move || ring(capacity).prepare().unwrap());
    if kills > 0 {
        // A lease's end and what tells of it are two steps; the next look finds the first without the second.
        explorer = explorer.time_outs();
    }
    let figures = explorer.explore(program, check).unwrap_or_else(|failure| panic!("{parts:?}: {failure}"));
    say(format_args!("queue: {parts:?}, capacity {capacity}, {kills} kills: {figures}"));
    assert!(figures.complete || limit < usize::MAX);
}

#[test]
fn records_that_cross_chunks() {
    const LONG: Part = Part::Put(&[3, 2]);
    play(&[LONG, Part::Get(2)], 2, 0, usize::MAX);
    play(&[LONG, Part::Get(2)], 2, 1, usize::MAX);
    play(&[Part::Put(&[3]), Part::Put(&[3]), Part::Get(2)], 2, 1, unless_full(2_000_000));
    play(&[Part::Put(&[3, 3]), Part::Get(2)], 2, 2, usize::MAX);
}

#[test]
fn batches() {
    play(&[Part::PutMany(3), Part::Get(3)], 2, 1, usize::MAX);
    play(&[Part::PutMany(2), Part::Get(1), Part::Get(1)], 2, 1, unless_full(2_000_000));
}

#[test]
fn closing() {
    play(&[Part::Put(&[1]), Part::Drain, Part::Close], 1, 1, unless_full(2_000_000));
    play(&[Part::Put(&[1, 1]), Part::Close], 1, 1, usize::MAX);
    play(&[Part::Drain, Part::Drain, Part::Close], 1, 1, unless_full(2_000_000));
}

#[test]
fn leases() {
    const TWO: Part = Part::Put(&[1, 1]);
    play(&[TWO, Part::Lease(&[true, true])], 2, 0, usize::MAX);
    play(&[TWO, Part::Lease(&[true, true])], 2, 1, usize::MAX);
    play(&[Part::Put(&[1]), Part::Lease(&[false, true])], 1, 1, usize::MAX);
    play(&[Part::Put(&[1]), Part::Lease(&[true]), Part::Lease(&[true])], 1, 0, unless_full(2_000_000));
    play(&[Part::Put(&[1]), Part::Lease(&[true]), Part::Lease(&[true])], 1, 1, unless_full(3_000_000));
    play(&[Part::Put(&[1]), Part::Lease(&[false]), Part::Get(1)], 1, 0, unless_full(3_000_000));
    play(&[Part::Put(&[1]), Part::Lease(&[false]), Part::Get(1)], 1, 1, unless_full(3_000_000));
}

#[test]
fn leased_records_keep_their_chunks() {
    play(&[Part::Put(&[3, 3]), Part::Lease(&[true, true])], 2, 0, usize::MAX);
    play(&[Part::Put(&[3, 3]), Part::Lease(&[true, true])], 2, 1, usize::MAX);
    play(&[Part::Put(&[3, 3]), Part::Lease(&[false, true]), Part::Get(1)], 2, 0, unless_full(3_000_000));
}

#[test]
fn joining() {
    play(&[Part::Put(&[1]), Part::Lease(&[true]), Part::Join], 1, 0, unless_full(2_000_000));
    play(&[Part::Put(&[1]), Part::Lease(&[true]), Part::Join], 1, 1, unless_full(3_000_000));
}

#[test]
fn leases_of_a_closed_queue() {
    play(&[Part::Put(&[1]), Part::LeaseAll, Part::Close], 1, 1, unless_full(3_000_000));
    play(&[Part::Lease(&[true]), Part::LeaseAll, Part::Close], 1, 1, unless_full(3_000_000));
}
