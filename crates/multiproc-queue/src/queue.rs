use crate::builder::{Builder, attach, fingerprint};
use crate::depot::{Depot, Fetched};
use crate::error::{GetError, Kind, Late, PutError};
use crate::kept::{self, BATCH, ENCODER};
use crate::message::{self, Arrival, Outgoing};
use crate::ring::{Anyone, Batch, Control, Leased, Peers, Record, Ring};
use crate::watched::{self, Getting, Watched};
use multiproc_core::codec::Encoder;
use multiproc_core::sys::clock::coarse_millis;
use multiproc_core::{Deadline, Message};
use multiproc_shm::arena::Arena;
use multiproc_sync::Readiness;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// None where a name lets processes in that nobody gave a handle to.
    depot: Option<Depot>,
    max_bytes: u64,
    /// What a batch left behind a message that could not be decoded; the flag spares a look.
    has_left: AtomicBool,
    /// When somebody last looked for the dead who need not wait.
    last_look: AtomicU64,
    left: Mutex<VecDeque<Result<T, GetError>>>,
    marker: PhantomData<fn(T) -> T>,
}

/// What was decoded to a place; a value is moved here and nowhere else.
#[inline]
fn found<T>(result: Result<(), GetError>, place: Option<T>) -> Result<T, GetError> {
    result?;
    place.ok_or_else(|| GetError::new(Kind::Empty))
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
        let last_look = AtomicU64::new(0);
        let shared = Shared { ring, depot, max_bytes, has_left, last_look, left, marker: PhantomData };
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
        self.put_until(value, Deadline::NEVER, Late::TimedOut, &Anyone)
    }

    /// Puts a message if there is room now.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), and [`is_full`](PutError::is_full).
    pub fn try_put(&self, value: T) -> Result<(), PutError<T>> {
        self.put_until(value, Deadline::now(), Late::Full, &Anyone)
    }

    /// Puts a message, waiting for room at most that long.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), and [`is_timeout`](PutError::is_timeout).
    pub fn put_timeout(&self, value: T, timeout: Duration) -> Result<(), PutError<T>> {
        self.put_until(value, Deadline::after(timeout), Late::TimedOut, &Anyone)
    }

    /// Puts a message, waiting for room until that instant.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), and [`is_timeout`](PutError::is_timeout).
    pub fn put_deadline(&self, value: T, deadline: Instant) -> Result<(), PutError<T>> {
        self.put_until(value, Deadline::at(deadline), Late::TimedOut, &Anyone)
    }

    /// Puts a message, awaiting room, in whatever runtime.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put).
    ///
    /// # Cancel safety
    ///
    /// Where it is dropped before its end the message was not put, and is dropped with it.
    pub async fn put_async(&self, value: T) -> Result<(), PutError<T>>
    where
        T: Send,
    {
        let back = |error: PutError<T>| if error.is_full() { Ok(error.into_inner()) } else { Err(error) };
        watched::put(|| Watched::new(self, None), value, |value| self.try_put(value), back).await
    }

    /// Puts a message among peers; `late` says what its end means.
    pub(crate) fn put_until(
        &self,
        value: T,
        deadline: Deadline,
        late: Late,
        peers: &impl Peers,
    ) -> Result<(), PutError<T>> {
        let mut encoder = kept::take(&ENCODER);
        let kind = self.put_encoded(&mut encoder, &value, deadline, late, peers);
        encoder.clear();
        kept::put_back(&ENCODER, encoder);
        match kind {
            None => Ok(()),
            Some(kind) => Err(PutError::new(vec![value], kind)),
        }
    }

    #[inline]
    fn put_encoded(
        &self,
        encoder: &mut Encoder,
        value: &T,
        deadline: Deadline,
        late: Late,
        peers: &impl Peers,
    ) -> Option<Kind> {
        let message = match self.encode(encoder, value) {
            Ok(message) => message,
            Err(kind) => return Some(kind),
        };
        let bytes = &**encoder.bytes();
        match self.shared.ring.put_among(&[message.record(bytes)], deadline, peers) {
            Ok(()) => None,
            Err(error) => Some(Kind::of(error.fault, late, bytes.len(), self.shared.max_bytes)),
        }
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
        let mut encoder = kept::take(&ENCODER);
        let result = self.put_all_encoded(&mut encoder, &values, peers);
        encoder.clear();
        kept::put_back(&ENCODER, encoder);
        result.map_err(|(done, kind)| PutError::new(values.split_off(done), kind))
    }

    /// Tells how many were put before the one that was not.
    fn put_all_encoded(
        &self,
        encoder: &mut Encoder,
        values: &[T],
        peers: &impl Peers,
    ) -> Result<(), (usize, Kind)> {
        let messages: Result<Vec<Outgoing<'_>>, Kind> =
            values.iter().map(|value| self.encode(encoder, value)).collect();
        let messages = messages.map_err(|kind| (0, kind))?;
        let bytes = &**encoder.bytes();
        let starts = std::iter::once(0).chain(messages.iter().map(|message| message.end));
        let records: Vec<Record<'_>> = messages
            .iter()
            .zip(starts)
            .map(|(message, start)| message.record(&bytes[start..message.end]))
            .collect();
        self.shared.ring.put_among(&records, Deadline::NEVER, peers).map_err(|error| {
            let len = records.get(error.done).map_or(0, |record| record.bytes.len());
            (error.done, Kind::of(error.fault, Late::TimedOut, len, self.shared.max_bytes))
        })
    }

    /// Encodes a message behind those before it.
    #[inline]
    fn encode(&self, encoder: &mut Encoder, value: &T) -> Result<Outgoing<'_>, Kind> {
        let shared = &*self.shared;
        let start = encoder.bytes().len();
        encoder.encode(value)?;
        let message = Outgoing::new(encoder, shared.ring.memory().fd(), shared.depot.as_ref())?;
        let len = message.end - start;
        if len as u64 > shared.max_bytes {
            return Err(Kind::TooLarge { len, max: shared.max_bytes });
        }
        Ok(message)
    }

    /// Takes the first message, waiting for one.
    ///
    /// # Errors
    ///
    /// The queue is closed and empty, or the message is none of this type.
    pub fn get(&self) -> Result<T, GetError> {
        self.get_until(Deadline::NEVER, Late::TimedOut, &Anyone)
    }

    /// Takes the first message if there is one now.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), and [`is_empty`](GetError::is_empty).
    pub fn try_get(&self) -> Result<T, GetError> {
        match self.get_until(Deadline::now(), Late::Empty, &Anyone) {
            Err(error) if error.is_empty() && self.has_looked_for_the_dead() => {
                self.get_until(Deadline::now(), Late::Empty, &Anyone)
            }
            result => result,
        }
    }

    /// Takes the first message, waiting for one at most that long.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), and [`is_timeout`](GetError::is_timeout).
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetError> {
        self.get_until(Deadline::after(timeout), Late::TimedOut, &Anyone)
    }

    /// Takes the first message, waiting for one until that instant.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), and [`is_timeout`](GetError::is_timeout).
    pub fn get_deadline(&self, deadline: Instant) -> Result<T, GetError> {
        self.get_until(Deadline::at(deadline), Late::TimedOut, &Anyone)
    }

    /// Takes the first message, awaiting one, in whatever runtime.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let queue = multiproc_queue::Queue::bounded(1)?;
    /// let (got, put) = tokio::join!(queue.get_async(), queue.put_async(7));
    /// put.unwrap();
    /// assert_eq!(got.unwrap(), 7);
    /// # std::io::Result::Ok(())
    /// # })?;
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    ///
    /// # Cancel safety
    ///
    /// Where it is dropped before its end no message was taken.
    pub async fn get_async(&self) -> Result<T, GetError>
    where
        T: Send,
    {
        watched::get(|| Watched::new(self, None), || self.try_get(), GetError::is_empty).await
    }

    /// Makes a descriptor that is readable while there is something to get, or the queue is closed.
    ///
    /// # Errors
    ///
    /// No descriptor is left, or no thread can be started.
    pub fn readiness(&self) -> io::Result<Readiness>
    where
        T: Send,
    {
        Readiness::new(Getting(Watched::new(self, None)))
    }

    /// Takes the first message among peers; `late` says what its end means.
    pub(crate) fn get_until(
        &self,
        deadline: Deadline,
        late: Late,
        peers: &impl Peers,
    ) -> Result<T, GetError> {
        if let Some(left) = self.left() {
            return left;
        }
        let mut place = None;
        let mut batch = kept::take(&BATCH);
        let result = match self.take(1, deadline, late, peers, &mut batch) {
            Ok(fetched) => self.decode_first(&batch, fetched, &mut place),
            Err(error) => Err(error),
        };
        batch.clear();
        kept::put_back(&BATCH, batch);
        found(result, place)
    }

    #[inline]
    fn decode_first(
        &self,
        batch: &Batch,
        fetched: Option<Fetched>,
        place: &mut Option<T>,
    ) -> Result<(), GetError> {
        match batch.first() {
            Some(bytes) => self.decode(bytes, fetched, place),
            None => Ok(()),
        }
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
        let mut batch = kept::take(&BATCH);
        let result = self
            .take(max, Deadline::NEVER, Late::TimedOut, peers, &mut batch)
            .and_then(|fetched| self.decode_all(&batch, fetched));
        batch.clear();
        kept::put_back(&BATCH, batch);
        result
    }

    fn decode_all(&self, batch: &Batch, mut fetched: Option<Fetched>) -> Result<Vec<T>, GetError> {
        let mut values = Vec::with_capacity(batch.len());
        let mut messages = batch.iter().map(|(bytes, token)| {
            // One that has handles is the last.
            let mut place = None;
            let result = self.decode(bytes, token.and_then(|_| fetched.take()), &mut place);
            found(result, place)
        });
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
    }

    #[inline]
    fn take(
        &self,
        max: usize,
        deadline: Deadline,
        late: Late,
        peers: &impl Peers,
        batch: &mut Batch,
    ) -> Result<Option<Fetched>, GetError> {
        let shared = &*self.shared;
        let mut arrival = Arrival::new(batch, shared.depot.as_ref());
        match shared.ring.take_among(max, deadline, peers, &mut arrival) {
            Ok(()) => Ok(arrival.into_fetched()),
            Err(fault) => Err(GetError::new(Kind::of(fault, late, 0, shared.max_bytes))),
        }
    }

    #[inline]
    fn decode(&self, bytes: &[u8], fetched: Option<Fetched>, place: &mut Option<T>) -> Result<(), GetError> {
        let own = || {
            let [left, right] = self.shared.depot.as_ref()?.ends();
            Some([self.shared.ring.memory().fd(), left, right].map(Arc::clone))
        };
        message::decode(bytes, fetched, own, place)
    }

    /// Leases a record; what is in it comes beside, since it may be none of this type.
    pub(crate) fn begin(
        &self,
        deadline: Deadline,
        late: Late,
    ) -> Result<(Leased, Result<T, GetError>), GetError> {
        let shared = &*self.shared;
        let mut batch = kept::take(&BATCH);
        let mut arrival = Arrival::new(&mut batch, shared.depot.as_ref());
        let leased = shared.ring.lease(deadline, &mut arrival);
        let fetched = arrival.into_fetched();
        let result = match leased {
            Ok(leased) => {
                let mut place = None;
                let result = self.decode_first(&batch, fetched, &mut place);
                Ok((leased, found(result, place)))
            }
            Err(fault) => Err(GetError::new(Kind::of(fault, late, 0, shared.max_bytes))),
        };
        batch.clear();
        kept::put_back(&BATCH, batch);
        result
    }

    /// Looks for dead processes that have leases, unless that was just done; tells whether it did.
    pub(crate) fn has_looked_for_the_dead(&self) -> bool {
        let now = coarse_millis();
        let is_due = self.shared.last_look.swap(now, Ordering::Relaxed) != now;
        if is_due {
            self.shared.ring.return_of_the_dead();
        }
        is_due
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
