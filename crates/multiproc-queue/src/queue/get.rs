use super::Queue;
use crate::depot::Fetched;
use crate::error::{GetError, Kind, Late};
use crate::kept::with_batch;
use crate::message::{self, Arrival};
use crate::ring::{Anyone, Batch, Leased, Peers};
use crate::watched::{self, Getting, Watched};
use multiproc_core::{Deadline, Message};
use multiproc_sync::Readiness;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What was decoded to a place; a value is moved here and nowhere else.
#[inline]
fn found<T>(result: Result<(), GetError>, place: Option<T>) -> Result<T, GetError> {
    result?;
    place.ok_or_else(|| GetError::new(Kind::Empty))
}

impl<T: Message> Queue<T> {
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
        self.get_until(Deadline::now(), Late::Empty, &Anyone)
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
    /// # use tokio::runtime::Builder;
    /// # Builder::new_current_thread().build()?.block_on(async {
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
        watched::get(self, |end| Watched::new(end, None), |end| end.try_get(), GetError::is_empty).await
    }

    /// Makes a descriptor that is readable while there is something to get, or the queue is closed.
    ///
    /// # Errors
    ///
    /// No descriptor is left, or no thread can be started.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_core::sys::fd::{Interest, poll_one};
    /// use multiproc_core::Deadline;
    /// use multiproc_queue::Queue;
    ///
    /// let queue = Queue::bounded(10)?;
    /// let readiness = queue.readiness()?; // for `wait`, an event loop, tokio's `AsyncFd`
    /// queue.put(1).unwrap();
    /// assert!(poll_one(&readiness, Interest::Read, Deadline::NEVER)?);
    /// # std::io::Result::Ok(())
    /// ```
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
        let result = with_batch(|batch| match self.take(1, deadline, late, peers, batch) {
            Ok(fetched) => self.decode_first(batch, fetched, &mut place),
            Err(error) => Err(error),
        });
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
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_queue::Queue;
    ///
    /// let queue = Queue::bounded(10)?;
    /// queue.put_many(1..=3).unwrap();
    /// assert_eq!(queue.get_many(2).unwrap(), [1, 2]);
    /// assert_eq!(queue.get_many(2).unwrap(), [3]);
    /// # std::io::Result::Ok(())
    /// ```
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
            let fetched = self.take(max, Deadline::NEVER, Late::TimedOut, peers, batch)?;
            self.decode_all(batch, fetched)
        })
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
        with_batch(|batch| {
            let mut arrival = Arrival::new(batch, shared.depot.as_ref());
            let leased = shared.ring.lease(deadline, &mut arrival);
            let fetched = arrival.into_fetched();
            let leased = leased.map_err(|fault| GetError::new(Kind::of(fault, late, 0, shared.max_bytes)))?;
            let mut place = None;
            let result = self.decode_first(batch, fetched, &mut place);
            Ok((leased, found(result, place)))
        })
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
}

/// Messages as they come, see [`Queue::iter`].
///
/// # Examples
///
/// ```
/// use multiproc_queue::Queue;
///
/// let queue = Queue::bounded(10)?;
/// queue.put_many(1..=3).unwrap();
/// queue.close();
/// assert_eq!(queue.iter().sum::<u32>(), 6); // until it is closed and empty
/// # std::io::Result::Ok(())
/// ```
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
