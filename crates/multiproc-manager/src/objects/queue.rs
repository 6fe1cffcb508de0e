use super::queue_error::{NotGot, QueueGetError, QueuePutError, Why};
use super::ready_made;
use super::store::{Fifo, Sorted, Store};
use crate::operation::{Operation, Reason, Step, Turn};
use crate::proxy::or_expired;
use crate::{CallError, RemoteManager};
use multiproc_core::{Deadline, Message};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// What a [`QueueProxy`] or [`PriorityQueueProxy`] stands for.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{Manager, QueueProxy, object};
///
/// let manager = Manager::start()?;
/// manager.publish("jobs", manager.queue::<u32>(10)?.as_proxy())?;
/// let jobs = QueueProxy::from(manager.get::<object::Queue<object::Fifo<u32>>>("jobs")?);
/// jobs.put(7)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Queue<S> {
    items: S,
    capacity: Option<usize>,
    /// Items put for which [`task_done`](ItemsProxy::task_done) was not called.
    unfinished: usize,
    closed: bool,
}

/// The proxy of a queue that gives its items in the order in which they came.
pub type QueueProxy<T> = ItemsProxy<Fifo<T>>;
/// The proxy of a queue that gives the least of its items first.
pub type PriorityQueueProxy<T> = ItemsProxy<Sorted<T>>;

ready_made! {
    /// A queue in a manager's server, Python's `manager.Queue()` and `manager.JoinableQueue()`.
    ///
    /// Who waits for an item, or for room, takes no thread of the server and keeps nobody else waiting. Who dies while
    /// it waits takes nothing; an item that was on its way to a client that died is gone with it.
    ///
    /// Between processes of one machine, `multiproc-queue` is many times as fast.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let manager = multiproc_manager::Manager::start()?;
    /// let jobs = manager.queue::<String>(10)?;
    /// jobs.put("sweep".into())?;
    /// assert_eq!(jobs.get()?, "sweep");
    /// jobs.task_done()?;
    /// jobs.join()?;
    /// assert!(jobs.get_timeout(Duration::from_millis(1)).unwrap_err().is_empty());
    ///
    /// let urgent = manager.priority_queue::<(u8, String)>()?;
    /// urgent.put_many([(2, "later".into()), (1, "now".into())])?;
    /// assert_eq!(urgent.get()?.1, "now");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ItemsProxy[S] of Queue<S>
}

/// What became of a put.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Put {
    /// So many items are in.
    count: usize,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Outcome {
    All,
    /// There was no room for the others.
    Full,
    Closed,
}

/// Items to be put, and how many of them are in already.
#[derive(Serialize, Deserialize)]
#[serde(bound = "T: Message")]
struct Putting<T> {
    items: VecDeque<T>,
    count: usize,
    waits: bool,
}

impl<T: Message + Send, S: Store<Item = T>> Operation<Queue<S>> for Putting<T> {
    type Output = Put;

    fn run(mut self, queue: &mut Queue<S>, turn: &mut Turn) -> Step<Self, Put> {
        let outcome = loop {
            if queue.closed {
                break Outcome::Closed;
            }
            if self.items.is_empty() {
                break Outcome::All;
            }
            if queue.capacity.is_some_and(|capacity| queue.items.len() >= capacity) {
                if self.waits && !matches!(turn.reason, Reason::Expired | Reason::Cancelled) {
                    return Step::Wait(self);
                }
                break Outcome::Full;
            }
            if turn.reason == Reason::Cancelled {
                break Outcome::Full;
            }
            if let Some(item) = self.items.pop_front() {
                queue.items.push(item);
                queue.unfinished += 1;
                self.count += 1;
            }
        };
        Step::Done(Put { count: self.count, outcome })
    }

    fn class(&self) -> Option<u8> {
        Some(1)
    }
}

/// So many items are wanted.
#[derive(Debug, Serialize, Deserialize)]
struct Getting {
    most: usize,
    waits: bool,
}

/// Why there are none.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Nothing {
    Empty,
    Closed,
}

impl<T: Message + Send, S: Store<Item = T>> Operation<Queue<S>> for Getting {
    type Output = Result<Vec<T>, Nothing>;

    fn run(self, queue: &mut Queue<S>, turn: &mut Turn) -> Step<Self, Self::Output> {
        if turn.reason == Reason::Cancelled {
            return Step::Done(Err(Nothing::Empty));
        }
        let count = self.most.min(queue.items.len());
        if count > 0 {
            return Step::Done(Ok(std::iter::from_fn(|| queue.items.pop()).take(count).collect()));
        }
        match () {
            () if queue.closed => Step::Done(Err(Nothing::Closed)),
            () if self.waits && turn.reason != Reason::Expired => Step::Wait(self),
            () => Step::Done(Err(Nothing::Empty)),
        }
    }

    fn class(&self) -> Option<u8> {
        Some(0)
    }
}

/// Waits until all that was put is done.
#[derive(Debug, Serialize, Deserialize)]
struct Joining;

impl<S: Store> Operation<Queue<S>> for Joining {
    type Output = bool;

    fn run(self, queue: &mut Queue<S>, turn: &mut Turn) -> Step<Self, bool> {
        let is_done = queue.unfinished == 0;
        let waits = matches!(turn.reason, Reason::First | Reason::Again);
        if is_done || !waits { Step::Done(is_done) } else { Step::Wait(self) }
    }

    fn class(&self) -> Option<u8> {
        Some(2)
    }
}

impl RemoteManager {
    /// Makes a queue for so many items; 0 is as many as memory takes, as in Python.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn queue<T: Message + Send>(&self, capacity: usize) -> Result<QueueProxy<T>, CallError> {
        self.create(capacity, new::<Fifo<T>>).map(ItemsProxy)
    }

    /// Makes a queue that gives the least of its items first, and of equal ones that which came first.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn priority_queue<T: Message + Send + Ord>(&self) -> Result<PriorityQueueProxy<T>, CallError> {
        self.create(0, new::<Sorted<T>>).map(ItemsProxy)
    }
}

fn new<S: Store>(capacity: usize) -> Queue<S> {
    let capacity = (capacity > 0).then_some(capacity);
    Queue { items: S::default(), capacity, unfinished: 0, closed: false }
}

impl<T: Message + Send, S: Store<Item = T>> ItemsProxy<S> {
    /// Puts an item; waits while there is no room.
    ///
    /// # Errors
    ///
    /// The queue is closed, or as [`Proxy::call`](crate::Proxy::call); the item comes back in the error.
    pub fn put(&self, item: T) -> Result<(), QueuePutError<T>> {
        single(self.put_all(vec![item], true, self.0.deadline(None)))
    }

    /// Puts an item if there is room.
    ///
    /// # Errors
    ///
    /// As [`put`](ItemsProxy::put); [`is_full`](QueuePutError::is_full).
    pub fn try_put(&self, item: T) -> Result<(), QueuePutError<T>> {
        single(self.put_all(vec![item], false, self.0.deadline(None)))
    }

    /// Puts an item if there is room within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`try_put`](ItemsProxy::try_put).
    pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), QueuePutError<T>> {
        single(self.put_all(vec![item], true, Deadline::after(timeout)))
    }

    /// Puts many items, in one call; waits while there is no room.
    ///
    /// # Errors
    ///
    /// As [`put`](ItemsProxy::put); the items that were not put come back in the error.
    pub fn put_many(&self, items: impl IntoIterator<Item = T>) -> Result<(), QueuePutError<Vec<T>>> {
        self.put_all(items.into_iter().collect(), true, self.0.deadline(None))
    }

    fn put_all(&self, items: Vec<T>, waits: bool, deadline: Deadline) -> Result<(), QueuePutError<Vec<T>>> {
        let mut putting = Putting { items: items.into(), count: 0, waits };
        let put = self.0.operate_on(&putting, deadline, None);
        let put = or_expired(put, || Put { count: 0, outcome: Outcome::Full });
        let (count, why) = match put {
            Ok(Put { outcome: Outcome::All, .. }) => return Ok(()),
            Ok(Put { count, outcome }) => (count, Why::from(outcome)),
            Err(error) => (0, Why::Call(error)),
        };
        let value = Vec::from(putting.items.split_off(count.min(putting.items.len())));
        Err(QueuePutError { value, why })
    }

    /// Takes an item; waits for one.
    ///
    /// # Errors
    ///
    /// The queue is closed and empty, or as [`Proxy::call`](crate::Proxy::call).
    pub fn get(&self) -> Result<T, QueueGetError> {
        self.get_one(true, self.0.deadline(None))
    }

    /// Takes an item if there is one.
    ///
    /// # Errors
    ///
    /// As [`get`](ItemsProxy::get); [`is_empty`](QueueGetError::is_empty).
    pub fn try_get(&self) -> Result<T, QueueGetError> {
        self.get_one(false, self.0.deadline(None))
    }

    /// Takes an item if there is one within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`try_get`](ItemsProxy::try_get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, QueueGetError> {
        self.get_one(true, Deadline::after(timeout))
    }

    /// Takes up to `most` items, in one call; waits for the first.
    ///
    /// # Errors
    ///
    /// As [`get`](ItemsProxy::get).
    pub fn get_many(&self, most: usize) -> Result<Vec<T>, QueueGetError> {
        if most == 0 { Ok(Vec::new()) } else { self.get_all(most, true, self.0.deadline(None)) }
    }

    fn get_one(&self, waits: bool, deadline: Deadline) -> Result<T, QueueGetError> {
        let item = self.get_all(1, waits, deadline)?.pop();
        item.ok_or_else(|| QueueGetError(NotGot::Call(CallError::protocol("no item"))))
    }

    fn get_all(&self, most: usize, waits: bool, deadline: Deadline) -> Result<Vec<T>, QueueGetError> {
        let queue = self.0.clone();
        let undo = move |got: Result<Vec<T>, Nothing>| {
            // Nobody has it: it goes back to where it was.
            let Ok(items) = got else { return };
            let _ = queue.call(items, |queue, items| {
                items.into_iter().rev().for_each(|item| queue.items.push_back(item));
            });
        };
        let got = self.0.operate(Getting { most, waits }, deadline, Some(Box::new(undo)));
        match or_expired(got, || Err(Nothing::Empty)) {
            Ok(Ok(items)) => Ok(items),
            Ok(Err(Nothing::Empty)) => Err(QueueGetError(NotGot::Empty)),
            Ok(Err(Nothing::Closed)) => Err(QueueGetError(NotGot::Closed)),
            Err(error) => Err(QueueGetError(NotGot::Call(error))),
        }
    }

    /// Says that an item that was taken is done with, for those who [`join`](ItemsProxy::join).
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call); [`is_misuse`](CallError::is_misuse) where as much was done as was put.
    pub fn task_done(&self) -> Result<(), CallError> {
        let is_right = self.0.call((), |queue, ()| {
            let less = queue.unfinished.checked_sub(1);
            queue.unfinished = less.unwrap_or(0);
            less.is_some()
        })?;
        if is_right {
            Ok(())
        } else {
            Err(CallError::misuse(
                "more was done than was put into the queue: say `task_done` once for each message",
            ))
        }
    }

    /// Waits until all that was put is done.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn join(&self) -> Result<(), CallError> {
        match self.0.operate(Joining, self.0.deadline(None), None)? {
            true => Ok(()),
            false => Err(CallError::expired()),
        }
    }

    /// Waits up to `timeout` until all that was put is done; tells whether it is.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool, CallError> {
        or_expired(self.0.operate(Joining, Deadline::after(timeout), None), || false)
    }

    /// Tells how many items there are.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn len(&self) -> Result<usize, CallError> {
        self.0.call((), |queue, ()| queue.items.len())
    }

    /// Tells whether there is none.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn is_empty(&self) -> Result<bool, CallError> {
        self.0.call((), |queue, ()| queue.items.is_empty())
    }

    /// Tells whether there is no room.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn is_full(&self) -> Result<bool, CallError> {
        self.0.call((), |queue, ()| queue.capacity.is_some_and(|capacity| queue.items.len() >= capacity))
    }

    /// Closes it for everybody: nothing can be put any more, and what was put can still be taken.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn close(&self) -> Result<(), CallError> {
        self.0.call((), |queue, ()| queue.closed = true)
    }

    /// Takes item after item until the queue is closed and empty, or the server is gone.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.get().ok())
    }
}

impl From<Outcome> for Why {
    fn from(outcome: Outcome) -> Why {
        match outcome {
            Outcome::Closed => Why::Closed,
            Outcome::All | Outcome::Full => Why::Full,
        }
    }
}

fn single<T>(result: Result<(), QueuePutError<Vec<T>>>) -> Result<(), QueuePutError<T>> {
    result.or_else(|QueuePutError { mut value, why }| match value.pop() {
        Some(value) => Err(QueuePutError { value, why }),
        // It is in, after all.
        None => Ok(()),
    })
}
