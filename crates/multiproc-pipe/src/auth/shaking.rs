use super::handshake::MAX_FRAME;
use super::{Handshake, Refusal};
use multiproc_core::sys::{fd, socket};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

/// A handshake over a socket, which goes on as bytes come, and never waits.
#[derive(Debug)]
pub(crate) struct Shaking {
    socket: OwnedFd,
    handshake: Handshake,
    /// The frame that is coming.
    buf: [u8; HEADER + MAX_FRAME],
    got: usize,
}

const HEADER: usize = 4;

/// How a handshake ended that came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShakeError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Shaking {
    /// Begins: sends what goes first.
    pub(crate) fn begin(
        socket: OwnedFd,
        (handshake, first): (Handshake, Vec<Vec<u8>>),
    ) -> Result<Shaking, ShakeError> {
        let shaking = Shaking { socket, handshake, buf: [0; HEADER + MAX_FRAME], got: 0 };
        shaking.send(&first)?;
        Ok(shaking)
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Gives the socket, when it is done.
    pub(crate) fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Goes on as far as bytes have come; tells whether it is done.
    ///
    /// Nothing behind its last frame is read, and descriptors that come with it are closed by the kernel.
    pub(crate) fn advance(&mut self) -> Result<bool, ShakeError> {
        loop {
            let end = match self.length()? {
                Some(length) if self.got == HEADER + length => {
                    self.got = 0;
                    match self.handshake.take(&self.buf[HEADER..HEADER + length]) {
                        Ok(step) => {
                            self.send(&step.send)?;
                            if step.is_done {
                                return Ok(true);
                            }
                        }
                        Err((refusal, said)) => {
                            // Whether the peer hears it or not, this is the end.
                            let _ = self.send(&said);
                            return Err(refusal.into());
                        }
                    }
                    continue;
                }
                Some(length) => HEADER + length,
                None => HEADER,
            };
            match socket::recv_bytes(&self.socket, &mut self.buf[self.got..end], false) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(bytes) => self.got += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The length of the frame that is coming, once it is known.
    fn length(&self) -> Result<Option<usize>, Refusal> {
        if self.got < HEADER {
            return Ok(None);
        }
        let [a, b, c, d, ..] = self.buf;
        match u32::from_be_bytes([a, b, c, d]) as usize {
            length if length <= MAX_FRAME => Ok(Some(length)),
            _ => Err(Refusal::Protocol),
        }
    }

    fn send(&self, frames: &[Vec<u8>]) -> io::Result<()> {
        for frame in frames {
            let bytes = [&(frame.len() as u32).to_be_bytes()[..], frame].concat();
            // A fresh socket has room for all of a handshake; one that has none is not one of ours.
            if fd::send(&self.socket, &[IoSlice::new(&bytes)], &[], false)? < bytes.len() {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}
