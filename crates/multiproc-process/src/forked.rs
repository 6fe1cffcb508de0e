//! A child made by plain fork, which calls its function in a copy of its parent's memory.
//!
//! # Safety
//!
//! Unsafe is needed to call [`fork::plain`]; its condition is handed on to the caller of [`Builder::spawn_forked`].
#![expect(unsafe_code, reason = "hands the conditions of fork on to its caller")]

use crate::builder::{Description, Started, entries};
use crate::error::{SpawnKind, not_made};
use crate::function::{CallError, Returned};
use crate::start::Identity;
use crate::{Builder, Process, SpawnError, child, fork, hook, info, panics, registry, stdio};
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::sys::process;
use multiproc_core::{Deadline, Message, codec};
use std::io::{IoSlice, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::{io, thread};

/// What a forked child waits for.
const GO: &[u8] = b"g";

impl Builder {
    /// Starts the process by a plain fork: it calls `f` with `args` as they are, in a copy of this process' memory.
    ///
    /// Everything of this process is there in the child: memory, open descriptors, the environment. What the builder
    /// says is applied on top. The child ends without the exit handlers of this process.
    ///
    /// # Safety
    ///
    /// Where this process has other threads, the child has copies of their locks in whatever state they were, for
    /// ever: `f` may use nothing that needs a lock which another thread could have held, the memory allocator and
    /// standard error included, to which a panic prints (glibc repairs its allocator, others may not). Standard
    /// output is free: it is flushed and held over the fork. The same goes for how `R` is serialized.
    ///
    /// A thread that waits for ever with the standard output locked keeps this from returning.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Builder::spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_process::Process;
    ///
    /// let large = vec![7u8; 1 << 20]; // not encoded: it is simply there
    /// // SAFETY: the function locks nothing and prints nothing.
    /// let child = unsafe { Process::builder().spawn_forked(large, |large| large.len()) }?;
    /// assert_eq!(child.join()?, 1 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn spawn_forked<A, R: Message>(
        self,
        args: A,
        f: fn(A) -> R,
    ) -> Result<Process<R>, SpawnError> {
        hook::check().map_err(SpawnKind::from)?;
        let (description, pipes) = self.describe()?;
        // SAFETY: the caller answers for what the child does in `f`.
        let started = unsafe { start(description, args, f) }?;
        Ok(Process::new(started.child, started.socket, pipes))
    }
}

/// Forks a child that calls `f` with `args`.
///
/// # Safety
///
/// See [`Builder::spawn_forked`].
unsafe fn start<A, R: Message>(
    description: Description,
    args: A,
    f: fn(A) -> R,
) -> Result<Started, SpawnError> {
    let parent = description.parent()?;
    let (ours, theirs) = fd::with_descriptors(fd::socket_pair)?;
    let Description { identity, environment, stdio, mut settings, .. } = description;
    settings.stdio = stdio::all(stdio)?.map(Some);
    // What can fail must not do so once there is a child; and a child of a program with other threads should do
    // nothing for the first time.
    registry::finish_at_exit()?;
    panics::prepare();
    // SAFETY: handed on.
    let forked = unsafe { fork::plain() };
    if let Some((id, pidfd)) = forked.map_err(|error| not_made("this process cannot be forked", error))? {
        let child = Description::child(&identity, id, pidfd);
        registry::add(Arc::clone(&child))?;
        // Now it may begin. One that has been killed meanwhile does not hear it, which its status tells better.
        let _ = fd::send(&ours, &[IoSlice::new(GO)], &[], true);
        return Ok(Started { child, socket: ours });
    }

    drop(ours);
    // This is the only thread now.
    wait_for_go(&theirs, &parent.pidfd.0);
    let socket = Arc::new(theirs);
    settings.environment = Some(entries(environment));
    if let Err(error) = child::apply(settings).and_then(|()| bind(&identity, &parent.pidfd.0)) {
        child::quit(&socket, &error.to_string());
    }
    info::become_child(identity, parent);
    child::report_to(&socket);
    let outcome = panics::catch(|| {
        let value = f(args);
        // Not `encode_message`: its check takes a lock, which another thread may have held.
        let encoded = codec::encode(&value).map_err(CallError::Encode)?;
        Ok(Returned::new(encoded, value))
    })
    .unwrap_or_else(|panic| Err(CallError::Panicked(panic)));
    let code = child::conclude(&socket, outcome);
    registry::exits_with(code);
    registry::finish();
    let _ = io::stdout().flush();
    process::exit_now(code)
}

/// Waits until the parent knows of this process; ends where that does not come, as if it had never been made.
fn wait_for_go(socket: &OwnedFd, parent: &OwnedFd) {
    // Another fork may hold the parent's end open, so its end is looked for itself.
    let fds = [(socket.as_fd(), Interest::Read), (parent.as_fd(), Interest::Read)];
    let _ = fd::poll(&fds, Deadline::NEVER);
    if !matches!(fd::recv(socket, &mut [0; GO.len()], &mut Vec::new(), false), Ok(1)) {
        process::exit_now(0);
    }
}

/// Binds this process' life to its parent's by a thread: the kernel's own signal would follow the thread that forked.
fn bind(identity: &Identity, parent: &Arc<OwnedFd>) -> io::Result<()> {
    if identity.tied {
        let parent = Arc::clone(parent);
        thread::Builder::new()
            .name("multiproc-watch".to_owned())
            .spawn(move || child::watch(Some(&parent)))?;
    }
    Ok(())
}
