use crate::TaskError;
use crate::result::{Finished, Inbox, Promise, decode};
use crate::supervisor::{Handle, JobId};
use multiproc_core::{Deadline, Message, codec};
use multiproc_process::{ForeignFunction, Remote};
use std::collections::BTreeMap;
use std::fmt;
use std::iter::Fuse;
use std::marker::PhantomData;
use std::sync::Arc;

/// The results of tasks as they come; made by [`Pool::imap`](crate::Pool::imap) and
/// [`Pool::imap_unordered`](crate::Pool::imap_unordered).
///
/// It pulls its input as it is asked for results, a bounded number ahead, on the caller's thread: an input that waits
/// for the results of its own earlier items would wait for ever. Dropping it takes back the tasks that no worker has
/// begun.
pub struct Results<I: Iterator, R> {
    items: Fuse<I>,
    call: Result<Remote, ForeignFunction>,
    pool: Handle,
    job: JobId,
    inbox: Arc<Inbox>,
    /// Tasks handed in so far, which is the next one's place.
    handed_in: u64,
    /// Results given so far.
    given: u64,
    /// The pool has been closed: what is left of the input would fail as well.
    closed: bool,
    /// The most tasks that are handed in without their results being given.
    ahead: u64,
    /// Where order counts: results that came before their turn.
    early: Option<BTreeMap<u64, Finished>>,
    result: PhantomData<fn() -> R>,
}

impl<I: Iterator<Item: Message>, R: Message> Results<I, R> {
    pub(crate) fn new(
        items: I,
        call: Result<Remote, ForeignFunction>,
        pool: Handle,
        ordered: bool,
        begin: usize,
        ahead: usize,
    ) -> Results<I, R> {
        let mut results = Results {
            items: items.fuse(),
            call,
            job: pool.new_job(),
            pool,
            inbox: Arc::default(),
            handed_in: 0,
            given: 0,
            closed: false,
            ahead: ahead as u64,
            early: ordered.then(BTreeMap::new),
            result: PhantomData,
        };
        // The work begins now, not when somebody asks; the rest of the input is pulled when results are.
        for _ in 0..begin {
            results.hand_in_one();
        }
        results
    }

    /// Hands one more task in; tells whether there was one, and room for it.
    fn hand_in_one(&mut self) -> bool {
        if self.closed || self.handed_in - self.given >= self.ahead {
            return false;
        }
        let Some(item) = self.items.next() else { return false };
        let promise = Promise::new(&self.inbox, self.handed_in);
        self.handed_in += 1;
        match (self.call, codec::encode_message(&item)) {
            (Ok(call), Ok(arguments)) => self.pool.run(self.job, call, arguments, promise),
            (Err(error), _) => promise.keep(Err(error.into())),
            (_, Err(error)) => promise.keep(Err(TaskError::encode(&error))),
        }
        true
    }

    /// The result whose turn it is, and its place, if it is there before the deadline.
    fn next_result(&mut self, deadline: Deadline) -> Option<(u64, Finished)> {
        let Some(early) = &mut self.early else { return self.inbox.take(deadline) };
        loop {
            if let Some(result) = early.remove(&self.given) {
                return Some((self.given, result));
            }
            let (place, result) = self.inbox.take(deadline)?;
            early.insert(place, result);
        }
    }

    /// Takes back what no worker has begun, and waits for the rest.
    ///
    /// Gives the first error, by place, of a task that came before `place`.
    pub(crate) fn stop(mut self, place: u64) -> Option<TaskError> {
        self.items_end();
        let mut first: Option<(u64, TaskError)> = None;
        while let Some((other, result)) = self.next_placed() {
            if let Err(error) = result
                && error != TaskError::Cancelled
                && other < first.as_ref().map_or(place, |(place, _)| *place)
            {
                first = Some((other, error));
            }
        }
        first.map(|(_, error)| error)
    }

    fn items_end(&mut self) {
        self.closed = true;
        self.pool.cancel(self.job);
    }
}

impl<I: Iterator<Item: Message>, R: Message> Results<I, R> {
    /// The next result and the place of its item.
    pub(crate) fn next_placed(&mut self) -> Option<(u64, Result<R, TaskError>)> {
        let (place, result) = loop {
            // What is there already comes before the input, which may be slow.
            if let Some(result) = self.next_result(Deadline::now()) {
                break result;
            }
            if self.hand_in_one() {
                continue;
            }
            if self.given == self.handed_in {
                return None;
            }
            if let Some(result) = self.next_result(Deadline::NEVER) {
                break result;
            }
        };
        self.given += 1;
        self.closed |= matches!(result, Err(TaskError::Closed));
        Some((place, decode(result)))
    }
}

impl<I: Iterator<Item: Message>, R: Message> Iterator for Results<I, R> {
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Result<R, TaskError>> {
        Some(self.next_placed()?.1)
    }
}

impl<I: Iterator, R> Drop for Results<I, R> {
    fn drop(&mut self) {
        if self.given < self.handed_in {
            self.pool.cancel(self.job);
        }
    }
}

impl<I: Iterator, R> fmt::Debug for Results<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results")
            .field("handed_in", &self.handed_in)
            .field("given", &self.given)
            .field("ahead", &self.ahead)
            .finish_non_exhaustive()
    }
}
