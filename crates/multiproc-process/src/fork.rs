//! Where a process duplicates itself: the fork server's loop, and plain fork.
//!
//! # Safety
//!
//! Unsafe is needed to call `clone` and `fork`, after which two processes go on from the same line.
//!
//! - The fork server is single-threaded: it has counted its threads before it serves, and nothing runs in it but
//!   this loop. What it clones goes on with a thread that the C library takes for its own, or else does its work
//!   on one that it starts itself (see `child`).
//! - Plain fork is asked for by a caller who answers for it ([`Builder::spawn_forked`](crate::Builder)); the locks
//!   of this crate that the child's start and end need, and that of the standard output, are held by the forking
//!   thread meanwhile, so that the child finds none of them locked for ever. Others are as the fork finds them:
//!   those of handles, of the panic hook, of the codec's check in debug builds, of whatever else the program uses.
#![expect(unsafe_code, reason = "calls clone and fork")]

use crate::start::{Order, Start};
use crate::{child, executable, forkserver, info, panics, registry, spawner};
use multiproc_core::Deadline;
use multiproc_core::sys::child::{Duplicated, SharedWord, ThreadRecord, clone_sibling, fork};
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::sys::process;
use multiproc_pipe::frame::{self, FrameError, Reader};
use multiproc_pipe::parcel::{self, Parcel};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// What a copy of the fork server is to do.
pub(crate) struct Ordered {
    pub(crate) socket: OwnedFd,
    pub(crate) start: Start,
    pub(crate) parcel: Parcel,
    /// Whether the calling thread is fit for the user's code.
    pub(crate) whole: bool,
}

/// Makes children on request until the asker is gone; returns only in the children, which have written their number
/// into `first_words`.
///
/// Must run on the only thread of its process.
pub(crate) fn serve(control: OwnedFd, first_words: SharedWord) -> Ordered {
    // Whatever a child would do for the first time is better done once, here.
    let _ = panics::catch(|| ());
    let record = ThreadRecord::of_this_thread();
    // A ctrl-C is meant for the program, not for its helper; a child gets what came for it since its first moment.
    let terminal = process::block_terminal_signals();
    process::set_thread_name(&forkserver::mark(process::id()));
    let mut reader = Reader::new();
    loop {
        // Read here and not in the copy, where each page that is touched for the first time costs.
        let (order, parcel) = match receive(&mut reader, &control) {
            Ok(received) => received,
            Err(error) => {
                // The stream is of no use any more.
                let _ = frame::write(&control, &error.to_le_bytes(), &[], true);
                process::exit_now(0)
            }
        };
        // SAFETY:
        // - this process has one thread: `child::run` has counted, and this loop starts none;
        // - the copy returns from here; without a record it does its work on a thread of its own, as it is told.
        let answered = match unsafe { clone_sibling(record.as_ref()) } {
            Ok(Duplicated::Child) => {
                first_words.raise(forkserver::first_words(order.number, process::id()));
                process::restore_terminal_signals(&terminal);
                let Order { boot, start, .. } = order;
                let Some(socket) = Arc::into_inner(boot.0) else {
                    unreachable!("decoded here, and not cloned")
                };
                return Ordered { socket, start, parcel, whole: record.is_some() };
            }
            Ok(Duplicated::Parent(pid, pidfd)) => {
                let id = pid.as_raw_nonzero().get().to_le_bytes();
                frame::write(&control, &id, &[pidfd.as_fd()], true)
            }
            Err(error) => frame::write(&control, &error.raw_os_error().unwrap_or(0).to_le_bytes(), &[], true),
        };
        if answered.is_err() {
            process::exit_now(0);
        }
    }
}

/// The next order, or the number of the error that the asker is to be told.
fn receive(reader: &mut Reader, control: &OwnedFd) -> Result<(Order, Parcel), i32> {
    const EIO: i32 = 5;
    const EMFILE: i32 = 24;
    // A thread that sleeps in the reading itself is woken also when its last answer is read.
    let _ = fd::poll_one(control, Interest::Read, Deadline::NEVER);
    let mut parcel = match parcel::recv(reader, control, Deadline::NEVER) {
        Ok(parcel) => parcel,
        Err(FrameError::Eof | FrameError::Torn { .. }) => process::exit_now(0),
        // Descriptors that found no room have no number of the system's.
        Err(FrameError::Io(error)) => return Err(error.raw_os_error().unwrap_or(EMFILE)),
        Err(_) => return Err(EIO),
    };
    let order = parcel.take_head().map_err(|_| EIO)?;
    Ok((order, parcel))
}

/// Forks with our own locks held: the child's number and a descriptor of it in the parent, `None` in the child.
///
/// # Safety
///
/// As for fork(2): in the child only the calling thread exists, and locks of others stay locked for ever.
pub(crate) unsafe fn plain() -> io::Result<Option<(u32, OwnedFd)>> {
    let (_output, _server) = loop {
        // What waits to be written would be written by both, and another thread that writes just now would leave the
        // child a lock that nobody opens. Taken first: who has it may well be starting a process.
        let mut output = io::stdout().lock();
        // A start has the server for long, and what it reports may go to the standard output.
        if let Some(server) = forkserver::try_hold() {
            // What cannot be written now stays for both to try again.
            let _ = output.flush();
            break (output, server);
        }
        drop(output);
        forkserver::wait_idle();
    };
    // In the order in which they are taken elsewhere, too.
    let _spawner = spawner::hold();
    let _children = registry::hold();
    let _identity = info::hold();
    let _executable = executable::hold();
    let _report = child::hold();
    // SAFETY: the caller's to answer for.
    match unsafe { fork() }? {
        Duplicated::Child => Ok(None),
        Duplicated::Parent(pid, pidfd) => Ok(Some((pid.as_raw_nonzero().get().cast_unsigned(), pidfd))),
    }
}
