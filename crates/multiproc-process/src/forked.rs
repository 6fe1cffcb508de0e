//! A child made by plain fork, which calls its function in a copy of its parent's memory.
//!
//! # Safety
//!
//! Unsafe is needed to call [`fork::plain`]; its condition is handed on to the caller of [`Builder::spawn_forked`].
#![expect(unsafe_code, reason = "hands the conditions of fork on to its caller")]

use crate::builder::{Description, Started};
use crate::error::SpawnKind;
use crate::function::{CallError, Returned};
use crate::start::Identity;
use crate::{Builder, Process, SpawnError, child, fork, hook, info, panics, registry};
use multiproc_core::sys::{fd, process};
use multiproc_core::{Message, codec};
use multiproc_pipe::frame::Reader;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::{io, thread};

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
    /// standard output included (glibc repairs its allocator, others may not).
    ///
    /// # Errors
    ///
    /// As [`spawn`](Builder::spawn).
    pub unsafe fn spawn_forked<A, R: Message>(
        self,
        args: A,
        f: fn(A) -> R,
    ) -> Result<Process<R>, SpawnError> {
        hook::check().map_err(SpawnKind::from)?;
        let (description, pipes) = self.describe()?;
        // SAFETY: the caller answers for what the child does in `f`.
        let started = unsafe { start(description, args, f) }?;
        Ok(Process::new(started.child, started.socket, started.reader, pipes))
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
    settings.stdio = Some(stdio);
    // SAFETY: handed on.
    if let Some((id, pidfd)) = unsafe { fork::plain() }? {
        let child = Description::child(&identity, id, pidfd);
        registry::add(Arc::clone(&child))?;
        return Ok(Started { child, socket: ours, reader: Reader::new() });
    }

    drop(ours);
    // This is the only thread now.
    settings.environment = Some(environment);
    if let Err(error) = child::apply(settings).and_then(|()| bind(&identity, &parent.pidfd.0)) {
        child::quit(&theirs, &error.to_string());
    }
    info::become_child(identity, parent);
    let outcome = panics::catch(|| {
        let value = f(args);
        let encoded = codec::encode_message(&value).map_err(CallError::Encode)?;
        Ok(Returned::new(encoded, value))
    })
    .unwrap_or_else(|panic| Err(CallError::Panicked(panic)));
    let code = child::conclude(&theirs, outcome);
    registry::finish();
    let _ = io::stdout().flush();
    process::exit_now(code)
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
