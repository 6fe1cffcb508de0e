//! One producer and one consumer without locks, each of which may leave or be killed at every step.

use crate::ring::{Model, One, World, ring};
use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU64, Ordering};
use multiproc_core::sync::thread::is_alive;
use multiproc_model::{End as Outcome, Explorer, shared};
use multiproc_queue::ring::{End, Fault, Peers, Record, Ring};

const PRODUCER: u64 = 0;
const CONSUMER: u64 = 1;

/// The other process, whose descriptor is closed by a drop, or by the kernel when it has died.
struct Other<const ALONE: bool>(u64);

impl<const ALONE: bool> Peers for Other<ALONE> {
    const ALONE: bool = ALONE;

    fn are_gone(&self) -> bool {
        // Acquire, as system calls are fences; one step, as the kernel's look is.
        shared::<World>().closed[self.0 as usize].load(Ordering::Acquire) != 0
            || !is_alive(multiproc_model::id(self.0 as usize))
    }
}

fn leave<const ALONE: bool>(ring: &Ring<Model>, end: End) {
    shared::<World>().closed[end as usize].store(1, Ordering::Release);
    if ALONE { ring.leave_alone(end, true) } else { ring.leave(end) }
}

fn produce<const ALONE: bool>(ring: &Ring<Model>, count: u64) {
    for value in 1..=count {
        let record = Record { bytes: &value.to_le_bytes(), rest: &[], parcel: None };
        match ring.put_among(&[record], Deadline::NEVER, &Other::<ALONE>(CONSUMER)) {
            // Not a step of its own: the caller knows when `put` has returned.
            Ok(()) => shared::<World>().put[0].store(value, Ordering::Relaxed),
            Err(fault) => {
                assert!(matches!(fault.fault, Fault::Closed), "{fault:?}");
                break;
            }
        }
    }
    leave::<ALONE>(ring, End::Tail);
}

fn consume<const ALONE: bool>(ring: &Ring<Model>, count: u64) {
    let world = shared::<World>();
    for value in 1..=count {
        let mut one = One::default();
        match ring.take_among(1, Deadline::NEVER, &Other::<ALONE>(PRODUCER), &mut one) {
            Ok(()) => {
                assert_eq!(one.value, value, "out of order");
                world.got[0].store(value, Ordering::Relaxed);
            }
            Err(Fault::Closed) => {
                world.ended.store(1, Ordering::Relaxed);
                break;
            }
            Err(fault) => panic!("{fault:?}"),
        }
    }
    leave::<ALONE>(ring, End::Head);
}

/// `puts` are tried, and `gets`; with bounded sleeps everybody comes to an end, without them all who can be woken.
fn explore<const ALONE: bool>(puts: u64, gets: u64, capacity: u32, kills: usize, bounded: bool) {
    let program = move |process: usize| {
        let ring = ring(capacity);
        if process == 0 { produce::<ALONE>(&ring, puts) } else { consume::<ALONE>(&ring, gets) }
    };
    let check = move |end: &Outcome| {
        let world = shared::<World>();
        let of = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let (put, got) = (of(&world.put[0]), of(&world.got[0]));
        // The dead one may have put one without having said so.
        let committed = put + u64::from(end.dead[0]);
        if got > committed {
            return Err(format!("{put} put, {got} got"));
        }
        if of(&world.ended) == 1 && got < put {
            return Err(format!("the end came before the rest: {put} put, {got} got"));
        }
        if bounded {
            return end.nobody_sleeps();
        }
        for process in 0..2 {
            // A death rings nothing where nobody holds a lock: who sleeps beside it wakes by itself.
            if end.asleep[process] && !end.dead[1 - process] {
                return Err(format!("process {process} sleeps and nobody died: {end:?}"));
            }
        }
        if end.asleep[1] && !ring(capacity).is_empty() {
            return Err(format!("the consumer sleeps beside records: {end:?}"));
        }
        Ok(())
    };
    let explorer = Explorer::new(2).kills(kills).begin(move || ring(capacity).prepare().unwrap());
    let explorer = if bounded { explorer.time_outs() } else { explorer };
    explorer.prove(
        format_args!(
            "one to one: alone {ALONE}, {puts} puts, {gets} gets, capacity {capacity}, {kills} kills, bounded {bounded}"
        ),
        program,
        check,
    );
}

fn all<const ALONE: bool>(puts: u64, gets: u64, capacity: u32) {
    explore::<ALONE>(puts, gets, capacity, 0, false);
    for kills in 1..=2 {
        explore::<ALONE>(puts, gets, capacity, kills, false);
        explore::<ALONE>(puts, gets, capacity, kills, true);
    }
}

#[test]
fn without_locks_everything_arrives_and_the_end_is_noticed() {
    all::<true>(1, 2, 1);
    all::<true>(2, 1, 1);
    all::<true>(3, 4, 1);
    all::<true>(4, 5, 2);
    all::<true>(4, 2, 2);
}

/// Controls: of drops that wake nobody, or wake before they close, the model says that they leave sleepers behind.
#[test]
fn a_careless_drop_is_found() {
    let careless: [fn(&Ring<Model>); 2] = [
        |_| shared::<World>().closed[End::Tail as usize].store(1, Ordering::Release),
        |ring| {
            ring.leave_alone(End::Tail, true);
            shared::<World>().closed[End::Tail as usize].store(1, Ordering::Release);
        },
    ];
    for leave in careless {
        let program = move |process: usize| {
            let ring = ring(1);
            if process == 0 { leave(&ring) } else { consume::<true>(&ring, 1) }
        };
        let explored =
            Explorer::new(2).begin(|| ring(1).prepare().unwrap()).explore(program, |end| end.nobody_sleeps());
        let failure = explored.expect_err("a sleeper beside a closed end");
        assert!(failure.what.contains("hang"), "{failure}");
    }
}

#[test]
fn with_locks_too() {
    all::<false>(1, 2, 1);
    all::<false>(2, 1, 1);
    all::<false>(2, 3, 2);
}
