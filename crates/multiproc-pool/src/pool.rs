use crate::TaskError;
use crate::builder::PoolBuilder;
use crate::engine::{Core, Ending};
use crate::options::TaskOptions;
use crate::result::AsyncResult;
use crate::stats::PoolStats;
use crate::stream::Results;
use crate::view::With;
use multiproc_core::{Deadline, Message};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io, thread};

/// Workers that run tasks: processes, or threads.
///
/// `S` is the state that each worker keeps, where the pool was built with [`init`](PoolBuilder::init).
///
/// # Examples
///
/// ```
/// use multiproc_pool::Pool;
///
/// let pool = Pool::new(2)?;
/// assert_eq!(pool.apply((2, 3), |(a, b): (u32, u32)| a + b)?, 5);
/// assert_eq!(pool.map(["a", "bc"].map(String::from), |s| s.len())?, [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What happens when a worker dies
///
/// The task that it had begun ends with [`TaskError::WorkerDied`]. Those that it had not begun run elsewhere, and
/// another worker takes its place.
///
/// # What happens at the end
///
/// Dropping the pool closes it and waits for its tasks, as [`close`](Pool::close) and [`join`](Pool::join) do; while
/// the thread is panicking it [terminates](Pool::terminate) it instead. If this process is killed, the workers die
/// with it.
pub struct Pool<S: 'static = ()> {
    core: Arc<Core>,
    state: PhantomData<fn(S)>,
}

impl Pool {
    /// Starts a pool of `workers` processes, all of them at once.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no workers; a worker cannot be started.
    pub fn new(workers: usize) -> io::Result<Pool> {
        Pool::builder().workers(workers).build()
    }

    /// Starts a pool of `workers` threads of this process.
    ///
    /// It has the same methods, and arguments and results are encoded all the same. A task that is running cannot be
    /// ended, and one that crashes takes the program with it. For what is quick to start, and for debuggers: with one
    /// thread a breakpoint or a panic is where one looks for it.
    ///
    /// ```
    /// let pool = multiproc_pool::Pool::threads(2)?;
    /// let own = std::process::id();
    /// assert_eq!(pool.apply((), |()| std::process::id()), Ok(own));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no workers; a thread cannot be started.
    pub fn threads(workers: usize) -> io::Result<Pool> {
        Pool::builder().workers(workers).threads().build()
    }

    /// Begins the description of a pool.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::new()
    }
}

impl<S: 'static> Pool<S> {
    pub(crate) fn of(core: Arc<Core>) -> Pool<S> {
        Pool { core, state: PhantomData }
    }

    fn plain(&self) -> With<'_, S> {
        With { core: &self.core, options: None, state: PhantomData }
    }

    /// Gives the same methods for tasks with options.
    pub fn with(&self, options: TaskOptions) -> With<'_, S> {
        With { core: &self.core, options: Some(Arc::new(options)), state: PhantomData }
    }

    /// Runs one task and waits for its result.
    ///
    /// # Errors
    ///
    /// The task failed; see [`TaskError`].
    pub fn apply<A: Message, R: Message>(&self, args: A, f: fn(A) -> R) -> Result<R, TaskError> {
        self.plain().apply(args, f)
    }

    /// Runs one task; never waits, however many there are.
    ///
    /// What keeps it from being run is told by its result.
    pub fn apply_async<A: Message, R: Message>(&self, args: A, f: fn(A) -> R) -> AsyncResult<R> {
        self.plain().apply_async(args, f)
    }

    /// Runs a task for each item and gives the results in their order.
    ///
    /// # Errors
    ///
    /// When a task fails, those that no worker has begun are not run, and the others are waited for; the error is that
    /// of the first item, in their order, among those that failed.
    pub fn map<I, A, R>(&self, items: I, f: fn(A) -> R) -> Result<Vec<R>, TaskError>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.plain().map(items, f)
    }

    /// Runs a task for each item, without waiting; the items are taken at once.
    ///
    /// The result has all values in their order, or the error of the first item that failed.
    ///
    /// ```
    /// let pool = multiproc_pool::Pool::new(2)?;
    /// let squares = pool.map_async(1..=3u64, |n| n * n);
    /// assert_eq!(squares.get(), Ok(vec![1, 4, 9]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn map_async<I, A, R>(&self, items: I, f: fn(A) -> R) -> AsyncResult<Vec<R>>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.plain().map_async(items, f)
    }

    /// Runs a task for each item; gives the results in their order, as they come.
    ///
    /// The input is pulled a bounded number of items ahead, so it may be infinite.
    ///
    /// ```
    /// let pool = multiproc_pool::Pool::new(2)?;
    /// let mut squares = pool.imap(0u64.., |n| n * n).map(Result::unwrap);
    /// assert_eq!(squares.by_ref().take(3).collect::<Vec<_>>(), [0, 1, 4]);
    /// # drop(squares);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn imap<I, A, R>(&self, items: I, f: fn(A) -> R) -> Results<I::IntoIter, R>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.plain().imap(items, f)
    }

    /// Runs a task for each item; gives the results in whatever order they come.
    ///
    /// The input is pulled a bounded number of items ahead, so it may be infinite.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_pool::Pool;
    ///
    /// let pool = Pool::new(2)?;
    /// let mut squares: Vec<u64> = pool.imap_unordered(1..=3u64, |n| n * n).collect::<Result<_, _>>().unwrap();
    /// squares.sort_unstable();
    /// assert_eq!(squares, [1, 4, 9]);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn imap_unordered<I, A, R>(&self, items: I, f: fn(A) -> R) -> Results<I::IntoIter, R>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.plain().imap_unordered(items, f)
    }

    /// Runs one task on the state of the worker that takes it, and waits for its result.
    ///
    /// ```
    /// use multiproc_pool::Pool;
    ///
    /// let pool = Pool::builder().workers(1).init(40u32, |start| start).build()?;
    /// assert_eq!(pool.apply_with(2, |sum: &mut u32, n| { *sum += n; *sum })?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The task failed; see [`TaskError`].
    pub fn apply_with<A: Message, R: Message>(&self, args: A, f: fn(&mut S, A) -> R) -> Result<R, TaskError> {
        self.plain().apply_with(args, f)
    }

    /// Runs one task on the state of the worker that takes it; never waits.
    pub fn apply_async_with<A: Message, R: Message>(&self, args: A, f: fn(&mut S, A) -> R) -> AsyncResult<R> {
        self.plain().apply_async_with(args, f)
    }

    /// Runs a task for each item on the state of the worker that takes it; gives the results in their order.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_pool::Pool;
    ///
    /// let pool = Pool::builder().workers(1).init(10u32, |start| start).build()?;
    /// assert_eq!(pool.map_with(1..=3u32, |state, n| *state + n).unwrap(), [11, 12, 13]);
    /// assert_eq!(pool.apply_async_with(4, |state, n| *state + n).get(), Ok(14));
    /// assert_eq!(pool.map_async_with(1..=2u32, |state, n| *state + n).get(), Ok(vec![11, 12]));
    /// assert_eq!(pool.imap_with(1..=2u32, |state, n| *state + n).count(), 2);
    /// assert_eq!(pool.imap_unordered_with(1..=2u32, |state, n| *state + n).count(), 2);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn map_with<I, A, R>(&self, items: I, f: fn(&mut S, A) -> R) -> Result<Vec<R>, TaskError>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.plain().map_with(items, f)
    }

    /// Runs a task for each item on the workers' states, without waiting.
    pub fn map_async_with<I, A, R>(&self, items: I, f: fn(&mut S, A) -> R) -> AsyncResult<Vec<R>>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.plain().map_async_with(items, f)
    }

    /// Runs a task for each item on the workers' states; gives the results in their order, as they come.
    pub fn imap_with<I, A, R>(&self, items: I, f: fn(&mut S, A) -> R) -> Results<I::IntoIter, R>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.plain().imap_with(items, f)
    }

    /// Runs a task for each item on the workers' states; gives the results in whatever order they come.
    pub fn imap_unordered_with<I, A, R>(&self, items: I, f: fn(&mut S, A) -> R) -> Results<I::IntoIter, R>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.plain().imap_unordered_with(items, f)
    }

    /// The process numbers of the workers, as they are now; of threads, their numbers in this pool.
    pub fn worker_ids(&self) -> Vec<u32> {
        self.core.engine.lock().ids.clone()
    }

    /// What the pool has done and what it is doing.
    pub fn stats(&self) -> PoolStats {
        let mut engine = self.core.engine.lock();
        self.core.take_in(&mut engine);
        PoolStats::of(&engine)
    }

    /// Takes no more tasks; what was given is done, and then the workers leave.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_pool::Pool;
    ///
    /// let pool = Pool::new(2)?;
    /// assert_eq!(pool.worker_ids().len(), 2);
    /// let task = pool.apply_async(20, |n| n + 1);
    /// pool.close(); // nothing more comes in
    /// pool.join(); // what is there is done; dropping the pool does both
    /// assert_eq!(task.get(), Ok(21));
    ///
    /// let pool = Pool::new(1)?;
    /// pool.close_now(); // what no worker has begun is dropped
    /// pool.join();
    /// # std::io::Result::Ok(())
    /// ```
    pub fn close(&self) {
        self.core.finish(Ending::Drain);
    }

    /// Takes no more tasks, and cancels those that no worker has begun; then the workers leave.
    pub fn close_now(&self) {
        self.core.finish(Ending::CancelQueued);
    }

    /// Closes the pool and waits until everything is done and the workers have left. Results can be taken afterwards.
    pub fn join(&self) {
        self.core.finish(Ending::Drain);
        self.core.join(Deadline::NEVER);
    }

    /// Closes the pool and waits up to `timeout` until everything is done; tells whether it is.
    ///
    /// ```
    /// use multiproc_pool::Pool;
    /// use std::time::Duration;
    ///
    /// let pool = Pool::new(1)?;
    /// let endless = pool.apply_async((), |()| -> () { loop { std::thread::park() } });
    /// assert!(!pool.join_timeout(Duration::from_millis(10)));
    /// pool.terminate();
    /// assert!(endless.get().unwrap_err().is_cancelled());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.core.finish(Ending::Drain);
        self.core.join(Deadline::after(timeout))
    }

    /// Kills the workers; whatever has no result yet ends with [`TaskError::Cancelled`] at once.
    pub fn terminate(&self) {
        self.core.finish(Ending::Kill);
        self.core.join(Deadline::NEVER);
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

impl<S: 'static> Drop for Pool<S> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.terminate();
        } else {
            self.join();
        }
    }
}

impl<S: 'static> fmt::Debug for Pool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.worker_ids()).finish()
    }
}
