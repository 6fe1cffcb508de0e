//! Channels: queues with two sides, which notice when nobody is left at the other.

mod error;
mod link;
mod receiver;
mod sender;

pub use error::{ChannelRecvError, ChannelSendError};
pub use receiver::{IntoMessages, Messages, Receiver};
pub use sender::Sender;

pub(crate) use link::Link;

use crate::queue::Queue;
use multiproc_core::Message;
use multiproc_core::sys::memory::count_pipe;
use std::io;
use std::sync::Arc;

/// What a carried descriptor is.
pub(crate) const SENDING: u32 = u32::from_le_bytes(*b"chsn");
/// What a carried descriptor is.
pub(crate) const RECEIVING: u32 = u32::from_le_bytes(*b"chrc");

/// Creates a channel for up to `capacity` messages of any size.
///
/// Both ends can be cloned and sent in messages, so there may be any number of senders and receivers in any processes.
/// When all senders are gone, whether dropped or killed, receivers get what is left and then an error
/// that [is disconnected](ChannelRecvError::is_disconnected); when all receivers are gone, sending fails so and gives the
/// message back.
///
/// # Errors
///
/// A capacity of 0 or more than 2,147,483,648; no memory or no descriptor left.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = multiproc_queue::channel(10)?;
/// let second = sender.clone(); // or given to another process
/// sender.send(1).unwrap();
/// second.send(2).unwrap();
/// drop((sender, second));
/// assert_eq!(receiver.iter().collect::<Vec<u32>>(), [1, 2]);
/// assert!(receiver.recv().unwrap_err().is_disconnected());
/// # std::io::Result::Ok(())
/// ```
pub fn channel<T: Message>(capacity: usize) -> io::Result<(Sender<T>, Receiver<T>)> {
    let queue = Queue::builder().flavour("channel").capacity(capacity).create()?;
    let (reader, writer) = count_pipe()?;
    Ok((Sender::of(queue.clone(), Arc::new(writer)), Receiver::of(queue, Arc::new(reader))))
}
