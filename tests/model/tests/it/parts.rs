//! Programs of processes around one ring, and what must be so when none of them can go on.

use crate::ring::{CHUNKS, Handle, MESSAGES, Model, One, World, forget_kept, mark, ring, values};
use multiproc_core::Deadline;
use multiproc_core::sync::atomic::Ordering;
use multiproc_core::sync::thread::is_alive;
use multiproc_model::{End as Outcome, Explorer, Trouble, id, shared};
use multiproc_queue::ring::{End, Fault, Peers, PutFault, Record, Ring};

/// What a process of a model does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Puts records of that many words.
    Put(&'static [usize]),
    /// Puts so many records, each with a handle.
    PutHandles(usize),
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
    /// Puts so many as one of the senders of a channel, and leaves.
    Send(usize),
    /// Gets as the receiver of a channel until all senders have left or are dead.
    Receive,
}
use Part::{Close, Drain, Get, Join, Lease, LeaseAll, Put, PutHandles, PutMany, Receive, Send};

/// The senders of a channel, whose descriptors are closed by a drop, or by the kernel when they have died.
struct Senders(&'static [Part]);

/// The receivers, of which it is not asked.
struct Receivers;

impl Peers for Senders {
    const ALONE: bool = false;

    fn are_gone(&self) -> bool {
        let has_left = |at: usize| {
            // Acquire, as system calls are fences. Two looks are as one: who is gone stays gone.
            shared::<World>().closed[at].load(Ordering::Acquire) != 0 || !is_alive(id(at))
        };
        (0..self.0.len()).filter(|at| matches!(self.0[*at], Send(_))).all(has_left)
    }
}

impl Peers for Receivers {
    const ALONE: bool = false;

    fn are_gone(&self) -> bool {
        false
    }
}

/// What was put by process `process`, counted from 0.
fn value(process: usize, operation: usize) -> u64 {
    (process * 3 + operation + 1) as u64
}

/// Puts a record of that many words; a closed queue refuses.
fn put(ring: &Ring<Model>, value: u64, words: usize, has_handle: bool) {
    let bytes = [value.to_le_bytes(); 4];
    let handle = Handle { of: value };
    let record = Record {
        bytes: bytes[..words].as_flattened(),
        rest: &[],
        parcel: if has_handle { Some(&handle) } else { None },
    };
    match ring.put(&[record], Deadline::NEVER) {
        // Not a step of its own: the caller knows when `put` has returned.
        Ok(()) => mark(&shared::<World>().put[value as usize]),
        Err(PutFault { done: 0, fault: Fault::Closed }) => {}
        Err(fault) => panic!("{fault:?}"),
    }
}

fn get(ring: &Ring<Model>) -> bool {
    let mut one = One::default();
    match ring.take(1, Deadline::NEVER, &mut one) {
        Ok(()) => {
            one.check();
            mark(&shared::<World>().got[one.value as usize]);
            true
        }
        Err(Fault::Closed) => false,
        Err(fault) => panic!("{fault:?}"),
    }
}

/// Leases a record, and lets it be done or not; tells whether there was one.
fn lease(ring: &Ring<Model>, is_done: bool, may_come_again: bool) -> bool {
    let mut one = One::default();
    match ring.lease(Deadline::NEVER, &mut one) {
        Ok(leased) => {
            one.check();
            let world = shared::<World>();
            assert!(may_come_again || !leased.is_redelivered, "nobody died, and one was taken for dead");
            if !leased.is_redelivered {
                mark(&world.first[one.value as usize]);
            }
            if is_done {
                // Before it is done for others: it may be so when this dies.
                mark(&world.got[one.value as usize]);
            }
            ring.end(&leased, is_done, |is_open| forget_kept(is_open));
            true
        }
        Err(Fault::Closed) => false,
        Err(fault) => panic!("{fault:?}"),
    }
}

fn run(parts: &'static [Part], process: usize, capacity: u32, may_come_again: bool) {
    let ring = ring(capacity);
    match parts[process] {
        Put(lengths) => {
            for (operation, words) in lengths.iter().enumerate() {
                put(&ring, value(process, operation), *words, false);
            }
        }
        PutHandles(count) => {
            (0..count).for_each(|operation| put(&ring, value(process, operation), 1, true));
        }
        PutMany(count) => {
            let bytes: [[u8; 8]; 3] = std::array::from_fn(|at| value(process, at).to_le_bytes());
            let records: [Record<'_>; 3] =
                std::array::from_fn(|at| Record { bytes: &bytes[at], rest: &[], parcel: None });
            ring.put(&records[..count], Deadline::NEVER).unwrap();
            for operation in 0..count {
                mark(&shared::<World>().put[value(process, operation) as usize]);
            }
        }
        Get(count) => {
            for _ in 0..count {
                get(&ring);
            }
        }
        Drain => while get(&ring) {},
        Lease(ends) => {
            for is_done in ends {
                lease(&ring, *is_done, may_come_again);
            }
        }
        LeaseAll => while lease(&ring, true, may_come_again) {},
        Close => ring.close(),
        Join => assert!(ring.wait_done(Deadline::NEVER)),
        Send(count) => {
            for operation in 0..count {
                let value = value(process, operation);
                let record = Record { bytes: &value.to_le_bytes(), rest: &[], parcel: None };
                ring.put_among(&[record], Deadline::NEVER, &Receivers).unwrap();
                mark(&shared::<World>().put[value as usize]);
            }
            shared::<World>().closed[process].store(1, Ordering::Release);
            ring.leave(End::Tail);
        }
        Receive => loop {
            let mut one = One::default();
            match ring.take_among(1, Deadline::NEVER, &Senders(parts), &mut one) {
                Ok(()) => mark(&shared::<World>().got[one.value as usize]),
                Err(Fault::Closed) => {
                    mark(&shared::<World>().ended);
                    break;
                }
                Err(fault) => panic!("{fault:?}"),
            }
        },
    }
}

fn check(parts: &[Part], capacity: u32, end: &Outcome) -> Result<(), String> {
    let world = shared::<World>();
    let ring = ring(capacity);
    let (put, got, first) = (values(&world.put), values(&world.got), values(&world.first));
    let dead = end.dead.iter().filter(|dead| **dead).count() as u64;
    let again: u64 = got.iter().map(|times| times.saturating_sub(1)).sum();
    // What was leased may be done twice if the one who did it first died before that was said.
    let may_be_again = parts.iter().any(|part| matches!(part, Lease(_) | LeaseAll));
    if again > if may_be_again { dead } else { 0 } || first.iter().any(|times| *times > 1) {
        return Err(format!("something came twice: {got:?}, first {first:?}, {dead} dead"));
    }
    // Of those that died each may have put, or taken, what it has not said.
    let unsaid = |(at, part): (usize, &Part)| match part {
        // It says so when it has put all of them.
        PutMany(count) if end.dead[at] || end.asleep[at] => *count as u64,
        _ => end.dead[at].into(),
    };
    let unsaid: u64 = parts.iter().enumerate().map(unsaid).sum();
    let accepted: u64 = put.iter().sum();
    let seen = got.iter().filter(|times| **times > 0).count() as u64;
    let left = ring.waiting() as u64;
    if seen + left + dead < accepted || seen + left > accepted + unsaid {
        return Err(format!("{accepted} accepted, {seen} got, {left} left, {dead} dead"));
    }
    if world.ended.load(Ordering::Relaxed) > 0 && left > 0 {
        return Err(format!("the end came before {left} records: {end:?}"));
    }
    let is_closed = ring.is_closed();
    let is_full = u64::from(ring.len()) == u64::from(capacity);
    // Long records, and those that are leased, take more chunks: there may be no room in a queue that is not full.
    let takes_more = |part: &Part| match part {
        Put(lengths) => lengths.iter().any(|words| *words > 1),
        PutHandles(_) | Lease(_) | LeaseAll => true,
        _ => false,
    };
    let is_tight = capacity as usize >= CHUNKS || parts.iter().any(takes_more);
    for (process, _) in end.asleep.iter().enumerate().filter(|(_, asleep)| **asleep) {
        let is_right = match parts[process] {
            Put(_) | PutHandles(_) | PutMany(_) | Send(_) => {
                !is_closed && (is_full || is_tight && !ring.is_done())
            }
            Get(_) | Drain | Lease(_) | LeaseAll => !is_closed && left == 0,
            Join => !ring.is_done(),
            Close | Receive => false,
        };
        if !is_right {
            return Err(format!("process {process} sleeps beside {left} records: {end:?}"));
        }
    }
    Ok(())
}

/// Explores what processes with these parts can do to a ring.
pub(crate) fn play(parts: &'static [Part], capacity: u32, trouble: impl Into<Trouble>) {
    let trouble = trouble.into();
    assert!(parts.len() <= 3 && MESSAGES > 3 * parts.len(), "messages have too few numbers");
    let gives_back = |part: &Part| matches!(part, Lease(ends) if ends.contains(&false));
    let may_come_again = trouble.kills > 0 || parts.iter().any(gives_back);
    let mut explorer = Explorer::new(parts.len()).trouble(trouble).begin(move || {
        ring(capacity).prepare().unwrap();
    });
    // A death tells no receiver of a channel, and a full depot nobody: the next look finds it. One with a lease is found
    // by a look of those who come later.
    let is_untold = |part: &Part| matches!(part, Receive | PutHandles(_));
    let is_told = |part: &Part| matches!(part, Lease(_) | LeaseAll);
    if trouble.kills > 0 && parts.iter().any(is_untold) {
        explorer = explorer.time_outs();
    } else if parts.iter().any(is_told) {
        explorer = explorer.late_time_outs();
    }
    explorer.prove(
        format_args!("queue: {parts:?}, capacity {capacity}, {trouble}"),
        move |process| run(parts, process, capacity, may_come_again),
        move |end| check(parts, capacity, end),
    );
}
