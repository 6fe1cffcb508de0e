use super::Single;
use crate::channel::{ChannelRecvError, RECEIVING};
use crate::error::{Kind, Late};
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

/// The one receiver of [`spsc`](super::spsc).
///
/// ```
/// use std::time::Duration;
///
/// let (sender, receiver) = multiproc_queue::spsc(4)?;
/// assert!(receiver.recv_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
/// sender.send_many([1, 2, 3]).unwrap();
/// assert_eq!(receiver.recv().unwrap(), 1);
/// assert_eq!(receiver.recv_many(10).unwrap(), [2, 3]);
/// # std::io::Result::Ok(())
/// ```
pub struct SpscReceiver<T> {
    single: Single<T>,
}

impl<T: Message> SpscReceiver<T> {
    /// Receives the first message, waiting for one.
    ///
    /// # Errors
    ///
    /// The sender is gone and everything was received, the message is none of this type, or this end was sent away.
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
    pub async fn recv_async(&mut self) -> Result<T, ChannelRecvError>
    where
        T: Send,
    {
        watched::get(self, |end| end.single.link.watched(), |end| end.try_recv(), ChannelRecvError::is_empty)
            .await
    }

    /// Makes a descriptor that is readable while there is something to receive, or no sender is left.
    ///
    /// # Errors
    ///
    /// This end was sent away, no descriptor is left, or no thread can be started.
    pub fn readiness(&self) -> io::Result<Readiness>
    where
        T: Send,
    {
        if !self.single.is_owner() {
            return Err(io::Error::other(ChannelRecvError::new(Kind::Elsewhere)));
        }
        Readiness::new(Getting(self.single.link.watched()))
    }

    fn recv_until(&self, deadline: Deadline, late: Late) -> Result<T, ChannelRecvError> {
        let Single { link, .. } = &self.single;
        if !self.single.is_owner() {
            return Err(ChannelRecvError::new(Kind::Elsewhere));
        }
        link.queue().get_until(deadline, late, link).map_err(ChannelRecvError::from)
    }

    /// Receives what is there, between one and `max` messages, in one step, waiting for the first.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv). Where a message is none of this type, those before it are received first, and
    /// those behind it by the next call.
    pub fn recv_many(&self, max: usize) -> Result<Vec<T>, ChannelRecvError> {
        let Single { link, .. } = &self.single;
        if !self.single.is_owner() {
            return Err(ChannelRecvError::new(Kind::Elsewhere));
        }
        link.queue().get_some(max, link).map_err(ChannelRecvError::from)
    }

    /// Receives messages as they come, until the sender is gone and all were received.
    ///
    /// A message that is none of this type ends it, too.
    pub fn iter(&self) -> SpscMessages<'_, T> {
        SpscMessages { receiver: self }
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

    pub(super) fn of(queue: Queue<T>, pipe: Arc<OwnedFd>) -> SpscReceiver<T> {
        SpscReceiver { single: Single::new(queue, End::Head, pipe) }
    }
}

impl<T> fmt::Debug for SpscReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpscReceiver").field("queue", self.single.link.queue()).finish_non_exhaustive()
    }
}

/// Sends the handle, not the messages; outside of a message this is an error.
impl<T: Message> Serialize for SpscReceiver<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Single { link, was_sent, .. } = &self.single;
        let pipe =
            link.pipe().ok_or_else(|| ser::Error::custom("the receiver is being dropped: send it before"))?;
        was_sent.set(true);
        (link.queue(), Carried::<RECEIVING>(Arc::clone(pipe))).serialize(serializer)
    }
}

impl<'de, T: Message> Deserialize<'de> for SpscReceiver<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SpscReceiver<T>, D::Error> {
        let (queue, pipe) = <(Queue<T>, Carried<RECEIVING>)>::deserialize(deserializer)?;
        Ok(SpscReceiver::of(queue, pipe.0))
    }
}

/// Messages as they come, see [`SpscReceiver::iter`].
///
/// # Examples
///
/// ```
/// use multiproc_queue::spsc;
///
/// let (sender, receiver) = spsc(10)?;
/// sender.send_many(1..=3).unwrap();
/// drop(sender);
/// assert_eq!(receiver.iter().sum::<u32>(), 6); // until the sender is gone
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct SpscMessages<'a, T> {
    receiver: &'a SpscReceiver<T>,
}

impl<T: Message> Iterator for SpscMessages<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T: Message> IntoIterator for &'a SpscReceiver<T> {
    type Item = T;
    type IntoIter = SpscMessages<'a, T>;

    fn into_iter(self) -> SpscMessages<'a, T> {
        self.iter()
    }
}
