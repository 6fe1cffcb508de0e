//! What pool, results and iterators share: where work is handed in, and how one waits for what comes of it.

use super::work::{After, Sink, Work};
use super::{Engine, Size, supervisor};
use crate::TaskError;
use crate::backend::{Backend, Door, Seen, Shutdown};
use crate::board::Board;
use crate::inbox::Inbox;
use multiproc_core::Deadline;
use multiproc_core::sys::thread as ids;
use multiproc_queue::link::Spin;
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a caller sleeps at most before it looks for itself.
const LONGEST: Duration = Duration::from_millis(100);
/// The same where nobody else looks after workers.
const ALONE: Duration = Duration::from_millis(5);
/// How long one who follows sleeps at most: the one whom it follows may have gone.
const FOLLOW: Duration = Duration::from_millis(50);

/// How a pool ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// When all is done.
    Drain,
    /// When what has been begun is done; the rest is cancelled.
    CancelQueued,
    /// Now.
    Kill,
}

/// How far a pool is in its end.
#[derive(Debug, Default)]
pub(crate) struct PoolEnd {
    pub(crate) ending: Mutex<Option<Ending>>,
    pub(crate) is_over: Mutex<bool>,
    pub(crate) came: Condvar,
}

pub(crate) struct Core {
    pub(crate) inbox: Mutex<Inbox>,
    pub(crate) engine: Mutex<Engine>,
    pub(crate) door: Arc<Door>,
    pub(crate) end: PoolEnd,
    /// What the supervisor is to call.
    pub(crate) callbacks: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    /// Somebody works the engine and waits at its door for all.
    collecting: AtomicBool,
    spin: Spin,
    /// The process that made it: a fork has none of its threads.
    owner: u64,
    /// How many workers there are, or are to be at most.
    pub(crate) size: Arc<Size>,
}

thread_local! {
    /// Where the core is whose supervisor this thread is: nobody buries workers while it waits.
    pub(crate) static SUPERVISES: Cell<usize> = const { Cell::new(0) };
}

impl Core {
    /// Starts a supervisor for `backend`.
    pub(crate) fn start(
        backend: Box<dyn Backend>,
        name: &str,
        workers: usize,
        max_kills: u32,
    ) -> io::Result<Arc<Core>> {
        let door = Arc::clone(backend.door());
        let size = Arc::new(Size::new(workers, backend.trip()));
        let mut engine = Engine::new(backend, max_kills, Arc::clone(&size));
        // Without it nobody can watch, and nothing else is missing.
        engine.board = Board::create(name).ok();
        engine.show();
        let core = Arc::new(Core {
            inbox: Mutex::new(Inbox::default()),
            engine: Mutex::new(engine),
            door,
            end: PoolEnd::default(),
            callbacks: Mutex::default(),
            collecting: AtomicBool::new(false),
            spin: Spin::new(),
            owner: ids::process_id(),
            size,
        });
        if let Err(error) = supervisor::start(Arc::clone(&core)) {
            core.engine.lock().backend.shut_down(Shutdown::Now, None);
            return Err(error);
        }
        Ok(core)
    }

    /// Hands work in. Of a pool that is closed it fails at once.
    pub(crate) fn hand_in(&self, work: Work) {
        let mut inbox = self.inbox.lock();
        if inbox.is_closed {
            drop(inbox);
            let mut after = After::default();
            for element in 0..work.ends.len() as u64 {
                work.sink.failed(work.base + element, TaskError::Closed, &mut after);
            }
            self.conclude(after);
            return;
        }
        inbox.works.push(work);
    }

    /// Tells whoever is awake or asleep that something was handed in.
    #[inline]
    pub(crate) fn announce(&self) {
        self.door.announce();
    }

    /// Takes in what was handed in, collects, hands out.
    pub(crate) fn pump(&self) {
        let mut after = After::default();
        {
            let mut engine = self.engine.lock();
            self.take_in(&mut engine);
            engine.work(&mut after);
            if self.is_own_thread() {
                engine.attend(&mut after);
            }
        }
        self.conclude(after);
    }

    pub(crate) fn take_in(&self, engine: &mut Engine) {
        let mut inbox = self.inbox.lock();
        inbox.take_in(|work| engine.push(work));
        engine.take_spares().for_each(|bytes| inbox.keep(bytes));
    }

    /// Does what had to wait for the lock.
    pub(crate) fn conclude(&self, after: After) {
        let After { wakers, callbacks } = after;
        for waker in wakers {
            waker.wake();
        }
        if !callbacks.is_empty() {
            self.callbacks.lock().extend(callbacks);
            self.door.ring();
        }
    }

    /// Has callbacks called on the pool's thread; here, if that has ended.
    pub(crate) fn call_back_soon(&self) {
        if *self.end.is_over.lock() {
            supervisor::call_back(self);
        } else {
            self.door.ring();
        }
    }

    /// Waits until `is_ready` or the deadline, and tells whether it is; `park` waits for somebody else to bring it.
    pub(crate) fn wait(
        &self,
        deadline: Deadline,
        is_ready: impl Fn() -> bool,
        park: impl Fn(Instant),
    ) -> bool {
        if self.owner != ids::process_id() {
            // In a fork nobody would ever bring it.
            return is_ready();
        }
        loop {
            if is_ready() {
                return true;
            }
            if deadline.has_passed() {
                return false;
            }
            // Acquire: partner of the Release below.
            if !self.collecting.swap(true, Ordering::Acquire) {
                let ready = {
                    let role = Collecting { core: self, seen: Cell::new(self.door.seen()) };
                    self.collect(&role, deadline, &is_ready)
                };
                return ready;
            }
            let is_alone = self.is_own_thread();
            if is_alone {
                // A callback that waits: who works the engine buries nobody.
                self.pump();
            }
            let soon = Instant::now() + if is_alone { ALONE } else { FOLLOW };
            park(deadline.instant().map_or(soon, |at| at.min(soon)));
        }
    }

    /// Works the engine until `is_ready` or the deadline.
    fn collect(&self, role: &Collecting<'_>, deadline: Deadline, is_ready: impl Fn() -> bool) -> bool {
        self.door.relieve();
        loop {
            let seen = self.door.seen();
            role.seen.set(seen);
            self.pump();
            if is_ready() {
                return true;
            }
            if deadline.has_passed() {
                return false;
            }
            if self.spin.wait(8, || u32::from(self.door.seen() != seen)) {
                continue;
            }
            let is_alone = self.is_own_thread();
            let next = self.engine.lock().next_time();
            // A callback that waits: its thread is the one that buries workers.
            let mut bound = if is_alone { ALONE } else { LONGEST };
            for at in [next, deadline.instant()].into_iter().flatten() {
                bound = bound.min(at.saturating_duration_since(Instant::now()));
            }
            if !bound.is_zero() {
                self.door.sleep(seen, bound);
            }
        }
    }

    /// Tells whether the calling thread is this pool's supervisor.
    fn is_own_thread(&self) -> bool {
        SUPERVISES.get() == std::ptr::from_ref(self).addr()
    }

    /// Tells whether somebody waits at the door for all.
    pub(crate) fn is_collected(&self) -> bool {
        // Acquire: partner of the Release in the drop of `Collecting`.
        self.collecting.load(Ordering::Acquire)
    }

    /// Cancels elements of a sink; tells whether there were any that could be.
    pub(crate) fn cancel(
        &self,
        sink: &Arc<dyn Sink>,
        is_meant: impl Fn(u64) -> bool + Copy,
        running: bool,
    ) -> bool {
        let mut after = After::default();
        let any = {
            let mut engine = self.engine.lock();
            self.take_in(&mut engine);
            // What has been told already is not cancelled.
            engine.work(&mut after);
            engine.cancel(sink, is_meant, running, &mut after)
        };
        self.conclude(after);
        // Somebody else has to look when their time is up.
        self.door.ring();
        any
    }

    /// Lets nothing in any more, and has the pool end.
    pub(crate) fn finish(&self, ending: Ending) {
        self.inbox.lock().is_closed = true;
        {
            let mut current = self.end.ending.lock();
            let is_harder = match (*current, ending) {
                (None, _) | (Some(Ending::Drain), _) | (_, Ending::Kill) => true,
                (Some(_), _) => false,
            };
            if is_harder {
                *current = Some(ending);
            }
        }
        self.door.ring();
    }

    /// Waits until the pool has ended; tells whether it has.
    pub(crate) fn join(&self, deadline: Deadline) -> bool {
        // In a fork, or in a callback, whose thread would wait for itself.
        if self.owner != ids::process_id() || self.is_own_thread() {
            return true;
        }
        let mut is_over = self.end.is_over.lock();
        while !*is_over {
            match deadline.instant() {
                None => self.end.came.wait(&mut is_over),
                Some(at) => {
                    if self.end.came.wait_until(&mut is_over, at).timed_out() {
                        break;
                    }
                }
            }
        }
        *is_over
    }
}

/// The role of the caller who waits for all; dropping it, by a panic too, gives it to the supervisor.
struct Collecting<'a> {
    core: &'a Core,
    seen: Cell<Seen>,
}

impl Drop for Collecting<'_> {
    fn drop(&mut self) {
        // Release: partner of the Acquire in `wait`.
        self.core.collecting.store(false, Ordering::Release);
        self.core.door.hand_back(self.seen.get());
        // What is to be done at some time is the supervisor's business again, and so is the end when all is done.
        let is_due = self.core.engine.lock().is_due_before_the_supervisor();
        if is_due || self.core.end.ending.lock().is_some() {
            self.core.door.ring();
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("size", &self.size).field("end", &self.end).finish_non_exhaustive()
    }
}
