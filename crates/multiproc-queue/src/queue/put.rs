use super::Queue;
use crate::error::{Kind, Late, PutError};
use crate::message::Outgoing;
use crate::ring::{Anyone, Peers, Record};
use crate::watched::{self, Watched};
use multiproc_core::codec::{Encoder, with_encoder};
use multiproc_core::{Deadline, Message};
use std::time::{Duration, Instant};

impl<T: Message> Queue<T> {
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
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_queue::Queue;
    /// use std::time::{Duration, Instant};
    ///
    /// let queue = Queue::bounded(1)?;
    /// queue.put_timeout(1, Duration::from_secs(1)).unwrap();
    /// assert!(queue.put_timeout(2, Duration::from_millis(1)).unwrap_err().is_timeout());
    /// assert!(queue.put_deadline(2, Instant::now()).unwrap_err().is_full());
    /// # std::io::Result::Ok(())
    /// ```
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
        watched::put(self, |end| Watched::new(end, None), value, |end, value| end.try_put(value), back).await
    }

    /// Puts a message among peers; `late` says what its end means.
    pub(crate) fn put_until(
        &self,
        value: T,
        deadline: Deadline,
        late: Late,
        peers: &impl Peers,
    ) -> Result<(), PutError<T>> {
        match with_encoder(|encoder| self.put_encoded(encoder, &value, deadline, late, peers)) {
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
        let result = with_encoder(|encoder| self.put_all_encoded(encoder, &values, peers));
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
}
