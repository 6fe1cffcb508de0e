//! What a watcher sees of a queue that it was given no handle to. An implementation detail.
//!
//! See `multiproc_shm::peek`: it reads copies, and what it reads is input.

use crate::QueueStats;
use crate::builder::shape_of;
use crate::ring::{Control, End, Sight};
use multiproc_core::sys::memory::file_info;
use multiproc_shm::peek;
use std::io;
use std::os::fd::AsFd;

/// How often it is looked again where an end has gone on to another chunk meanwhile.
const LOOKS: usize = 16;

/// Who sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleeper {
    /// One that wants to put.
    Producer,
    /// One that wants to take.
    Consumer,
}

/// Looks at the queue in a file whose header says that it is an arena; nothing if there is none in it.
///
/// While others are at it, an end may be told to be a few messages further than it is.
///
/// # Errors
///
/// The system's.
pub fn look(file: impl AsFd) -> io::Result<Option<QueueStats>> {
    let (numbers, _) = peek::arena(&file)?;
    let Some(shape) = shape_of(&numbers) else { return Ok(None) };
    let turn = |chunk: u32| {
        // A chunk's turn is its first word.
        Ok(peek::word(&peek::chunk(&file, numbers[0], chunk, 1)?, 0))
    };
    let mut sight = Sight::of_copy(&peek::arena(&file)?.1, turn)?;
    for _ in 1..LOOKS {
        let again = Sight::of_copy(&peek::arena(&file)?.1, turn)?;
        let is_still = again.is_near(&sight);
        sight = again;
        if is_still {
            break;
        }
    }
    Ok(Some(QueueStats::new(&sight.census(&shape), file_info(&file)?.allocated)))
}

/// Tells who sleeps on the word at an offset of the file, if it is such a word.
#[must_use]
pub fn sleeper(offset: u64) -> Option<Sleeper> {
    let offset = usize::try_from(offset).ok()?.checked_sub(peek::CONTROL)?;
    Control::sleeps_for(offset).map(|end| match end {
        End::Head => Sleeper::Producer,
        End::Tail => Sleeper::Consumer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Queue;
    use multiproc_core::sys::memory::{create_memfd, write_all_at};

    #[test]
    fn a_watcher_sees_what_the_queue_tells() {
        let queue = Queue::bounded(5000).unwrap();
        let file = &**queue.ring().memory().fd();
        for round in 0..50u64 {
            queue.put_many((0..=round).map(|n| "x".repeat(n as usize * 300))).unwrap();
            assert_eq!(look(file).unwrap().unwrap(), queue.stats(), "{round}");
            let lease = queue.try_lease();
            assert_eq!(look(file).unwrap().unwrap(), queue.stats(), "{round}");
            drop(lease);
            assert_eq!(look(file).unwrap().unwrap(), queue.stats(), "{round}");
            queue.get_many(round as usize / 2 + 1).unwrap();
            assert_eq!(look(file).unwrap().unwrap(), queue.stats(), "{round}");
        }
        queue.close();
        assert!(look(file).unwrap().unwrap().is_closed);
        let about = peek::segment(file).unwrap().unwrap().about;
        assert_eq!(about.lines().collect::<Vec<_>>(), ["queue", "alloc::string::String"]);
    }

    #[test]
    fn while_others_are_at_it_the_numbers_fit_together() {
        let queue = Queue::bounded(64).unwrap();
        let file = &**queue.ring().memory().fd();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..200_000u64).for_each(|n| queue.put(n).unwrap()));
            scope.spawn(|| (0..200_000u64).for_each(|n| assert_eq!(queue.get().unwrap(), n)));
            let mut before = look(file).unwrap().unwrap();
            while before.taken < 200_000 {
                let now = look(file).unwrap().unwrap();
                assert!(now.len <= 64 && now.bytes <= 64 * 24, "{now}");
                // Of a change that was being prepared a copy may tell already: what follows may be a little less.
                let ahead = now.put.wrapping_sub(before.put).wrapping_add(64);
                assert!(ahead < 1 << 31, "{before} then {now}");
                assert!(now.bytes_taken + 64 * 24 >= before.bytes_taken, "{before} then {now}");
                before = now;
            }
        });
    }

    #[test]
    fn whatever_stands_there_is_looked_at() {
        let queue = Queue::<u64>::bounded(4).unwrap();
        queue.put(1).unwrap();
        let mut page = vec![0; 4096];
        multiproc_core::sys::memory::read_exact_at(&**queue.ring().memory().fd(), &mut page, 0).unwrap();
        for at in (64..3840).step_by(8) {
            for value in [0, 1, u64::MAX, 1 << 31, 0x8080_8080_8080_8080] {
                let file = create_memfd("hostile").unwrap();
                let mut page = page.clone();
                page[at..at + 8].copy_from_slice(&value.to_ne_bytes());
                write_all_at(&file, &page, 0).unwrap();
                if let Some(stats) = look(&file).unwrap() {
                    assert!(stats.len <= stats.capacity + crate::ring::LEASES, "{at}: {stats}");
                }
            }
        }
        assert_eq!(look(create_memfd("empty").unwrap()).unwrap(), None);
    }
}
