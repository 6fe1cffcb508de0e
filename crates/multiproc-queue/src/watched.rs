//! Ends of queues that are waited for by descriptors and by futures, see [`multiproc_sync::Readiness`].

use crate::queue::Queue;
use crate::ring::Seen;
use multiproc_core::Message;
use multiproc_core::sync::futex::Futex;
use multiproc_core::sys::memory::hung_up;
use multiproc_sync::watch::{Waiting, Watch};
use std::cell::Cell;
use std::future::poll_fn;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

/// A queue, as one who waits for a change of it sees it.
pub(crate) struct Watched<T> {
    queue: Queue<T>,
    /// Hangs up when nobody is left at the other end; weak, since who waits is nobody's peer.
    pipe: Option<Weak<OwnedFd>>,
}

impl<T> Watched<T> {
    pub(crate) fn new(queue: &Queue<T>, pipe: Option<&Arc<OwnedFd>>) -> Watched<T> {
        Watched { queue: queue.clone(), pipe: pipe.map(Arc::downgrade) }
    }

    fn is_over(&self) -> bool {
        if self.queue.ring().is_closed() {
            return true;
        }
        let Some(pipe) = &self.pipe else { return false };
        // Where the caller's own end is gone there is nothing left to wait for.
        pipe.upgrade().is_none_or(|pipe| {
            hung_up(&[pipe.as_fd()], Some(Duration::ZERO)).is_ok_and(|ends| !ends.is_empty())
        })
    }
}

/// Waits for something to get.
pub(crate) struct Getting<T>(pub(crate) Watched<T>);

impl<T: Message + Send> Watch for Getting<T> {
    fn begin(&self) -> [Option<(Futex<'_>, u32)>; 2] {
        self.0.queue.ring().begin_take().map(Some)
    }

    fn is_ready(&self) -> bool {
        self.0.queue.has_some() || self.0.is_over()
    }

    fn look(&self) {
        self.0.queue.ring().return_of_the_dead();
    }
}

/// Waits for room to put.
struct Putting<T> {
    watched: Watched<T>,
    /// What was there when there was no room; none is to try again.
    seen: Arc<Mutex<Option<Seen>>>,
}

impl<T> Putting<T> {
    fn seen(&self) -> std::sync::MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Message + Send> Watch for Putting<T> {
    fn begin(&self) -> [Option<(Futex<'_>, u32)>; 2] {
        self.watched.queue.ring().begin_put().map(Some)
    }

    fn is_ready(&self) -> bool {
        let seen = *self.seen();
        seen.is_none_or(|seen| self.watched.queue.ring().has_changed(seen)) || self.watched.is_over()
    }

    fn look(&self) {
        self.watched.queue.ring().release_of_the_dead();
        // Whenever somebody may have died it is tried again, whatever is seen.
        *self.seen() = None;
    }
}

/// Gets as soon as there is something.
///
/// The end is passed through: were it borrowed by closures, one that threads cannot share could not be awaited in a task.
pub(crate) async fn get<Q, T: Message + Send, E>(
    mut end: Q,
    watched: fn(&mut Q) -> Watched<T>,
    attempt: fn(&mut Q) -> Result<T, E>,
    is_empty: fn(&E) -> bool,
) -> Result<T, E> {
    let mut waiting = None;
    poll_fn(|context| {
        std::task::ready!(take_turn(context));
        match attempt(&mut end) {
            Err(error) if is_empty(&error) => {
                wait(&mut waiting, context, || Waiting::new(Getting(watched(&mut end))))
            }
            result => Poll::Ready(result),
        }
    })
    .await
}

/// Puts as soon as there is room; an error that says that there is none gives the value back for the next attempt.
pub(crate) async fn put<Q, T: Message + Send, E>(
    mut end: Q,
    watched: fn(&mut Q) -> Watched<T>,
    value: T,
    attempt: fn(&mut Q, T) -> Result<(), E>,
    back: fn(E) -> Result<T, E>,
) -> Result<(), E> {
    let (queue, seen) = (watched(&mut end).queue, Arc::new(Mutex::new(None)));
    let mut waiting = None;
    let mut value = Some(value);
    poll_fn(|context| {
        std::task::ready!(take_turn(context));
        let Some(next) = value.take() else { unreachable!("it is not polled again after its end") };
        // Before the attempt: what is taken meanwhile is a change.
        let now = queue.ring().see();
        match attempt(&mut end, next).map_err(back) {
            Err(Ok(next)) => {
                value = Some(next);
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
                wait(&mut waiting, context, || {
                    Waiting::new(Putting { watched: watched(&mut end), seen: Arc::clone(&seen) })
                })
            }
            Err(Err(error)) => Poll::Ready(Err(error)),
            Ok(()) => Poll::Ready(Ok(())),
        }
    })
    .await
}

/// How often in a row a thread's tasks go on without letting others run.
const TURNS: u32 = 128;

/// Lets the other tasks of the runtime run now and then, also where there is always something to get, or room.
fn take_turn(context: &Context<'_>) -> Poll<()> {
    thread_local! {
        static LEFT: Cell<u32> = const { Cell::new(TURNS) };
    }
    let left = LEFT.get();
    if left == 0 {
        LEFT.set(TURNS);
        context.waker().wake_by_ref();
        return Poll::Pending;
    }
    LEFT.set(left - 1);
    Poll::Ready(())
}

fn wait<R>(
    waiting: &mut Option<Waiting>,
    context: &Context<'_>,
    begin: impl FnOnce() -> std::io::Result<Waiting>,
) -> Poll<R> {
    if waiting.is_none() {
        *waiting = begin().ok();
    }
    match waiting {
        Some(waiting) => waiting.arm(context.waker()),
        // Without a thread that would watch: it is tried again and again.
        None => context.waker().wake_by_ref(),
    }
    Poll::Pending
}
