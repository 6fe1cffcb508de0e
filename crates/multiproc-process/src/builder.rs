use crate::error::{SpawnKind, not_made};
use crate::forkserver::{self, Made, Newborn, Wish};
use crate::function::Remote;
use crate::info::{self, Me};
use crate::registry::{self, Child};
use crate::spawner::{self, Program};
use crate::start::{Build, Identity, Order, ParentIdentity, Role, Settings, Start, StartFd};
use crate::stdio::{self, Pipes};
use crate::{Process, SpawnError, Stdio, executable, hook, log};
use multiproc_core::codec::{self, Carried, Encoded};
use multiproc_core::sys::child::SharedWord;
use multiproc_core::sys::fd;
use multiproc_core::sys::process::{self, Affinity};
use multiproc_core::{Deadline, Message};
use multiproc_pipe::parcel;
use serde::{Deserialize, Serialize};
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// How often a start is tried again when the fork server dies under it.
const ATTEMPTS: usize = 5;

const SIGKILL: i32 = 9;

/// How a process comes to be.
///
/// # Examples
///
/// ```
/// use multiproc_process::{Process, StartMethod};
///
/// for method in [StartMethod::Spawn, StartMethod::ForkServer] {
///     let child = Process::builder().start_method(method).spawn(20, |n| n + 1)?;
///     assert_eq!(child.join()?, 21);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StartMethod {
    /// The executable is started anew. Costs about what starting any program costs.
    #[default]
    Spawn,
    /// A helper that has been started once is cloned, in a fraction of the time. Statics begin as in a new program.
    ///
    /// The helper, a child of this process, is started when first needed. What each start says is as with
    /// [`Spawn`](Self::Spawn): environment, directory, standard descriptors, processors, soft limit of descriptors.
    /// A change of this process' user or groups makes it start a new helper. All else children take from the helper
    /// as it was started: umask, resource limits, niceness and scheduling class, capabilities, system call filters,
    /// root directory and namespaces. Where a program changes these after its first start, use `Spawn`. It is used
    /// anyway where the helper cannot be: constructors of the program start threads, or a filter forbids cloning.
    ///
    /// As after any fork, and as in Python, a child whose function has returned ends without the exit handlers of C
    /// (`atexit`) and without the program's destructors; what was printed is written. A function that needs them calls
    /// `std::process::exit` itself.
    ForkServer,
}

static DEFAULT_METHOD: AtomicU8 = AtomicU8::new(StartMethod::Spawn as u8);

/// Sets how processes are started that do not say it themselves, here and in children started from now on.
///
/// # Examples
///
/// ```
/// use multiproc_process::{Process, StartMethod, default_start_method, set_default_start_method};
///
/// set_default_start_method(StartMethod::ForkServer);
/// assert_eq!(Process::spawn(20, |n| n + 1)?.join()?, 21); // a clone of the server
/// assert_eq!(default_start_method(), StartMethod::ForkServer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn set_default_start_method(method: StartMethod) {
    DEFAULT_METHOD.store(method as u8, Ordering::Relaxed);
}

/// How processes are started that do not say it themselves.
///
/// # Examples
///
/// ```
/// use multiproc_process::{StartMethod, default_start_method};
///
/// assert_eq!(default_start_method(), StartMethod::Spawn); // where nothing else was said
/// ```
pub fn default_start_method() -> StartMethod {
    match DEFAULT_METHOD.load(Ordering::Relaxed) {
        method if method == StartMethod::ForkServer as u8 => StartMethod::ForkServer,
        _ => StartMethod::Spawn,
    }
}

/// The description of a process to be started; made by [`Process::builder`].
///
/// ```
/// use multiproc_process::{Process, Stdio};
/// use std::io::Read;
///
/// let mut child = Process::builder()
///     .name("greeter")
///     .env("GREETING", "hello")
///     .current_dir("/")
///     .stdout(Stdio::piped())
///     .spawn((), |()| println!("{} from {:?}", std::env::var("GREETING").unwrap(), std::env::current_dir().unwrap()))?;
/// let mut said = String::new();
/// child.take_stdout().unwrap().read_to_string(&mut said)?;
/// assert_eq!(said, "hello from \"/\"\n");
/// assert_eq!(child.name(), "greeter");
/// child.join()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct Builder {
    name: Option<String>,
    daemon: bool,
    method: Option<StartMethod>,
    env_clear: bool,
    env: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    stdio: [Stdio; 3],
    memory_limit: Option<u64>,
    affinity: Option<Vec<usize>>,
}

/// A child that was made, and our end of its boot socket.
pub(crate) struct Started {
    pub(crate) child: Arc<Child>,
    pub(crate) socket: OwnedFd,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            name: None,
            daemon: false,
            method: None,
            env_clear: false,
            env: Vec::new(),
            directory: None,
            stdio: [Stdio::null(), Stdio::inherit(), Stdio::inherit()],
            memory_limit: None,
            affinity: None,
        }
    }

    /// Names the process, instead of `Process-1` and so on; the number is counted all the same.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Makes it a daemon: it is terminated when this process exits, and dies within a moment when this process is
    /// killed. Its own children, daemons or not, end with it.
    pub fn daemon(mut self, daemon: bool) -> Builder {
        self.daemon = daemon;
        self
    }

    /// Chooses how it is started, instead of the [default](set_default_start_method).
    pub fn start_method(mut self, method: StartMethod) -> Builder {
        self.method = Some(method);
        self
    }

    /// Sets a variable of its environment, on top of this process' environment at the start.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Builder {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives it nothing of this process' environment.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_process::{Process, Stdio};
    ///
    /// let child = Process::builder()
    ///     .env_clear()
    ///     .env("ONLY", "this")
    ///     .stdin(Stdio::null())
    ///     .stderr(Stdio::inherit())
    ///     .memory_limit(4 << 30)
    ///     .cpu_affinity(&[0])
    ///     .spawn((), |()| std::env::vars().count())?;
    /// assert_eq!(child.join()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn env_clear(mut self) -> Builder {
        self.env_clear = true;
        self.env.clear();
        self
    }

    /// Sets its working directory; a relative path counts from this process' own.
    pub fn current_dir(mut self, path: impl Into<PathBuf>) -> Builder {
        self.directory = Some(path.into());
        self
    }

    /// Sets its standard input; the default is nothing to read, as in Python.
    pub fn stdin(mut self, stdio: impl Into<Stdio>) -> Builder {
        self.stdio[0] = stdio.into();
        self
    }

    /// Sets its standard output; the default is this process' own.
    pub fn stdout(mut self, stdio: impl Into<Stdio>) -> Builder {
        self.stdio[1] = stdio.into();
        self
    }

    /// Sets its standard error; the default is this process' own.
    pub fn stderr(mut self, stdio: impl Into<Stdio>) -> Builder {
        self.stdio[2] = stdio.into();
        self
    }

    /// Limits the memory that it may allocate, in bytes: heap, stacks and other private writable pages
    /// (`RLIMIT_DATA`). An allocation beyond it fails, which in Rust means an abort (signal 6).
    pub fn memory_limit(mut self, bytes: u64) -> Builder {
        self.memory_limit = Some(bytes);
        self
    }

    /// Lets it run on these processors only, counted from 0, instead of those of the thread that starts it.
    ///
    /// They may be others than those; a child that may use none of them cannot begin, as `join` tells.
    pub fn cpu_affinity(mut self, cpus: &[usize]) -> Builder {
        self.affinity = Some(cpus.to_vec());
        self
    }

    /// Starts the process: it calls `f` with `args`. See [`Process::spawn`].
    ///
    /// # Errors
    ///
    /// The arguments cannot be encoded, the function lies in a shared library, what was asked for is not to be had,
    /// or the system makes no more processes.
    pub fn spawn<A: Message, R: Message>(self, args: A, f: fn(A) -> R) -> Result<Process<R>, SpawnError> {
        hook::check().map_err(SpawnKind::from)?;
        let remote = Remote::new(f)?;
        let arguments = codec::encode_message(&args)?;
        let (started, pipes) = self.start(Role::Call(remote), &arguments)?;
        Ok(Process::new(started.child, started.socket, pipes))
    }

    /// Starts a process in whatever role.
    fn start(self, role: Role, arguments: &Encoded) -> Result<(Started, Pipes), SpawnError> {
        let method = self.method.unwrap_or_else(default_start_method);
        let _span = tracing::debug_span!(target: "multiproc::process", "start", ?method).entered();
        let (description, pipes) = self.describe()?;
        let started = match method {
            StartMethod::ForkServer => clone_from_server(description, &role, arguments)?,
            StartMethod::Spawn => execute(description, role, arguments)?,
        };
        tracing::debug!(target: "multiproc::process", name = started.child.name, id = started.child.id, "process started");
        Ok((started, pipes))
    }

    pub(crate) fn describe(self) -> Result<(Description, Pipes), SpawnError> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
        if self.name.as_ref().is_some_and(|name| name.contains('\0')) {
            return Err(invalid("a name with a NUL byte: leave it out").into());
        }
        let environment = environment(self.env_clear, self.env).map_err(SpawnKind::from)?;
        if let Some(cpus) = &self.affinity {
            process::check_affinity(cpus)?;
        }
        let directory = match self.directory {
            None => None,
            Some(path) => {
                let opened = fd::with_descriptors(|| fd::open_directory(&path));
                Some(opened.map_err(|error| {
                    io::Error::new(
                        error.kind(),
                        format!("the directory {} cannot be entered: {error}", path.display()),
                    )
                })?)
            }
        };
        let (stdio, pipes) = stdio::open(self.stdio)?;
        let me = info::me();
        let identity = me.next_child(self.name, self.daemon);
        let affinity = if self.affinity.is_none() { Affinity::own() } else { None };
        let settings = Settings {
            directory: directory.map(carried),
            memory_limit: self.memory_limit,
            affinity: self.affinity,
            descriptor_limit: fd::descriptor_limit_before_raise(),
            start_method: default_start_method(),
            executable: executable::chosen(),
            log_level: log::level(),
            ..Settings::default()
        };
        let stdio = stdio.map(|fd| fd.map(carried));
        Ok((Description { me, identity, environment, stdio, settings, affinity }, pipes))
    }
}

/// A variable of an environment: its name and its value.
pub(crate) type Variable = (OsString, OsString);

/// A process to be started, checked, with everything opened that it needs.
pub(crate) struct Description {
    pub(crate) me: Arc<Me>,
    pub(crate) identity: Identity,
    pub(crate) environment: Vec<Variable>,
    /// `None` has nothing to read or to write.
    pub(crate) stdio: [Option<StartFd>; 3],
    pub(crate) settings: Settings,
    /// Where the thread that asks may run, if the settings do not say where the child may.
    affinity: Option<Affinity>,
}

pub(crate) fn carried(fd: OwnedFd) -> StartFd {
    Carried(Arc::new(fd))
}

impl Description {
    /// Makes the child of a number and a descriptor.
    pub(crate) fn child(identity: &Identity, id: u32, pidfd: OwnedFd) -> Arc<Child> {
        Child::new(identity.name.clone(), id, identity.daemon, pidfd)
    }

    pub(crate) fn parent(&self) -> io::Result<ParentIdentity> {
        Ok(ParentIdentity {
            name: self.me.identity.name.clone(),
            id: process::id(),
            daemon: self.me.identity.daemon,
            pidfd: Carried(info::own_pidfd()?),
        })
    }
}

/// Starts a process by executing the program.
fn execute(description: Description, role: Role, arguments: &Encoded) -> Result<Started, SpawnError> {
    let parent = description.parent()?;
    let Description { identity, environment, stdio, settings, affinity, .. } = description;
    let (socket, theirs) = fd::with_descriptors(fd::socket_pair)?;
    let is_listed = matches!(role, Role::Call(_));
    let start = Start { build: Build::own()?, role, identity: identity.clone(), parent, settings };
    let mut env = entries(environment);
    env.push(CString::new(hook::marker()).map_err(io::Error::from)?);
    let program = Program {
        path: executable::path()?,
        args: env::args_os().filter_map(|arg| CString::new(arg.into_vec()).ok()).collect(),
        env,
        stdio: stdio::all(stdio)?,
        boot: fd::with_descriptors(|| fd::dup_high(&theirs))?,
        affinity,
    };
    drop(theirs);
    let path = program.path.clone();
    let (id, pidfd) = spawner::execute(program).map_err(|error| {
        not_made(&format!("the executable {} cannot be started", path.to_string_lossy()), error)
    })?;
    let child = Description::child(&identity, id, pidfd);
    // Only now that we have a descriptor of it: before it has its orders it cannot end by itself, so nobody else's
    // wait can have taken it away in between.
    let sent = send_start(&socket, &start, arguments)
        .and_then(|()| if is_listed { registry::add(Arc::clone(&child)) } else { Ok(()) });
    if let Err(error) = sent {
        child.signal(SIGKILL)?;
        child.wait(Deadline::NEVER)?;
        return Err(error.into());
    }
    Ok(Started { child, socket })
}

/// Starts a process by cloning the fork server.
fn clone_from_server(
    mut description: Description,
    role: &Role,
    arguments: &Encoded,
) -> Result<Started, SpawnError> {
    for _ in 0..ATTEMPTS {
        let mut server = match forkserver::running(start_server)? {
            Wish::Granted(server) => server,
            Wish::Died => continue,
            Wish::Unusable => return execute(description, role.clone(), arguments),
        };
        let (socket, theirs) = fd::with_descriptors(fd::socket_pair)?;
        description.settings.stdio = description.stdio.clone();
        if description.stdio[2].is_none() {
            // The server itself has nothing to read or to write, but for the errors.
            description.settings.stdio = stdio::all(description.stdio.clone())?.map(Some);
        }
        if description.settings.directory.is_none() {
            description.settings.directory =
                Some(carried(fd::with_descriptors(|| fd::open_directory(".".as_ref()))?));
        }
        if let Some(own) = description.affinity.as_ref().filter(|own| !server.has_affinity(own)) {
            description.settings.affinity = Some(own.cpus());
        }
        let differs = !server.has_environment(&description.environment);
        description.settings.environment = differs.then(|| entries(description.environment.clone()));
        let start = Start {
            build: Build::own()?,
            role: role.clone(),
            identity: description.identity.clone(),
            parent: description.parent()?,
            settings: description.settings.clone(),
        };
        let order = Order { number: server.next_order(), boot: carried(theirs), start };
        match server.make(order, arguments, &socket)? {
            Made::Child(id, pidfd) => {
                let child = Description::child(&description.identity, id, pidfd);
                registry::add(Arc::clone(&child))?;
                return Ok(Started { child, socket });
            }
            Made::ServerDied => {}
            Made::Unusable => {
                drop(server);
                description.settings.stdio = [None, None, None];
                description.settings.environment = None;
                return execute(description, role.clone(), arguments);
            }
        }
    }
    Err(io::Error::other(format!("the fork server died {ATTEMPTS} times in a row: use StartMethod::Spawn"))
        .into())
}

/// Starts the fork server itself.
fn start_server() -> Result<Newborn, SpawnError> {
    let environment = environment(false, vec![]).map_err(SpawnKind::from)?;
    // Its children each get their own standard descriptors; it must not keep the program's pipes open.
    let (stdio, _) = stdio::open([Stdio::null(), Stdio::null(), Stdio::inherit()])?;
    let me = info::me();
    let identity = Identity {
        name: format!("{} (fork server)", me.identity.name),
        lineage: me.identity.lineage.clone(),
        daemon: true,
        tied: true,
    };
    let description = Description {
        me,
        identity,
        environment: environment.clone(),
        stdio: stdio.map(|fd| fd.map(carried)),
        // Each request brings its own.
        settings: Settings::default(),
        affinity: Affinity::own(),
    };
    registry::finish_at_exit()?;
    let (first_words, word) = SharedWord::create()?;
    let started = execute(description, Role::ForkServer(carried(word)), &Encoded::default())?;
    Ok(Newborn { child: started.child, socket: started.socket, first_words, environment })
}

fn send_start(socket: &OwnedFd, start: &Start, arguments: &Encoded) -> io::Result<()> {
    match parcel::send(socket, start, arguments, false) {
        // The child is dead already, which its status tells better.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            Err(io::Error::new(error.kind(), format!("the arguments cannot be handed over: {error}")))
        }
        Ok(()) => Ok(()),
    }
}

/// The child's environment.
fn environment(clear: bool, changes: Vec<Variable>) -> io::Result<Vec<Variable>> {
    for (key, value) in &changes {
        let bad = |bytes: &[u8]| bytes.contains(&0);
        if key.is_empty() || bad(key.as_bytes()) || key.as_bytes().contains(&b'=') || bad(value.as_bytes()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "the variable {key:?}: names are not empty and hold no `=`, neither names nor values hold a NUL"
                ),
            ));
        }
    }
    let inherited = if clear { vec![] } else { env::vars_os().collect::<Vec<_>>() };
    // The last change of a name counts.
    let last = |index: usize, key: &OsStr| !changes[index + 1..].iter().any(|(later, _)| later == key);
    let kept = inherited
        .into_iter()
        .filter(|(key, _)| key != hook::MARKER && !changes.iter().any(|(k, _)| k == key));
    let set = changes
        .iter()
        .enumerate()
        .filter(|(index, (key, _))| last(*index, key))
        .map(|(_, change)| change.clone());
    Ok(kept.chain(set).collect())
}

/// An environment as exec takes it: `NAME=value` each.
pub(crate) fn entries(environment: Vec<Variable>) -> Vec<CString> {
    let entry = |(key, value): Variable| {
        let mut entry = key.into_vec();
        entry.push(b'=');
        entry.extend(value.into_vec());
        // The environment of a process holds no NUL.
        CString::new(entry).ok()
    };
    environment.into_iter().filter_map(entry).collect()
}
