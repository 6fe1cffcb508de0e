mod get;
mod put;

use crate::builder::{Builder, attach, fingerprint};
use crate::depot::Depot;
use crate::error::GetError;
use crate::ring::{Control, Leased, Ring};
use crate::stats::QueueStats;
use multiproc_core::{Deadline, Message};
use multiproc_shm::arena::Arena;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use get::Iter;

/// A queue for many producers and many consumers, in any processes.
///
/// Each message is got once, by one consumer, and those of one producer in their order. Cloning the handle, or
/// sending it in a message, gives another one to the same queue. It has no sides and never disconnects: who waits for a
/// message of a peer that died waits on. Use [`close`](Self::close), a timeout, or a channel where peers may die.
///
/// ```
/// use multiproc_queue::Queue;
///
/// let queue = Queue::bounded(2)?;
/// queue.put_many(["a", "b"].map(str::to_owned)).unwrap();
/// assert!(queue.try_put("c".to_owned()).unwrap_err().is_full());
/// assert_eq!(queue.get().unwrap(), "a");
/// queue.close();
/// assert!(queue.put("d".to_owned()).unwrap_err().is_closed());
/// assert_eq!(queue.iter().collect::<Vec<_>>(), ["b"]); // what was put is still got
/// # std::io::Result::Ok(())
/// ```
pub struct Queue<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    ring: Ring<Arena<Control>>,
    /// None where a name lets processes in that nobody gave a handle to.
    depot: Option<Depot>,
    max_bytes: u64,
    /// What a batch left behind a message that could not be decoded; the flag spares a look.
    has_left: AtomicBool,
    left: Mutex<VecDeque<Result<T, GetError>>>,
    marker: PhantomData<fn(T) -> T>,
}

impl<T: Message> Queue<T> {
    /// Creates a queue for up to `capacity` messages of any size.
    ///
    /// # Errors
    ///
    /// A capacity of 0 or more than 2,147,483,648; no memory or no descriptor left.
    pub fn bounded(capacity: usize) -> io::Result<Queue<T>> {
        Queue::builder().capacity(capacity).create()
    }

    /// Creates a queue for as many messages as there is memory for.
    ///
    /// # Errors
    ///
    /// No memory or no descriptor left.
    pub fn unbounded() -> io::Result<Queue<T>> {
        Queue::builder().create()
    }

    /// Begins to say how a queue is to be, or what it is called.
    ///
    /// ```
    /// use multiproc_queue::Queue;
    ///
    /// # let name = format!("doc-queue-{}", std::process::id());
    /// let jobs = Queue::builder().capacity(10).create_named(&name)?;
    /// jobs.put(7u32).unwrap();
    /// let same = Queue::<u32>::builder().open_named(&name)?; // in any program of this user
    /// assert_eq!(same.get().unwrap(), 7);
    /// Queue::<u32>::unlink(&name)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> Builder<T> {
        Builder::new()
    }

    /// Removes a queue's name; who has it open keeps it.
    ///
    /// # Errors
    ///
    /// The name is invalid, there is no such queue, or it is not this user's.
    pub fn unlink(name: &str) -> io::Result<()> {
        multiproc_shm::Shared::<u8>::unlink(name)
    }

    pub(crate) fn of(ring: Ring<Arena<Control>>, depot: Option<Depot>) -> Queue<T> {
        let max_bytes = ring.memory().numbers()[3];
        let left = Mutex::new(VecDeque::new());
        let has_left = AtomicBool::new(false);
        let shared = Shared { ring, depot, max_bytes, has_left, left, marker: PhantomData };
        Queue { shared: Arc::new(shared) }
    }

    /// How many messages it holds; those that were leased and came back are counted again.
    pub fn len(&self) -> usize {
        self.shared.ring.waiting()
    }

    /// Tells whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whether it holds as many as it can.
    pub fn is_full(&self) -> bool {
        self.shared.ring.len() as usize == self.capacity()
    }

    /// How many messages it can hold.
    pub fn capacity(&self) -> usize {
        self.shared.ring.shape().capacity as usize
    }

    /// What it is like at this moment: how full, who waits, how much has gone through.
    ///
    /// It takes no lock, and costs those who put and get nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let queue = multiproc_queue::Queue::bounded(10)?;
    /// queue.put_many(0..4u32).unwrap();
    /// let before = queue.stats();
    /// assert_eq!((before.len, before.capacity, before.put), (4, 10, 4));
    /// queue.get().unwrap();
    /// let after = queue.stats();
    /// assert_eq!(after.taken.wrapping_sub(before.taken), 1);
    /// assert!(after.bytes < before.bytes && !after.are_consumers_waiting);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn stats(&self) -> QueueStats {
        QueueStats::of(&self.shared.ring)
    }

    /// Closes it for everybody: no put succeeds any more, and what was put is still got.
    pub fn close(&self) {
        self.shared.ring.close();
    }

    /// Tells whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.shared.ring.is_closed()
    }

    /// Waits until every message that was put is done.
    ///
    /// One that was got is done at once, one that was leased when its lease says so.
    pub fn join(&self) {
        self.shared.ring.wait_done(Deadline::NEVER);
    }

    /// Waits at most that long until every message that was put is done, and tells whether it is.
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.shared.ring.wait_done(Deadline::after(timeout))
    }
}

impl<T> Queue<T> {
    pub(crate) fn end(&self, leased: &Leased, is_done: bool) {
        let depot = self.shared.depot.as_ref();
        self.shared.ring.end(leased, is_done, |is_open| {
            if let Some(depot) = depot {
                depot.forget_kept(is_open);
            }
        });
    }

    /// Tells whether there is something to get, for this process at least.
    pub(crate) fn has_some(&self) -> bool {
        // Relaxed: of this process, which would otherwise be told by the next look.
        self.shared.has_left.load(Ordering::Relaxed) || self.shared.ring.waiting() > 0
    }

    pub(crate) fn ring(&self) -> &Ring<Arena<Control>> {
        &self.shared.ring
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = &self.shared.ring;
        f.debug_struct("Queue")
            .field("len", &ring.len())
            .field("capacity", &ring.shape().capacity)
            .field("is_closed", &ring.is_closed())
            .finish_non_exhaustive()
    }
}

/// Sends the handle, not the messages; outside of a message this is an error.
impl<T: Message> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (MemoryOf(self), &self.shared.depot).serialize(serializer)
    }
}

impl<'de, T: Message> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Queue<T>, D::Error> {
        let (received, depot): (Received<T>, Option<Depot>) = Deserialize::deserialize(deserializer)?;
        // A named one has none, and needs none.
        let depot = depot.filter(|_| !received.0.memory().is_named());
        Ok(Queue::of(received.0, depot))
    }
}

struct MemoryOf<'a, T>(&'a Queue<T>);

impl<T> Serialize for MemoryOf<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.ring().memory().serialize(serializer)
    }
}

struct Received<T>(Ring<Arena<Control>>, PhantomData<T>);

impl<'de, T> Deserialize<'de> for Received<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Received<T>, D::Error> {
        let arena = Arena::deserialize(deserializer, fingerprint::<T>())?;
        Ok(Received(attach(arena).map_err(de::Error::custom)?, PhantomData))
    }
}
