use crate::backend::{Caps, Door, Init, Local, LocalOptions, Start, WorkerKind};
use crate::engine::Core;
use crate::interrupt;
use crate::pool::Pool;
use crate::worker::{self, Runner};
use multiproc_core::Message;
use multiproc_core::codec;
use multiproc_process::{Func, StartMethod, cpu_count};
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many workers a task may cost before it is given up, whatever its retries.
const MAX_KILLS: u32 = 3;
/// How long a worker beyond the least number stays without work.
const IDLE: Duration = Duration::from_secs(10);

/// The description of a pool; made by [`Pool::builder`].
///
/// ```
/// use multiproc_pool::Pool;
/// use std::collections::HashMap;
///
/// let pool = Pool::builder()
///     .workers(2)
///     .name("counter")
///     .tasks_per_worker(1000)
///     .init((), |()| HashMap::<String, u32>::new())
///     .build()?;
/// let seen = pool.apply_with("word".to_owned(), |words: &mut HashMap<String, u32>, word| {
///     *words.entry(word).and_modify(|count| *count += 1).or_insert(1)
/// })?;
/// assert_eq!(seen, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct PoolBuilder<S: 'static = ()> {
    name: Option<String>,
    options: LocalOptions,
    /// Why there is no such pool.
    wrong: Option<String>,
    max_kills: u32,
    on_interrupt: bool,
    /// What runs the tasks, where it is not workers of this pool's own.
    backend: Option<Box<dyn Start>>,
    state: PhantomData<fn(S)>,
}

impl PoolBuilder {
    pub(crate) fn new() -> PoolBuilder {
        PoolBuilder {
            name: None,
            options: LocalOptions {
                kind: WorkerKind::Process,
                workers: cpu_count(),
                min_workers: None,
                name: String::new(),
                start_method: None,
                memory_limit: None,
                init: None,
                pinned: None,
                tasks_per_worker: None,
                max_resident: None,
                max_age: None,
                idle_timeout: IDLE,
                env: Vec::new(),
            },
            wrong: None,
            max_kills: MAX_KILLS,
            on_interrupt: false,
            backend: None,
            state: PhantomData,
        }
    }
}

impl<S: 'static> PoolBuilder<S> {
    /// Sets the number of workers; the default is one for each processor.
    pub fn workers(mut self, workers: usize) -> PoolBuilder<S> {
        self.options.workers = workers;
        self
    }

    /// Starts workers when there is work for them, and lets those beyond `least` leave when there is none; without this
    /// all are started at once and stay.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_pool::Pool;
    /// use std::time::Duration;
    ///
    /// let pool = Pool::builder()
    ///     .workers(2)
    ///     .min_workers(0) // they come with the work …
    ///     .idle_timeout(Duration::from_secs(10)) // … and go without it
    ///     .start_method(multiproc_process::StartMethod::ForkServer)
    ///     .env("LANG", "C")
    ///     .memory_limit(8 << 30)
    ///     .pin(&[0])
    ///     .max_resident(1 << 30)
    ///     .max_age(Duration::from_secs(3600))
    ///     .max_kills(3)
    ///     .build()?;
    /// assert_eq!(pool.apply(20, |n| n + 1), Ok(21));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn min_workers(mut self, least: usize) -> PoolBuilder<S> {
        self.options.min_workers = Some(least);
        self
    }

    /// Sets after how long without work one of the workers beyond the least number leaves; the default is 10 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> PoolBuilder<S> {
        self.options.idle_timeout = timeout;
        self
    }

    /// Names the pool: its workers are called `name-1`, `name-2`, and so on.
    pub fn name(mut self, name: impl Into<String>) -> PoolBuilder<S> {
        self.name = Some(name.into());
        self
    }

    /// Makes the workers threads; see [`Pool::threads`].
    pub fn threads(mut self) -> PoolBuilder<S> {
        self.options.kind = WorkerKind::Thread;
        self
    }

    /// Chooses how workers are started.
    pub fn start_method(mut self, method: StartMethod) -> PoolBuilder<S> {
        self.options.start_method = Some(method);
        self
    }

    /// Sets a variable of the workers' environment: `OMP_NUM_THREADS`, say, which keeps libraries with threads of their
    /// own from starting as many of them in each worker as there are processors.
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> PoolBuilder<S> {
        self.options.env.push((key.into(), value.into()));
        self
    }

    /// Limits the memory that each worker may allocate, in bytes; see
    /// [`Builder::memory_limit`](multiproc_process::Builder::memory_limit).
    pub fn memory_limit(mut self, bytes: u64) -> PoolBuilder<S> {
        self.options.memory_limit = Some(bytes);
        self
    }

    /// Binds each worker to one of these processors, in turns.
    pub fn pin(mut self, cpus: &[usize]) -> PoolBuilder<S> {
        self.options.pinned = Some(cpus.to_vec());
        self
    }

    /// Replaces a worker after so many tasks.
    pub fn tasks_per_worker(mut self, tasks: u64) -> PoolBuilder<S> {
        self.options.tasks_per_worker = Some(tasks.max(1));
        self
    }

    /// Replaces a worker that has more than so many bytes in memory, after the task that it is running.
    ///
    /// It is looked at ten times a second, also during a long task, for which the worker then takes the last one.
    pub fn max_resident(mut self, bytes: u64) -> PoolBuilder<S> {
        self.options.max_resident = Some(bytes);
        self
    }

    /// Replaces a worker that is so old, after the task that it is running.
    pub fn max_age(mut self, age: Duration) -> PoolBuilder<S> {
        self.options.max_age = Some(age);
        self
    }

    /// Gives a task up that has cost so many workers, whatever its [retries](crate::TaskOptions::retries); the default
    /// is 3.
    pub fn max_kills(mut self, workers: u32) -> PoolBuilder<S> {
        self.max_kills = workers.max(1);
        self
    }

    /// Handles ctrl-C for this pool: at the first it takes no more tasks, says so, and ends those that it has; at the
    /// second it is terminated, and the program ends as by an unhandled ctrl-C.
    ///
    /// Without this the program ends at once, and its workers with it.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_pool::Pool;
    ///
    /// // Where the pool's process gets SIGINT, the pool ends what is begun, and its callers get errors.
    /// let pool = Pool::builder().workers(1).handle_interrupt().build()?;
    /// assert_eq!(pool.apply(20, |n| n + 1), Ok(21));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn handle_interrupt(mut self) -> PoolBuilder<S> {
        self.on_interrupt = true;
        self
    }

    /// Has each worker make a state of `args` before its first task, on which the `_with` methods work.
    ///
    /// It is made again in a worker that replaces another one. If it cannot be made, every task ends with
    /// [`TaskError::NoWorker`](crate::TaskError::NoWorker), which says why, and it is tried again once a second.
    pub fn init<A: Message, T: 'static>(self, args: A, f: fn(A) -> T) -> PoolBuilder<T> {
        let PoolBuilder { name, mut options, mut wrong, max_kills, on_interrupt, backend, .. } = self;
        let runner = codec::encode(&Runner::new(worker::init::<A, T>));
        let function = codec::encode(&Func::new(f));
        match (runner, function, codec::encode_message(&args)) {
            (Ok(runner), Ok(function), Ok(arguments)) => {
                options.init = Some(Init { runner: runner.bytes, function: function.bytes, arguments });
            }
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
                wrong = Some(format!("the initializer cannot travel to a worker: {error}"));
            }
        }
        PoolBuilder { name, options, wrong, max_kills, on_interrupt, backend, state: PhantomData }
    }

    /// Has the tasks run by something else than workers of this pool's own: by `cluster::Nats`, on several hosts.
    ///
    /// How many workers there are, and how they are made, is then not this pool's to say: [`workers`](Self::workers) is
    /// not looked at, and limits, start methods and recycling are refused by [`build`](Self::build).
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_pool::{Pool, backend::Start};
    ///
    /// fn over(hosts: impl Start + 'static) -> std::io::Result<Pool> {
    ///     Pool::builder().backend(hosts).build()
    /// }
    /// ```
    pub fn backend(mut self, backend: impl Start + 'static) -> PoolBuilder<S> {
        self.backend = Some(Box::new(backend));
        self
    }

    /// Has each worker make a state that was described elsewhere.
    #[doc(hidden)]
    pub fn init_encoded(mut self, init: Init) -> PoolBuilder<S> {
        self.options.init = Some(init);
        self
    }

    /// Starts the pool and its workers.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what cannot be: no workers, more at least than at most, an initializer that cannot travel;
    /// `Unsupported` for what threads cannot do; a worker cannot be started.
    pub fn build(self) -> io::Result<Pool<S>> {
        static POOLS: AtomicU64 = AtomicU64::new(1);
        let PoolBuilder { name, mut options, wrong, max_kills, on_interrupt, backend, .. } = self;
        let workers = options.workers;
        let wrong = match wrong {
            _ if workers == 0 => Some("a pool of no workers: ask for at least one".to_owned()),
            _ if options.min_workers.is_some_and(|least| least > workers) => Some(format!(
                "a pool of at most {workers} workers that are more at least: turn the numbers round"
            )),
            _ if options.pinned.as_ref().is_some_and(Vec::is_empty) => {
                Some("a pool on no processor: name at least one".to_owned())
            }
            wrong => wrong,
        };
        if let Some(wrong) = wrong {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, wrong));
        }
        options.name =
            name.unwrap_or_else(|| format!("PoolWorker-{}", POOLS.fetch_add(1, Ordering::Relaxed)));
        let wishes = Wishes::of(&options);
        let name = options.name.clone();
        let backend = match backend {
            Some(backend) => {
                wishes.check(backend.caps())?;
                backend.start(options.init)?
            }
            None => {
                wishes.check(Local::caps_of(options.kind))?;
                Box::new(Local::start(options, Arc::new(Door::new()?))?)
            }
        };
        let core = Core::start(backend, &name, workers, max_kills)?;
        let pool = Pool::of(core);
        if on_interrupt {
            interrupt::handle(pool.core())?;
        }
        Ok(pool)
    }
}

/// What is asked of a backend beyond running tasks.
struct Wishes {
    limits: bool,
    elastic: bool,
    recycles: bool,
    isolates: bool,
}

impl Wishes {
    fn of(options: &LocalOptions) -> Wishes {
        let limits = options.memory_limit.is_some()
            || options.pinned.is_some()
            || options.start_method.is_some()
            || options.max_resident.is_some()
            || !options.env.is_empty();
        let recycles = options.tasks_per_worker.is_some() || options.max_age.is_some();
        Wishes {
            limits,
            elastic: options.min_workers.is_some(),
            recycles,
            isolates: options.kind == WorkerKind::Process,
        }
    }

    fn check(&self, caps: Caps) -> io::Result<()> {
        let missing = if caps.is_distant && (self.limits || self.elastic || self.recycles || !self.isolates) {
            "the agents on the hosts say how many workers they have, how these are made and when they go: tell the agents"
        } else if self.limits && !caps.limits {
            "limits of memory, processors, environments and start methods are for processes: leave them out, or use a pool of processes"
        } else if self.elastic && !caps.elastic {
            "these workers do not come and go: leave `min_workers` out"
        } else if self.recycles && !caps.recycles {
            "these workers stay as long as the pool does: leave out what replaces them"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::Unsupported, missing))
    }
}
