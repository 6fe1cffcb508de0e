//! Channels with exactly one sender and one receiver, which need no lock.

mod receiver;
mod sender;

pub use receiver::{SpscMessages, SpscReceiver};
pub use sender::SpscSender;

use crate::channel::Link;
use crate::queue::Queue;
use crate::ring::End;
use multiproc_core::Message;
use multiproc_core::sys::memory::count_pipe;
use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Creates a channel with one sender and one receiver, for up to `capacity` messages of any size.
///
/// It is a [`channel`](crate::channel()) without locks: the ends cannot be cloned, and each is used by one thread at a
/// time. An end can be sent in a message; the one that arrives takes the place of the one that was sent.
///
/// # Errors
///
/// A capacity of 0 or more than 2,147,483,648; no memory or no descriptor left.
///
/// # Examples
///
/// ```
/// let (sender, receiver) = multiproc_queue::spsc(100)?;
/// let thread = std::thread::spawn(move || {
///     for number in 0..1000u32 {
///         sender.send(number).unwrap();
///     }
/// });
/// assert!(receiver.iter().eq(0..1000));
/// thread.join().unwrap();
/// assert!(receiver.recv().unwrap_err().is_disconnected());
/// # std::io::Result::Ok(())
/// ```
pub fn spsc<T: Message>(capacity: usize) -> io::Result<(SpscSender<T>, SpscReceiver<T>)> {
    let queue = Queue::builder().flavour("spsc").capacity(capacity).create()?;
    let (reader, writer) = count_pipe()?;
    Ok((SpscSender::of(queue.clone(), Arc::new(writer)), SpscReceiver::of(queue, Arc::new(reader))))
}

/// What both ends have.
///
/// Nothing can keep a program from using an end that it has sent, or a copy of it in a forked process, beside the
/// one that arrived. So each has the number of its ownership, and the last to arrive is the owner.
struct Single<T> {
    link: Link<T, true>,
    end: End,
    ownership: u64,
    /// A message took it along, which may not have arrived yet. The cell also keeps other threads out.
    was_sent: Cell<bool>,
    process: u32,
}

impl<T> Single<T> {
    fn new(queue: Queue<T>, end: End, pipe: Arc<OwnedFd>) -> Single<T> {
        let ownership = queue.ring().own(end);
        let link = Link::new(queue, end, pipe);
        Single { link, end, ownership, was_sent: Cell::new(false), process: std::process::id() }
    }

    /// Tells whether this is the end that arrived last.
    #[inline]
    fn is_owner(&self) -> bool {
        self.link.queue().ring().owner(self.end) == self.ownership
    }
}

impl<T> Drop for Single<T> {
    fn drop(&mut self) {
        self.link.close();
        let is_mine = self.is_owner() && !self.was_sent.get() && self.process == std::process::id();
        self.link.queue().ring().leave_alone(self.end, is_mine);
    }
}
