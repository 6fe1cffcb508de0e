use crate::builder::{Builder, attach, fingerprint};
use crate::error::{GetError, Kind, PutError};
use crate::ring::{Anyone, Batch, Control, Peers, Record, Ring};
use multiproc_core::codec::{self, Encoded};
use multiproc_core::{Deadline, Message};
use multiproc_shm::arena::Arena;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
    max_bytes: u64,
    /// What a batch left behind a message that could not be decoded; the flag spares a look.
    has_left: AtomicBool,
    left: Mutex<VecDeque<Result<T, GetError>>>,
    marker: PhantomData<fn(T) -> T>,
}

/// The buffer that messages are copied to; it is kept, since asking for memory takes longer than the rest.
fn with_batch<R>(f: impl FnOnce(&mut Batch) -> R) -> R {
    thread_local! {
        static BATCH: RefCell<Batch> = RefCell::new(Batch::default());
    }
    BATCH.with(|batch| match batch.try_borrow_mut() {
        Ok(mut batch) => {
            batch.clear();
            f(&mut batch)
        }
        // A `Deserialize` implementation gets from a queue itself.
        Err(_) => f(&mut Batch::default()),
    })
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

    pub(crate) fn of(ring: Ring<Arena<Control>>) -> Queue<T> {
        let max_bytes = ring.memory().numbers()[3];
        let left = Mutex::new(VecDeque::new());
        let shared = Shared { ring, max_bytes, has_left: AtomicBool::new(false), left, marker: PhantomData };
        Queue { shared: Arc::new(shared) }
    }

    /// Puts a message at the end, waiting for room.
    ///
    /// When it returns, the message is in shared memory, and stays there if this process dies.
    ///
    /// # Errors
    ///
    /// The message comes back: the queue is closed, the message cannot be encoded, is too large, or there is no memory.
    pub fn put(&self, value: T) -> Result<(), PutError<T>> {
        self.put_until(value, Deadline::NEVER, Kind::TimedOut, &Anyone)
    }

    /// Puts a message if there is room now.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), and [`is_full`](PutError::is_full).
    pub fn try_put(&self, value: T) -> Result<(), PutError<T>> {
        self.put_until(value, Deadline::now(), Kind::Full, &Anyone)
    }

    /// Puts a message, waiting for room at most that long.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), and [`is_timeout`](PutError::is_timeout).
    pub fn put_timeout(&self, value: T, timeout: Duration) -> Result<(), PutError<T>> {
        self.put_until(value, Deadline::after(timeout), Kind::TimedOut, &Anyone)
    }

    /// Puts a message, waiting for room until that instant.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), and [`is_timeout`](PutError::is_timeout).
    pub fn put_deadline(&self, value: T, deadline: Instant) -> Result<(), PutError<T>> {
        self.put_until(value, Deadline::at(deadline), Kind::TimedOut, &Anyone)
    }

    /// Puts a message among peers; `timed_out` says what the deadline means.
    pub(crate) fn put_until(
        &self,
        value: T,
        deadline: Deadline,
        timed_out: Kind,
        peers: &impl Peers,
    ) -> Result<(), PutError<T>> {
        let encoded = match self.encode(&value) {
            Ok(encoded) => encoded,
            Err(kind) => return Err(PutError::new(vec![value], kind)),
        };
        let record = Record { bytes: &encoded.bytes, token: None };
        self.shared.ring.put_among(&[record], deadline, peers).map_err(|error| {
            let kind = Kind::of(error.fault, timed_out, encoded.bytes.len(), self.shared.max_bytes);
            PutError::new(vec![value], kind)
        })
    }

    /// Puts messages behind each other, waiting for room: as many in one step as there is room for.
    ///
    /// The iterator is drained first: an endless one does not return.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put); [`into_rest`](PutError::into_rest) gives those that were not put. None is put
    /// if one of them cannot be encoded.
    pub fn put_many(&self, values: impl IntoIterator<Item = T>) -> Result<(), PutError<T>> {
        self.put_all(values.into_iter().collect(), &Anyone)
    }

    /// Puts messages among peers.
    pub(crate) fn put_all(&self, mut values: Vec<T>, peers: &impl Peers) -> Result<(), PutError<T>> {
        let encoded: Result<Vec<Encoded>, Kind> = values.iter().map(|value| self.encode(value)).collect();
        let encoded = match encoded {
            Ok(encoded) => encoded,
            Err(kind) => return Err(PutError::new(values, kind)),
        };
        let records: Vec<Record<'_>> =
            encoded.iter().map(|message| Record { bytes: &message.bytes, token: None }).collect();
        self.shared.ring.put_among(&records, Deadline::NEVER, peers).map_err(|error| {
            let len = records.get(error.done).map_or(0, |record| record.bytes.len());
            let kind = Kind::of(error.fault, Kind::TimedOut, len, self.shared.max_bytes);
            PutError::new(values.split_off(error.done), kind)
        })
    }

    fn encode(&self, value: &T) -> Result<Encoded, Kind> {
        let encoded = codec::encode_message(value)?;
        if !encoded.fds.is_empty() {
            return Err(Kind::Handles);
        }
        if encoded.bytes.len() as u64 > self.shared.max_bytes {
            return Err(Kind::TooLarge { len: encoded.bytes.len(), max: self.shared.max_bytes });
        }
        Ok(encoded)
    }

    /// Takes the first message, waiting for one.
    ///
    /// # Errors
    ///
    /// The queue is closed and empty, or the message is none of this type.
    pub fn get(&self) -> Result<T, GetError> {
        self.get_until(Deadline::NEVER, Kind::TimedOut, &Anyone)
    }

    /// Takes the first message if there is one now.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), and [`is_empty`](GetError::is_empty).
    pub fn try_get(&self) -> Result<T, GetError> {
        self.get_until(Deadline::now(), Kind::Empty, &Anyone)
    }

    /// Takes the first message, waiting for one at most that long.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), and [`is_timeout`](GetError::is_timeout).
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetError> {
        self.get_until(Deadline::after(timeout), Kind::TimedOut, &Anyone)
    }

    /// Takes the first message, waiting for one until that instant.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), and [`is_timeout`](GetError::is_timeout).
    pub fn get_deadline(&self, deadline: Instant) -> Result<T, GetError> {
        self.get_until(Deadline::at(deadline), Kind::TimedOut, &Anyone)
    }

    /// Takes the first message among peers; `timed_out` says what the deadline means.
    pub(crate) fn get_until(
        &self,
        deadline: Deadline,
        timed_out: Kind,
        peers: &impl Peers,
    ) -> Result<T, GetError> {
        if let Some(left) = self.left() {
            return left;
        }
        with_batch(|batch| {
            self.take(1, deadline, timed_out, peers, batch)?;
            match batch.iter().next() {
                Some((bytes, _)) => decode(bytes),
                None => Err(GetError::new(Kind::Empty)),
            }
        })
    }

    /// Takes what is there, between one and `max` messages, in one step, waiting for the first.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get). Where a message is none of this type, those before it are got first, and those
    /// behind it by the next call of this process.
    pub fn get_many(&self, max: usize) -> Result<Vec<T>, GetError> {
        self.get_some(max, &Anyone)
    }

    /// Takes messages among peers.
    pub(crate) fn get_some(&self, max: usize, peers: &impl Peers) -> Result<Vec<T>, GetError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        if let Some(left) = self.left() {
            return left.map(|value| vec![value]);
        }
        with_batch(|batch| {
            self.take(max, Deadline::NEVER, Kind::TimedOut, peers, batch)?;
            let mut values = Vec::with_capacity(batch.len());
            let mut messages = batch.iter().map(|(bytes, _)| decode(bytes));
            for message in &mut messages {
                match message {
                    Ok(value) => values.push(value),
                    Err(error) if values.is_empty() => {
                        self.leave(messages);
                        return Err(error);
                    }
                    Err(error) => {
                        self.leave(std::iter::once(Err(error)).chain(messages));
                        break;
                    }
                }
            }
            Ok(values)
        })
    }

    fn take(
        &self,
        max: usize,
        deadline: Deadline,
        timed_out: Kind,
        peers: &impl Peers,
        batch: &mut Batch,
    ) -> Result<(), GetError> {
        let taken = self.shared.ring.take_among(max, deadline, peers, batch);
        taken.map_err(|fault| GetError::new(Kind::of(fault, timed_out, 0, self.shared.max_bytes)))
    }

    /// What a batch had left behind for this process.
    #[inline]
    fn left(&self) -> Option<Result<T, GetError>> {
        // Relaxed: a hint; the queue behind the lock is the truth.
        if !self.shared.has_left.load(Ordering::Relaxed) {
            return None;
        }
        let mut left = self.shared.left.lock();
        let next = left.pop_front();
        self.shared.has_left.store(!left.is_empty(), Ordering::Relaxed);
        next
    }

    fn leave(&self, messages: impl Iterator<Item = Result<T, GetError>>) {
        let mut left = self.shared.left.lock();
        left.extend(messages);
        self.shared.has_left.store(!left.is_empty(), Ordering::Relaxed);
    }

    /// Takes messages as they come, until the queue is closed and empty.
    ///
    /// A message that is none of this type ends it, too.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { queue: self }
    }

    /// How many messages it holds.
    pub fn len(&self) -> usize {
        self.shared.ring.len() as usize
    }

    /// Tells whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whether it holds as many as it can.
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// How many messages it can hold.
    pub fn capacity(&self) -> usize {
        self.shared.ring.shape().capacity as usize
    }

    /// Closes it for everybody: no put succeeds any more, and what was put is still got.
    pub fn close(&self) {
        self.shared.ring.close();
    }

    /// Tells whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.shared.ring.is_closed()
    }

    /// Waits until every message that was put has been got.
    pub fn join(&self) {
        self.shared.ring.wait_empty(Deadline::NEVER);
    }

    /// Waits at most that long until every message that was put has been got, and tells whether it was.
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.shared.ring.wait_empty(Deadline::after(timeout))
    }
}

impl<T> Queue<T> {
    pub(crate) fn ring(&self) -> &Ring<Arena<Control>> {
        &self.shared.ring
    }
}

fn decode<T: Message>(bytes: &[u8]) -> Result<T, GetError> {
    codec::decode(bytes, Vec::new())
        .map_err(|error| GetError::new(Kind::Decode { error, bytes: bytes.to_vec() }))
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
        self.shared.ring.memory().serialize(serializer)
    }
}

impl<'de, T: Message> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Queue<T>, D::Error> {
        let arena = Arena::deserialize(deserializer, fingerprint::<T>())?;
        Ok(Queue::of(attach(arena).map_err(de::Error::custom)?))
    }
}

/// Messages as they come, see [`Queue::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    queue: &'a Queue<T>,
}

impl<T: Message> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.queue.get().ok()
    }
}

impl<'a, T: Message> IntoIterator for &'a Queue<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
