//! The thread that makes children and buries those that nobody holds a handle of.
//!
//! One thread for the whole life of the process, since the signal by which a child dies with its parent
//! (`PR_SET_PDEATHSIG`) comes when the *thread* that forked it ends.

use crate::lock::Lock;
use crate::registry::Child;
use crate::start::StartFd;
use multiproc_core::sys::child::{self, Exec};
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::sys::process::{self, Affinity};
use multiproc_core::{Bell, Deadline};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

/// A program to execute; all descriptors have high numbers.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: CString,
    pub(crate) args: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) stdio: [StartFd; 3],
    pub(crate) boot: OwnedFd,
    /// Where it may run, if it does not say so itself: as the thread that asks, not as this one.
    pub(crate) affinity: Option<Affinity>,
}

enum Request {
    Execute(Box<Program>, Sender<io::Result<(u32, OwnedFd)>>),
    Bury(Arc<Child>),
}

struct Spawner {
    owner: u32,
    requests: Sender<Request>,
    bell: Arc<Bell>,
}

static SPAWNER: Lock<Option<Spawner>> = Lock::new(None);

/// Executes a program: its number, and a descriptor of it.
pub(crate) fn execute(program: Program) -> io::Result<(u32, OwnedFd)> {
    let (answer, answered) = mpsc::channel();
    ask(Request::Execute(Box::new(program), answer))?;
    answered.recv().unwrap_or_else(|_| Err(gone()))
}

/// Reaps `child` when it ends, whenever that is.
pub(crate) fn bury(child: Arc<Child>) {
    // Without the thread it becomes a zombie until exit, when it is waited for.
    let _ = ask(Request::Bury(child));
}

/// It runs as long as its process does.
fn gone() -> io::Error {
    io::Error::other(
        "the thread that makes processes has ended, as its process is about to: start none at exit",
    )
}

fn ask(request: Request) -> io::Result<()> {
    let mut spawner = SPAWNER.lock();
    let id = process::id();
    if spawner.as_ref().is_none_or(|spawner| spawner.owner != id) {
        // The first time, or in a fork, which inherits the memory but not the thread.
        *spawner = Some(start(id)?);
    }
    let Some(Spawner { requests, bell, .. }) = &*spawner else { unreachable!("set above") };
    requests.send(request).map_err(|_| gone())?;
    bell.ring();
    Ok(())
}

fn start(owner: u32) -> io::Result<Spawner> {
    let bell = Arc::new(Bell::new()?);
    let (requests, received) = mpsc::channel();
    let heard = Arc::clone(&bell);
    thread::Builder::new().name("multiproc-spawner".to_owned()).spawn(move || {
        // Handlers of the program's own have no business on this thread.
        process::block_signals();
        serve(&heard, &received);
    })?;
    Ok(Spawner { owner, requests, bell })
}

fn serve(bell: &Bell, requests: &Receiver<Request>) {
    let mut detached: Vec<Arc<Child>> = Vec::new();
    loop {
        let polled: Vec<_> = [bell.as_fd()]
            .into_iter()
            .chain(detached.iter().map(|child| child.pidfd.as_fd()))
            .map(|fd| (fd, Interest::Read))
            .collect();
        if fd::poll(&polled, Deadline::NEVER).is_err() {
            // More children than poll may watch at a time (RLIMIT_NOFILE was lowered): look at each, not too often.
            thread::sleep(Duration::from_millis(10));
        }
        bell.hear();
        loop {
            match requests.try_recv() {
                Ok(Request::Execute(program, answer)) => {
                    let made = make(&program);
                    // Who hears of the child must not find its descriptors open here still.
                    drop(program);
                    let _ = answer.send(made);
                }
                Ok(Request::Bury(child)) => detached.push(child),
                Err(_) => break,
            }
        }
        detached.retain(|child| matches!(child.try_wait(), Ok(None)));
    }
}

fn make(program: &Program) -> io::Result<(u32, OwnedFd)> {
    if let Some(affinity) = &program.affinity
        && Affinity::own().is_some_and(|own| own != *affinity)
    {
        affinity.apply()?;
    }
    let [stdin, stdout, stderr] = &program.stdio;
    let pid = child::spawn(&Exec {
        path: &program.path,
        args: &program.args,
        env: &program.env,
        stdio: [stdin.0.as_fd(), stdout.0.as_fd(), stderr.0.as_fd()],
        boot: program.boot.as_fd(),
    })?;
    match fd::with_descriptors(|| child::open_child(pid)) {
        Ok(pidfd) => Ok((pid.as_raw_nonzero().get().cast_unsigned(), pidfd)),
        Err(error) => {
            // Nobody could wait for it: it must not run.
            child::kill_and_reap(pid);
            Err(error)
        }
    }
}

/// Holds the spawner still, so that a fork does not catch it half-changed.
pub(crate) fn hold() -> impl Sized {
    SPAWNER.lock()
}
