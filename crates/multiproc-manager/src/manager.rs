use crate::client::{CONNECT, Link};
use crate::error::{ManagerError, ManagerKind};
use crate::remote::RemoteManager;
use crate::server::{self, Limits, Place, Start};
use crate::wire::{Id, Note};
use multiproc_core::Deadline;
use multiproc_core::sys::fd;
use multiproc_pipe::{AuthKey, Fd, ToAddresses};
use multiproc_process::{JoinError, Process, StartMethod};
use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// How long the server may take to end in order.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// State that several processes share, in a server process of its own.
///
/// The server ends when the manager is dropped, and dies with the process that has started it. What it can do it does as a
/// [`RemoteManager`], which it dereferences to.
///
/// # Examples
///
/// ```
/// use multiproc_manager::Manager;
/// use multiproc_process::Process;
///
/// let manager = Manager::start()?;
/// let ages = manager.dict::<String, u32>()?;
/// let child = Process::spawn(ages.clone(), |ages| ages.insert("Ada".into(), 36).unwrap())?;
/// child.join()?;
/// assert_eq!(ages.get("Ada")?, Some(36));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Manager {
    remote: RemoteManager,
    link: Arc<Link>,
    owner: Id,
    server: Option<Process<Result<(), String>>>,
    shutdown: Duration,
}

impl Manager {
    /// Starts a server that this process and those that it hands proxies to can use.
    ///
    /// # Errors
    ///
    /// The process cannot be started.
    pub fn start() -> Result<Manager, ManagerError> {
        ManagerBuilder::new().start()
    }

    /// Begins the description of a manager: where it listens, what its clients may have, and so on.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_manager::Manager;
    ///
    /// let manager = Manager::builder().name("state").max_objects(100).start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> ManagerBuilder {
        ManagerBuilder::new()
    }

    /// The manager as its clients see it: a message, so that other processes can make objects, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_manager::Manager;
    /// use multiproc_process::Process;
    ///
    /// let manager = Manager::start()?;
    /// assert!(manager.is_alive() && manager.id() != 0 && manager.bound().is_none());
    /// let child = Process::spawn(manager.handle(), |manager| manager.value(7).unwrap().get().unwrap())?;
    /// assert_eq!(child.join()?, 7);
    /// manager.shutdown()?; // dropping it does the same
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handle(&self) -> RemoteManager {
        self.remote.clone()
    }

    /// The server's number as a process.
    pub fn id(&self) -> u32 {
        self.server.as_ref().map_or(0, Process::id)
    }

    /// Tells whether the server runs.
    pub fn is_alive(&self) -> bool {
        self.server.as_ref().is_some_and(Process::is_alive)
    }

    /// Where it listens, as text, with the port that the system chose where 0 was asked for.
    ///
    /// `None` where it was not asked to. The text of a TCP address is what
    /// [`RemoteManager::connect`] takes as a `SocketAddr`; see [`bound`](Manager::bound).
    pub fn bound(&self) -> Option<&str> {
        self.remote.address()
    }

    /// Where it listens, if that is a TCP port.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.bound()?.parse().ok()
    }

    /// Ends the server, and tells how it ended; dropping the manager does the same.
    ///
    /// Calls under way are not waited for. A server that does not end within the time that the
    /// [builder](ManagerBuilder::shutdown_timeout) says is killed.
    ///
    /// # Errors
    ///
    /// The system's; the server had died before.
    pub fn shutdown(mut self) -> io::Result<()> {
        match self.end() {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(error.into()),
        }
    }

    fn end(&mut self) -> Option<Result<(), JoinError>> {
        let server = self.server.take()?;
        // A server that is gone has ended already.
        let _ = self.link.note(&Note::Stop(self.owner), &[]);
        if !matches!(server.wait_timeout(self.shutdown), Ok(Some(_))) {
            tracing::warn!(target: "multiproc::manager", "the manager's server does not end, and is killed");
            // It may have ended this very moment.
            let _ = server.kill();
        }
        Some(server.join().map(|_| ()))
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.end();
    }
}

impl Deref for Manager {
    type Target = RemoteManager;

    fn deref(&self) -> &RemoteManager {
        &self.remote
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Says what a [`Manager`] is to be like.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{Manager, RemoteManager};
/// use multiproc_process::StartMethod;
/// use std::time::Duration;
///
/// let manager = Manager::builder()
///     .bind(("127.0.0.1", 0)) // a port that the system chooses
///     .authkey("secret")
///     .name("state")
///     .start_method(StartMethod::Spawn)
///     .cpu_affinity(&[0])
///     .shutdown_timeout(Duration::from_secs(1))
///     .max_clients(10)
///     .max_objects(1000)
///     .max_calls(100)
///     .max_message(1 << 20)
///     .max_bytes(16 << 20)
///     .max_threads(8)
///     .start()?;
/// let there = RemoteManager::connect(manager.address().unwrap(), "secret")?; // from wherever
/// assert_eq!(there.value(7)?.get()?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder starts nothing by itself"]
pub struct ManagerBuilder {
    places: io::Result<Vec<Place>>,
    key: Option<AuthKey>,
    name: String,
    method: Option<StartMethod>,
    affinity: Option<Vec<usize>>,
    shutdown: Duration,
    limits: Limits,
}

impl ManagerBuilder {
    fn new() -> ManagerBuilder {
        ManagerBuilder {
            places: Ok(Vec::new()),
            key: None,
            name: "Manager".to_owned(),
            method: None,
            affinity: None,
            shutdown: SHUTDOWN,
            limits: Limits {
                clients: 4096,
                objects: 100_000,
                calls: 1024,
                message: 256 << 20,
                bytes: 1 << 30,
                threads: 256,
            },
        }
    }

    /// Has it listen at an address, for programs that have the [key](ManagerBuilder::authkey): a path, or a TCP port.
    pub fn bind(mut self, address: impl ToAddresses) -> ManagerBuilder {
        self.places = server::places(address);
        self
    }

    /// Says the key that those must have who connect by the address.
    pub fn authkey(mut self, key: impl Into<AuthKey>) -> ManagerBuilder {
        self.key = Some(key.into());
        self
    }

    /// Names the server's process; `Manager` unless told otherwise.
    pub fn name(mut self, name: impl Into<String>) -> ManagerBuilder {
        self.name = name.into();
        self
    }

    /// Chooses how the server's process is started.
    pub fn start_method(mut self, method: StartMethod) -> ManagerBuilder {
        self.method = Some(method);
        self
    }

    /// Lets the server run on these processors only, counted from 0.
    pub fn cpu_affinity(mut self, cpus: &[usize]) -> ManagerBuilder {
        self.affinity = Some(cpus.to_vec());
        self
    }

    /// Says how long the server may take to end in order before it is killed; a second unless told otherwise.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> ManagerBuilder {
        self.shutdown = timeout;
        self
    }

    /// Says how many clients there may be at once; 4,096 unless told otherwise.
    pub fn max_clients(mut self, count: usize) -> ManagerBuilder {
        self.limits.clients = count.max(1);
        self
    }

    /// Says how many objects a client may hold; 100,000 unless told otherwise.
    pub fn max_objects(mut self, count: usize) -> ManagerBuilder {
        self.limits.objects = count;
        self
    }

    /// Says how many calls a client may have under way, waiting ones too; 1,024 unless told otherwise.
    pub fn max_calls(mut self, count: usize) -> ManagerBuilder {
        self.limits.calls = count.max(1);
        self
    }

    /// Says how long a call or its result may be, in bytes; 256 MiB unless told otherwise.
    pub fn max_message(mut self, bytes: usize) -> ManagerBuilder {
        self.limits.message = bytes.min(i32::MAX as usize);
        self
    }

    /// Says how many bytes the calls that a client has under way may take together; 1 GiB unless told otherwise.
    pub fn max_bytes(mut self, bytes: usize) -> ManagerBuilder {
        self.limits.bytes = bytes;
        self
    }

    /// Says how many calls may run at once, each on its thread; 256 unless told otherwise.
    ///
    /// Calls that wait inside a ready-made object, or by [`call_when`](crate::Proxy::call_when), take no thread.
    pub fn max_threads(mut self, count: usize) -> ManagerBuilder {
        self.limits.threads = count;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// It cannot be started, cannot listen there, or is to be reached by others and has no key.
    pub fn start(self) -> Result<Manager, ManagerError> {
        let places = self.places?;
        let key = self.key.as_ref().and_then(AuthKey::as_bytes).map(<[u8]>::to_vec);
        if !places.is_empty() && key.as_ref().is_none_or(|key| key.iter().all(|byte| *byte == 0)) {
            return Err(ManagerKind::NoKey.into());
        }
        let (ours, theirs) = fd::with_descriptors(fd::packet_pair)?;
        let owner = server::random_id()?;
        let start = Start {
            door: Fd::new(theirs),
            id: server::random_id()?,
            owner,
            places,
            key,
            limits: self.limits,
        };
        let mut builder = Process::<()>::builder().name(self.name).daemon(true);
        if let Some(method) = self.method {
            builder = builder.start_method(method);
        }
        if let Some(cpus) = &self.affinity {
            builder = builder.cpu_affinity(cpus);
        }
        let process = builder.spawn(start, server::serve)?;
        let link = match Link::through(&ours, Deadline::after(CONNECT)) {
            Ok(link) => link,
            // It tells why itself, if it has ended.
            Err(error) => {
                if !matches!(process.wait_timeout(SHUTDOWN), Ok(Some(_))) {
                    process.kill()?;
                    return Err(error);
                }
                return Err(match process.join() {
                    Ok(Ok(())) => error,
                    Ok(Err(why)) => ManagerKind::Listen(why).into(),
                    Err(error) => error.into(),
                });
            }
        };
        let remote = RemoteManager::new(Arc::clone(&link));
        Ok(Manager { remote, link, owner, server: Some(process), shutdown: self.shutdown })
    }
}
