use crate::error::SendKind;
use crate::frame::{self, Filled, Frame, FrameError, Outgoing, Reader};
use crate::{RecvError, SendError};
use multiproc_core::Deadline;
use multiproc_core::codec::{self, Carried, Encoded, Limits, Message};
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::sys::socket::{self, Direction, Family};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// How many descriptors are taken with a message of somebody who is not of the family.
const FOREIGN_FDS: usize = 1024;

/// The socket of an end, and what its threads share: one writes at a time, one reads at a time.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: Arc<OwnedFd>,
    nature: Nature,
    writing: Mutex<Writing>,
    reading: Mutex<Reader>,
}

/// What kind of peer a socket leads to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nature {
    /// TCP, which carries no handles.
    pub(crate) is_inet: bool,
    /// The longest message that is taken from a peer who may be anybody; `None` for a process of the family.
    pub(crate) foreign: Option<usize>,
}

impl Nature {
    /// Both ends were made here.
    pub(crate) const FAMILY: Nature = Nature { is_inet: false, foreign: None };

    fn limits(self) -> Limits {
        let Some(max) = self.foreign else { return Limits::trusted() };
        let mut limits = Limits::untrusted();
        limits.max_bytes = max;
        limits.max_memory = limits.max_memory.max(max);
        limits
    }
}

/// What the writers of an end share: a frame of which a part has gone, and nobody waits for the rest.
///
/// Only those who do not wait leave one.
#[derive(Debug, Default)]
struct Writing {
    begun: Option<Leaving>,
    /// How many frames have been put into `begun`.
    tickets: u64,
    /// The last of them that could not be written to its end.
    failed: Option<u64>,
}

/// A message on its way out.
#[derive(Debug)]
pub(crate) struct Leaving {
    outgoing: Outgoing,
    message: Encoded,
}

/// What became of a message that was to be written without waiting.
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing of it has gone: there is no room, or another is being written.
    Kept(Leaving),
    /// A part of it has gone, and the rest will go with the next attempt of anybody; this is its ticket.
    Begun(u64),
    /// It has gone.
    Done,
}

impl Leaving {
    #[cfg(feature = "tokio")]
    pub(crate) fn new(message: Encoded) -> io::Result<Leaving> {
        Ok(Leaving { outgoing: Outgoing::new(message.bytes.len(), message.fds.len())?, message })
    }

    fn advance(&mut self, socket: &OwnedFd, wait: bool) -> io::Result<()> {
        let fds: Vec<BorrowedFd<'_>> = self.message.fds.iter().map(|fd| fd.as_fd()).collect();
        self.outgoing.advance(socket, &self.message.bytes, &fds, wait)
    }
}

impl Socket {
    pub(crate) fn new(fd: Arc<OwnedFd>, nature: Nature) -> Socket {
        let reader = nature.foreign.map_or_else(Reader::new, |_| Reader::with_max_fds(FOREIGN_FDS));
        Socket { fd, nature, writing: Mutex::default(), reading: Mutex::new(reader) }
    }

    pub(crate) fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    pub(crate) fn nature(&self) -> Nature {
        self.nature
    }

    pub(crate) fn send<T: Message>(&self, value: T) -> Result<(), SendError<T>> {
        let result = codec::with_encoder(|encoder| {
            encoder.bytes().extend([0; frame::HEADER]);
            encoder.encode(&value)?;
            let fds = encoder.take_fds();
            self.check_handles(&fds)?;
            let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
            let mut writing = self.writing.lock();
            self.finish_begun(&mut writing, true)?;
            Ok(frame::write_framed(&self.fd, encoder.bytes(), &fds)?)
        });
        result.map_err(|kind: SendKind| SendError::new(value, kind))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn encode<T: Message>(&self, value: &T) -> Result<Encoded, codec::EncodeError> {
        let message = codec::encode_message(value)?;
        self.check_handles(&message.fds)?;
        Ok(message)
    }

    fn check_handles(&self, fds: &[Arc<OwnedFd>]) -> Result<(), codec::EncodeError> {
        if self.nature.is_inet && !fds.is_empty() {
            return Err(ser::Error::custom(
                "handles do not travel over TCP: send what they hold, or connect by a path on the same machine",
            ));
        }
        Ok(())
    }

    pub(crate) fn write(&self, body: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut writing = self.writing.lock();
        self.finish_begun(&mut writing, true)?;
        frame::write(&self.fd, body, fds, true)
    }

    /// Writes the rest of the frame that somebody has left, if there is one.
    fn finish_begun(&self, writing: &mut Writing, wait: bool) -> io::Result<()> {
        let Some(begun) = &mut writing.begun else { return Ok(()) };
        match begun.advance(&self.fd, wait) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Ok(()) => writing.begun = None,
            Err(error) => {
                let error = begun.outgoing.give_up(&self.fd, error);
                writing.begun = None;
                writing.failed = Some(writing.tickets);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sends a descriptor by itself, as CPython's `send_handle`.
    pub(crate) fn send_handle(&self, handle: BorrowedFd<'_>) -> io::Result<()> {
        let mut writing = self.writing.lock();
        self.finish_begun(&mut writing, true)?;
        fd::send(&self.fd, &[io::IoSlice::new(&[1])], &[handle], true)?;
        Ok(())
    }

    /// Receives a descriptor by itself, as CPython's `recv_handle`.
    pub(crate) fn recv_handle(&self) -> Result<OwnedFd, RecvError> {
        let reader = self.reading.lock();
        if reader.is_amid_frame() {
            return Err(invalid(
                "a part of a message is there, and no descriptor by itself: receive the message first",
            )
            .into());
        }
        let (mut count, mut fds) = ([0], Vec::new());
        let received = fd::recv_part(&self.fd, &mut count, &mut fds, true).map_err(FrameError::Io)?;
        match (received.bytes, fds.pop()) {
            (0, _) => Err(FrameError::Eof.into()),
            (_, None) if received.truncated => Err(FrameError::DescriptorsLost { length: 1 }.into()),
            (_, Some(handle)) if fds.is_empty() && count == [1] => Ok(handle),
            _ => Err(invalid("what came is not one descriptor by itself: send it by `send_handle`").into()),
        }
    }

    pub(crate) fn recv<T: Message>(&self, deadline: Deadline) -> Result<T, RecvError> {
        let frame = self.read(deadline)?;
        self.decode(frame)
    }

    pub(crate) fn decode<T: Message>(&self, Frame { body, fds }: Frame) -> Result<T, RecvError> {
        codec::decode_with(&body, fds, &self.nature.limits()).map_err(|error| RecvError::decode(error, body))
    }

    pub(crate) fn read(&self, deadline: Deadline) -> Result<Frame, RecvError> {
        Ok(self.reader(deadline)?.read(&self.fd, self.max_len(), deadline)?)
    }

    /// Receives into the caller's memory; a message that is longer comes with the error.
    pub(crate) fn read_into(&self, buf: &mut [u8]) -> Result<usize, RecvError> {
        let room = buf.len();
        match self.reading.lock().read_into(&self.fd, buf, self.max_len())? {
            Filled::Whole(len) => Ok(len),
            Filled::Longer(bytes) => Err(RecvError::too_long(room, bytes)),
        }
    }

    fn reader(&self, deadline: Deadline) -> Result<MutexGuard<'_, Reader>, RecvError> {
        match deadline.instant() {
            None => Ok(self.reading.lock()),
            Some(at) => self.reading.try_lock_until(at).ok_or_else(|| FrameError::TimedOut.into()),
        }
    }

    fn max_len(&self) -> usize {
        self.nature.foreign.unwrap_or(isize::MAX as usize)
    }

    pub(crate) fn poll(&self, timeout: Duration) -> io::Result<bool> {
        if self.reading.try_lock().is_some_and(|reader| reader.is_amid_frame()) {
            return Ok(true);
        }
        fd::poll_one(&self.fd, Interest::Read, Deadline::after(timeout))
    }

    pub(crate) fn close(&self, direction: Direction) -> io::Result<()> {
        match socket::shutdown(&self.fd, direction) {
            // The other side was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    /// Serializes the socket as a handle of this kind.
    pub(crate) fn serialize<const KIND: u32, Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        // Where a thread is receiving just now the lock is taken: what it has read stays with it, and so does the rest.
        if self.reading.try_lock().is_some_and(|reader| reader.is_amid_frame()) {
            return Err(ser::Error::custom(
                "a part of a message has been read from this connection, which whoever gets it would never see: receive the message first, or let no receive time out before it is sent",
            ));
        }
        if self.writing.try_lock().is_some_and(|writing| writing.begun.is_some()) {
            return Err(ser::Error::custom(
                "a part of a message has been written to this connection, and whoever gets it could not write the rest: flush it first",
            ));
        }
        let foreign = self.nature.foreign.map(|max| max as u64);
        (Carried::<KIND>(Arc::clone(&self.fd)), self.nature.is_inet, foreign).serialize(serializer)
    }

    /// Makes a socket of what [`serialize`](Socket::serialize) made.
    pub(crate) fn deserialize<'de, const KIND: u32, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Socket, D::Error> {
        let (Carried(fd), is_inet, foreign) =
            <(Carried<KIND>, bool, Option<u64>)>::deserialize(deserializer)?;
        let mut nature = Nature { is_inet, foreign: foreign.map(|max| max.min(isize::MAX as u64) as usize) };
        if !codec::is_trusted() {
            // Whoever sent it may have sent anything, and whoever is at its other end may be anybody.
            let family = socket::family(&fd).map_err(|error| {
                de::Error::custom(format_args!("what came in the place of a connection is none: {error}"))
            })?;
            let max = nature.foreign.unwrap_or(Limits::untrusted().max_bytes);
            nature = Nature { is_inet: family == Family::Inet, foreign: Some(max) };
        }
        Ok(Socket::new(fd, nature))
    }
}

fn invalid(what: &str) -> FrameError {
    FrameError::Io(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// What is done without waiting, for those who wait in another way.
#[cfg(feature = "tokio")]
impl Socket {
    /// Reads a message as far as it has come; a time-out says that the stream is empty now.
    pub(crate) fn try_read(&self) -> Result<Frame, RecvError> {
        // Never a time-out for a lock that another task holds: whoever got that would wait for more to come, while
        // enough is there.
        Ok(self.reading.lock().read(&self.fd, self.max_len(), Deadline::now())?)
    }

    /// Writes a message as far as there is room.
    pub(crate) fn try_write(&self, mut message: Leaving) -> io::Result<Progress> {
        let mut writing = self.writing.lock();
        match self.finish_begun(&mut writing, false) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Kept(message)),
            Err(error) => return Err(error),
        }
        match message.advance(&self.fd, false) {
            Ok(()) => Ok(Progress::Done),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                Err(message.outgoing.give_up(&self.fd, error))
            }
            Err(_) if !message.outgoing.has_begun() => Ok(Progress::Kept(message)),
            Err(_) => {
                writing.begun = Some(message);
                writing.tickets += 1;
                Ok(Progress::Begun(writing.tickets))
            }
        }
    }

    /// Writes the rest of the frame of that ticket, or of whoever has left one; tells whether it has gone.
    pub(crate) fn try_finish(&self, ticket: Option<u64>) -> io::Result<bool> {
        let mut writing = self.writing.lock();
        let is_mine = |writing: &Writing| ticket.is_none_or(|ticket| ticket == writing.tickets);
        if writing.begun.is_some() && is_mine(&writing) {
            match self.finish_begun(&mut writing, false) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                result => return result.map(|()| true),
            }
        }
        if ticket.is_some() && writing.failed == ticket {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(true)
    }

    /// Shuts down what nobody will write the rest to.
    pub(crate) fn abandon(&self) {
        let mut writing = self.writing.lock();
        if self.finish_begun(&mut writing, false).is_err() && writing.begun.take().is_some() {
            // A socket that cannot be shut down is not connected, and nobody reads it.
            let _ = socket::shutdown(&self.fd, Direction::Write);
        }
    }
}
