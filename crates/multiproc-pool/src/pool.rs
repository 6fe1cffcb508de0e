use crate::TaskError;
use crate::backend::{Local, LocalOptions};
use crate::result::{AsyncResult, Inbox, Promise};
use crate::stream::Results;
use crate::supervisor::Handle;
use multiproc_core::{Message, codec};
use multiproc_process::{Remote, StartMethod, cpu_count};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, io, thread};

/// How many tasks for each worker an iterator hands in before their results are taken.
const AHEAD: usize = 32;

/// A fixed number of worker processes that run tasks.
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
pub struct Pool {
    handle: Handle,
    workers: usize,
}

/// The description of a pool; made by [`Pool::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct PoolBuilder {
    workers: usize,
    name: Option<String>,
    start_method: Option<StartMethod>,
    memory_limit: Option<u64>,
}

impl PoolBuilder {
    /// Sets the number of workers; the default is one for each processor.
    pub fn workers(mut self, workers: usize) -> PoolBuilder {
        self.workers = workers;
        self
    }

    /// Names the pool: its workers are called `name-1`, `name-2`, and so on.
    pub fn name(mut self, name: impl Into<String>) -> PoolBuilder {
        self.name = Some(name.into());
        self
    }

    /// Chooses how workers are started.
    pub fn start_method(mut self, method: StartMethod) -> PoolBuilder {
        self.start_method = Some(method);
        self
    }

    /// Limits the memory that each worker may allocate, in bytes; see
    /// [`Builder::memory_limit`](multiproc_process::Builder::memory_limit).
    pub fn memory_limit(mut self, bytes: u64) -> PoolBuilder {
        self.memory_limit = Some(bytes);
        self
    }

    /// Starts the pool and its workers.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no workers; a worker cannot be started.
    pub fn build(self) -> io::Result<Pool> {
        if self.workers == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a pool of no workers: ask for at least one",
            ));
        }
        static POOLS: AtomicU64 = AtomicU64::new(1);
        let name =
            self.name.unwrap_or_else(|| format!("PoolWorker-{}", POOLS.fetch_add(1, Ordering::Relaxed)));
        let local = Local::start(LocalOptions {
            workers: self.workers,
            name,
            start_method: self.start_method,
            memory_limit: self.memory_limit,
        })?;
        let ids = local.ids();
        let handle = Handle::start("multiproc-pool".to_owned(), Box::new(local), ids)?;
        Ok(Pool { handle, workers: self.workers })
    }
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

    /// Begins the description of a pool.
    pub fn builder() -> PoolBuilder {
        PoolBuilder { workers: cpu_count(), name: None, start_method: None, memory_limit: None }
    }

    /// Runs one task and waits for its result.
    ///
    /// # Errors
    ///
    /// The task failed; see [`TaskError`].
    pub fn apply<A: Message, R: Message>(&self, args: A, f: fn(A) -> R) -> Result<R, TaskError> {
        self.apply_async(args, f).get()
    }

    /// Runs one task; never waits, however many there are.
    ///
    /// What keeps it from being run is told by its result.
    pub fn apply_async<A: Message, R: Message>(&self, args: A, f: fn(A) -> R) -> AsyncResult<R> {
        let inbox = Arc::<Inbox>::default();
        let promise = Promise::new(&inbox, 0);
        let job = self.handle.new_job();
        match (Remote::new(f), codec::encode_message(&args)) {
            (Ok(call), Ok(arguments)) => self.handle.run(job, call, arguments, promise),
            (Err(error), _) => promise.keep(Err(error.into())),
            (_, Err(error)) => promise.keep(Err(TaskError::encode(&error))),
        }
        AsyncResult::new(inbox, self.handle.clone(), job)
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
        let mut values: Vec<Option<R>> = Vec::new();
        // Whatever has come makes room for more: no item waits for a slow one before it.
        let mut results = self.results(items.into_iter(), f, false);
        while let Some((place, result)) = results.next_placed() {
            match result {
                Ok(value) => {
                    let index = usize::try_from(place).unwrap_or(usize::MAX);
                    if values.len() <= index {
                        values.resize_with(index + 1, || None);
                    }
                    values[index] = Some(value);
                }
                Err(error) => return Err(results.stop(place).unwrap_or(error)),
            }
        }
        Ok(values.into_iter().flatten().collect())
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
        self.results(items.into_iter(), f, true)
    }

    /// Runs a task for each item; gives the results in whatever order they come.
    ///
    /// The input is pulled a bounded number of items ahead, so it may be infinite.
    pub fn imap_unordered<I, A, R>(&self, items: I, f: fn(A) -> R) -> Results<I::IntoIter, R>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.results(items.into_iter(), f, false)
    }

    fn results<I, A, R>(&self, items: I, f: fn(A) -> R, ordered: bool) -> Results<I, R>
    where
        I: Iterator<Item = A>,
        A: Message,
        R: Message,
    {
        Results::new(items, Remote::new(f), self.handle.clone(), ordered, self.workers, AHEAD * self.workers)
    }

    /// The process numbers of the workers, as they are now.
    pub fn worker_ids(&self) -> Vec<u32> {
        self.handle.worker_ids()
    }

    /// Takes no more tasks; what was given is done, and then the workers leave.
    pub fn close(&self) {
        self.handle.close();
    }

    /// Closes the pool and waits until everything is done and the workers have left. Results can be taken afterwards.
    pub fn join(&self) {
        self.handle.close();
        self.handle.join();
    }

    /// Kills the workers; whatever has no result yet ends with [`TaskError::Cancelled`] at once.
    pub fn terminate(&self) {
        self.handle.terminate();
        self.handle.join();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if thread::panicking() {
            self.terminate();
        } else {
            self.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.worker_ids()).finish()
    }
}
