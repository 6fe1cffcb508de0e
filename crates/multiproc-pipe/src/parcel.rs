//! Parcels: what the crates above send with a call or a result: a head of theirs, a body of the user's, descriptors.
//!
//! ```text
//! in the frame:   0 | prefix | head | body
//! or in a memfd:  1 | padding                  (the frame; its first descriptor is the memfd)
//!                     prefix | head | body     (the memfd)
//! prefix:         head length, u32 LE | descriptors that belong to the head, u16 LE
//!                     | checksum of these and the head, u64 LE
//! ```
//!
//! Everything above 32 KiB goes through a sealed memfd, so that a parcel always fits into the socket's buffer: on a
//! socket that holds little else, handing it over never waits for the other side.
//!
//! The checksum is there because a head holds addresses of code: a damaged one must not be followed. The body is
//! the user's data, which decoding checks.

use crate::frame::{self, Frame, FrameError, Reader};
use multiproc_core::Deadline;
use multiproc_core::codec::{self, DecodeError, Encoded};
use multiproc_core::sys::memory::{self, SealedMap};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The longest body of a frame.
const INLINE: usize = 32 << 10;
const IN_FRAME: u8 = 0;
const IN_MEMFD: u8 = 1;
/// Bytes before the head.
const PREFIX: usize = COUNTS + 8;
/// The bytes of the prefix that are counts.
const COUNTS: usize = 6;

/// A parcel that arrived.
#[derive(Debug)]
pub struct Parcel {
    content: Content,
    head: Range<usize>,
    head_fds: Vec<OwnedFd>,
    fds: Vec<OwnedFd>,
}

#[derive(Debug)]
enum Content {
    Frame(Vec<u8>),
    Memory(SealedMap),
}

/// Sends `head` (with the handles in it) and `body` with its descriptors; see [`frame::write`] for `wait`.
///
/// # Errors
///
/// The other end is gone, memory or descriptors have run out, or the head cannot be encoded.
pub fn send<H: Serialize>(socket: impl AsFd, head: &H, body: &Encoded, wait: bool) -> io::Result<()> {
    let head = codec::encode(head).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let (Ok(head_len), Ok(head_fds)) = (u32::try_from(head.bytes.len()), u16::try_from(head.fds.len()))
    else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "settings of more than 4 GiB: pass them as arguments",
        ));
    };
    let mut prefix = [0; PREFIX];
    prefix[..4].copy_from_slice(&head_len.to_le_bytes());
    prefix[4..COUNTS].copy_from_slice(&head_fds.to_le_bytes());
    let sum = checksum(&prefix[..COUNTS], &head.bytes);
    prefix[COUNTS..].copy_from_slice(&sum.to_le_bytes());
    let parts: [&[u8]; 3] = [&prefix, &head.bytes, &body.bytes];
    let fds = head.fds.iter().chain(&body.fds).map(|fd| fd.as_fd());
    if 1 + PREFIX + head.bytes.len() + body.bytes.len() <= INLINE {
        let content = [&[IN_FRAME], parts[0], parts[1], parts[2]].concat();
        frame::write(socket, &content, &fds.collect::<Vec<_>>(), wait)
    } else {
        let memory = memory::sealed_copy("multiproc-message", &parts)?;
        let fds: Vec<BorrowedFd<'_>> = [memory.as_fd()].into_iter().chain(fds).collect();
        // A byte for each batch of descriptors beyond the first few must be there to carry it.
        let mut content = vec![IN_MEMFD];
        content.resize(1 + fds.len() / 64, 0);
        frame::write(socket, &content, &fds, wait)
    }
}

/// Reads the next parcel.
///
/// # Errors
///
/// Those of the stream; `FrameError::Io` of kind `InvalidData` for a frame that is no parcel.
pub fn recv(reader: &mut Reader, socket: impl AsFd, deadline: Deadline) -> Result<Parcel, FrameError> {
    let Frame { body, mut fds } = reader.read(socket, 2 * INLINE, deadline)?;
    let invalid = |what: &str| FrameError::Io(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()));
    let (content, start) = match body.first() {
        Some(&IN_FRAME) => (Content::Frame(body), 1),
        Some(&IN_MEMFD) if !fds.is_empty() => (Content::Memory(memory::map_sealed(fds.remove(0))?), 0),
        _ => return Err(invalid("a message of no known form")),
    };
    let bytes = content.bytes();
    let Some(&[a, b, c, d, e, f, ref sum @ ..]) = bytes.get(start..start + PREFIX) else {
        return Err(invalid("a message that ends before its head"));
    };
    let head = start + PREFIX..start + PREFIX + u32::from_le_bytes([a, b, c, d]) as usize;
    let head_fds = usize::from(u16::from_le_bytes([e, f]));
    if head.end > bytes.len() || head_fds > fds.len() {
        return Err(invalid("a message whose head is longer than itself"));
    }
    if *sum != checksum(&bytes[start..start + COUNTS], &bytes[head.clone()]).to_le_bytes() {
        return Err(invalid("a message whose checksum is wrong"));
    }
    let body_fds = fds.split_off(head_fds);
    Ok(Parcel { content, head, head_fds: fds, fds: body_fds })
}

/// FNV-1a over 8 bytes at a time: against accidents, not against an enemy.
fn checksum(counts: &[u8], head: &[u8]) -> u64 {
    counts.chunks(8).chain(head.chunks(8)).fold(0xcbf2_9ce4_8422_2325, |sum: u64, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        // Each step is one to one, so a change within one word always shows; the turn brings high bits down.
        (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x100_0000_01b3).rotate_left(17)
    })
}

impl Content {
    fn bytes(&self) -> &[u8] {
        match self {
            Content::Frame(bytes) => bytes,
            Content::Memory(map) => map,
        }
    }
}

impl Parcel {
    /// Decodes the head; once, since it takes the descriptors in it along.
    ///
    /// # Errors
    ///
    /// The head is not what it should be.
    pub fn take_head<H: DeserializeOwned>(&mut self) -> Result<H, DecodeError> {
        codec::decode(&self.content.bytes()[self.head.clone()], std::mem::take(&mut self.head_fds))
    }

    /// The user's part.
    pub fn body(&self) -> &[u8] {
        &self.content.bytes()[self.head.end..]
    }

    /// The descriptors of the user's part; they can be taken once.
    pub fn take_fds(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.fds)
    }
}
