use super::{ChannelRecvError, Link, RECEIVING};
use crate::error::Late;
use crate::queue::Queue;
use crate::ring::End;
use crate::stats::QueueStats;
use crate::watched::{self, Getting};
use multiproc_core::codec::Carried;
use multiproc_core::{Deadline, Message};
use multiproc_sync::Readiness;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The receiving side of a [`channel`](super::channel); cloning it, or sending it in a message, gives another one.
///
/// Each message is received once, by one receiver, and those of one sender in their order.
///
/// ```
/// use std::time::Duration;
///
/// let (sender, receiver) = multiproc_queue::channel(4)?;
/// assert!(receiver.recv_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
/// sender.send_many([1, 2, 3]).unwrap();
/// assert_eq!(receiver.recv().unwrap(), 1);
/// assert_eq!(receiver.recv_many(10).unwrap(), [2, 3]);
/// assert!(receiver.try_recv().unwrap_err().is_empty());
/// drop(sender);
/// assert!(receiver.try_recv().unwrap_err().is_disconnected());
/// # std::io::Result::Ok(())
/// ```
pub struct Receiver<T> {
    inner: Arc<Inner<T>>,
}

/// One for all clones of a process, since descriptors are dear; the last one tells that it goes.
struct Inner<T> {
    link: Link<T, false>,
}

impl<T> Drop for Inner<T> {
    fn drop(&mut self) {
        self.link.close();
        self.link.queue().ring().leave(End::Head);
    }
}

impl<T: Message> Receiver<T> {
    /// Receives the first message, waiting for one.
    ///
    /// # Errors
    ///
    /// No sender is left and everything was received, or the message is none of this type.
    pub fn recv(&self) -> Result<T, ChannelRecvError> {
        self.recv_until(Deadline::NEVER, Late::TimedOut)
    }

    /// Receives the first message if there is one now.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv), and [`is_empty`](ChannelRecvError::is_empty).
    pub fn try_recv(&self) -> Result<T, ChannelRecvError> {
        self.recv_until(Deadline::now(), Late::Empty)
    }

    /// Receives the first message, waiting for one at most that long.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv), and [`is_timeout`](ChannelRecvError::is_timeout).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, ChannelRecvError> {
        self.recv_until(Deadline::after(timeout), Late::TimedOut)
    }

    /// Receives the first message, waiting for one until that instant.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv), and [`is_timeout`](ChannelRecvError::is_timeout).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, ChannelRecvError> {
        self.recv_until(Deadline::at(deadline), Late::TimedOut)
    }

    /// Receives the first message, awaiting one, in whatever runtime.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Where it is dropped before its end no message was received.
    pub async fn recv_async(&self) -> Result<T, ChannelRecvError>
    where
        T: Send,
    {
        watched::get(self, |end| end.inner.link.watched(), |end| end.try_recv(), ChannelRecvError::is_empty)
            .await
    }

    /// Makes a descriptor that is readable while there is something to receive, or no sender is left.
    ///
    /// # Errors
    ///
    /// No descriptor is left, or no thread can be started.
    pub fn readiness(&self) -> io::Result<Readiness>
    where
        T: Send,
    {
        Readiness::new(Getting(self.inner.link.watched()))
    }

    fn recv_until(&self, deadline: Deadline, late: Late) -> Result<T, ChannelRecvError> {
        let link = &self.inner.link;
        link.queue().get_until(deadline, late, link).map_err(ChannelRecvError::from)
    }

    /// Receives what is there, between one and `max` messages, in one step, waiting for the first.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv). Where a message is none of this type, those before it are received first, and
    /// those behind it by the next call of this process.
    pub fn recv_many(&self, max: usize) -> Result<Vec<T>, ChannelRecvError> {
        let link = &self.inner.link;
        link.queue().get_some(max, link).map_err(ChannelRecvError::from)
    }

    /// Receives messages as they come, until no sender is left and all were received.
    ///
    /// A message that is none of this type ends it, too.
    pub fn iter(&self) -> Messages<'_, T> {
        Messages { receiver: self }
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

    pub(super) fn of(queue: Queue<T>, pipe: Arc<OwnedFd>) -> Receiver<T> {
        Receiver { inner: Arc::new(Inner { link: Link::new(queue, End::Head, pipe) }) }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        Receiver { inner: Arc::clone(&self.inner) }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("queue", self.inner.link.queue()).finish_non_exhaustive()
    }
}

/// Sends the handle, not the messages; outside of a message this is an error.
impl<T: Message> Serialize for Receiver<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let link = &self.inner.link;
        let pipe =
            link.pipe().ok_or_else(|| ser::Error::custom("the receiver is being dropped: send it before"))?;
        (link.queue(), Carried::<RECEIVING>(Arc::clone(pipe))).serialize(serializer)
    }
}

impl<'de, T: Message> Deserialize<'de> for Receiver<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Receiver<T>, D::Error> {
        let (queue, pipe) = <(Queue<T>, Carried<RECEIVING>)>::deserialize(deserializer)?;
        Ok(Receiver::of(queue, pipe.0))
    }
}

/// Messages as they come, see [`Receiver::iter`].
///
/// # Examples
///
/// ```
/// use multiproc_queue::channel;
///
/// let (sender, receiver) = channel(10)?;
/// sender.send_many(1..=3).unwrap();
/// drop(sender);
/// assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2, 3]); // until nobody is left who could send
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Messages<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T: Message> Iterator for Messages<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

/// Messages as they come, and the receiver with them.
///
/// # Examples
///
/// ```
/// use multiproc_queue::channel;
///
/// let (sender, receiver) = channel(10)?;
/// sender.send_many(1..=3).unwrap();
/// drop(sender);
/// for (number, message) in (1..).zip(receiver) {
///     assert_eq!(message, number);
/// }
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct IntoMessages<T> {
    receiver: Receiver<T>,
}

impl<T: Message> Iterator for IntoMessages<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T: Message> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Messages<'a, T>;

    fn into_iter(self) -> Messages<'a, T> {
        self.iter()
    }
}

impl<T: Message> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoMessages<T>;

    fn into_iter(self) -> IntoMessages<T> {
        IntoMessages { receiver: self }
    }
}
