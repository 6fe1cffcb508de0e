use crate::client::{self, Patience, Undo};
use crate::error::CallError;
use crate::mode::{Entered, Mode};
use crate::operation::{self, Call, Operation, When};
use crate::reference::Reference;
use crate::server::entry::{self, Job};
use crate::server::reply::{LocalCall, Origin};
use crate::server::{self, Entry, exec};
use crate::wire::{Answer, Arrived, Packet};
use multiproc_core::codec;
use multiproc_core::{Deadline, Message};
use multiproc_process::{FuncWith, Remote};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much longer a thread of the server waits for a call on time than the call itself.
const GRACE: Duration = Duration::from_millis(250);

/// Stands for a `T` that lives in a manager's server.
///
/// Made by [`RemoteManager::create`](crate::RemoteManager::create). Whatever is to be done with the value is sent to
/// it, as a function and an argument, by [`call`](Proxy::call). Calls on one object run one after the other, in the order
/// in which they come; those on different objects run side by side.
///
/// A proxy is a message: it can be given to any process of the program, in an argument or a result, through a queue or a
/// pipe, as a part of other messages, and be kept inside other managed objects. The object lives until the last proxy
/// of it is gone, whether it was dropped or died with its process, and as long as one is on its way. (Objects that hold
/// proxies of each other in a circle, or of themselves, stay until the server ends.)
///
/// # Examples
///
/// ```
/// use multiproc_manager::Manager;
/// use multiproc_process::Process;
/// use std::collections::HashMap;
///
/// let manager = Manager::start()?;
/// let votes = manager.create((), |()| HashMap::<String, u32>::new())?;
/// let voters: Vec<_> = (0..2)
///     .map(|n| {
///         Process::spawn((votes.clone(), n), |(votes, n)| {
///             votes.call(format!("list {n}"), |votes, list| *votes.entry(list).or_default() += 1).unwrap();
///         })
///     })
///     .collect::<Result<_, _>>()?;
/// for voter in voters {
///     voter.join()?;
/// }
/// assert_eq!(votes.call((), |votes, ()| votes.len())?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Proxy<T> {
    reference: Arc<Reference>,
    limit: Option<Duration>,
    types: PhantomData<fn() -> T>,
}

impl<T: 'static> Proxy<T> {
    pub(crate) fn here(entry: Arc<Entry>) -> Proxy<T> {
        Proxy { reference: Arc::new(Reference::Here(entry)), limit: None, types: PhantomData }
    }

    pub(crate) fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Calls `f` on the value, in the server, and gives its result.
    ///
    /// A panic in `f` is the error of this call alone, as an exception is in Python: the value stays as `f` left it, and
    /// further calls go on with it. Nothing is poisoned.
    ///
    /// # Errors
    ///
    /// The function panicked; the server is gone; something cannot travel. See [`CallError`], and
    /// [`may_have_run`](CallError::may_have_run) above all.
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let list = manager.create(3, |n| vec![0u32; n])?;
    /// assert_eq!(list.call((1, 7), |list, (place, n)| std::mem::replace(&mut list[place], n))?, 0);
    /// let error = list.call(9, |list, place| list[place]).unwrap_err();
    /// assert!(error.panic().unwrap().message.contains("the index is 9"));
    /// assert_eq!(list.call((), |list, ()| list.clone())?, [0, 7, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call<A: Message, R: Message>(&self, args: A, f: fn(&mut T, A) -> R) -> Result<R, CallError> {
        self.call_before(self.deadline(None), args, f)
    }

    /// Calls `f` as [`call`](Proxy::call) does, if its turn comes within `timeout`, and waits no longer for its end.
    ///
    /// # Errors
    ///
    /// As [`call`](Proxy::call), and the time-out. A call that has begun is not interrupted.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_manager::Manager;
    /// use std::time::{Duration, Instant};
    ///
    /// let manager = Manager::start()?;
    /// let stack = manager.create((), |()| Vec::<u32>::new())?;
    /// stack.call_timeout(7, Duration::from_secs(10), |stack, n| stack.push(n))?;
    /// let end = Instant::now() + Duration::from_secs(10);
    /// assert_eq!(stack.call_deadline((), end, |stack, ()| stack.pop())?, Some(7));
    /// let next = stack.call_when_timeout((), Duration::from_millis(1), |stack, ()| stack.pop().ok_or(()))?;
    /// assert_eq!(next, None); // the time was up
    ///
    /// let quick = stack.timeout(Duration::from_secs(10)); // for all of its calls
    /// assert!(quick.is_same(&stack));
    /// quick.call(8, |stack, n| stack.push(n))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call_timeout<A: Message, R: Message>(
        &self,
        args: A,
        timeout: Duration,
        f: fn(&mut T, A) -> R,
    ) -> Result<R, CallError> {
        self.call_before(Deadline::after(timeout), args, f)
    }

    /// Calls `f` as [`call_timeout`](Proxy::call_timeout) does, until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`call_timeout`](Proxy::call_timeout).
    pub fn call_deadline<A: Message, R: Message>(
        &self,
        args: A,
        deadline: Instant,
        f: fn(&mut T, A) -> R,
    ) -> Result<R, CallError> {
        self.call_before(Deadline::at(deadline), args, f)
    }

    fn call_before<A: Message, R: Message>(
        &self,
        deadline: Deadline,
        args: A,
        f: fn(&mut T, A) -> R,
    ) -> Result<R, CallError> {
        let remote = Remote::new(operation::call::<T, A, R>)?;
        // Dropped only after the answer: what proxies are in it must not go before they have arrived.
        let call = Call { f: FuncWith::new(f), args };
        self.run(remote, &call, Patience::from(deadline), None)
    }

    /// Waits until `f` can do something with the value, and gives its result.
    ///
    /// `f` says by `Ok` that it has, and by `Err`, which gives its argument back, that it has to wait; it is called again
    /// after each call on the object. Waiting takes no thread of the server and keeps nobody from the object.
    ///
    /// # Errors
    ///
    /// As [`call`](Proxy::call).
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let stack = manager.create((), |()| Vec::<u32>::new())?;
    /// let taker = stack.clone();
    /// let taken = std::thread::spawn(move || taker.call_when((), |stack, ()| stack.pop().ok_or(())));
    /// stack.call(5, |stack, n| stack.push(n))?;
    /// assert_eq!(taken.join().unwrap()?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call_when<A: Message + Send, R: Message>(
        &self,
        args: A,
        f: fn(&mut T, A) -> Result<R, A>,
    ) -> Result<R, CallError> {
        let result = self.operate(When { f: FuncWith::new(f), args }, self.deadline(None), None)?;
        result.ok_or_else(CallError::expired)
    }

    /// Waits as [`call_when`](Proxy::call_when) does, up to `timeout`; `None` is the time-out.
    ///
    /// # Errors
    ///
    /// As [`call`](Proxy::call).
    pub fn call_when_timeout<A: Message + Send, R: Message>(
        &self,
        args: A,
        timeout: Duration,
        f: fn(&mut T, A) -> Result<R, A>,
    ) -> Result<Option<R>, CallError> {
        let result = self.operate(When { f: FuncWith::new(f), args }, Deadline::after(timeout), None);
        or_expired(result, || None)
    }

    /// Gives a proxy of the same object whose calls take at most so long, where they say nothing else themselves.
    ///
    /// For ready-made objects too: `dict.timeout(…).insert(…)`.
    pub fn timeout(&self, limit: Duration) -> Proxy<T> {
        Proxy { limit: Some(limit), ..self.clone() }
    }

    /// Tells whether both stand for the same object.
    pub fn is_same(&self, other: &Proxy<T>) -> bool {
        self.id() == other.id()
    }

    fn id(&self) -> u128 {
        match &*self.reference {
            Reference::Here(entry) => entry.id,
            Reference::There(there) => there.object,
        }
    }

    pub(crate) fn deadline(&self, timeout: Option<Duration>) -> Deadline {
        Deadline::from(timeout.or(self.limit))
    }

    /// Has an operation done.
    pub(crate) fn operate<O: Operation<T>>(
        &self,
        operation: O,
        deadline: Deadline,
        undo: Option<Undo<O::Output>>,
    ) -> Result<O::Output, CallError> {
        self.operate_on(&operation, deadline, undo)
    }

    /// Has an operation done that ends some time after its time is up, and says so itself.
    pub(crate) fn operate_for<O: Operation<T>>(
        &self,
        operation: O,
        limit: Duration,
    ) -> Result<O::Output, CallError> {
        let remote = Remote::new(operation::operate::<T, O>)?;
        self.run(remote, &operation, Patience { limit: Some(limit), deadline: Deadline::NEVER }, None)
    }

    /// Has an operation done, and leaves it with the caller.
    pub(crate) fn operate_on<O: Operation<T>>(
        &self,
        operation: &O,
        deadline: Deadline,
        undo: Option<Undo<O::Output>>,
    ) -> Result<O::Output, CallError> {
        let remote = Remote::new(operation::operate::<T, O>)?;
        let undo = undo.map(|undo| -> Undo<Option<O::Output>> {
            Box::new(move |output| {
                if let Some(output) = output {
                    undo(output);
                }
            })
        });
        self.run(remote, operation, Patience::from(deadline), undo)
    }

    fn run<A: Message, R: Message>(
        &self,
        remote: Remote,
        args: &A,
        patience: Patience,
        undo: Option<Undo<Option<R>>>,
    ) -> Result<R, CallError> {
        let result: Option<R> = match &*self.reference {
            Reference::There(there) => client::call(
                there.link(patience.deadline)?,
                Some(there.object),
                remote,
                args,
                patience,
                undo,
            )?,
            Reference::Here(entry) => run_here(entry, remote, args, patience)?,
        };
        result.ok_or_else(|| CallError::protocol("nothing"))
    }
}

/// Makes a call within the server.
fn run_here<A: Message, R: Message>(
    entry: &Arc<Entry>,
    remote: Remote,
    args: &A,
    patience: Patience,
) -> Result<R, CallError> {
    if exec::is_within(entry.id) {
        return Err(CallError::of(Answer::Deadlock));
    }
    let server = server::server();
    let entered = Entered::new(Mode::Granting(Vec::new()));
    let packet = Packet::new(&(), args).map_err(CallError::encode)?;
    let _kept = entered.leave();
    let mut message = Arrived::new(packet.bytes, 0, None).map_err(CallError::protocol)?;
    let fds = packet.fds.into_iter().map(|fd| Arc::try_unwrap(fd).or_else(|fd| fd.try_clone()));
    message.set_fds(fds.collect::<Result<_, _>>().map_err(CallError::io)?);
    let local = Arc::new(LocalCall::default());
    let origin = Origin::Local(Arc::clone(&local));
    let number = server.number();
    let call =
        entry::Call { number, remote, message, origin, deadline: Deadline::from(patience.limit).instant() };
    entry.submit(server, Job::Call(call));
    let longest = patience.deadline.instant().and_then(|at| at.checked_add(GRACE));
    let Some(ended) = local.wait(longest.map_or(Deadline::NEVER, Deadline::at)) else {
        entry.submit(server, Job::Cancel(number));
        return Err(CallError::timed_out());
    };
    match ended.answer {
        Answer::Done => {
            let fds =
                ended.encoded.fds.into_iter().map(|fd| Arc::try_unwrap(fd).or_else(|fd| fd.try_clone()));
            let fds = fds.collect::<Result<_, _>>().map_err(CallError::io)?;
            let _mode = Entered::new(Mode::Serving(None));
            let decoded = codec::decode(&ended.encoded.bytes, fds).map_err(CallError::decode);
            drop(ended.granted);
            decoded
        }
        answer => Err(CallError::of(answer)),
    }
}

/// A call that has not run because its time was up is no error where time-outs are results.
pub(crate) fn or_expired<R>(
    result: Result<R, CallError>,
    expired: impl FnOnce() -> R,
) -> Result<R, CallError> {
    match result {
        Err(error) if error.is_timeout() && !error.may_have_run() => Ok(expired()),
        other => other,
    }
}

impl<T> Clone for Proxy<T> {
    fn clone(&self) -> Proxy<T> {
        Proxy { reference: Arc::clone(&self.reference), limit: self.limit, types: PhantomData }
    }
}

impl<T> fmt::Debug for Proxy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy<{}>", type_name::<T>())
    }
}

impl<T> Serialize for Proxy<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.reference.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Proxy<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Proxy<T>, D::Error> {
        let reference = Arc::new(Reference::deserialize(deserializer)?);
        Ok(Proxy { reference, limit: None, types: PhantomData })
    }
}
