//! The child's side: from the boot socket to the end.

use crate::fork::{self, Ordered};
use crate::function::{CallError, Remote, Returned};
use crate::lock::Lock;
use crate::panics::Panic;
use crate::start::{Reply, Role, Settings, Start, StartFd};
use crate::{builder, executable, hook, info, log, registry};
use multiproc_core::Deadline;
use multiproc_core::codec::Encoded;
use multiproc_core::sys::child::SharedWord;
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::sys::process;
use multiproc_pipe::frame::{FrameError, Reader};
use multiproc_pipe::parcel::{self, Parcel};
use serde::Serialize;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The exit code of a child that could not begin.
const NOT_STARTED: i32 = 70;
/// The exit code after a panic, as std has it.
const PANICKED: i32 = 101;
/// The exit code of a child whose arguments or result could not be passed.
const NOT_PASSED: i32 = 1;
/// Enough for a thread that only polls.
const WATCHER_STACK: usize = 64 << 10;

/// This process, and its end of the boot socket, for a panic that nobody will catch: a fork inherits both.
static REPORT: Lock<Option<(u32, Arc<OwnedFd>)>> = Lock::new(None);

/// Runs as a child; never returns. Must be called on the main thread before `main`, or at its top.
pub(crate) fn run(socket: OwnedFd) -> ! {
    process::ignore_sigpipe();
    process::open_missing_stdio();
    let (start, parcel) = match receive(&socket) {
        Ok(received) => received,
        Err(why) => give_up(&socket, &why),
    };
    tie(&start);
    match start.role {
        Role::Call(remote) => begin(socket, start, remote, parcel, true),
        Role::ForkServer(first_words) => {
            drop((start.identity, start.parent, start.settings, parcel));
            serve(socket, first_words)
        }
    }
}

/// Whether this process was cloned from a fork server.
static IS_CLONE: AtomicBool = AtomicBool::new(false);

/// Serves as the fork server; goes on in its children.
fn serve(socket: OwnedFd, word: StartFd) -> ! {
    if process::thread_count() != 1 {
        let _ = reply(&socket, &Reply::HasThreads, &Encoded::default());
        process::exit_now(NOT_STARTED);
    }
    let opened = SharedWord::open(&*word.0);
    // Its children have no use for the descriptor.
    drop(word);
    let first_words = match opened {
        Ok(opened) => opened,
        Err(error) => give_up(&socket, &format!("it cannot share memory with its parent: {error}")),
    };
    let _ = reply(&socket, &Reply::Returned, &Encoded::default());
    let Ordered { socket, start, parcel, whole } = fork::serve(socket, first_words);
    IS_CLONE.store(true, Ordering::Relaxed);
    tie(&start);
    match start.role {
        Role::Call(remote) => begin(socket, start, remote, parcel, whole),
        Role::ForkServer(_) => quit(&socket, "a fork server makes no fork servers"),
    }
}

fn receive(socket: &OwnedFd) -> Result<(Start, Parcel), String> {
    let mut parcel = match parcel::recv(&mut Reader::new(), socket, Deadline::NEVER) {
        Ok(parcel) => parcel,
        // The parent has died, or has given this start up: nobody is left to be told.
        Err(FrameError::Eof) => process::exit_now(NOT_STARTED),
        Err(error) => return Err(format!("the start-up message is damaged: {error}")),
    };
    let start =
        parcel.take_head().map_err(|error| format!("the start-up message cannot be read: {error}"))?;
    Ok((start, parcel))
}

/// Binds this process' life to its parent's, if it is that kind of child.
fn tie(start: &Start) {
    if !start.identity.tied {
        return;
    }
    // Where this is refused the watch below is left.
    let _ = process::die_with_parent();
    // The parent may have ended before the kernel was told.
    if info::has_ended(&start.parent.pidfd.0) {
        process::kill_self();
    }
}

fn begin(socket: OwnedFd, start: Start, remote: Remote, parcel: Parcel, whole: bool) -> ! {
    if let Err(error) = apply(start.settings) {
        give_up(&socket, &error.to_string());
    }
    let name = start.identity.name.clone();
    let watched = start.identity.tied.then(|| Arc::clone(&start.parent.pidfd.0));
    info::become_child(start.identity, start.parent);
    process::set_thread_name(&name);
    hook::booted();
    let socket = Arc::new(socket);
    report_to(&socket);
    tracing::info!(target: "multiproc::process", { process.name = name }, "child process calling its function");
    if whole {
        // On this thread: to start one more would take a third again as long as the whole start through a fork
        // server does.
        if let Some(parent) = watched {
            let watcher = thread::Builder::new().name("multiproc-watch".to_owned()).stack_size(WATCHER_STACK);
            if let Err(error) = watcher.spawn(move || watch(Some(&parent))) {
                give_up(&socket, &format!("its watching thread cannot be started: {error}"));
            }
        }
        call(&socket, remote, parcel)
    }
    // After a clone that could not be told to the C library, its idea of the main thread is wrong.
    let worker = {
        let socket = Arc::clone(&socket);
        move || call(&socket, remote, parcel)
    };
    if let Err(error) = thread::Builder::new().name(name).stack_size(process::main_stack_size()).spawn(worker)
    {
        give_up(
            &socket,
            &format!("its thread cannot be started: {error}; is the memory limit below the stack's size?"),
        );
    }
    drop(socket);
    watch(watched.as_deref())
}

/// Leaves the main thread to watch the parent, if this process must not outlive it.
pub(crate) fn watch(parent: Option<&OwnedFd>) -> ! {
    if let Some(parent) = parent
        && let Ok(true) = fd::poll_one(parent, Interest::Read, Deadline::NEVER)
    {
        process::kill_self();
    }
    loop {
        thread::park();
    }
}

/// Sets up what the parent asked for.
pub(crate) fn apply(settings: Settings) -> io::Result<()> {
    let told = |what: &str, result: io::Result<()>| {
        result.map_err(|error| io::Error::new(error.kind(), format!("cannot set {what}: {error}")))
    };
    for (number, fd) in (0..).zip(settings.stdio) {
        if let Some(fd) = fd {
            told("the standard descriptors", process::set_stdio(number, &*fd.0))?;
        }
    }
    if let Some(directory) = settings.directory {
        told("the directory", process::change_directory(&*directory.0))?;
    }
    if let Some(environment) = settings.environment {
        told("the environment", process::replace_environment(environment))?;
    }
    if let Some(soft) = settings.descriptor_limit {
        told("the limit of descriptors", fd::set_descriptor_limit(Some(soft)))?;
    }
    if let Some(cpus) = settings.affinity {
        told("the affinity", process::set_affinity(&cpus))?;
    }
    if let Some(bytes) = settings.memory_limit {
        told("the memory limit", process::limit_memory(bytes))?;
    }
    builder::set_default_start_method(settings.start_method);
    executable::inherit(settings.executable);
    log::inherit(settings.log_level);
    Ok(())
}

fn call(socket: &OwnedFd, remote: Remote, mut parcel: Parcel) -> ! {
    let fds = parcel.take_fds();
    let outcome = {
        let name = || info::me().identity.name.clone();
        let _span =
            tracing::debug_span!(target: "multiproc::process", "call", process.name = name()).entered();
        remote.call(parcel.body(), fds)
    };
    drop(parcel);
    let code = conclude(socket, outcome);
    registry::exits_with(code);
    if IS_CLONE.load(Ordering::Relaxed) {
        // The program's destructors and what was registered before the clone are the server's, as after any fork.
        // They are also a sixth of what a start through the server takes.
        registry::finish_if_begun();
        process::exit_flushed(code);
    }
    std::process::exit(code)
}

/// Tells the parent how the call ended, drops the value, and gives the exit code.
pub(crate) fn conclude(socket: &OwnedFd, outcome: Result<Returned, CallError>) -> i32 {
    let nothing = Encoded::default();
    let (message, code) = match outcome {
        Ok(returned) => match reply(socket, &Reply::Returned, &returned.encoded) {
            Ok(()) => return if returned.discard() { PANICKED } else { 0 },
            Err(error) => (Reply::NotEncoded(format!("it cannot be sent: {error}")), NOT_PASSED),
        },
        Err(CallError::Panicked(panic)) => (Reply::Panicked(panic), PANICKED),
        Err(CallError::Encode(error)) => (Reply::NotEncoded(error.to_string()), NOT_PASSED),
        Err(error @ (CallError::Decode(_) | CallError::NoFunction)) => {
            complain(&error.to_string());
            (Reply::NotDecoded(error.to_string()), NOT_PASSED)
        }
    };
    // A parent that is gone, or has let go of the handle, does not want to know.
    let _ = reply(socket, &message, &nothing);
    code
}

/// Names the socket for [`report_last_panic`].
pub(crate) fn report_to(socket: &Arc<OwnedFd>) {
    *REPORT.lock() = Some((process::id(), Arc::clone(socket)));
}

/// Holds that choice still, so that a fork does not catch it half-changed.
pub(crate) fn hold() -> impl Sized {
    REPORT.lock()
}

/// Sends the panic of a program that aborts on panics, from the panic hook.
pub(crate) fn report_last_panic(panic: Panic) {
    let report = REPORT.lock().clone();
    // A fork that is not ours has a result of its own to think of, not its parent's.
    if let Some((_, socket)) = report.filter(|(owner, _)| *owner == process::id()) {
        let _ = reply(&socket, &Reply::Panicked(panic), &Encoded::default());
    }
}

fn reply<H: Serialize>(socket: &OwnedFd, head: &H, body: &Encoded) -> io::Result<()> {
    match parcel::send(socket, head, body, false) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Tells on standard error what went wrong with a message.
pub(crate) fn complain(what: &str) {
    // In one piece, so that the lines of several processes do not mix; nobody to tell where there is no stderr.
    let line = format!("multiproc: {}: {what}\n", info::me().identity.name);
    let _ = io::stderr().write_all(line.as_bytes());
}

fn give_up(socket: &OwnedFd, why: &str) -> ! {
    let line = format!("multiproc: process {} cannot begin: {why}\n", process::id());
    let _ = io::stderr().write_all(line.as_bytes());
    quit(socket, why)
}

/// Tells the parent that this process could not begin, and ends it.
pub(crate) fn quit(socket: &OwnedFd, why: &str) -> ! {
    let _ = reply(socket, &Reply::NotStarted(why.to_owned()), &Encoded::default());
    process::exit_now(NOT_STARTED)
}
