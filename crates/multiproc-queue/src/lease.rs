use crate::error::{GetError, Late};
use crate::queue::Queue;
use crate::ring::Leased;
use multiproc_core::{Deadline, Message};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::{Duration, Instant};

/// A message that was taken and is not done; see [`Queue::lease`].
///
/// Dropped before [`done`](Self::done), or left by a process that dies, its message is delivered again. Forgotten, it
/// stays taken as long as the process lives. It belongs to the thread that took it.
///
/// # Examples
///
/// ```
/// use multiproc_queue::Queue;
/// use std::time::{Duration, Instant};
///
/// let jobs = Queue::bounded(10)?;
/// jobs.put_many([1, 2]).unwrap();
/// drop(jobs.lease().unwrap()); // not done: it comes again
/// let again = jobs.try_lease().unwrap();
/// assert!(*again == 1 && again.is_redelivered());
/// assert_eq!(again.done(), 1);
/// jobs.lease_timeout(Duration::from_secs(1)).unwrap().done();
/// assert!(jobs.lease_deadline(Instant::now()).unwrap_err().is_empty());
/// assert!(jobs.join_timeout(Duration::from_secs(1))); // all of them are done
/// # std::io::Result::Ok(())
/// ```
pub struct Lease<T> {
    value: T,
    hold: Hold<T>,
}

/// What ends the lease when it is dropped.
struct Hold<T> {
    queue: Queue<T>,
    leased: Leased,
    is_done: bool,
    /// The kernel watches the thread that took it.
    marker: PhantomData<*const ()>,
}

impl<T> Drop for Hold<T> {
    fn drop(&mut self) {
        self.queue.end(&self.leased, self.is_done);
    }
}

impl<T> Lease<T> {
    /// Says that the message is done, and gives it.
    pub fn done(mut self) -> T {
        self.hold.is_done = true;
        self.value
    }

    /// Tells whether it was delivered before, to who died or did not finish it.
    pub fn is_redelivered(&self) -> bool {
        self.hold.leased.is_redelivered
    }
}

impl<T> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("is_redelivered", &self.is_redelivered()).finish_non_exhaustive()
    }
}

impl<T: Message> Queue<T> {
    /// Takes the first message for as long as it is worked on, waiting for one.
    ///
    /// If this process dies before the lease is [done](Lease::done), or drops it, the message is delivered again, to
    /// whoever asks next, before all others. Other messages are not held up meanwhile. Up to 80 leases of a queue can be
    /// open at one time; the next one waits.
    ///
    /// On a closed queue it waits while others have leases, since their messages may come back.
    ///
    /// # Errors
    ///
    /// The queue is closed and everything in it is done. A message that is none of this type is done at once; one
    /// whose handles this process has no room for is delivered again.
    ///
    /// # Examples
    ///
    /// ```
    /// let queue = multiproc_queue::Queue::unbounded()?;
    /// queue.put("fragile".to_owned()).unwrap();
    /// drop(queue.lease().unwrap()); // or its process is killed
    /// let lease = queue.lease().unwrap();
    /// assert!(lease.is_redelivered() && *lease == "fragile");
    /// lease.done();
    /// queue.join(); // everything that was put is done
    /// # std::io::Result::Ok(())
    /// ```
    pub fn lease(&self) -> Result<Lease<T>, GetError> {
        self.lease_until(Deadline::NEVER, Late::TimedOut)
    }

    /// Leases the first message if there is one now.
    ///
    /// # Errors
    ///
    /// Those of [`lease`](Self::lease), and [`is_empty`](GetError::is_empty).
    pub fn try_lease(&self) -> Result<Lease<T>, GetError> {
        self.lease_until(Deadline::now(), Late::Empty)
    }

    /// Leases the first message, waiting for one at most that long.
    ///
    /// # Errors
    ///
    /// Those of [`lease`](Self::lease), and [`is_timeout`](GetError::is_timeout).
    pub fn lease_timeout(&self, timeout: Duration) -> Result<Lease<T>, GetError> {
        self.lease_until(Deadline::after(timeout), Late::TimedOut)
    }

    /// Leases the first message, waiting for one until that instant.
    ///
    /// # Errors
    ///
    /// Those of [`lease`](Self::lease), and [`is_timeout`](GetError::is_timeout).
    pub fn lease_deadline(&self, deadline: Instant) -> Result<Lease<T>, GetError> {
        self.lease_until(Deadline::at(deadline), Late::TimedOut)
    }

    fn lease_until(&self, deadline: Deadline, late: Late) -> Result<Lease<T>, GetError> {
        let hold = |leased| Hold { queue: self.clone(), leased, is_done: false, marker: PhantomData };
        let (leased, value) = self.begin(deadline, late)?;
        let mut hold = hold(leased);
        match value {
            Ok(value) => Ok(Lease { value, hold }),
            Err(error) => {
                hold.is_done = !error.is_handles();
                Err(error)
            }
        }
    }
}
