//! The thread that owns the backend: takes tasks and orders from the callers, and gives results back.

use crate::TaskError;
use crate::backend::{Backend, Envelope, Event, Shutdown, TaskId};
use crate::result::{Promise, finished};
use multiproc_core::codec::Encoded;
use multiproc_core::{Bell, Deadline};
use multiproc_process::Remote;
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Numbers what is cancelled together: one task, or all of one iterator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobId(u64);

/// A task with the obligation to tell its result.
struct Task {
    job: JobId,
    call: Remote,
    arguments: Encoded,
    promise: Promise,
}

enum Command {
    Run(Task),
    /// Takes back what no worker has; the answer is whether there was any.
    Cancel(JobId, Sender<bool>),
    Close,
    Terminate,
}

/// What pool, results and iterators hold of the supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Handle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    commands: Sender<Command>,
    /// Wakes the supervisor; a burst of tasks costs one system call.
    bell: Bell,
    /// No task is taken any more. Held for reading while one is handed in, so that none slips in after a close.
    closed: RwLock<bool>,
    jobs: AtomicU64,
    workers: Mutex<Vec<u32>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Handle {
    /// Starts a supervisor for `backend`, whose workers have these numbers.
    pub(crate) fn start(name: String, backend: Box<dyn Backend>, workers: Vec<u32>) -> io::Result<Handle> {
        let (commands, received) = mpsc::channel();
        let handle = Handle(Arc::new(Inner {
            commands,
            bell: Bell::new()?,
            closed: RwLock::new(false),
            jobs: AtomicU64::new(0),
            workers: Mutex::new(workers),
            thread: Mutex::new(None),
        }));
        let inner = Arc::clone(&handle.0);
        let supervisor = Supervisor {
            inner,
            commands: received,
            backend,
            queue: VecDeque::new(),
            under_way: HashMap::new(),
            next_task: 0,
            closing: false,
        };
        let thread = thread::Builder::new().name(name).spawn(move || supervisor.run())?;
        *handle.0.thread.lock() = Some(thread);
        Ok(handle)
    }

    pub(crate) fn new_job(&self) -> JobId {
        JobId(self.0.jobs.fetch_add(1, Ordering::Relaxed))
    }

    /// Hands a task in; a closed pool breaks the promise at once, with [`TaskError::Closed`].
    pub(crate) fn run(&self, job: JobId, call: Remote, arguments: Encoded, promise: Promise) {
        let closed = self.0.closed.read();
        if *closed {
            promise.keep(Err(TaskError::Closed));
        } else {
            self.command(Command::Run(Task { job, call, arguments, promise }));
        }
    }

    pub(crate) fn cancel(&self, job: JobId) -> bool {
        let (answer, answered) = mpsc::channel();
        self.command(Command::Cancel(job, answer));
        answered.recv().unwrap_or(false)
    }

    pub(crate) fn close(&self) {
        *self.0.closed.write() = true;
        self.command(Command::Close);
    }

    pub(crate) fn terminate(&self) {
        *self.0.closed.write() = true;
        self.command(Command::Terminate);
    }

    /// Waits until the supervisor has ended.
    pub(crate) fn join(&self) {
        // Held meanwhile, so that a second caller waits as well.
        let mut thread = self.0.thread.lock();
        if let Some(thread) = thread.take() {
            // A supervisor that panicked has broken its promises by dropping them.
            let _ = thread.join();
        }
    }

    pub(crate) fn worker_ids(&self) -> Vec<u32> {
        self.0.workers.lock().clone()
    }

    fn command(&self, command: Command) {
        // A supervisor that has ended takes no orders; what they carry is dropped, which breaks the promises.
        let _ = self.0.commands.send(command);
        self.0.bell.ring();
    }
}

struct Supervisor {
    inner: Arc<Inner>,
    commands: Receiver<Command>,
    backend: Box<dyn Backend>,
    /// Tasks that the backend has not taken.
    queue: VecDeque<Task>,
    /// The promises of those that it has.
    under_way: HashMap<TaskId, (JobId, Promise)>,
    next_task: u64,
    closing: bool,
}

impl Supervisor {
    fn run(mut self) {
        let mut events = Vec::new();
        loop {
            if self.obey() {
                return self.end(Shutdown::Now);
            }
            self.submit();
            if self.closing && self.queue.is_empty() && self.under_way.is_empty() {
                return self.end(Shutdown::Drained);
            }
            if let Err(error) = self.backend.poll(&self.inner.bell, Deadline::NEVER, &mut events) {
                tracing::error!(target: "multiproc::pool", %error, "the pool cannot watch its workers");
                // More descriptors than may be watched: that can pass.
                thread::sleep(Duration::from_millis(10));
            }
            for event in events.drain(..) {
                match event {
                    Event::Done(id, outcome) => {
                        if let Some((_, promise)) = self.under_way.remove(&id) {
                            promise.keep(finished(outcome));
                        }
                    }
                    Event::Returned(envelope) => {
                        if self.under_way.contains_key(&envelope.id) {
                            self.backend.submit(envelope);
                        }
                    }
                    Event::Workers(ids) => *self.inner.workers.lock() = ids,
                }
            }
        }
    }

    /// Does what the callers have ordered; tells whether to end at once.
    fn obey(&mut self) -> bool {
        self.inner.bell.hear();
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Run(task) => self.queue.push_back(task),
                Command::Cancel(job, answer) => {
                    let _ = answer.send(self.cancel(job));
                }
                Command::Close => self.closing = true,
                Command::Terminate => return true,
            }
        }
        false
    }

    fn cancel(&mut self, job: JobId) -> bool {
        let (cancelled, kept): (VecDeque<_>, _) = self.queue.drain(..).partition(|task| task.job == job);
        self.queue = kept;
        let mut promises: Vec<Promise> = cancelled.into_iter().map(|task| task.promise).collect();
        let taken: Vec<TaskId> =
            self.under_way.iter().filter(|(_, (other, _))| *other == job).map(|(id, _)| *id).collect();
        for id in taken {
            if self.backend.take_back(id)
                && let Some((_, promise)) = self.under_way.remove(&id)
            {
                promises.push(promise);
            }
        }
        let any = !promises.is_empty();
        for promise in promises {
            promise.keep(Err(TaskError::Cancelled));
        }
        any
    }

    fn submit(&mut self) {
        for _ in 0..self.backend.credit() {
            let Some(Task { job, call, arguments, promise }) = self.queue.pop_front() else { return };
            let id = TaskId(self.next_task);
            self.next_task += 1;
            self.under_way.insert(id, (job, promise));
            self.backend.submit(Envelope { id, call, arguments });
        }
    }

    fn end(mut self, how: Shutdown) {
        let promises = self
            .queue
            .drain(..)
            .map(|task| task.promise)
            .chain(self.under_way.drain().map(|(_, (_, promise))| promise));
        for promise in promises {
            promise.keep(Err(TaskError::Cancelled));
        }
        self.inner.workers.lock().clear();
        self.backend.shut_down(how);
    }
}
