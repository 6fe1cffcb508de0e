use super::Single;
use crate::channel::{ChannelSendError, SENDING};
use crate::error::{Kind, Late};
use crate::queue::Queue;
use crate::ring::End;
use crate::stats::QueueStats;
use crate::watched;
use multiproc_core::codec::Carried;
use multiproc_core::{Deadline, Message};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The one sender of [`spsc`](super::spsc).
///
/// ```
/// let (sender, receiver) = multiproc_queue::spsc(2)?;
/// sender.send_many([1, 2]).unwrap();
/// assert_eq!(sender.try_send(3).unwrap_err().into_inner(), 3); // full
/// assert_eq!(receiver.recv().unwrap(), 1);
/// sender.send(3).unwrap();
/// drop(receiver);
/// assert!(sender.send(4).unwrap_err().is_disconnected());
/// # std::io::Result::Ok(())
/// ```
pub struct SpscSender<T> {
    single: Single<T>,
}

impl<T: Message> SpscSender<T> {
    /// Sends a message, waiting for room.
    ///
    /// When it returns, the message is in shared memory, and stays there if this process dies.
    ///
    /// # Errors
    ///
    /// The message comes back: the receiver is gone, the message cannot be encoded, there is no memory, or this end
    /// was sent away.
    pub fn send(&self, value: T) -> Result<(), ChannelSendError<T>> {
        self.send_until(value, Deadline::NEVER, Late::TimedOut)
    }

    /// Sends a message if there is room now.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and [`is_full`](ChannelSendError::is_full).
    pub fn try_send(&self, value: T) -> Result<(), ChannelSendError<T>> {
        self.send_until(value, Deadline::now(), Late::Full)
    }

    /// Sends a message, waiting for room at most that long.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and [`is_timeout`](ChannelSendError::is_timeout).
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), ChannelSendError<T>> {
        self.send_until(value, Deadline::after(timeout), Late::TimedOut)
    }

    /// Sends a message, waiting for room until that instant.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and [`is_timeout`](ChannelSendError::is_timeout).
    pub fn send_deadline(&self, value: T, deadline: Instant) -> Result<(), ChannelSendError<T>> {
        self.send_until(value, Deadline::at(deadline), Late::TimedOut)
    }

    /// Sends a message, awaiting room, in whatever runtime.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Where it is dropped before its end the message was not sent, and is dropped with it.
    pub async fn send_async(&mut self, value: T) -> Result<(), ChannelSendError<T>>
    where
        T: Send,
    {
        let back =
            |error: ChannelSendError<T>| if error.is_full() { Ok(error.into_inner()) } else { Err(error) };
        watched::put(self, |end| end.single.link.watched(), value, |end, value| end.try_send(value), back)
            .await
    }

    fn send_until(&self, value: T, deadline: Deadline, late: Late) -> Result<(), ChannelSendError<T>> {
        if let Some(kind) = self.refusal() {
            return Err(ChannelSendError::new(vec![value], kind));
        }
        let link = &self.single.link;
        link.queue().put_until(value, deadline, late, link).map_err(ChannelSendError::from)
    }

    /// Sends messages behind each other, waiting for room: as many in one step as there is room for.
    ///
    /// The iterator is drained first: an endless one does not return.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send); [`into_rest`](ChannelSendError::into_rest) gives those that were not sent. None
    /// is sent if one of them cannot be encoded.
    pub fn send_many(&self, values: impl IntoIterator<Item = T>) -> Result<(), ChannelSendError<T>> {
        let values: Vec<T> = values.into_iter().collect();
        if values.is_empty() {
            return Ok(());
        }
        if let Some(kind) = self.refusal() {
            return Err(ChannelSendError::new(values, kind));
        }
        let link = &self.single.link;
        link.queue().put_all(values, link).map_err(ChannelSendError::from)
    }

    #[inline]
    fn refusal(&self) -> Option<Kind> {
        if !self.single.is_owner() {
            Some(Kind::Elsewhere)
        } else if self.single.link.are_gone_by_now() {
            Some(Kind::Disconnected)
        } else {
            None
        }
    }

    /// How many messages were sent and not received yet.
    pub fn len(&self) -> usize {
        self.single.link.queue().len()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whether there is no room.
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// How many messages there is room for.
    pub fn capacity(&self) -> usize {
        self.single.link.queue().capacity()
    }

    /// What the channel is like at this moment; see [`Queue::stats`].
    pub fn stats(&self) -> QueueStats {
        self.single.link.queue().stats()
    }

    pub(super) fn of(queue: Queue<T>, pipe: Arc<OwnedFd>) -> SpscSender<T> {
        SpscSender { single: Single::new(queue, End::Tail, pipe) }
    }
}

impl<T> fmt::Debug for SpscSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpscSender").field("queue", self.single.link.queue()).finish_non_exhaustive()
    }
}

/// Sends the handle, not the messages; outside of a message this is an error.
impl<T: Message> Serialize for SpscSender<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Single { link, was_sent, .. } = &self.single;
        let pipe =
            link.pipe().ok_or_else(|| ser::Error::custom("the sender is being dropped: send it before"))?;
        was_sent.set(true);
        (link.queue(), Carried::<SENDING>(Arc::clone(pipe))).serialize(serializer)
    }
}

impl<'de, T: Message> Deserialize<'de> for SpscSender<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SpscSender<T>, D::Error> {
        let (queue, pipe) = <(Queue<T>, Carried<SENDING>)>::deserialize(deserializer)?;
        Ok(SpscSender::of(queue, pipe.0))
    }
}
