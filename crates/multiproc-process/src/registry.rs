//! The children of this process: waited for exactly once each, and not left behind at exit.

use crate::info::ProcessInfo;
use crate::lock::Lock;
use crate::{ExitStatus, forkserver, info};
use multiproc_core::Deadline;
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::sys::{child, process};
use parking_lot::Mutex;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once, OnceLock};
use std::thread;
use std::time::Duration;

/// How long a daemon may take to obey SIGTERM at exit before it is killed.
const GRACE: Duration = Duration::from_secs(2);

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// A child, shared by its handle, the list of children, and whoever waits for it.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) daemon: bool,
    pub(crate) pidfd: Arc<OwnedFd>,
    /// The process whose child it is: a fork of it inherits this memory, but not the child.
    owner: u32,
    /// Its end, stored by whoever reaps it, once.
    end: Mutex<Option<ExitStatus>>,
}

static CHILDREN: Lock<Vec<Arc<Child>>> = Lock::new(Vec::new());

impl Child {
    /// Describes a child that was just made, which nobody has waited for.
    pub(crate) fn new(name: String, id: u32, daemon: bool, pidfd: OwnedFd) -> Arc<Child> {
        Arc::new(Child {
            name,
            id,
            daemon,
            pidfd: Arc::new(pidfd),
            owner: process::id(),
            end: Mutex::new(None),
        })
    }

    /// Tells whether it is a child of this process, and not of the one that this process is a fork of.
    pub(crate) fn is_own(&self) -> bool {
        self.owner == process::id()
    }

    /// How it ended, `None` while it runs; reaps it if nobody has.
    pub(crate) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        if !self.is_own() {
            // In a fork even the lock may be in the hands of a thread that is missing here.
            return Ok(self.end.try_lock().and_then(|end| *end));
        }
        let mut end = self.end.lock();
        if end.is_none() {
            *end = child::reap(&self.pidfd, false)?.map(ExitStatus::new);
            if let Some(status) = *end {
                CHILDREN.lock().retain(|child| !std::ptr::eq(&**child, self));
                tracing::debug!(target: "multiproc::process", name = self.name, id = self.id, %status, "process ended");
            }
        }
        Ok(*end)
    }

    /// Waits for its end until the deadline.
    pub(crate) fn wait(&self, deadline: Deadline) -> io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(Some(status));
            }
            if !self.is_own() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "this process is a fork of the one that started the child: only that one can wait for it",
                ));
            }
            if !fd::poll_one(&self.pidfd, Interest::Read, deadline)? {
                return Ok(None);
            }
            if let Some(status) = self.try_wait()? {
                return Ok(Some(status));
            }
            if deadline.has_passed() {
                return Ok(None);
            }
            // It has ended, and somebody who traces it has to be told first. Nothing tells of that.
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends it a signal; nothing happens once it has ended.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        process::send_signal(&self.pidfd, signal)
    }

    pub(crate) fn info(&self) -> ProcessInfo {
        ProcessInfo::new(self.name.clone(), self.id, self.daemon, Arc::clone(&self.pidfd))
    }
}

/// Makes `child` one that is waited for at exit.
pub(crate) fn add(child: Arc<Child>) -> io::Result<()> {
    finish_at_exit()?;
    CHILDREN.lock().push(child);
    Ok(())
}

static REGISTERED: Once = Once::new();

/// Looks after the children now, for a process that ends without exit handlers.
pub(crate) fn finish_if_begun() {
    if REGISTERED.is_completed() {
        at_exit();
    }
}

/// Sees to it that the children are looked after when this process exits.
pub(crate) fn finish_at_exit() -> io::Result<()> {
    let mut result = Ok(());
    REGISTERED.call_once(|| result = process::at_exit(at_exit));
    result
}

/// Holds the list still, so that a fork does not catch it half-changed.
pub(crate) fn hold() -> impl Sized {
    CHILDREN.lock()
}

/// The numbers of the children that have not been waited for.
pub(crate) fn ids() -> Vec<u32> {
    own_children().iter().map(|child| child.id).collect()
}

fn own_children() -> Vec<Arc<Child>> {
    let id = process::id();
    CHILDREN.lock().iter().filter(|child| child.owner == id).cloned().collect()
}

/// The children of this process that are alive, in the order of their start; reaps those that have ended.
///
/// ```
/// use multiproc_process::{Process, active_children};
///
/// let child = Process::builder().daemon(true).spawn((), |()| -> () { loop { std::thread::park() } })?;
/// assert!(active_children().iter().any(|other| other.id() == child.id()));
/// child.kill()?;
/// child.wait()?;
/// assert!(active_children().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn active_children() -> Vec<ProcessInfo> {
    own_children()
        .iter()
        .filter(|child| matches!(child.try_wait(), Ok(None)))
        .map(|child| child.info())
        .collect()
}

extern "C" fn at_exit() {
    // A second thread that exits meanwhile must not go through all this as well, nor return before it is done:
    // the C library lets only one thread run the handlers. A fork of this process has no children yet.
    static FINISHING: AtomicU32 = AtomicU32::new(0);
    if FINISHING.swap(process::id(), Ordering::Relaxed) != process::id() {
        finish();
    }
}

/// The code that this process is about to exit with, where it knows.
static EXIT_CODE: OnceLock<i32> = OnceLock::new();

/// Says with which code this process exits, once it is decided.
pub(crate) fn exits_with(code: i32) {
    let _ = EXIT_CODE.set(code);
}

/// Puts an end to what this process has begun, and tells the log.
pub(crate) fn finish() {
    let name = || info::me().identity.name.clone();
    tracing::info!(target: "multiproc::process", { process.name = name() }, "process shutting down");
    finish_children();
    if let Some(code) = EXIT_CODE.get() {
        tracing::info!(target: "multiproc::process", { process.name = name(), process.exitcode = code }, "process exiting with exitcode {code}");
    }
}

/// Terminates the daemons, waits for the others, and ends the fork server.
fn finish_children() {
    forkserver::stop();
    loop {
        let children = own_children();
        if children.is_empty() {
            return;
        }
        let (daemons, others): (Vec<_>, Vec<_>) = children.into_iter().partition(|child| child.daemon);
        for daemon in &daemons {
            // One that cannot be signalled is waited for like the others.
            let _ = daemon.signal(SIGTERM);
        }
        let grace = Deadline::after(GRACE);
        for daemon in &daemons {
            if let Ok(None) = daemon.wait(grace) {
                let _ = daemon.signal(SIGKILL);
            }
        }
        for child in daemons.iter().chain(&others) {
            if child.wait(Deadline::NEVER).is_err() {
                // It cannot be waited for: better to exit than to hang.
                CHILDREN.lock().retain(|other| !Arc::ptr_eq(other, child));
            }
        }
    }
}
