use crate::queue::Queue;
use crate::ring::{End, Peers};
use crate::watched::Watched;
use multiproc_core::sys::clock::coarse_millis;
use multiproc_core::sys::memory::hung_up;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long a killed process may stay unnoticed by who keeps sending and has room.
const LOOKS_APART: u64 = 100;

/// What a handle to one end of a queue has: the queue, and its part in the count of that end.
///
/// # How the end is noticed
///
/// There is one pipe that no byte goes through. Each handle of the tail holds its write end and each of the head its
/// read end, and the kernel counts the copies, in all processes and in flight: when the last one at an end is gone,
/// however it went, the other end hangs up, and stays so.
///
/// Asking the kernel takes a system call. Who takes asks only before it sleeps, and each time that a sleep ends. Who
/// puts does so too, and besides when somebody has left the other end, or at a first put after a while: a message
/// should not be put for nobody only because there is room for it.
///
/// A handle that is dropped wakes those who sleep at the other end, after its descriptor is closed. A process that
/// is killed closes its descriptors as well and wakes nobody: then the next bounded sleep ends it.
pub(crate) struct Link<T, const ALONE: bool> {
    queue: Queue<T>,
    end: End,
    /// Only a drop takes it out.
    pipe: Option<Arc<OwnedFd>>,
    /// The departures from the other end when it was looked at.
    seen: AtomicU64,
    next_look: AtomicU64,
    are_gone: AtomicBool,
}

impl<T, const ALONE: bool> Link<T, ALONE> {
    pub(crate) fn new(queue: Queue<T>, end: End, pipe: Arc<OwnedFd>) -> Link<T, ALONE> {
        // Nothing was seen yet: the first put looks.
        let link = Link {
            queue,
            end,
            pipe: Some(pipe),
            seen: AtomicU64::new(0),
            next_look: AtomicU64::new(0),
            are_gone: AtomicBool::new(false),
        };
        link.seen.store(link.departures(), Ordering::Relaxed);
        link
    }

    pub(crate) fn queue(&self) -> &Queue<T> {
        &self.queue
    }

    /// The descriptor to send.
    pub(crate) fn pipe(&self) -> Option<&Arc<OwnedFd>> {
        self.pipe.as_ref()
    }

    /// What one waits for who does not sleep in a call.
    pub(crate) fn watched(&self) -> Watched<T> {
        Watched::new(&self.queue, self.pipe.as_ref())
    }

    /// Closes the descriptor, without telling anybody.
    pub(crate) fn close(&mut self) {
        self.pipe = None;
    }

    fn departures(&self) -> u64 {
        let other = if self.end == End::Tail { End::Head } else { End::Tail };
        self.queue.ring().departures(other)
    }

    /// Tells before a put whether nobody is left, for a few nanoseconds where nothing has changed.
    #[inline]
    pub(crate) fn are_gone_by_now(&self) -> bool {
        // Relaxed, here and below: hints of when to look. What they lead to is the kernel's word.
        if self.departures() == self.seen.load(Ordering::Relaxed)
            && coarse_millis() < self.next_look.load(Ordering::Relaxed)
        {
            return self.are_gone.load(Ordering::Relaxed);
        }
        self.are_gone()
    }
}

impl<T, const ALONE: bool> Peers for Link<T, ALONE> {
    const ALONE: bool = ALONE;

    #[cold]
    fn are_gone(&self) -> bool {
        if self.are_gone.load(Ordering::Relaxed) {
            return true;
        }
        // Before the look: who leaves after it is noticed by the next one.
        self.seen.store(self.departures(), Ordering::Relaxed);
        self.next_look.store(coarse_millis() + LOOKS_APART, Ordering::Relaxed);
        let Some(pipe) = &self.pipe else { return true };
        let are_gone = hung_up(&[pipe.as_fd()], Some(Duration::ZERO)).is_ok_and(|ends| !ends.is_empty());
        if are_gone {
            self.are_gone.store(true, Ordering::Relaxed);
        }
        are_gone
    }
}
