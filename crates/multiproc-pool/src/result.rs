use crate::TaskError;
use crate::arrivals::decoded;
use crate::block::{Block, Payload};
use crate::engine::{Core, Given, Sink};
use crate::gather::Gather;
use multiproc_core::{Deadline, Message, codec};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Where a result will be.
#[derive(Clone)]
enum Place {
    Call(Arc<Block>, u32),
    Items(Arc<Gather>),
}

/// A result before its type is known.
pub(crate) enum Raw {
    Call(Payload),
    Items(Vec<Given>),
}

impl Place {
    fn is_ready(&self) -> bool {
        match self {
            Place::Call(block, index) => block.is_ready(*index),
            Place::Items(gather) => gather.is_ready(),
        }
    }

    fn park(&self, until: Instant) {
        match self {
            Place::Call(block, index) => block.park(*index, until),
            Place::Items(gather) => gather.park(until),
        }
    }

    fn take(&self) -> Option<Result<Raw, TaskError>> {
        match self {
            Place::Call(block, index) => block.take(*index).map(|taken| taken.map(Raw::Call)),
            Place::Items(gather) => gather.take().map(|taken| taken.map(Raw::Items)),
        }
    }
}

/// Makes a value of the result of a call.
pub(crate) fn of_call<R: Message>(raw: Raw) -> Result<R, TaskError> {
    let Raw::Call(payload) = raw else { return Err(TaskError::Decode) };
    match payload {
        Payload::Short(len, bytes) => decoded(|| codec::unpack(&bytes[..usize::from(len).min(bytes.len())])),
        Payload::Long(bytes) => decoded(|| codec::unpack(&bytes)),
        Payload::Whole(bytes) => decoded(|| codec::unpack(bytes.get(4..).unwrap_or_default())),
        Payload::Carried(carried) => decoded(|| codec::decode(&carried.0, carried.1)),
        Payload::Lost => Err(TaskError::Decode),
    }
}

/// Makes values of the results of items.
pub(crate) fn of_items<R: Message>(raw: Raw) -> Result<Vec<R>, TaskError> {
    match raw {
        Raw::Items(came) => crate::gather::values(came),
        Raw::Call(_) => Err(TaskError::Decode),
    }
}

/// The result of a task that is under way; made by [`Pool::apply_async`](crate::Pool::apply_async) and
/// [`Pool::map_async`](crate::Pool::map_async).
///
/// It can be waited for, polled, awaited in any runtime, or handed to a callback. Dropping it does not stop the task.
///
/// ```
/// use multiproc_pool::Pool;
///
/// let pool = Pool::new(2)?;
/// let results: Vec<_> = (0..4u64).map(|n| pool.apply_async(n, |n| n * n)).collect();
/// let squares: Result<Vec<_>, _> = results.into_iter().map(|result| result.get()).collect();
/// assert_eq!(squares?, [0, 1, 4, 9]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the result says whether the task failed"]
pub struct AsyncResult<R> {
    place: Option<Place>,
    core: Arc<Core>,
    decode: fn(Raw) -> Result<R, TaskError>,
}

impl<R> AsyncResult<R> {
    pub(crate) fn call(block: Arc<Block>, index: u32, core: Arc<Core>) -> AsyncResult<R>
    where
        R: Message,
    {
        AsyncResult { place: Some(Place::Call(block, index)), core, decode: of_call::<R> }
    }

    pub(crate) fn items(
        gather: Arc<Gather>,
        core: Arc<Core>,
        decode: fn(Raw) -> Result<R, TaskError>,
    ) -> AsyncResult<R> {
        AsyncResult { place: Some(Place::Items(gather)), core, decode }
    }

    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// The task failed; see [`TaskError`].
    pub fn get(self) -> Result<R, TaskError> {
        self.take(Deadline::NEVER)
    }

    /// Gives the result if it is there; it is given once.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_pool::{Pool, TaskError};
    /// use std::time::{Duration, Instant};
    ///
    /// let pool = Pool::new(1)?;
    /// let endless = pool.apply_async((), |()| -> () { loop { std::thread::park() } });
    /// assert_eq!(endless.try_get(), Err(TaskError::NotReady));
    /// assert_eq!(endless.get_timeout(Duration::from_millis(1)), Err(TaskError::NotReady));
    /// assert_eq!(endless.get_deadline(Instant::now()), Err(TaskError::NotReady));
    /// assert!(!endless.is_ready());
    /// endless.cancel();
    /// # std::io::Result::Ok(())
    /// ```
    pub fn try_get(&self) -> Result<R, TaskError> {
        self.take(Deadline::now())
    }

    /// Waits up to `timeout` for the result; it is given once.
    ///
    /// # Errors
    ///
    /// [`TaskError::NotReady`] if it is not there yet, after which one may ask again; or the task failed.
    pub fn get_timeout(&self, timeout: Duration) -> Result<R, TaskError> {
        self.take(Deadline::after(timeout))
    }

    /// Waits until `deadline` for the result; it is given once.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    pub fn get_deadline(&self, deadline: Instant) -> Result<R, TaskError> {
        self.take(Deadline::at(deadline))
    }

    fn take(&self, deadline: Deadline) -> Result<R, TaskError> {
        let Some(place) = &self.place else { return Err(TaskError::Taken) };
        if let Some(taken) = place.take() {
            return taken.and_then(self.decode);
        }
        self.core.wait(deadline, || place.is_ready(), |until| place.park(until));
        place.take().unwrap_or(Err(TaskError::NotReady)).and_then(self.decode)
    }

    /// Tells whether the task has ended, in a result or an error.
    pub fn is_ready(&self) -> bool {
        self.place.as_ref().is_none_or(Place::is_ready)
    }

    /// Cancels the task; tells whether it will give no result because of that.
    ///
    /// One that no worker has begun is not run. One that is running is asked to stop and then killed with its worker,
    /// as [`TaskOptions::timeout`](crate::TaskOptions::timeout) tells. The result is then [`TaskError::Cancelled`],
    /// unless it comes in the last moment. Of a [`map_async`](crate::Pool::map_async) that holds for each item.
    pub fn cancel(&self) -> bool {
        match &self.place {
            None => false,
            Some(Place::Call(block, index)) => {
                let (sink, index) = (Arc::clone(block) as Arc<dyn Sink>, u64::from(*index));
                self.core.cancel(&sink, |number| number == index, true)
            }
            Some(Place::Items(gather)) => {
                let sink = Arc::clone(gather) as Arc<dyn Sink>;
                self.core.cancel(&sink, |_| true, true)
            }
        }
    }

    /// Has `callback` called with the result once it is there, on the pool's own thread; at once if it is.
    ///
    /// Callbacks are called one after the other, so they should be quick. One that panics harms nobody.
    ///
    /// ```
    /// use multiproc_pool::Pool;
    /// use std::sync::mpsc;
    ///
    /// let pool = Pool::new(2)?;
    /// let (sender, results) = mpsc::channel();
    /// pool.apply_async(20u32, |n| n + 1).on_done(move |result| sender.send(result).unwrap());
    /// assert_eq!(results.recv().unwrap(), Ok(21));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_done(mut self, callback: impl FnOnce(Result<R, TaskError>) + Send + 'static)
    where
        R: 'static,
    {
        let Some(place) = self.place.take() else { return };
        let decode = self.decode;
        let own = place.clone();
        let call = Box::new(move || {
            callback(own.take().unwrap_or(Err(TaskError::NotReady)).and_then(decode));
        });
        let left = match &place {
            Place::Call(block, index) => block.when_ready(*index, call),
            Place::Items(gather) => gather.when_ready(call),
        };
        if let Some(call) = left {
            self.core.callbacks.lock().push(call);
            self.core.call_back_soon();
        }
    }
}

impl<R> Future for AsyncResult<R> {
    type Output = Result<R, TaskError>;

    /// Needs no runtime of any kind. A result that was given before is [`TaskError::Taken`].
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<R, TaskError>> {
        let Some(place) = &self.place else { return Poll::Ready(Err(TaskError::Taken)) };
        let is_ready = match place {
            Place::Call(block, index) => block.wake_when_ready(*index, context.waker()),
            Place::Items(gather) => gather.wake_when_ready(context.waker()),
        };
        if !is_ready {
            return Poll::Pending;
        }
        Poll::Ready(place.take().unwrap_or(Err(TaskError::NotReady)).and_then(self.decode))
    }
}

impl<R> Drop for AsyncResult<R> {
    fn drop(&mut self) {
        if let Some(Place::Call(block, index)) = &self.place {
            block.forget(*index);
        }
    }
}

impl<R> fmt::Debug for AsyncResult<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncResult").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}
