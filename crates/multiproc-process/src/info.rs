//! Who is who: this process, its parent, and their names.

use crate::lock::Lock;
use crate::start::{Identity, ParentIdentity};
use multiproc_core::Deadline;
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::sys::process;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// A process as others see it: this one, its parent, or one of its children.
///
/// # Examples
///
/// ```
/// use multiproc_process::{Process, active_children};
/// use std::time::{Duration, Instant};
///
/// let child = Process::builder().name("sleeper").spawn((), |()| -> () { loop { std::thread::park() } })?;
/// let info = active_children().into_iter().find(|info| info.id() == child.id()).unwrap();
/// assert!(info.name() == "sleeper" && info.is_alive() && !info.is_daemon());
/// assert!(!info.wait_timeout(Duration::from_millis(1))?);
/// info.terminate()?;
/// assert!(info.wait_deadline(Instant::now() + Duration::from_secs(60))?);
/// info.interrupt()?; // it has ended: nothing happens
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ProcessInfo {
    name: String,
    id: u32,
    daemon: bool,
    /// `None` for the process itself.
    pidfd: Option<Arc<OwnedFd>>,
}

impl ProcessInfo {
    pub(crate) fn new(name: String, id: u32, daemon: bool, pidfd: Arc<OwnedFd>) -> ProcessInfo {
        ProcessInfo { name, id, daemon, pidfd: Some(pidfd) }
    }

    /// Its name: the one it was given, or `Process-1`, `Process-1:2`, …; `MainProcess` where it all began.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number, as the system counts processes.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Tells whether it is a daemon: terminated when its parent exits, and dead when its parent is.
    pub fn is_daemon(&self) -> bool {
        self.daemon
    }

    /// Tells whether it is running still.
    pub fn is_alive(&self) -> bool {
        match &self.pidfd {
            None => true,
            Some(pidfd) => !matches!(fd::poll_one(pidfd, Interest::Read, Deadline::now()), Ok(true)),
        }
    }

    /// Waits for its end. How it ended is what its [`Process`](crate::Process) tells.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for the process itself, which would wait in vain; the system's.
    pub fn wait(&self) -> io::Result<()> {
        self.wait_until(Deadline::NEVER).map(drop)
    }

    /// Waits up to `timeout` for its end; tells whether it has ended.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> io::Result<bool> {
        self.wait_until(Deadline::after(timeout))
    }

    /// Waits until `deadline` for its end; tells whether it has ended.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> io::Result<bool> {
        self.wait_until(Deadline::at(deadline))
    }

    fn wait_until(&self, deadline: Deadline) -> io::Result<bool> {
        match &self.pidfd {
            Some(pidfd) => fd::poll_one(pidfd, Interest::Read, deadline),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a process cannot wait for its own end: let another one wait",
            )),
        }
    }

    /// Sends it SIGINT, as ctrl-C does; nothing happens once it has ended.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn interrupt(&self) -> io::Result<()> {
        self.signal(SIGINT)
    }

    /// Sends it SIGTERM, which ends it unless it has a handler; nothing happens once it has ended.
    ///
    /// ```
    /// use multiproc_process::{Process, active_children};
    ///
    /// let child = Process::spawn((), |()| -> () { loop { std::thread::park() } })?;
    /// for child in active_children() {
    ///     child.terminate()?;
    ///     child.wait()?;
    /// }
    /// assert_eq!(child.wait()?.signal(), Some(15));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(SIGTERM)
    }

    /// Sends it SIGKILL, which ends it wherever it is; nothing happens once it has ended.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(SIGKILL)
    }

    fn signal(&self, signal: i32) -> io::Result<()> {
        match &self.pidfd {
            Some(pidfd) => process::send_signal(pidfd, signal),
            None => process::send_signal(&*own_pidfd()?, signal),
        }
    }
}

impl fmt::Debug for ProcessInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessInfo")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("daemon", &self.daemon)
            .finish()
    }
}

/// What this process knows of itself.
pub(crate) struct Me {
    pub(crate) identity: Identity,
    parent: Option<ProcessInfo>,
    /// How many children were started.
    children: AtomicU32,
}

static ME: Lock<Option<Arc<Me>>> = Lock::new(None);

/// Becomes a child with this identity.
pub(crate) fn become_child(identity: Identity, parent: ParentIdentity) {
    let parent = ProcessInfo::new(parent.name, parent.id, parent.daemon, parent.pidfd.0);
    *ME.lock() = Some(Arc::new(Me { identity, parent: Some(parent), children: AtomicU32::new(0) }));
}

pub(crate) fn me() -> Arc<Me> {
    let main = || {
        let identity =
            Identity { name: "MainProcess".to_owned(), lineage: vec![], daemon: false, tied: false };
        Arc::new(Me { identity, parent: None, children: AtomicU32::new(0) })
    };
    Arc::clone(ME.lock().get_or_insert_with(main))
}

impl Me {
    /// Counts one more child and gives it its identity.
    pub(crate) fn next_child(&self, name: Option<String>, daemon: bool) -> Identity {
        let number = self.children.fetch_add(1, Ordering::Relaxed) + 1;
        let lineage: Vec<u32> = self.identity.lineage.iter().copied().chain([number]).collect();
        let name = name.unwrap_or_else(|| {
            let numbers: Vec<String> = lineage.iter().map(u32::to_string).collect();
            format!("Process-{}", numbers.join(":"))
        });
        Identity { name, lineage, daemon, tied: daemon || self.identity.tied }
    }
}

/// The calling process.
///
/// ```
/// let me = multiproc_process::current_process();
/// assert_eq!((me.name(), me.id()), ("MainProcess", std::process::id()));
/// ```
pub fn current_process() -> ProcessInfo {
    let me = me();
    ProcessInfo { name: me.identity.name.clone(), id: process::id(), daemon: me.identity.daemon, pidfd: None }
}

/// The process that started this one, `None` in the main process.
///
/// This is the one that called `spawn`, also under the fork server and after that process has ended.
///
/// # Examples
///
/// ```
/// use multiproc_process::{Process, current_process, parent_process};
///
/// assert!(parent_process().is_none()); // the main process has none of ours
/// let child = Process::spawn((), |()| parent_process().map(|parent| parent.id()))?;
/// assert_eq!(child.join()?, Some(current_process().id()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parent_process() -> Option<ProcessInfo> {
    me().parent.clone()
}

/// The number of processors that this process may use: its affinity and its control group's quota count.
///
/// At least 1, also where the system does not tell.
///
/// # Examples
///
/// ```
/// assert!(multiproc_process::cpu_count() >= 1);
/// ```
pub fn cpu_count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The number of this process, and a descriptor of it: a fork inherits both.
static OWN: Lock<Option<(u32, Arc<OwnedFd>)>> = Lock::new(None);

/// Holds what is known here still, so that a fork does not catch it half-changed.
pub(crate) fn hold() -> impl Sized {
    (ME.lock(), OWN.lock())
}

/// A descriptor of this process, that children watch for its end.
pub(crate) fn own_pidfd() -> io::Result<Arc<OwnedFd>> {
    let id = process::id();
    let mut own = OWN.lock();
    if let Some((owner, pidfd)) = &*own
        && *owner == id
    {
        return Ok(Arc::clone(pidfd));
    }
    let pidfd = Arc::new(fd::with_descriptors(|| process::open_pidfd(id))?);
    *own = Some((id, Arc::clone(&pidfd)));
    Ok(pidfd)
}

/// Tells whether the process behind `pidfd` has ended.
pub(crate) fn has_ended(pidfd: impl AsFd) -> bool {
    matches!(fd::poll_one(pidfd, Interest::Read, Deadline::now()), Ok(true))
}
