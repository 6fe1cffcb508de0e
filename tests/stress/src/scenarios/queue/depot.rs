//! A depot as a queue has one, in which handles are but numbers, and some that are wrong.

use multiproc_core::sys::fd::{drop_packet, packet_pair, peek_packet, send};
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use crate::os;

/// What can be wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing.
    None,
    /// A packet is taken away when it is copied, before the head is published.
    TakesEarly,
    /// What the dead had sent is taken for what was put after it.
    TakesAny,
    /// What was taken stays.
    KeepsAll,
}

/// Packets in the order in which they were sent, each under a number that only grows.
pub(crate) struct Depot {
    near: OwnedFd,
    far: OwnedFd,
    flaw: Flaw,
    /// The process ends after its next packet.
    dies: Cell<bool>,
}

const LEN: usize = 16;

impl Depot {
    pub(crate) fn new(flaw: Flaw) -> Depot {
        match packet_pair() {
            Ok((near, far)) => Depot { near, far, flaw, dies: Cell::new(false) },
            Err(error) => panic!("no sockets: {error}"),
        }
    }

    /// Ends the calling process when it has sent its next packet.
    pub(crate) fn die_after_send(&self) {
        self.dies.set(true);
    }

    pub(crate) fn send(&self, token: u64, message: u64) -> io::Result<()> {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&token.to_ne_bytes());
        bytes[8..].copy_from_slice(&message.to_ne_bytes());
        send(&self.near, &[IoSlice::new(&bytes)], &[], false)?;
        if self.dies.get() {
            os::leave();
        }
        Ok(())
    }

    /// The message of the packet that was sent under that number; what was sent before it is dropped.
    pub(crate) fn fetch(&self, token: u64) -> Option<u64> {
        if self.flaw != Flaw::TakesAny {
            self.drop_below(token);
        }
        let (found, message) = self.first()?;
        if self.flaw == Flaw::TakesEarly {
            self.pop();
        }
        (found == token || self.flaw == Flaw::TakesAny).then_some(message)
    }

    /// Takes away what was sent under numbers up to this one.
    pub(crate) fn release(&self, token: u64) {
        match self.flaw {
            Flaw::None | Flaw::TakesEarly => self.drop_below(token.saturating_add(1)),
            Flaw::TakesAny => self.pop(),
            Flaw::KeepsAll => {}
        }
    }

    /// Drops what was sent under numbers up to this one.
    pub(crate) fn sweep(&self, token: u64) {
        self.drop_below(token.saturating_add(1));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    fn drop_below(&self, token: u64) {
        while self.first().is_some_and(|(found, _)| found < token) {
            self.pop();
        }
    }

    fn first(&self) -> Option<(u64, u64)> {
        let mut bytes = [0; LEN];
        peek_packet(&self.far, &mut bytes, &mut Vec::new()).ok()?;
        let ([token, message], []) = bytes.as_chunks::<8>() else { unreachable!("16 are two times 8") };
        Some((u64::from_ne_bytes(*token), u64::from_ne_bytes(*message)))
    }

    fn pop(&self) {
        // There may be none any more.
        let _ = drop_packet(&self.far, &mut [0; LEN]);
    }
}
