//! Waiting for words of shared memory by descriptors and by futures.
//!
//! A thread of this process, the watcher, sleeps on the words in the place of those who wait otherwise, as one more of
//! their sleepers. A change wakes all sleepers, so the watcher takes no wake-up from anybody, and nothing that lies in
//! shared memory knows of it: where nobody waits in this way, nothing is done for it.
//!
//! One watcher serves some sixty things at once; it is started for the first, and ends a second after the last. Wakers
//! of futures are woken by it.

mod watcher;

use crate::Event;
use multiproc_core::sync::futex::Futex;
use multiproc_core::sys::fd;
use multiproc_shm::{Shared, ShmSafe};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use watcher::{Entry, Registered};

/// Something in shared memory that can be waited for.
pub trait Watch: Send + Sync {
    /// Makes whoever changes it wake the caller; gives the words to sleep on while they have these values.
    ///
    /// [`is_ready`](Self::is_ready) is asked afterwards. The second word is a [`DeathBell`](crate::raw::DeathBell).
    fn begin(&self) -> [Option<(Futex<'_>, u32)>; 2];
    /// Tells whether the wait is over.
    fn is_ready(&self) -> bool;
    /// Does what the dead would have done; called when one may have died, and now and then.
    fn look(&self) {}
}

/// A descriptor that is readable while something in shared memory is ready: one `wait` covers it and connections,
/// processes and sockets.
///
/// It is made by an [`Event`] or by the receiving end of a queue, and speaks of that in this process alone: it is no
/// message. While one exists, a thread sleeps in this process on behalf of all of them; nobody else pays for it.
///
/// Each call of [`as_fd`](AsFd::as_fd), and so each `wait`, looks anew: who keeps the descriptor in a set of its own,
/// as with `epoll`, calls [`is_ready`](Self::is_ready) before each wait. Take what is ready by a `try_` form: another
/// may have been faster, and so may you, when it was told of late. An event that is set and cleared at once may be missed
/// here, unlike by [`Event::wait`]. A forked child makes its own: of its parent's it is told nothing.
///
/// # Examples
///
/// ```
/// use multiproc_shm::Shared;
/// use multiproc_sync::Event;
///
/// let go = Shared::new(Event::new())?;
/// let ready = Event::readiness(&go, |go| go)?;
/// assert!(!ready.is_ready());
/// go.set();
/// assert!(ready.is_ready());
/// # std::io::Result::Ok(())
/// ```
pub struct Readiness {
    fd: Arc<OwnedFd>,
    entry: Registered,
}

impl Readiness {
    /// A descriptor for this thing.
    ///
    /// # Errors
    ///
    /// No descriptor is left, or no thread can be started.
    #[doc(hidden)]
    pub fn new(what: impl Watch + 'static) -> io::Result<Readiness> {
        let fd = Arc::new(fd::with_descriptors(fd::eventfd)?);
        let signal = Arc::clone(&fd);
        let entry = watcher::register(Entry::new(what, move || fd::eventfd_signal(&*signal)))?;
        Ok(Readiness { fd, entry })
    }

    /// Tells whether it is ready now; if not, the descriptor is unreadable until it is.
    pub fn is_ready(&self) -> bool {
        if self.entry.is_ready() {
            // Readable also where the watcher has not seen it yet.
            fd::eventfd_signal(&*self.fd);
            return true;
        }
        // Drained first: the watcher finds what becomes ready from here on, and what it has told just now.
        fd::eventfd_drain(&*self.fd);
        self.entry.arm();
        false
    }
}

impl AsFd for Readiness {
    /// Readable when it is ready, as seen from this call on.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.is_ready();
        self.fd.as_fd()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("fd", &self.fd).field("is_ready", &self.entry.is_ready()).finish()
    }
}

/// What a future waits for, in whatever runtime.
#[doc(hidden)]
pub struct Waiting {
    waker: Arc<Mutex<Option<Waker>>>,
    entry: Registered,
}

impl Waiting {
    /// Makes a future wait for this thing, once it is [polled](Self::arm).
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn new(what: impl Watch + 'static) -> io::Result<Waiting> {
        let waker = Arc::new(Mutex::new(None::<Waker>));
        let woken = Arc::clone(&waker);
        let wake = move || {
            // Woken without the lock: a waker runs others' code.
            let waker = woken.lock().unwrap_or_else(PoisonError::into_inner).take();
            waker.into_iter().for_each(Waker::wake);
        };
        Ok(Waiting { waker, entry: watcher::register(Entry::new(what, wake))? })
    }

    /// Has the waker woken when the thing is ready, even if it is so already.
    pub fn arm(&self, waker: &Waker) {
        let before = self.waker.lock().unwrap_or_else(PoisonError::into_inner).replace(waker.clone());
        // Without the lock: it is others' code.
        drop(before);
        self.entry.arm();
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

impl Event {
    /// Makes a descriptor that is readable while the event inside `shared` is set.
    ///
    /// Awaited by `multiproc_pipe::ready`, in a tokio runtime.
    ///
    /// # Errors
    ///
    /// No descriptor is left, or no thread can be started.
    ///
    /// # Examples
    ///
    /// See [`Readiness`].
    pub fn readiness<T: ShmSafe>(shared: &Shared<T>, event: fn(&T) -> &Event) -> io::Result<Readiness> {
        Readiness::new(Within { shared: shared.clone(), event })
    }
}

/// An event that lies somewhere in shared memory.
struct Within<T: ShmSafe> {
    shared: Shared<T>,
    event: fn(&T) -> &Event,
}

impl<T: ShmSafe> Watch for Within<T> {
    fn begin(&self) -> [Option<(Futex<'_>, u32)>; 2] {
        [(self.event)(&self.shared).begin_wait(), None]
    }

    fn is_ready(&self) -> bool {
        (self.event)(&self.shared).is_set()
    }
}
