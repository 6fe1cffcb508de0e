//! A lane: one call at a time.

use crate::error::CallError;
use crate::input::Input;
use crate::seal::Sealer;
use crate::wire::{Arrived, Id, Packet, Reply};
use multiproc_core::Deadline;
use multiproc_core::sys::fd::{self, Interest};
use multiproc_pipe::frame::Outgoing;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How much longer than a call's own time its caller waits: so the server, which knows, says what has become of it.
const GRACE: Duration = Duration::from_millis(250);

/// How many lanes a process may have: as many as the server lets it have calls under way.
#[derive(Debug)]
pub(crate) struct Slots {
    most: usize,
    taken: Arc<AtomicUsize>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicUsize>);

impl Slots {
    pub(crate) fn new(most: usize) -> Slots {
        Slots { most, taken: Arc::default() }
    }

    pub(crate) fn take(&self) -> Result<Slot, CallError> {
        // Relaxed: a number, and nothing beside it.
        let slot = Slot(Arc::clone(&self.taken));
        if self.taken.fetch_add(1, Ordering::Relaxed) < self.most {
            return Ok(slot);
        }
        let most = self.most;
        Err(CallError::limited(format!(
            "this process has {most} calls under way, the most that the manager takes: wait for some to end, or raise \
             `max_calls`"
        )))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection for one call at a time.
#[derive(Debug)]
pub(crate) struct Lane {
    fd: OwnedFd,
    input: Input,
    sealer: Option<Sealer>,
    /// After the descriptor: whose place is free is known to be gone.
    _slot: Slot,
}

/// An answer, and what it says before its body.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    pub(crate) message: Arrived,
}

/// Why there is no answer.
pub(crate) enum Unanswered {
    /// The call did not go.
    NotSent(CallError),
    /// It went, and the time is up; the lane is to be kept for the answer.
    Late,
    /// It went, and nothing will come.
    Lost(CallError),
}

impl Lane {
    pub(crate) fn new(fd: OwnedFd, input: Input, sealer: Option<Sealer>, slot: Slot) -> Lane {
        Lane { fd, input, sealer, _slot: slot }
    }

    /// Sends a call and waits for its answer.
    pub(crate) fn ask(&mut self, packet: Packet, deadline: Deadline) -> Result<Answered, Unanswered> {
        let packet = packet.seal(self.sealer.as_mut());
        self.send(&packet, deadline).map_err(Unanswered::NotSent)?;
        let patience =
            deadline.instant().and_then(|at| at.checked_add(GRACE)).map_or(Deadline::NEVER, Deadline::at);
        self.answer(patience)
    }

    fn send(&mut self, packet: &Packet, deadline: Deadline) -> Result<(), CallError> {
        let fds: Vec<BorrowedFd<'_>> = packet.fds.iter().map(|fd| fd.as_fd()).collect();
        let mut outgoing = Outgoing::new(packet.bytes.len(), fds.len()).map_err(CallError::io)?;
        let forever = deadline == Deadline::NEVER;
        loop {
            match outgoing.advance(&self.fd, &packet.bytes, &fds, forever) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match fd::poll_one(&self.fd, Interest::Write, deadline) {
                        Ok(true) => {}
                        // A part of a call is none.
                        Ok(false) => return Err(CallError::expired()),
                        Err(error) => return Err(CallError::io(error)),
                    }
                }
                Err(error) if is_gone(&error) => return Err(CallError::not_sent()),
                Err(error) => return Err(CallError::io(error)),
            }
        }
    }

    /// Waits for the answer of a call that has gone.
    pub(crate) fn answer(&mut self, deadline: Deadline) -> Result<Answered, Unanswered> {
        let lost = |error: CallError| Unanswered::Lost(error);
        match self.input.wait(&self.fd, deadline) {
            Ok(Some(message)) => {
                let reply = message.head().map_err(|error| lost(CallError::protocol(error)))?;
                Ok(Answered { reply, message })
            }
            Ok(None) => Err(lost(CallError::unanswered())),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Unanswered::Late),
            Err(error) if is_gone(&error) => Err(lost(CallError::unanswered())),
            Err(error) => Err(lost(CallError::protocol(error))),
        }
    }

    /// Looks for an answer that nobody waits for; gives the references in it.
    pub(crate) fn late_answer(&mut self) -> Result<Option<Vec<Id>>, CallError> {
        match self.answer(Deadline::now()) {
            Ok(answered) => Ok(Some(answered.reply.granted)),
            Err(Unanswered::Late) => Ok(None),
            Err(Unanswered::NotSent(error) | Unanswered::Lost(error)) => Err(error),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
