use super::{ChannelSendError, Link, SENDING};
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

/// The sending side of a [`channel`](super::channel); cloning it, or sending it in a message, gives another one.
///
/// ```
/// let (sender, receiver) = multiproc_queue::channel(1)?;
/// sender.send("first".to_owned()).unwrap();
/// assert!(sender.try_send("second".to_owned()).unwrap_err().is_full());
/// drop(receiver);
/// let error = sender.send("third".to_owned()).unwrap_err();
/// assert!(error.is_disconnected());
/// assert_eq!(error.into_inner(), "third");
/// # std::io::Result::Ok(())
/// ```
pub struct Sender<T> {
    inner: Arc<Inner<T>>,
}

/// One for all clones of a process, since descriptors are dear; the last one tells that it goes.
struct Inner<T> {
    link: Link<T, false>,
}

impl<T> Drop for Inner<T> {
    fn drop(&mut self) {
        self.link.close();
        self.link.queue().ring().leave(End::Tail);
    }
}

impl<T: Message> Sender<T> {
    /// Sends a message, waiting for room.
    ///
    /// When it returns, the message is in shared memory, and stays there if this process dies.
    ///
    /// # Errors
    ///
    /// The message comes back: no receiver is left, the message cannot be encoded, or there is no memory.
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
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_queue::channel;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let (sender, receiver) = channel(10)?;
    /// sender.send_async(1).await.unwrap();
    /// assert_eq!(receiver.recv_async().await.unwrap(), 1);
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn send_async(&self, value: T) -> Result<(), ChannelSendError<T>>
    where
        T: Send,
    {
        let back =
            |error: ChannelSendError<T>| if error.is_full() { Ok(error.into_inner()) } else { Err(error) };
        watched::put(self, |end| end.inner.link.watched(), value, |end, value| end.try_send(value), back)
            .await
    }

    fn send_until(&self, value: T, deadline: Deadline, late: Late) -> Result<(), ChannelSendError<T>> {
        let link = &self.inner.link;
        if link.are_gone_by_now() {
            return Err(ChannelSendError::new(vec![value], Kind::Disconnected));
        }
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
        let link = &self.inner.link;
        if !values.is_empty() && link.are_gone_by_now() {
            return Err(ChannelSendError::new(values, Kind::Disconnected));
        }
        link.queue().put_all(values, link).map_err(ChannelSendError::from)
    }

    /// How many messages were sent and not received yet.
    pub fn len(&self) -> usize {
        self.inner.link.queue().len()
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
        self.inner.link.queue().capacity()
    }

    /// What the channel is like at this moment; see [`Queue::stats`].
    pub fn stats(&self) -> QueueStats {
        self.inner.link.queue().stats()
    }

    pub(super) fn of(queue: Queue<T>, pipe: Arc<OwnedFd>) -> Sender<T> {
        Sender { inner: Arc::new(Inner { link: Link::new(queue, End::Tail, pipe) }) }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { inner: Arc::clone(&self.inner) }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("queue", self.inner.link.queue()).finish_non_exhaustive()
    }
}

/// Sends the handle, not the messages; outside of a message this is an error.
impl<T: Message> Serialize for Sender<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let link = &self.inner.link;
        let pipe =
            link.pipe().ok_or_else(|| ser::Error::custom("the sender is being dropped: send it before"))?;
        (link.queue(), Carried::<SENDING>(Arc::clone(pipe))).serialize(serializer)
    }
}

impl<'de, T: Message> Deserialize<'de> for Sender<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sender<T>, D::Error> {
        let (queue, pipe) = <(Queue<T>, Carried<SENDING>)>::deserialize(deserializer)?;
        Ok(Sender::of(queue, pipe.0))
    }
}
