//! Frames from a socket, as many bytes at a time as there are.

use crate::seal::Opener;
use crate::wire::{Arrived, NotOurs};
use multiproc_core::Deadline;
use multiproc_core::sys::fd::{self, Interest};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// How much is read at first: most messages are shorter.
const ROOM: usize = 4 << 10;
/// What is handed on in its own buffer rather than copied.
const LARGE: usize = 64 << 10;
/// How much room is made for a message of which nothing has come but its length.
const STEP: usize = 1 << 20;
/// The most descriptors that wait for their message.
const MAX_FDS: usize = 1024;
const HEADER: usize = 4;

/// What has come of a stream.
#[derive(Debug)]
pub(crate) struct Input {
    buf: Vec<u8>,
    start: usize,
    end: usize,
    fds: VecDeque<OwnedFd>,
    lossy: bool,
    max: usize,
    pub(crate) opener: Option<Opener>,
}

/// What came of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Something, and there may be more.
    More,
    /// Something, and that was all.
    Drained,
    /// Nothing for now.
    Nothing,
    /// The other side is gone.
    End,
}

impl Input {
    /// Reads messages of at most `max` bytes.
    pub(crate) fn new(max: usize) -> Input {
        Input { buf: Vec::new(), start: 0, end: 0, fds: VecDeque::new(), lossy: false, max, opener: None }
    }

    pub(crate) fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Tells whether nothing has come that was not taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end && self.fds.is_empty()
    }

    /// How many bytes have come that were not taken.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// How many bytes the next message has with its header, once that is known.
    fn expected(&self) -> Result<Option<usize>, NotOurs> {
        let Some(header) = self.buf[self.start..self.end].first_chunk::<HEADER>() else { return Ok(None) };
        match usize::try_from(i32::from_be_bytes(*header)) {
            Ok(len) if len <= self.max => Ok(Some(HEADER + len)),
            _ => Err(NotOurs),
        }
    }

    /// Tells whether the next message has come whole.
    pub(crate) fn has_message(&self) -> bool {
        match self.expected() {
            Ok(Some(len)) => self.len() >= len,
            Ok(None) => false,
            Err(NotOurs) => true,
        }
    }

    /// Takes the next message, if it has come whole.
    pub(crate) fn next(&mut self) -> Result<Option<Arrived>, NotOurs> {
        let Some(len) = self.expected()?.filter(|len| self.len() >= *len) else { return Ok(None) };
        let (bytes, start) = if len >= LARGE && self.len() == len {
            let mut bytes = std::mem::take(&mut self.buf);
            bytes.truncate(self.end);
            let start = self.start + HEADER;
            (self.start, self.end) = (0, 0);
            (bytes, start)
        } else {
            let from = self.start + HEADER;
            self.start += len;
            let bytes = self.buf[from..self.start].to_vec();
            if self.start == self.end {
                (self.start, self.end) = (0, 0);
            }
            (bytes, 0)
        };
        let mut arrived = Arrived::new(bytes, start, self.opener.as_mut())?;
        let count = arrived.fd_count();
        if count > self.fds.len() || self.lossy {
            return Err(NotOurs);
        }
        arrived.set_fds(self.fds.drain(..count).collect());
        Ok(Some(arrived))
    }

    /// Reads what there is; with `wait`, waits for something.
    pub(crate) fn fill(&mut self, socket: impl AsFd, wait: bool) -> io::Result<Filled> {
        self.make_room();
        let room = self.buf.len() - self.end;
        let received = {
            let fds: &mut Vec<OwnedFd> = &mut Vec::new();
            let received = fd::recv_part(socket, &mut self.buf[self.end..], fds, wait);
            self.fds.extend(fds.drain(..));
            received
        };
        match received {
            Ok(part) if part.bytes == 0 => Ok(Filled::End),
            Ok(part) => {
                self.end += part.bytes;
                if part.truncated {
                    self.lossy = true;
                    fd::raise_descriptor_limit();
                }
                if self.fds.len() > MAX_FDS {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "too many descriptors at once: the peer does not keep to the protocol",
                    ));
                }
                // The kernel ends a read where descriptors lie between bytes, however much is behind them.
                let cut = part.bytes == room || !self.fds.is_empty();
                Ok(if cut { Filled::More } else { Filled::Drained })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Filled::Nothing),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Filled::End),
            Err(error) => Err(error),
        }
    }

    /// Waits for the next message until `deadline`; `None` where the other side is gone.
    pub(crate) fn wait(&mut self, socket: impl AsFd, deadline: Deadline) -> io::Result<Option<Arrived>> {
        let socket = socket.as_fd();
        let invalid = |error: NotOurs| io::Error::new(io::ErrorKind::InvalidData, error);
        loop {
            if let Some(arrived) = self.next().map_err(invalid)? {
                return Ok(Some(arrived));
            }
            let forever = deadline == Deadline::NEVER;
            match self.fill(socket, forever)? {
                Filled::End => return Ok(None),
                Filled::Nothing if !fd::poll_one(socket, Interest::Read, deadline)? => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                _ => {}
            }
        }
    }

    fn make_room(&mut self) {
        let wanted = match self.expected() {
            // A claim alone gets a bounded buffer, which doubles as it fills.
            Ok(Some(len)) => len.min((self.len() * 2).max(STEP)).max(ROOM),
            _ => ROOM,
        };
        if self.start > 0 && self.start + wanted > self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buf.len() > LARGE && wanted <= ROOM && self.end <= ROOM {
            self.buf = self.buf[..ROOM].to_vec();
        }
        // More room only when what there is is full: a length that is but claimed costs nothing.
        if self.buf.len() == self.end {
            let len = (self.start + wanted).max(self.end + ROOM);
            // Fresh memory is zeroed by the system, where it is touched.
            let mut buf = vec![0; len];
            buf[..self.end].copy_from_slice(&self.buf);
            self.buf = buf;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Note, Packet};
    use multiproc_pipe::frame;

    fn send(socket: &OwnedFd, note: &Note, body: &Vec<u8>) {
        let packet = Packet::new(note, body).unwrap();
        frame::write(socket, &packet.bytes, &[], true).unwrap();
    }

    #[test]
    fn messages_come_whole_and_in_order() {
        let (a, b) = fd::socket_pair().unwrap();
        let sizes = [0, 1, 5000, 70_000, 3_000_000, 10];
        let writer = std::thread::spawn(move || {
            for size in sizes {
                send(&a, &Note::Lane, &vec![7; size]);
            }
        });
        let mut input = Input::new(1 << 24);
        for size in sizes {
            let arrived = input.wait(&b, Deadline::NEVER).unwrap().unwrap();
            let body: Vec<u8> = multiproc_core::codec::decode(arrived.body(), vec![]).unwrap();
            assert_eq!(body, vec![7; size]);
        }
        writer.join().unwrap();
        assert!(input.wait(&b, Deadline::NEVER).unwrap().is_none());
        assert!(input.is_empty());
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_comes() {
        let (a, b) = fd::socket_pair().unwrap();
        let mut input = Input::new(100);
        fd::send(&a, &[io::IoSlice::new(&101i32.to_be_bytes())], &[], true).unwrap();
        assert!(input.wait(&b, Deadline::NEVER).is_err());
        let mut input = Input::new(1 << 30);
        fd::send(&a, &[io::IoSlice::new(&(1i32 << 29).to_be_bytes())], &[], true).unwrap();
        assert_eq!(input.fill(&b, true).unwrap(), Filled::Drained);
        assert_eq!(input.fill(&b, false).unwrap(), Filled::Nothing);
        assert!(input.buf.len() <= 2 * STEP, "a claim takes no memory: {}", input.buf.len());
    }
}
