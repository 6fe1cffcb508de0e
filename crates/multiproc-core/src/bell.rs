use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sys::fd;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What wakes a thread that sleeps in `poll`, at one system call for a burst of reasons.
///
/// A reason is put where the sleeper finds it (a channel, say), and then the bell is rung. The sleeper waits until
/// the bell's descriptor is readable, hears it, and then looks for reasons. Between a ring and the hearing of it
/// further rings cost nothing but one swap.
///
/// Nothing is lost: whoever finds the bell rung already has put its reason there before the sleeper hears, and the
/// sleeper looks after hearing. Whoever does not signals the descriptor, and the next wait returns at once.
/// `tests/loom.rs` tries all orders.
///
/// ```
/// use multiproc_core::{Bell, Deadline, sys::fd::{Interest, poll_one}};
///
/// let bell = Bell::new()?;
/// bell.ring();
/// bell.ring();
/// assert!(poll_one(&bell, Interest::Read, Deadline::NEVER)?);
/// bell.hear();
/// assert!(!poll_one(&bell, Interest::Read, Deadline::now())?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Bell {
    fd: OwnedFd,
    /// It has been rung, and not been heard since.
    rung: AtomicBool,
}

impl Bell {
    /// Makes a bell that has not been rung.
    ///
    /// # Errors
    ///
    /// The system's: no descriptor left.
    pub fn new() -> io::Result<Bell> {
        Ok(Bell { fd: fd::with_descriptors(fd::eventfd)?, rung: AtomicBool::new(false) })
    }

    /// Wakes the sleeper; the reason must be in its place before.
    pub fn ring(&self) {
        // BELL: AcqRel, partner of `hear`. Release: a sleeper that takes this ring back sees the reason.
        if !self.rung.swap(true, Ordering::AcqRel) {
            fd::eventfd_signal(&self.fd);
        }
    }

    /// Takes back all rings so far; the sleeper looks for reasons after this.
    pub fn hear(&self) {
        // The descriptor first: a ring that comes after the swap must find it still readable, or make it so.
        fd::eventfd_drain(&self.fd);
        // BELL: AcqRel, partner of `ring`. Acquire: the reasons of all the rings taken back are seen.
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl AsFd for Bell {
    /// Readable when the bell has been rung.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
