//! What messages go through, so that queues, channels and the ring below them are tried alike.

use multiproc_core::codec::Carried;
use multiproc_core::sys::fd::identity;
use multiproc_queue::{Lease, Queue, Receiver, Sender, channel};
use std::time::Duration;

/// A descriptor in a message.
pub(crate) type Handle = Carried<{ u32::from_le_bytes(*b"strs") }>;
/// A message as queues and channels carry it.
pub(crate) type Item = (u64, Vec<u8>, Option<Handle>);

/// A message on its way in.
pub(crate) struct Given {
    pub(crate) number: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) handle: Option<Handle>,
}

/// A message that came out.
pub(crate) struct Taken {
    pub(crate) number: u64,
    pub(crate) body: Vec<u8>,
    /// What the descriptor is that came with it, if any.
    pub(crate) handle: Option<(u64, u64)>,
}

/// What a call that does not wait has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    Done,
    Full,
    Closed,
}

/// Something that messages go through.
pub(crate) trait Way: Sized + 'static {
    /// How the scenarios call it.
    const NAME: &'static str;
    /// The protocol is wrong, and must be caught.
    const IS_CONTROL: bool = false;

    /// An empty one for so many messages.
    fn bounded(capacity: usize) -> Self;
    /// The same, as a function without parameters.
    fn bounded_to<const CAPACITY: usize>() -> Self {
        Self::bounded(CAPACITY)
    }
    /// Puts messages, waiting for room; tells whether it was open.
    fn put(&self, messages: Vec<Given>) -> bool;
    /// Puts a message if there is room now.
    fn try_put(&self, message: Given) -> Tried;
    /// Takes up to so many, waiting for one, or nothing once it is closed and empty.
    fn get(&self, most: usize) -> Vec<Taken>;
    /// Takes a message if there is one now.
    fn try_get(&self) -> Option<Taken>;
    /// How many messages it holds.
    fn len(&self) -> usize;
    /// How many messages it can hold.
    fn capacity(&self) -> usize;
    /// Tells whether the handle of message `number` is the one that it was given.
    fn is_handle(handle: (u64, u64), number: u64, given: (u64, u64)) -> bool {
        let _ = number;
        handle == given
    }
    /// Looks at once for what the dead have left, as sleepers do when one dies.
    fn settle(&self) {}
    /// Tells whether it is in order when nothing is in it.
    ///
    /// # Errors
    ///
    /// Says what is wrong.
    fn check_empty(&self) -> Result<(), String> {
        Ok(())
    }
}

/// A way with leases, and an end.
pub(crate) trait Leasing: Way {
    /// A lease that is open.
    type Lease;

    /// Leases a message, waiting for one; nothing if it is closed and all is done.
    fn lease(&self) -> Option<(Self::Lease, Taken)>;
    /// Tells whether a lease's message was delivered before.
    fn is_redelivered(lease: &Self::Lease) -> bool;
    /// Ends a lease: the message is done, or is to be delivered again.
    fn end(&self, lease: Self::Lease, is_done: bool);
    /// Lets nothing in any more.
    fn close(&self);
    /// Tells whether it was closed.
    fn is_closed(&self) -> bool;
    /// Waits until all is done.
    fn join(&self);
    /// Tells whether all is done.
    fn is_done(&self) -> bool;
}

/// What was made; a point cannot be tried without.
pub(crate) fn made<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(made) => made,
        Err(error) => panic!("cannot be made: {error}"),
    }
}

fn item(given: Given) -> Item {
    (given.number, given.body, given.handle)
}

fn taken((number, body, handle): Item) -> Taken {
    let handle = handle.map(|handle| match identity(&*handle.0) {
        Ok(identity) => identity,
        Err(error) => panic!("a handle that is none: {error}"),
    });
    Taken { number, body, handle }
}

impl Way for Queue<Item> {
    const NAME: &'static str = "Queue";

    fn bounded(capacity: usize) -> Self {
        made(Queue::bounded(capacity))
    }

    fn put(&self, messages: Vec<Given>) -> bool {
        let mut items: Vec<Item> = messages.into_iter().map(item).collect();
        let result = match items.pop() {
            Some(only) if items.is_empty() => Queue::put(self, only),
            Some(last) => {
                items.push(last);
                self.put_many(items)
            }
            None => return true,
        };
        match result {
            Ok(()) => true,
            Err(error) if error.is_closed() => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn try_put(&self, message: Given) -> Tried {
        match Queue::try_put(self, item(message)) {
            Ok(()) => Tried::Done,
            Err(error) if error.is_full() => Tried::Full,
            Err(error) if error.is_closed() => Tried::Closed,
            Err(error) => panic!("{error}"),
        }
    }

    fn get(&self, most: usize) -> Vec<Taken> {
        let result = if most == 1 { Queue::get(self).map(|item| vec![item]) } else { self.get_many(most) };
        match result {
            Ok(items) => items.into_iter().map(taken).collect(),
            Err(error) if error.is_closed() => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    }

    fn try_get(&self) -> Option<Taken> {
        match Queue::try_get(self) {
            Ok(item) => Some(taken(item)),
            Err(error) if error.is_empty() || error.is_closed() => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn len(&self) -> usize {
        Queue::len(self)
    }

    fn capacity(&self) -> usize {
        Queue::capacity(self)
    }

    fn check_empty(&self) -> Result<(), String> {
        if Queue::len(self) == 0 && self.is_empty() && !self.is_full() && Leasing::is_done(self) {
            Ok(())
        } else {
            Err(format!("it is empty, and says otherwise: {self:?}"))
        }
    }
}

impl Leasing for Queue<Item> {
    type Lease = Lease<Item>;

    fn lease(&self) -> Option<(Lease<Item>, Taken)> {
        match Queue::lease(self) {
            Ok(lease) => {
                let taken = taken(lease.clone());
                Some((lease, taken))
            }
            Err(error) if error.is_closed() => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn is_redelivered(lease: &Lease<Item>) -> bool {
        lease.is_redelivered()
    }

    fn end(&self, lease: Lease<Item>, is_done: bool) {
        if is_done {
            lease.done();
        }
    }

    fn close(&self) {
        Queue::close(self);
    }

    fn is_closed(&self) -> bool {
        Queue::is_closed(self)
    }

    fn join(&self) {
        Queue::join(self);
    }

    fn is_done(&self) -> bool {
        self.join_timeout(Duration::ZERO)
    }
}

/// Both ends of a channel, in every process.
pub(crate) struct Both(pub(crate) Sender<Item>, pub(crate) Receiver<Item>);

impl Way for Both {
    const NAME: &'static str = "channel";

    fn bounded(capacity: usize) -> Self {
        let (sender, receiver) = made(channel(capacity));
        Both(sender, receiver)
    }

    fn put(&self, messages: Vec<Given>) -> bool {
        let mut items: Vec<Item> = messages.into_iter().map(item).collect();
        let result = match items.pop() {
            Some(only) if items.is_empty() => self.0.send(only),
            Some(last) => {
                items.push(last);
                self.0.send_many(items)
            }
            None => return true,
        };
        result.is_ok()
    }

    fn try_put(&self, message: Given) -> Tried {
        match self.0.try_send(item(message)) {
            Ok(()) => Tried::Done,
            Err(error) if error.is_full() => Tried::Full,
            Err(error) => panic!("{error}"),
        }
    }

    fn get(&self, most: usize) -> Vec<Taken> {
        let result = if most == 1 { self.1.recv().map(|item| vec![item]) } else { self.1.recv_many(most) };
        match result {
            Ok(items) => items.into_iter().map(taken).collect(),
            Err(error) => panic!("{error}"),
        }
    }

    fn try_get(&self) -> Option<Taken> {
        match self.1.try_recv() {
            Ok(item) => Some(taken(item)),
            Err(error) if error.is_empty() => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn len(&self) -> usize {
        self.1.len()
    }

    fn capacity(&self) -> usize {
        self.1.capacity()
    }

    fn check_empty(&self) -> Result<(), String> {
        if self.1.is_empty() && !self.0.is_full() {
            Ok(())
        } else {
            Err(format!("it is empty: {:?}", self.1))
        }
    }
}
