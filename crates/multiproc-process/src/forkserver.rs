//! The fork server, seen from the process that asks it.
//!
//! It is this same executable, stopped in the start-up hook while it has one thread, so that forking it is cheap and
//! safe whatever the asker does. It makes children with `CLONE_PARENT`: they are the asker's own, and go on living
//! if the server dies. One server a process, started when first asked for, and again if it is found dead.
//!
//! ```text
//! asker                         server                       child
//! Order, arguments         ->   clone                 ->     its number -> shared word; goes on
//!                            <- number, pidfd
//! ```
//!
//! If the server dies before it answers, the word tells whether there is a child, which writes its number there
//! before it does anything else; where there is none the boot socket ends, whose other end only it would hold. So no
//! start is ever done twice. A child that was killed before it could write would be a zombie that nobody knows: until
//! then it bears the mark of its server as its name, by which it is found.

use crate::builder::Variable;
use crate::error::not_made;
use crate::lock::Lock;
use crate::registry::{self, Child};
use crate::spawner;
use crate::start::{Order, Reply};
use multiproc_core::Deadline;
use multiproc_core::codec::Encoded;
use multiproc_core::sys::child::{Pid, SharedWord, kill_and_reap};
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::sys::process::{self, Affinity, Credentials};
use multiproc_pipe::frame::{FrameError, Reader};
use multiproc_pipe::parcel;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

/// A running fork server.
#[derive(Debug)]
pub(crate) struct Server {
    owner: u32,
    child: Arc<Child>,
    socket: OwnedFd,
    reader: Reader,
    /// Where a child writes its number, first of all.
    first_words: SharedWord,
    /// How many orders it was given.
    orders: u64,
    /// The environment that its children begin with.
    environment: Vec<Variable>,
    /// The rights that they have.
    credentials: Credentials,
}

impl Server {
    /// Tells whether it is alive, ours, and of the rights that we have now.
    fn is_good(&self) -> bool {
        self.owner == process::id()
            && self.credentials == Credentials::own()
            && matches!(self.child.try_wait(), Ok(None))
    }

    /// Lets go of one that is not wanted any more.
    fn dismiss(self) {
        if self.owner != process::id() {
            return;
        }
        // It may not be ours to kill after a change of user. The end of its socket tells it, too.
        let _ = self.child.signal(9);
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            spawner::bury(self.child);
        }
    }
}

/// What is known of the fork server of this process.
#[derive(Debug)]
pub(crate) enum State {
    NotStarted,
    Running(Server),
    /// The executable's constructors start threads, so that it cannot be forked safely, or a filter forbids it.
    Unusable,
}

/// How often a child that must be about to say its first words is listened to.
const LOOK: Duration = Duration::from_millis(1);

static STATE: Lock<State> = Lock::new(State::NotStarted);

/// What came of the wish to use the server.
pub(crate) enum Wish {
    Granted(ServerGuard),
    /// A new one was started and died before it was ready: start another.
    Died,
    /// It cannot be used at all.
    Unusable,
}

/// A server that was started and has not spoken yet.
pub(crate) struct Newborn {
    pub(crate) child: Arc<Child>,
    /// Our end of its boot socket.
    pub(crate) socket: OwnedFd,
    pub(crate) first_words: SharedWord,
    pub(crate) environment: Vec<Variable>,
}

/// Takes the server for oneself, starting it by `start` if there is none.
///
///
/// # Errors
///
/// Those of `start`, and what the server said when it could not begin.
pub(crate) fn running<E: From<io::Error>>(start: impl FnOnce() -> Result<Newborn, E>) -> Result<Wish, E> {
    let mut state = STATE.lock();
    let usable = match &*state {
        State::Running(server) => server.is_good(),
        State::Unusable => return Ok(Wish::Unusable),
        State::NotStarted => false,
    };
    if !usable {
        if let State::Running(server) = std::mem::replace(&mut *state, State::NotStarted) {
            server.dismiss();
        }
        let credentials = Credentials::own();
        let Newborn { child, socket, first_words, environment } = start()?;
        let mut reader = Reader::new();
        let greeting = greet(&mut reader, &socket);
        if !matches!(greeting, Ok(Greeting::Ready)) {
            // It is of no use: nothing of it may be left.
            child.signal(9)?;
            child.wait(Deadline::NEVER)?;
        }
        match greeting? {
            Greeting::Ready => {
                let owner = process::id();
                *state = State::Running(Server {
                    owner,
                    child,
                    socket,
                    reader,
                    first_words,
                    orders: 0,
                    environment,
                    credentials,
                });
            }
            Greeting::Died => return Ok(Wish::Died),
            Greeting::Threads => {
                tracing::warn!(target: "multiproc::process", "a constructor of this program starts threads: no fork server, processes are executed");
                *state = State::Unusable;
                return Ok(Wish::Unusable);
            }
        }
    }
    Ok(Wish::Granted(ServerGuard(state)))
}

/// What a new server has to say.
enum Greeting {
    Ready,
    Died,
    /// Constructors of the program have started threads.
    Threads,
}

/// Waits until the server is ready.
fn greet(reader: &mut Reader, socket: &OwnedFd) -> io::Result<Greeting> {
    let mut parcel = match parcel::recv(reader, socket, Deadline::NEVER) {
        Ok(parcel) => parcel,
        Err(FrameError::Eof | FrameError::Torn { .. }) => return Ok(Greeting::Died),
        Err(error) => return Err(io::Error::other(format!("the fork server could not begin: {error}"))),
    };
    match parcel.take_head().map_err(io::Error::other)? {
        Reply::Returned => Ok(Greeting::Ready),
        Reply::HasThreads => Ok(Greeting::Threads),
        Reply::NotStarted(why) => Err(io::Error::other(format!("the fork server could not begin: {why}"))),
        other => Err(io::Error::other(format!("the fork server said {other:?}"))),
    }
}

/// The server, held by one thread at a time.
pub(crate) struct ServerGuard(MutexGuard<'static, State>);

/// What came of a request.
pub(crate) enum Made {
    /// A child: its number and a descriptor of it.
    Child(u32, OwnedFd),
    /// The server is dead and there is no child: ask a new one, with a new boot socket.
    ServerDied,
    /// The system does not let it make any; it is gone.
    Unusable,
}

/// What a filter or another system answers to a call that it does not let through: EPERM, EACCES, EINVAL, ENOSYS.
const REFUSALS: [i32; 4] = [1, 13, 22, 38];

impl ServerGuard {
    fn server(&mut self) -> &mut Server {
        match &mut *self.0 {
            State::Running(server) => server,
            State::NotStarted | State::Unusable => unreachable!("a guard is only made of a running server"),
        }
    }

    /// Tells whether its children begin with this environment anyway.
    pub(crate) fn has_environment(&mut self, environment: &[Variable]) -> bool {
        self.server().environment == environment
    }

    /// Tells whether its children run on these processors anyway.
    pub(crate) fn has_affinity(&mut self, affinity: &Affinity) -> bool {
        Affinity::of_process(self.server().child.id).is_none_or(|own| own == *affinity)
    }

    /// The number of the next order.
    pub(crate) fn next_order(&mut self) -> u64 {
        let server = self.server();
        server.orders += 1;
        server.orders
    }

    /// Makes a child; `ours` is our end of its boot socket.
    ///
    /// The guard must not be dropped before the child is registered: until then, a look for the lost finds it.
    pub(crate) fn make(&mut self, order: Order, arguments: &Encoded, ours: &OwnedFd) -> io::Result<Made> {
        let Server { socket, reader: answers, .. } = self.server();
        let number = order.number;
        let sent = parcel::send(&*socket, &order, arguments, true);
        // With it the child's end of its boot socket, of which the child's own must be the last.
        drop(order);
        let asked = match sent {
            Err(error) if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero) => {
                let text = format!("the arguments cannot be handed over: {error}");
                return Err(io::Error::new(error.kind(), text));
            }
            other => other,
        };
        // A thread that sleeps in the reading itself is woken also when its request is read.
        let answer = asked
            .and_then(|()| fd::poll_one(&*socket, Interest::Read, Deadline::NEVER))
            .map_err(FrameError::Io)
            .and_then(|_| answers.read(&*socket, 64, Deadline::NEVER));
        match answer {
            Ok(mut answer) => match (<[u8; 4]>::try_from(&answer.body[..]), answer.fds.pop()) {
                (Ok(id), Some(pidfd)) => Ok(Made::Child(u32::from_le_bytes(id), pidfd)),
                (Ok(errno), None) if REFUSALS.contains(&i32::from_le_bytes(errno)) => {
                    tracing::warn!(target: "multiproc::process", "this system does not let the fork server clone itself, processes are executed");
                    if let State::Running(server) = std::mem::replace(&mut *self.0, State::Unusable) {
                        server.dismiss();
                    }
                    Ok(Made::Unusable)
                }
                (Ok(errno), None) => {
                    let error = io::Error::from_raw_os_error(i32::from_le_bytes(errno));
                    Err(not_made("the fork server cannot make a process", error))
                }
                _ => Err(io::Error::other("the fork server's answer makes no sense")),
            },
            Err(error) => {
                tracing::debug!(target: "multiproc::process", %error, "the fork server died");
                let State::Running(server) = std::mem::replace(&mut *self.0, State::NotStarted) else {
                    return Ok(Made::ServerDied);
                };
                // It may only be deaf: what it makes of our request must be decided before we look.
                let _ = server.child.signal(9);
                server.child.wait(Deadline::NEVER)?;
                orphan(&server, number, ours)
            }
        }
    }
}

/// What a child writes first: the number of the order that made it, and its own.
///
/// A child that comes late does not hide that of the next order, since its word is the smaller one.
pub(crate) fn first_words(order: u64, id: u32) -> u64 {
    order << ID_BITS | u64::from(id)
}

/// Bits of a process' number; the kernel uses 22 of them.
const ID_BITS: u32 = 24;

/// The name of the server with this number, and of its children until they have their orders.
pub(crate) fn mark(server: u32) -> String {
    format!("mp-fork-{server}")
}

/// Looks whether a server that died without an answer has made a child all the same; `ours` is our end of that
/// one's boot socket, whose other end is closed here.
fn orphan(server: &Server, number: u64, ours: &OwnedFd) -> io::Result<Made> {
    // Until the child has spoken or nobody holds the other end. It is about to do so, or dead already.
    let mut gone = false;
    let id = loop {
        let word = server.first_words.load();
        if word >> ID_BITS == number {
            break u32::try_from(word & ((1 << ID_BITS) - 1)).ok();
        }
        if gone {
            break None;
        }
        gone = fd::poll_one(ours, Interest::Read, Deadline::after(LOOK))?;
    };
    if let Some(id) = id {
        return match fd::with_descriptors(|| process::open_pidfd(id)) {
            Ok(pidfd) => Ok(Made::Child(id, pidfd)),
            Err(error) => {
                // Nobody could wait for it: it must not run.
                if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw)
                    && fd::is_out_of_descriptors(&error)
                {
                    kill_and_reap(pid);
                }
                Err(error)
            }
        };
    }
    let known = registry::ids();
    for lost in process::children_named(&mark(server.child.id)) {
        if !known.contains(&lost.as_raw_nonzero().get().cast_unsigned()) {
            kill_and_reap(lost);
        }
    }
    Ok(Made::ServerDied)
}

/// Ends the server, if this process has one.
pub(crate) fn stop() {
    let mut state = STATE.lock();
    if let State::Running(server) = std::mem::replace(&mut *state, State::NotStarted)
        && server.owner == process::id()
    {
        // It holds nothing that would have to be put away.
        let _ = server.child.signal(9);
        let _ = server.child.wait(Deadline::NEVER);
    }
}

/// Holds the server still, so that a fork does not catch it half-changed; `None` if a start has it.
pub(crate) fn try_hold() -> Option<impl Sized> {
    STATE.try_lock()
}

/// Waits until no start has the server.
pub(crate) fn wait_idle() {
    drop(STATE.lock());
}
