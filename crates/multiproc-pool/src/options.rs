use std::time::Duration;

/// How tasks are to be run; see [`Pool::with`](crate::Pool::with).
///
/// ```
/// use multiproc_pool::{Pool, TaskError, TaskOptions};
/// use std::time::Duration;
///
/// let pool = Pool::new(2)?;
/// let brief = pool.with(TaskOptions::new().timeout(Duration::from_millis(30)));
/// let endless = brief.apply((), |()| -> () { loop { std::thread::park() } });
/// assert_eq!(endless, Err(TaskError::TimedOut));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options do nothing until they are given to `Pool::with`"]
pub struct TaskOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) retries: u32,
    pub(crate) priority: i32,
    pub(crate) chunk_size: Option<usize>,
    pub(crate) progress: Option<String>,
}

impl Default for TaskOptions {
    fn default() -> TaskOptions {
        TaskOptions::new()
    }
}

impl TaskOptions {
    /// How long a task has to come to its end where nothing was said.
    pub(crate) const GRACE: Duration = Duration::from_millis(10);

    /// Describes tasks without a deadline that are tried once.
    pub const fn new() -> TaskOptions {
        TaskOptions {
            timeout: None,
            grace: TaskOptions::GRACE,
            retries: 0,
            priority: 0,
            chunk_size: None,
            progress: None,
        }
    }

    /// Ends each task, each item of an iterator, that takes longer, counted from its beginning; its result is
    /// [`TaskError::TimedOut`](crate::TaskError::TimedOut).
    ///
    /// It is asked to stop first: [`is_stopping`](crate::is_stopping) tells it, and a worker that has a handler for
    /// SIGTERM gets that signal. If it gives no result within the [grace](Self::grace), its worker and everything that
    /// this has started are killed. Tasks of [`Pool::threads`](crate::Pool::threads) cannot be ended: there they are
    /// asked to stop, and no more.
    pub fn timeout(mut self, timeout: Duration) -> TaskOptions {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how long a task that is asked to stop may take to do so; the default is 10 ms.
    pub fn grace(mut self, grace: Duration) -> TaskOptions {
        self.grace = grace;
        self
    }

    /// Tries a task again, up to so many times, that panicked, ran out of time, or whose worker died.
    ///
    /// A task that kills its workers is given up earlier; see [`PoolBuilder::max_kills`](crate::PoolBuilder::max_kills).
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_pool::{Pool, TaskOptions};
    ///
    /// fn first_time_fails(mark: String) -> u32 {
    ///     if std::fs::create_dir(mark).is_ok() { std::process::abort() } else { 7 }
    /// }
    ///
    /// let pool = Pool::new(1)?;
    /// let twice = pool.with(TaskOptions::new().retries(1).chunk_size(1).progress("trying"));
    /// # let mark = std::env::temp_dir().join(format!("mark-{}", std::process::id())).display().to_string();
    /// assert_eq!(twice.apply(mark.clone(), first_time_fails), Ok(7));
    /// # std::fs::remove_dir(mark)?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn retries(mut self, retries: u32) -> TaskOptions {
        self.retries = retries;
        self
    }

    /// Has tasks run before those of lower priority that wait; the default is 0.
    pub fn priority(mut self, priority: i32) -> TaskOptions {
        self.priority = priority;
        self
    }

    /// Sends so many items of an iterator to a worker together, instead of as many as are worth a trip.
    ///
    /// Nothing but speed depends on it.
    pub fn chunk_size(mut self, items: usize) -> TaskOptions {
        self.chunk_size = Some(items.max(1));
        self
    }

    /// Shows on standard error how far an iterator's tasks are, under this name: a bar on a terminal, now and then a
    /// line elsewhere.
    ///
    /// Without the crate's feature `progress` it shows nothing.
    pub fn progress(mut self, name: impl Into<String>) -> TaskOptions {
        self.progress = Some(name.into());
        self
    }
}
