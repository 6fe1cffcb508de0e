//! Frames: whole messages over a byte stream, each with its descriptors.
//!
//! ```text
//! length <= 0x7fff_ffff :  i32 big endian                        | body
//! length >  0x7fff_ffff :  i32 big endian -1 | u64 big endian    | body
//! ```
//!
//! These are the frames of CPython's `multiprocessing.connection` (since 3.8). Descriptors travel attached to the
//! frame's first bytes, at most 253 to a byte. This is the layer below [`Connection`](crate::Connection), for
//! crates that speak their own messages.

use multiproc_core::Deadline;
use multiproc_core::sys::fd::{self, Interest, MAX_FDS_PER_MESSAGE, Received};
use multiproc_core::sys::socket::{self, Family};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The longest body whose length fits the short header.
const SHORT: usize = 0x7fff_ffff;
/// Half of what is made room for at first, so that a peer's claim alone allocates no more than 2 MiB.
const STEP: usize = 1 << 20;
/// How far into a body descriptors are looked for, where the header had some: a byte for each batch of as many as a
/// message may hold.
const CARRIERS: usize = 1024;

/// A message and the descriptors that came with it.
#[derive(Debug, Default)]
pub struct Frame {
    /// The message.
    pub body: Vec<u8>,
    /// Its descriptors, in their order, closed on exec.
    pub fds: Vec<OwnedFd>,
}

/// Writes one frame.
///
/// With `wait` false nothing ever blocks: where the frame finds no room the error is `WouldBlock`.
///
/// # Errors
///
/// `BrokenPipe` where the other end is gone; `WriteZero` where a part of the frame went; the system's.
///
/// After `WriteZero` this direction of the stream is shut down, or the next frame would pass for the rest of this
/// one: the other end sees that it is torn, and further writes fail with `BrokenPipe`.
pub fn write(socket: impl AsFd, body: &[u8], fds: &[BorrowedFd<'_>], wait: bool) -> io::Result<()> {
    let socket = socket.as_fd();
    let mut outgoing = Outgoing::new(body.len(), fds.len())?;
    outgoing.advance(socket, body, fds, wait).map_err(|error| outgoing.give_up(socket, error))
}

/// How many bytes the header of most frames has.
pub const HEADER: usize = 4;

/// Writes one frame, as [`write()`] does, whose header is put into the first [`HEADER`] bytes of `framed`; waits for room.
///
/// # Errors
///
/// As [`write()`].
///
/// # Panics
///
/// `framed` has no room for a header.
pub fn write_framed(socket: impl AsFd, framed: &mut [u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let socket = socket.as_fd();
    let length = framed.len() - HEADER;
    if length > SHORT || !fds.is_empty() {
        return write(socket, &framed[HEADER..], fds, true);
    }
    framed[..HEADER].copy_from_slice(&(length as u32).to_be_bytes());
    // One piece of memory: cheaper for the kernel than a message of two.
    let sent = match socket::send_bytes(socket, framed) {
        Ok(sent) if sent == framed.len() => return Ok(()),
        Ok(sent) => sent,
        // A socket that somebody made non-blocking.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    let mut outgoing = Outgoing { sent, ..Outgoing::new(length, 0)? };
    let rest = outgoing.advance(socket, &framed[HEADER..], &[], true);
    rest.map_err(|error| outgoing.give_up(socket, error))
}

/// A frame on its way out, which knows how much of it has gone.
///
/// The body and the descriptors are passed with each step, and must be the same each time.
#[derive(Debug)]
pub struct Outgoing {
    header: [u8; 12],
    header_len: usize,
    total: usize,
    sent: usize,
    /// How many batches of descriptors have gone.
    batches: usize,
}

impl Outgoing {
    /// Begins a frame of that length with so many descriptors.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where a frame of this length cannot carry so many descriptors.
    pub fn new(body: usize, fds: usize) -> io::Result<Outgoing> {
        let mut header = [0; 12];
        let header_len = if body <= SHORT {
            header[..4].copy_from_slice(&(body as u32).to_be_bytes());
            4
        } else {
            header[..4].copy_from_slice(&(-1i32).to_be_bytes());
            header[4..].copy_from_slice(&(body as u64).to_be_bytes());
            12
        };
        let total = header_len + body;
        if fds.div_ceil(MAX_FDS_PER_MESSAGE) > total {
            let text = format!(
                "{fds} descriptors are more than a frame of {total} bytes can carry: send them in several messages"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Outgoing { header, header_len, total, sent: 0, batches: 0 })
    }

    /// Tells whether a part of it has gone, so that nothing else may be written before the rest.
    pub fn has_begun(&self) -> bool {
        self.sent > 0
    }

    /// Writes what is left, as far as there is room or, with `wait`, all of it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where `wait` is false and there is no room now; `BrokenPipe` where the other end is gone; the
    /// system's.
    pub fn advance(
        &mut self,
        socket: impl AsFd,
        body: &[u8],
        fds: &[BorrowedFd<'_>],
        wait: bool,
    ) -> io::Result<()> {
        let socket = socket.as_fd();
        let header = &self.header[..self.header_len];
        while self.sent < self.total {
            let head = header.get(self.sent..).unwrap_or_default();
            let tail = &body[self.sent.saturating_sub(header.len())..];
            let mut left = fds.chunks(MAX_FDS_PER_MESSAGE).skip(self.batches);
            let batch = left.next().unwrap_or_default();
            // Each batch of descriptors needs a byte of its own; the last one takes all that is left.
            let parts = if left.next().is_none() {
                [IoSlice::new(head), IoSlice::new(tail)]
            } else {
                let one = if head.is_empty() { tail } else { head };
                [IoSlice::new(&one[..one.len().min(1)]), IoSlice::new(&[])]
            };
            self.sent += send(socket, &parts, batch, wait)?;
            self.batches += 1;
        }
        Ok(())
    }

    /// Makes the error of a frame that will not be continued: where a part of it went, this direction is shut down.
    #[cold]
    pub fn give_up(&self, socket: impl AsFd, error: io::Error) -> io::Error {
        if self.sent == 0 || error.kind() == io::ErrorKind::BrokenPipe {
            return error;
        }
        // A socket that cannot be shut down is not connected, and nobody reads it.
        let _ = fd::shutdown_write(socket);
        let text = format!(
            "only {} of {} bytes of a message were written, so the connection is closed ({error}): make another",
            self.sent, self.total
        );
        io::Error::new(io::ErrorKind::WriteZero, text)
    }
}

fn send(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    fds: &[BorrowedFd<'_>],
    wait: bool,
) -> io::Result<usize> {
    loop {
        match fd::send(socket, parts, fds, wait) {
            // A socket that somebody made non-blocking.
            Err(error) if wait && error.kind() == io::ErrorKind::WouldBlock => {
                fd::poll_one(socket, Interest::Write, Deadline::NEVER)?;
            }
            result => return result,
        }
    }
}

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The other end is closed, and everything that it sent has been read.
    #[error(
        "the other end is closed: it was dropped everywhere, or its processes have ended, and nothing more will come"
    )]
    Eof,
    /// The other end was closed in the middle of a frame.
    #[error(
        "the other end was closed in the middle of a message ({got} of {expected} bytes): its process ended while it sent, make a new connection"
    )]
    Torn {
        /// How many bytes of the frame came.
        got: u64,
        /// How many it should have had, as far as is known.
        expected: u64,
    },
    /// The frame is longer than the reader lets in; the stream is of no use any more.
    #[error(
        "a message of {length} bytes is longer than the limit of {limit}: send it in parts, or raise the limit"
    )]
    TooLong {
        /// What the header says.
        length: u64,
        /// What the reader lets in.
        limit: usize,
    },
    /// The header makes no sense: the peer speaks something else.
    #[error(
        "the bytes received are no message (the header says {0}): the other end speaks another protocol, or writes past this library"
    )]
    BadHeader(i32),
    /// Descriptors of this frame were lost; it has been read to its end, so the next one can be read.
    #[error(
        "a message of {length} bytes came without its descriptors, since this process can have no more open: keep fewer open or raise the limit (RLIMIT_NOFILE, ulimit -n), and have it sent again"
    )]
    DescriptorsLost {
        /// How long the body was.
        length: usize,
    },
    /// More descriptors came than the reader lets in; they are closed, and the next frame can be read.
    #[error(
        "a message came with more than {limit} descriptors, which is as many as are taken from this peer: send them in several messages"
    )]
    TooManyDescriptors {
        /// What the reader lets in.
        limit: usize,
    },
    /// There is no memory for the frame; the stream is of no use any more.
    #[error("no memory for a message of {length} bytes: send it in parts")]
    NoMemory {
        /// What the header says.
        length: usize,
    },
    /// The deadline passed; what has come so far is kept for the next call.
    #[error("timed out: nothing is lost, receive again or wait longer")]
    TimedOut,
    /// The system's error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads frames from one stream and keeps what has come of the next, so that no call ever loses a part.
#[derive(Debug, Default)]
pub struct Reader {
    header: [u8; 12],
    header_len: usize,
    /// What has come of the body.
    body: Vec<u8>,
    fds: Vec<OwnedFd>,
    /// Descriptors of the frame at hand were lost.
    is_lossy: bool,
    /// There were too many of them.
    is_crowded: bool,
    max_fds: Option<usize>,
}

/// A frame that was read into the caller's memory, if it fitted.
#[derive(Debug)]
pub enum Filled {
    /// It did; so long it is.
    Whole(usize),
    /// It is longer: here it is.
    Longer(Vec<u8>),
}

impl Reader {
    /// Makes a reader at the start of a stream.
    pub fn new() -> Reader {
        Reader::default()
    }

    /// Makes a reader that takes at most so many descriptors with a frame.
    pub fn with_max_fds(limit: usize) -> Reader {
        Reader { max_fds: Some(limit), ..Reader::default() }
    }

    /// Tells whether a part of a frame has been read.
    pub fn is_amid_frame(&self) -> bool {
        self.header_len > 0
    }

    /// Reads one frame of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// See [`FrameError`].
    pub fn read(&mut self, socket: impl AsFd, limit: usize, deadline: Deadline) -> Result<Frame, FrameError> {
        let socket = socket.as_fd();
        let length = self.read_header(socket, limit, deadline)?;
        while self.body.len() < length {
            self.read_part(socket, length, deadline)?;
        }
        let Reader { body, fds, is_lossy, is_crowded, max_fds, .. } = std::mem::take(self);
        self.max_fds = max_fds;
        match max_fds {
            Some(limit) if is_crowded => Err(FrameError::TooManyDescriptors { limit }),
            _ if is_lossy => Err(FrameError::DescriptorsLost { length }),
            _ => Ok(Frame { body, fds }),
        }
    }

    /// Reads one frame of at most `limit` bytes into `buf`; its descriptors are closed. Waits for it.
    ///
    /// # Errors
    ///
    /// See [`FrameError`].
    pub fn read_into(
        &mut self,
        socket: impl AsFd,
        buf: &mut [u8],
        limit: usize,
    ) -> Result<Filled, FrameError> {
        let socket = socket.as_fd();
        let length = self.read_header(socket, limit, Deadline::NEVER)?;
        // What a call that timed out has read lies here, and so does what has no room there.
        if !self.body.is_empty() || length > buf.len() {
            let body = self.read(socket, limit, Deadline::NEVER)?.body;
            return Ok(match buf.get_mut(..body.len()) {
                Some(room) => {
                    room.copy_from_slice(&body);
                    Filled::Whole(body.len())
                }
                None => Filled::Longer(body),
            });
        }
        let mut got = 0;
        while got < length {
            let part = |wait| socket::recv_bytes(socket, &mut buf[got..length], wait);
            let part = receive(socket, Deadline::NEVER, part).and_then(|bytes| {
                got += bytes;
                self.note(Received { bytes, truncated: false })
            });
            if let Err(error) = part {
                // Kept, so that the next call goes on where this one ended.
                self.body.extend_from_slice(&buf[..got]);
                return Err(if matches!(error, FrameError::Torn { .. }) { self.end() } else { error });
            }
        }
        *self = Reader { max_fds: self.max_fds, ..Reader::default() };
        Ok(Filled::Whole(length))
    }

    /// Reads the header, if that is not done, and tells the length of the body.
    fn read_header(
        &mut self,
        socket: BorrowedFd<'_>,
        limit: usize,
        deadline: Deadline,
    ) -> Result<usize, FrameError> {
        loop {
            match self.needed(limit)? {
                Needed::Body(length) => return Ok(length),
                Needed::Header(end) => {
                    let buf = &mut self.header[self.header_len..end];
                    let part =
                        receive(socket, deadline, |wait| fd::recv_part(socket, buf, &mut self.fds, wait))?;
                    self.header_len += part.bytes;
                    self.note(part)?;
                }
            }
        }
    }

    /// Reads some of the body.
    fn read_part(
        &mut self,
        socket: BorrowedFd<'_>,
        length: usize,
        deadline: Deadline,
    ) -> Result<(), FrameError> {
        let got = self.body.len();
        let part = if got < CARRIERS && !self.fds.is_empty() {
            // The first batch of descriptors came with the header, so that others may follow.
            let mut buf = [0; CARRIERS];
            let buf = &mut buf[..(length - got).min(CARRIERS - got)];
            let part = receive(socket, deadline, |wait| fd::recv_part(socket, buf, &mut self.fds, wait))?;
            self.body.extend_from_slice(&buf[..part.bytes]);
            part
        } else {
            let end = length.min(got.max(STEP).saturating_mul(2));
            if self.body.try_reserve_exact(end - got).is_err() {
                return Err(FrameError::NoMemory { length });
            }
            let body = &mut self.body;
            let bytes = receive(socket, deadline, |wait| socket::recv_append(socket, body, end, wait))?;
            Received { bytes, truncated: false }
        };
        self.note(part)
    }

    /// Takes note of what has come.
    fn note(&mut self, part: Received) -> Result<(), FrameError> {
        if part.truncated {
            self.is_lossy = true;
            // Too late for this frame, but the next one may find room.
            fd::raise_descriptor_limit();
        }
        if self.max_fds.is_some_and(|limit| self.fds.len() > limit) {
            self.is_crowded = true;
            self.fds.clear();
        }
        if part.bytes == 0 { Err(self.end()) } else { Ok(()) }
    }

    fn needed(&self, limit: usize) -> Result<Needed, FrameError> {
        if self.header_len < 4 {
            return Ok(Needed::Header(4));
        }
        let [a, b, c, d, long @ ..] = self.header;
        let length = match i32::from_be_bytes([a, b, c, d]) {
            -1 if self.header_len < 12 => return Ok(Needed::Header(12)),
            -1 => u64::from_be_bytes(long),
            short => u64::try_from(short).map_err(|_| FrameError::BadHeader(short))?,
        };
        match usize::try_from(length) {
            Ok(length) if length <= limit => Ok(Needed::Body(length)),
            _ => Err(FrameError::TooLong { length, limit }),
        }
    }

    fn end(&self) -> FrameError {
        match self.needed(usize::MAX) {
            _ if self.header_len == 0 => FrameError::Eof,
            Ok(Needed::Body(length)) => {
                FrameError::Torn { got: self.body.len() as u64, expected: length as u64 }
            }
            // Of a long header the first four bytes tell that there are more.
            Ok(Needed::Header(end)) => FrameError::Torn { got: self.header_len as u64, expected: end as u64 },
            Err(error) => error,
        }
    }
}

enum Needed {
    Header(usize),
    Body(usize),
}

/// Receives something, or nothing at the end of the stream, before the deadline.
fn receive<T: Default>(
    socket: BorrowedFd<'_>,
    deadline: Deadline,
    mut attempt: impl FnMut(bool) -> io::Result<T>,
) -> Result<T, FrameError> {
    loop {
        match attempt(deadline == Deadline::NEVER) {
            Ok(part) => return Ok(part),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if deadline.has_passed() || !fd::poll_one(socket, Interest::Read, deadline)? {
                    return Err(FrameError::TimedOut);
                }
            }
            // A peer that died with our bytes unread resets the stream. What it sent has been read before that, unless
            // it was under way to another machine.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && is_local(socket) => {
                return Ok(T::default());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_local(socket: BorrowedFd<'_>) -> bool {
    matches!(socket::family(socket), Ok(Family::Unix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_header_tells_how_long_it_is() {
        for (came, whole) in [(&[0, 0][..], 4), (&[0xff; 4], 12), (&[0xff; 11], 12)] {
            let (writer, reader) = fd::socket_pair().unwrap();
            fd::send(&writer, &[IoSlice::new(came)], &[], true).unwrap();
            drop(writer);
            let error = Reader::new().read(&reader, usize::MAX, Deadline::NEVER).unwrap_err();
            let FrameError::Torn { got, expected } = error else { panic!("{error}") };
            assert_eq!((got, expected), (came.len() as u64, whole));
        }
    }
}
