//! The methods that hand work in: the same on a pool and on a view of it with options.

use crate::TaskError;
use crate::block::Block;
use crate::engine::{After, Code, Core, Sink, Work};
use crate::gather::Gather;
use crate::options::TaskOptions;
use crate::result::{self, AsyncResult};
use crate::stream::Results;
use crate::worker::{Runner, Running, run, run_with};
use multiproc_core::Message;
use multiproc_core::codec::{self, EncodeError, Encoder};
use multiproc_process::{Func, FuncWith};
use serde::Serialize;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

thread_local! {
    /// What arguments are encoded to.
    static ENCODER: Cell<Option<Box<Encoder>>> = const { Cell::new(None) };
}

/// A pool's methods with some [`TaskOptions`]; made by [`Pool::with`](crate::Pool::with).
///
/// ```
/// use multiproc_pool::{Pool, TaskOptions};
///
/// let pool = Pool::new(2)?;
/// let urgent = pool.with(TaskOptions::new().priority(1));
/// assert_eq!(urgent.apply(1u8, |n| n + 1), Ok(2));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct With<'a, S = ()> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) options: Option<Arc<TaskOptions>>,
    pub(crate) state: PhantomData<fn(S)>,
}

/// How a function is found and told apart.
struct Target {
    key: (usize, usize),
    runner: fn(Box<Running>) -> Box<Running>,
}

impl Target {
    fn plain<A: Message, R: Message>(f: fn(A) -> R) -> Target {
        let runner = run::<A, R> as fn(Box<Running>) -> Box<Running>;
        Target { key: (runner as usize, f as usize), runner }
    }

    fn with<S: 'static, A: Message, R: Message>(f: fn(&mut S, A) -> R) -> Target {
        let runner = run_with::<S, A, R> as fn(Box<Running>) -> Box<Running>;
        Target { key: (runner as usize, f as usize), runner }
    }

    fn code(&self, function: &impl Serialize) -> Result<Code, TaskError> {
        let encode = |result: Result<codec::Encoded, EncodeError>| {
            result.map(|encoded| encoded.bytes).map_err(|error| TaskError::foreign(&error))
        };
        let runner = encode(codec::encode(&Runner::new(self.runner)))?;
        Ok(Code { runner, function: encode(codec::encode(function))?, key: self.key })
    }
}

impl<'a, S: 'static> With<'a, S> {
    /// Runs one task and waits for its result; see [`Pool::apply`](crate::Pool::apply).
    ///
    /// # Errors
    ///
    /// The task failed; see [`TaskError`].
    pub fn apply<A: Message, R: Message>(&self, args: A, f: fn(A) -> R) -> Result<R, TaskError> {
        self.call(args, &Target::plain(f), &Func::new(f), false).get()
    }

    /// Runs one task; see [`Pool::apply_async`](crate::Pool::apply_async).
    pub fn apply_async<A: Message, R: Message>(&self, args: A, f: fn(A) -> R) -> AsyncResult<R> {
        self.call(args, &Target::plain(f), &Func::new(f), true)
    }

    /// Runs a task for each item; see [`Pool::map`](crate::Pool::map).
    ///
    /// # Errors
    ///
    /// That of the first item that failed.
    pub fn map<I, A, R>(&self, items: I, f: fn(A) -> R) -> Result<Vec<R>, TaskError>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.stream(items, &Target::plain(f), &Func::new(f), true).gather()
    }

    /// Runs a task for each item; see [`Pool::map_async`](crate::Pool::map_async).
    pub fn map_async<I, A, R>(&self, items: I, f: fn(A) -> R) -> AsyncResult<Vec<R>>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.all(items, &Target::plain(f), &Func::new(f))
    }

    /// Runs a task for each item; see [`Pool::imap`](crate::Pool::imap).
    pub fn imap<I, A, R>(&self, items: I, f: fn(A) -> R) -> Results<I::IntoIter, R>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.stream(items, &Target::plain(f), &Func::new(f), true)
    }

    /// Runs a task for each item; see [`Pool::imap_unordered`](crate::Pool::imap_unordered).
    pub fn imap_unordered<I, A, R>(&self, items: I, f: fn(A) -> R) -> Results<I::IntoIter, R>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.stream(items, &Target::plain(f), &Func::new(f), false)
    }

    /// Runs one task on a worker's state; see [`Pool::apply_with`](crate::Pool::apply_with).
    ///
    /// # Errors
    ///
    /// The task failed; see [`TaskError`].
    pub fn apply_with<A: Message, R: Message>(&self, args: A, f: fn(&mut S, A) -> R) -> Result<R, TaskError> {
        self.call(args, &Target::with(f), &FuncWith::new(f), false).get()
    }

    /// Runs one task on a worker's state, without waiting.
    pub fn apply_async_with<A: Message, R: Message>(&self, args: A, f: fn(&mut S, A) -> R) -> AsyncResult<R> {
        self.call(args, &Target::with(f), &FuncWith::new(f), true)
    }

    /// Runs a task for each item on the workers' states; see [`Pool::map_with`](crate::Pool::map_with).
    ///
    /// # Errors
    ///
    /// That of the first item that failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_pool::{Pool, TaskOptions};
    /// use std::time::Duration;
    ///
    /// let pool = Pool::builder().workers(1).init(10u32, |start| start).build()?;
    /// let quick = pool.with(TaskOptions::new().timeout(Duration::from_secs(60)));
    /// assert_eq!(quick.map_with(1..=2u32, |state, n| *state + n), Ok(vec![11, 12]));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn map_with<I, A, R>(&self, items: I, f: fn(&mut S, A) -> R) -> Result<Vec<R>, TaskError>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.stream(items, &Target::with(f), &FuncWith::new(f), true).gather()
    }

    /// Runs a task for each item on the workers' states, without waiting.
    pub fn map_async_with<I, A, R>(&self, items: I, f: fn(&mut S, A) -> R) -> AsyncResult<Vec<R>>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.all(items, &Target::with(f), &FuncWith::new(f))
    }

    /// Runs a task for each item on the workers' states; gives the results in their order, as they come.
    pub fn imap_with<I, A, R>(&self, items: I, f: fn(&mut S, A) -> R) -> Results<I::IntoIter, R>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.stream(items, &Target::with(f), &FuncWith::new(f), true)
    }

    /// Runs a task for each item on the workers' states; gives the results in whatever order they come.
    pub fn imap_unordered_with<I, A, R>(&self, items: I, f: fn(&mut S, A) -> R) -> Results<I::IntoIter, R>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        self.stream(items, &Target::with(f), &FuncWith::new(f), false)
    }

    fn call<A: Message, R: Message>(
        &self,
        args: A,
        target: &Target,
        function: &impl Serialize,
        is_announced: bool,
    ) -> AsyncResult<R> {
        let mut encoder = ENCODER.try_with(Cell::take).ok().flatten().unwrap_or_default();
        encoder.clear();
        let placed = match encoder.pack(&args) {
            Ok(()) => self.place(&mut encoder, target, function),
            Err(error) => Err(TaskError::encode(&error)),
        };
        let _ = ENCODER.try_with(|kept| kept.set(Some(encoder)));
        let (block, index) = placed.unwrap_or_else(|error| {
            let block = Arc::new(Block::default());
            block.failed(0, error, &mut After::default());
            (block, 0)
        });
        // Who waits for it at once sees to it.
        if is_announced || self.core.is_collected() {
            self.core.announce();
        }
        AsyncResult::call(block, index, Arc::clone(self.core))
    }

    fn place(
        &self,
        encoder: &mut Encoder,
        target: &Target,
        function: &impl Serialize,
    ) -> Result<(Arc<Block>, u32), TaskError> {
        let mut inbox = self.core.inbox.lock();
        if inbox.is_closed {
            return Err(TaskError::Closed);
        }
        inbox.call(target.key, || target.code(function), self.options.as_ref(), encoder)
    }

    fn code(&self, target: &Target, function: &impl Serialize) -> Result<Arc<Code>, TaskError> {
        self.core.inbox.lock().code(target.key, || target.code(function))
    }

    fn stream<I, A, R>(
        &self,
        items: I,
        target: &Target,
        function: &impl Serialize,
        is_ordered: bool,
    ) -> Results<I::IntoIter, R>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        let code = self.code(target, function);
        Results::new(items.into_iter(), code, self.options.clone(), Arc::clone(self.core), is_ordered)
    }

    fn all<I, A, R>(&self, items: I, target: &Target, function: &impl Serialize) -> AsyncResult<Vec<R>>
    where
        I: IntoIterator<Item = A>,
        A: Message,
        R: Message,
    {
        let code = self.code(target, function);
        let mut encoder = Encoder::default();
        let (mut ends, mut alone, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let mut place = 0u64;
        // Those that have handles travel alone; the others are one work in so many runs.
        let mut runs: Vec<(u64, Vec<u8>, Vec<usize>)> = Vec::new();
        let mut first = 0;
        let mut cut = |encoder: &mut Encoder, ends: &mut Vec<usize>, first: u64| {
            if !ends.is_empty() {
                runs.push((first, std::mem::take(encoder.bytes()), std::mem::take(ends)));
            }
        };
        for item in items {
            let start = encoder.bytes().len();
            match encoder.pack(&item) {
                Ok(()) if !encoder.has_handles() => ends.push(encoder.bytes().len()),
                result => {
                    let own = encoder.bytes().split_off(start);
                    match result {
                        Ok(()) => alone.push((place, own, encoder.take_fds())),
                        Err(error) => errors.push((place, TaskError::encode(&error))),
                    }
                    cut(&mut encoder, &mut ends, first);
                    encoder.clear();
                    first = place + 1;
                }
            }
            place += 1;
        }
        cut(&mut encoder, &mut ends, first);
        let gather = Arc::new(Gather::new(place));
        match code {
            Err(error) => (0..place).for_each(|place| gather.fail(place, error.clone())),
            Ok(code) => {
                errors.into_iter().for_each(|(place, error)| gather.fail(place, error));
                let work = |base, bytes: Vec<u8>, ends, fds: Vec<_>| Work {
                    sink: Arc::clone(&gather) as Arc<dyn Sink>,
                    code: Arc::clone(&code),
                    options: self.options.clone(),
                    framed: false,
                    bytes,
                    ends,
                    alone: !fds.is_empty(),
                    fds,
                    base,
                    since: Instant::now(),
                    attempts: 0,
                    kills: 0,
                    tries: 0,
                    is_divisible: true,
                };
                for (base, bytes, ends) in runs {
                    self.core.hand_in(work(base, bytes, ends, Vec::new()));
                }
                for (base, bytes, fds) in alone {
                    let ends = vec![bytes.len()];
                    self.core.hand_in(work(base, bytes, ends, fds));
                }
                self.core.announce();
            }
        }
        AsyncResult::items(gather, Arc::clone(self.core), result::of_items::<R>)
    }
}
