//! What one piece of shared memory is, as its file tells.

use crate::proc::{Open, plain};
use crate::sleepers::Sleeper;
use crate::snapshot::{Holder, Lock, Other, Pool, Queue, Worker};
use crate::{names, proc};
use multiproc_core::sys::memory::{file_info, open_to_read};
use multiproc_queue::peek::{self as queue, Sleeper as Waits};
use multiproc_shm::peek::{self as shm, Kind, Segment};
use multiproc_sync::peek as sync;
use std::io;
use std::os::fd::OwnedFd;

/// The most locks that are shown of one value.
const LOCKS: usize = 256;

/// What was found in a file, with numbers that only grow for rates.
pub(crate) enum Found {
    Queue(Queue, Counts),
    Pool(Pool, Counts),
    Locks(Vec<Lock>),
    Other(Other),
}

/// What rates are made of: messages or tasks that came, and went, and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) put: u32,
    pub(crate) taken: u32,
    pub(crate) bytes: u64,
}

/// Looks into a file. `sleepers` are those on its words, `None` where they cannot be seen.
pub(crate) fn look(open: &Open, sleepers: Option<&[Sleeper]>) -> io::Result<Found> {
    let name = names::name_of(&open.link);
    let file = open_to_read(&open.path)?;
    // The descriptor may lead to something else by now.
    let info = file_info(&file)?;
    if !info.is_memory || (info.device, info.inode) != open.identity {
        return Err(io::ErrorKind::NotFound.into());
    }
    let other = |kind: &str, value: &str| {
        Found::Other(Other {
            object: open.identity.1,
            name: name.clone(),
            kind: kind.to_owned(),
            value: value.to_owned(),
            memory: open.allocated,
            used_by: Vec::new(),
        })
    };
    let kind_of_link = || open.link.trim_start_matches("/memfd:multiproc-").to_owned();
    let Some(segment) = shm::segment(&file)? else { return Ok(other(&kind_of_link(), "")) };
    let first = segment.about.lines().next().unwrap_or_default();
    match segment.kind {
        Kind::Arena => Ok(match queue_in(&file, open, &segment, sleepers)? {
            Some((queue, counts)) => Found::Queue(Queue { name, ..queue }, counts),
            None => other("damaged queue", ""),
        }),
        Kind::Shared => {
            if let Some(seen) = multiproc_pool::peek::look(&file, &segment)? {
                return Ok(pool_of(open, seen));
            }
            let locks = locks_in(&file, open, &segment, name.as_deref(), sleepers)?;
            Ok(if locks.is_empty() { other("value", first) } else { Found::Locks(locks) })
        }
        Kind::Slice => Ok(other("slice", "")),
        Kind::OtherVersion => Ok(other("of another version", "")),
        Kind::Unknown => Ok(other(&kind_of_link(), "")),
    }
}

fn queue_in(
    file: &OwnedFd,
    open: &Open,
    segment: &Segment,
    sleepers: Option<&[Sleeper]>,
) -> io::Result<Option<(Queue, Counts)>> {
    let Some(stats) = queue::look(file)? else { return Ok(None) };
    let mut about = segment.about.lines();
    let flavour = about.next().unwrap_or_default().to_owned();
    let waiting = |who: Waits| {
        let sleepers = sleepers?;
        Some(sleepers.iter().filter(|sleeper| queue::sleeper(sleeper.offset) == Some(who)).count())
    };
    let counts = Counts { put: stats.put, taken: stats.taken, bytes: stats.bytes_put };
    let queue = Queue {
        object: open.identity.1,
        flavour,
        message: about.next().unwrap_or_default().to_owned(),
        len: stats.len,
        capacity: Some(stats.capacity).filter(|capacity| *capacity < 1 << 31),
        returned: stats.returned,
        leased: stats.leased,
        bytes: stats.bytes,
        memory: stats.memory,
        producers_waiting: waiting(Waits::Producer),
        consumers_waiting: waiting(Waits::Consumer),
        may_producers_wait: stats.are_producers_waiting,
        may_consumers_wait: stats.are_consumers_waiting,
        is_closed: stats.is_closed,
        ..Queue::default()
    };
    Ok(Some((queue, counts)))
}

fn pool_of(open: &Open, seen: multiproc_pool::peek::Look) -> Found {
    let counts = Counts { put: 0, taken: seen.done as u32, bytes: 0 };
    let workers =
        seen.workers.iter().map(|worker| Worker { id: worker.id, state: worker.state, done: worker.done });
    let pool = Pool {
        object: open.identity.1,
        name: plain(&seen.name),
        owner: seen.owner,
        done: seen.done,
        tasks_per_second: None,
        queued: seen.queued,
        under_way: seen.under_way,
        failed: seen.failed,
        restarts: seen.restarts,
        workers: workers.collect(),
    };
    Found::Pool(pool, counts)
}

fn locks_in(
    file: &OwnedFd,
    open: &Open,
    segment: &Segment,
    name: Option<&str>,
    sleepers: Option<&[Sleeper]>,
) -> io::Result<Vec<Lock>> {
    let mut locks = Vec::new();
    let value = segment.about.lines().next().unwrap_or_default();
    for part in segment.about.lines().skip(1).filter_map(shm::part).take(LOCKS) {
        let Some(len) = sync::len(&part.kind) else { continue };
        // Beyond the value there is no lock, whatever the text says.
        if part.offset.checked_add(len as u64).is_none_or(|end| end > segment.len) {
            continue;
        }
        let begin = segment.offset.saturating_add(part.offset);
        let bytes = shm::copy(file, begin, len)?;
        let Some(look) = sync::look(&part.kind, &bytes) else { continue };
        let waiters = if look.waiters.is_empty() {
            sleepers.map(|sleepers| {
                let here = begin..begin.saturating_add(len as u64);
                let mut threads: Vec<u32> = sleepers
                    .iter()
                    .filter(|sleeper| here.contains(&sleeper.offset))
                    .map(|sleeper| sleeper.thread)
                    .collect();
                // One that sleeps on two words of it waits once.
                threads.sort_unstable();
                threads.dedup();
                threads.len()
            })
        } else {
            Some(look.waiters.len())
        };
        let holder = |holder: &sync::Holder| Holder {
            process: proc::process_of(holder.id.number()).unwrap_or(0),
            thread: holder.id.number(),
            count: holder.count,
            is_dead: !holder.id.is_alive(),
        };
        let holders =
            if segment.is_of_this_namespace { look.holders.iter().map(holder).collect() } else { Vec::new() };
        locks.push(Lock {
            object: open.identity.1,
            name: name.map(str::to_owned),
            value: value.to_owned(),
            path: part.path,
            kind: part.kind,
            state: look.state.to_string(),
            holders,
            waiters,
            is_waited_for: look.is_waited_for,
            used_by: Vec::new(),
        });
    }
    Ok(locks)
}
