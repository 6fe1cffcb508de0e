use crate::ring::{Census, Control, Ring};
use multiproc_core::sys::memory::file_info;
use multiproc_shm::arena::Arena;
use std::fmt;

/// What a queue, or a channel, is like at one moment; see [`Queue::stats`](crate::Queue::stats).
///
/// What was ever put and taken is a number that the queue has anyway, of 32 bits: `wrapping_sub` of two looks is how
/// many it was in between.
///
/// # Examples
///
/// ```
/// use multiproc_queue::Queue;
///
/// let queue = Queue::bounded(10)?;
/// queue.put_many([1, 2, 3]).unwrap();
/// queue.get().unwrap();
/// let stats = queue.stats();
/// assert_eq!((stats.len, stats.capacity, stats.put, stats.taken), (2, 10, 3, 1));
/// println!("{stats}"); // 2 of 10 messages …
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Messages that wait, those that were leased and came back among them.
    pub len: usize,
    /// How many there can be.
    pub capacity: usize,
    /// Messages that were leased and came back.
    pub returned: usize,
    /// Messages that are leased and not done.
    pub leased: usize,
    /// Messages that were ever put, modulo 2³².
    pub put: u32,
    /// Messages that were ever taken, modulo 2³².
    pub taken: u32,
    /// Bytes of the messages between the ends, eight and up to seven more for each.
    pub bytes: u64,
    /// Bytes that were ever put, counted in the same way.
    pub bytes_put: u64,
    /// Bytes that were ever taken.
    pub bytes_taken: u64,
    /// Bytes of memory that it has.
    pub memory: u64,
    /// Somebody sleeps until there is room. One whose time is up counts until something is taken.
    pub are_producers_waiting: bool,
    /// Somebody sleeps until there is a message. One whose time is up counts until something is put.
    pub are_consumers_waiting: bool,
    /// It was closed.
    pub is_closed: bool,
}

impl QueueStats {
    pub(crate) fn of(ring: &Ring<Arena<Control>>) -> QueueStats {
        let memory = file_info(&**ring.memory().fd()).map_or(0, |info| info.allocated);
        QueueStats::new(&ring.sight().census(ring.shape()), memory)
    }

    pub(crate) fn new(census: &Census, memory: u64) -> QueueStats {
        let [are_producers_waiting, are_consumers_waiting] = census.are_waiting;
        QueueStats {
            len: census.waiting,
            capacity: census.capacity,
            returned: census.returned,
            leased: census.leased,
            put: census.put,
            taken: census.taken,
            bytes: census.bytes_put - census.bytes_taken,
            bytes_put: census.bytes_put,
            bytes_taken: census.bytes_taken,
            memory,
            are_producers_waiting,
            are_consumers_waiting,
            is_closed: census.is_closed,
        }
    }
}

impl fmt::Display for QueueStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} messages in {} B of {} B", self.len, self.capacity, self.bytes, self.memory)?;
        write!(f, "; {} put, {} taken, {} leased", self.put, self.taken, self.leased)?;
        for (is_so, what) in [
            (self.are_producers_waiting, "producers wait"),
            (self.are_consumers_waiting, "consumers wait"),
            (self.is_closed, "closed"),
        ] {
            if is_so {
                write!(f, "; {what}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Queue, channel, spsc};

    #[test]
    fn everything_is_counted() {
        let queue = Queue::bounded(8).unwrap();
        queue.put_many(["one", "two", "three"].map(str::to_owned)).unwrap();
        let lease = queue.lease().unwrap();
        let stats = queue.stats();
        assert_eq!((stats.len, stats.leased, stats.returned), (2, 1, 0), "{stats}");
        drop(lease);
        let stats = queue.stats();
        assert_eq!((stats.len, stats.leased, stats.returned), (3, 0, 1), "{stats}");
        assert_eq!((stats.put, stats.taken, stats.capacity), (3, 1, 8), "{stats}");
        assert!(stats.memory >= 64 << 10, "{stats}");
        queue.close();
        assert!(queue.stats().is_closed);
    }

    #[test]
    fn bytes_go_on_from_chunk_to_chunk() {
        let queue = Queue::unbounded().unwrap();
        let text = "x".repeat(1000);
        let each = queue.stats().bytes;
        assert_eq!(each, 0);
        queue.put(text.clone()).unwrap();
        let each = queue.stats().bytes;
        assert!((1000..1024).contains(&each), "{each}");
        for _ in 1..1000 {
            queue.put(text.clone()).unwrap();
        }
        // Where a record goes on in the next chunk nothing is lost but what links the two.
        let all = queue.stats();
        assert_eq!((all.len, all.bytes), (1000, 1000 * each), "{all}");
        for _ in 0..1000 {
            queue.get().unwrap();
        }
        let end = queue.stats();
        assert_eq!((end.bytes, end.bytes_taken), (0, 1000 * each), "{end}");
    }

    #[test]
    fn who_sleeps_is_seen() {
        let queue = Queue::bounded(1).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| queue.get().unwrap());
            while !queue.stats().are_consumers_waiting {
                std::thread::yield_now();
            }
            queue.put(1).unwrap();
        });
        queue.put(2).unwrap();
        assert!(!queue.stats().are_consumers_waiting);
        std::thread::scope(|scope| {
            scope.spawn(|| queue.put(3).unwrap());
            while !queue.stats().are_producers_waiting {
                std::thread::yield_now();
            }
            queue.get().unwrap();
        });
    }

    #[test]
    fn both_ends_tell_the_same() {
        let (sender, receiver) = channel(4).unwrap();
        sender.send(1).unwrap();
        assert_eq!(sender.stats(), receiver.stats());
        let (sender, receiver) = spsc(4).unwrap();
        sender.send(1).unwrap();
        assert_eq!((sender.stats().len, receiver.stats()), (1, sender.stats()));
    }
}
