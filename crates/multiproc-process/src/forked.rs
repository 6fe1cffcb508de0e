//! A child made by plain fork, which calls its function in a copy of its parent's memory.
//!
//! # Safety
//!
//! Unsafe is needed to call [`fork::plain`]; its condition is handed on to the caller of [`start`].
#![expect(unsafe_code, reason = "hands the conditions of fork on to its caller")]

use crate::builder::{Description, Started, carried};
use crate::function::{CallError, Returned};
use crate::start::Identity;
use crate::{SpawnError, child, fork, info, panics, registry};
use multiproc_core::sys::{fd, process};
use multiproc_core::{Message, codec};
use multiproc_pipe::frame::Reader;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::{io, thread};

/// Forks a child that calls `f` with `args`.
///
/// # Safety
///
/// See [`Builder::spawn_forked`](crate::Builder::spawn_forked).
pub(crate) unsafe fn start<A, R: Message>(
    description: Description,
    args: A,
    f: fn(A) -> R,
) -> Result<Started, SpawnError> {
    let parent = description.parent()?;
    let (ours, theirs) = fd::with_descriptors(fd::socket_pair)?;
    let Description { identity, environment, stdio, mut settings, .. } = description;
    settings.stdio = Some(stdio.map(carried));
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
        thread::Builder::new().name("multiproc-watch".to_owned()).spawn(move || child::watch(Some(&parent)))?;
    }
    Ok(())
}
