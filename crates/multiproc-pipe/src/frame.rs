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
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The longest body whose length fits the short header.
const SHORT: usize = 0x7fff_ffff;
/// Half of what is made room for at first, so that a peer's claim alone allocates no more than 2 MiB.
const STEP: usize = 1 << 20;

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
    let mut header = [0; 12];
    let header = if body.len() <= SHORT {
        header[..4].copy_from_slice(&(body.len() as u32).to_be_bytes());
        &header[..4]
    } else {
        header[..4].copy_from_slice(&(-1i32).to_be_bytes());
        header[4..].copy_from_slice(&(body.len() as u64).to_be_bytes());
        &header[..]
    };
    let total = header.len() + body.len();
    if fds.len().div_ceil(MAX_FDS_PER_MESSAGE) > total {
        let text = format!("{} descriptors are more than a frame of {total} bytes can carry", fds.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut batches = fds.chunks(MAX_FDS_PER_MESSAGE).peekable();
    let mut sent = 0;
    let mut batch = batches.next().unwrap_or_default();
    while sent < total {
        let (head, tail) =
            (header.get(sent..).unwrap_or_default(), &body[sent.saturating_sub(header.len())..]);
        // Each batch of descriptors needs a byte of its own; the last one takes all that is left.
        let parts = if batches.peek().is_none() {
            [IoSlice::new(head), IoSlice::new(tail)]
        } else {
            let one = if head.is_empty() { tail } else { head };
            [IoSlice::new(&one[..one.len().min(1)]), IoSlice::new(&[])]
        };
        match send(socket, &parts, batch, wait) {
            Ok(count) => {
                sent += count;
                batch = batches.next().unwrap_or_default();
            }
            Err(error) if sent > 0 && error.kind() != io::ErrorKind::BrokenPipe => {
                // A socket that cannot be shut down is not connected, and nobody reads it.
                let _ = fd::shutdown_write(socket);
                let text = format!(
                    "only {sent} of {total} bytes of a message were written, so the connection is closed: {error}"
                );
                return Err(io::Error::new(io::ErrorKind::WriteZero, text));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
    #[error("the other end is closed")]
    Eof,
    /// The other end was closed in the middle of a frame.
    #[error("the other end was closed in the middle of a message ({got} of {expected} bytes)")]
    Torn {
        /// How many bytes of the frame came.
        got: u64,
        /// How many it should have had, as far as is known.
        expected: u64,
    },
    /// The frame is longer than the reader lets in; the stream is of no use any more.
    #[error("a message of {length} bytes is longer than the limit of {limit}")]
    TooLong {
        /// What the header says.
        length: u64,
        /// What the reader lets in.
        limit: usize,
    },
    /// The header makes no sense: the peer speaks something else.
    #[error("the bytes received are no message: the header says {0}")]
    BadHeader(i32),
    /// Descriptors of this frame were lost; it has been read to its end, so the next one can be read.
    #[error(
        "a message of {length} bytes came without its descriptors, since this process can have no more open: keep fewer open or raise the limit (RLIMIT_NOFILE, ulimit -n), and have it sent again"
    )]
    DescriptorsLost {
        /// How long the body was.
        length: usize,
    },
    /// The deadline passed; what has come so far is kept for the next call.
    #[error("timed out")]
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
    body: Vec<u8>,
    body_len: usize,
    fds: Vec<OwnedFd>,
    /// Descriptors of the frame at hand were lost.
    is_lossy: bool,
}

impl Reader {
    /// Makes a reader at the start of a stream.
    pub fn new() -> Reader {
        Reader::default()
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
        loop {
            let step = match self.needed(limit)? {
                Needed::Header(end) => {
                    let buf = &mut self.header[self.header_len..end];
                    let part = receive(socket, buf, &mut self.fds, deadline)?;
                    self.header_len += part.bytes;
                    part
                }
                Needed::Body(length) if self.body_len < length => {
                    let end = length.min(self.body_len.max(STEP).saturating_mul(2));
                    if self.body.len() < end {
                        self.body.resize(end, 0);
                    }
                    let part = receive(socket, &mut self.body[self.body_len..], &mut self.fds, deadline)?;
                    self.body_len += part.bytes;
                    part
                }
                Needed::Body(length) => {
                    let Reader { body, fds, is_lossy, .. } = std::mem::take(self);
                    return if is_lossy {
                        Err(FrameError::DescriptorsLost { length })
                    } else {
                        Ok(Frame { body, fds })
                    };
                }
            };
            if step.truncated {
                self.is_lossy = true;
                // Too late for this frame, but the next one may find room.
                fd::raise_descriptor_limit();
            }
            if step.bytes == 0 {
                return Err(self.end());
            }
        }
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
                FrameError::Torn { got: self.body_len as u64, expected: length as u64 }
            }
            _ => FrameError::Torn { got: self.header_len as u64, expected: 4 },
        }
    }
}

enum Needed {
    Header(usize),
    Body(usize),
}

fn receive(
    socket: BorrowedFd<'_>,
    buf: &mut [u8],
    fds: &mut Vec<OwnedFd>,
    deadline: Deadline,
) -> Result<Received, FrameError> {
    loop {
        let wait = deadline == Deadline::NEVER;
        match fd::recv_part(socket, buf, fds, wait) {
            Ok(part) => return Ok(part),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !fd::poll_one(socket, Interest::Read, deadline)? {
                    return Err(FrameError::TimedOut);
                }
            }
            // A peer that died with our bytes unread resets the stream; what it sent has been read before that.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Ok(Received { bytes: 0, truncated: false });
            }
            Err(error) => return Err(error.into()),
        }
    }
}
