//! Descriptors: pairs, polling, and passing them between processes.

use crate::Deadline;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// The most descriptors that the kernel lets one message carry (`SCM_MAX_FD`).
pub const MAX_FDS_PER_MESSAGE: usize = 253;

/// The lowest number that [`dup_high`] gives, above every number that a child's set-up assigns.
const HIGH: i32 = 10;

const CONTROL_SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_FDS_PER_MESSAGE));

/// Makes a connected pair of Unix stream sockets, both closed on exec.
///
/// # Errors
///
/// The system's: no descriptor or no memory left.
pub fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// Makes a connected pair of Unix sockets that keep packets apart, both closed on exec.
///
/// A packet is sent whole or not at all, and what is in flight outlives its sender.
///
/// # Errors
///
/// The system's: no descriptor or no memory left.
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Makes a pipe, both ends closed on exec: (read end, write end).
///
/// # Errors
///
/// The system's: no descriptor or no memory left.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Makes an eventfd that counts from zero, closed on exec and never blocking.
///
/// # Errors
///
/// The system's: no descriptor or no memory left.
pub fn eventfd() -> io::Result<OwnedFd> {
    use rustix::event::EventfdFlags;
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Makes an eventfd readable.
pub fn eventfd_signal(fd: impl AsFd) {
    // A full counter (EAGAIN) is readable already, which is all that a signal means.
    let _ = rustix::io::retry_on_intr(|| rustix::io::write(fd.as_fd(), &1u64.to_ne_bytes()));
}

/// Makes an eventfd unreadable again.
pub fn eventfd_drain(fd: impl AsFd) {
    let mut count = [0u8; 8];
    // EAGAIN says that it was not readable, which is the state asked for.
    let _ = rustix::io::retry_on_intr(|| rustix::io::read(fd.as_fd(), &mut count));
}

/// Duplicates `fd` to a number of at least 10, closed on exec.
///
/// # Errors
///
/// The system's: `fd` is not open, or no descriptor is left.
pub fn dup_high(fd: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, HIGH)?)
}

/// Makes reads and writes of `fd` fail with `WouldBlock` instead of waiting, for every holder of it.
///
/// # Errors
///
/// The system's.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, true)?)
}

/// What [`poll`] is to look for, and found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, a connection to accept, the end of the stream, or a process that has ended.
    Read,
    /// Room to write, or a reader that is gone.
    Write,
    /// Nothing but the other side's end.
    HangUp,
}

/// Waits until one of `fds` is ready or the deadline has passed, and tells which are ready.
///
/// An error condition counts as ready: the next read or write will tell of it.
///
/// # Errors
///
/// The system's: more descriptors than the process may have open.
pub fn poll(fds: &[(BorrowedFd<'_>, Interest)], deadline: Deadline) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = fds
        .iter()
        .map(|(fd, interest)| {
            let flags = match interest {
                Interest::Read => PollFlags::IN,
                Interest::Write => PollFlags::OUT,
                Interest::HangUp => PollFlags::empty(),
            };
            PollFd::from_borrowed_fd(*fd, flags)
        })
        .collect();
    poll_until(&mut polled, deadline)?;
    Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect())
}

/// Waits until `fd` is ready; tells whether it is.
///
/// # Errors
///
/// The system's.
pub fn poll_one(fd: impl AsFd, interest: Interest, deadline: Deadline) -> io::Result<bool> {
    Ok(poll(&[(fd.as_fd(), interest)], deadline)?[0])
}

fn poll_until(polled: &mut [PollFd<'_>], deadline: Deadline) -> io::Result<()> {
    loop {
        // One far beyond what a Timespec holds is as good as none.
        let left = deadline.remaining().and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(polled, left.as_ref()) {
            Ok(0) if !deadline.has_passed() => {}
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes `bufs` to a socket, at least one byte of them, with `fds` attached to the first byte.
///
/// Returns how many bytes went. A peer that is gone is `BrokenPipe`, never a signal.
///
/// # Errors
///
/// The system's; `WouldBlock` where `wait` is false and there is no room; `InvalidInput` for more than
/// [`MAX_FDS_PER_MESSAGE`] descriptors.
pub fn send(
    socket: impl AsFd,
    bufs: &[IoSlice<'_>],
    fds: &[BorrowedFd<'_>],
    wait: bool,
) -> io::Result<usize> {
    let mut flags = SendFlags::NOSIGNAL;
    if !wait {
        flags |= SendFlags::DONTWAIT;
    }
    if fds.is_empty() {
        let mut none = SendAncillaryBuffer::default();
        return Ok(rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(socket.as_fd(), bufs, &mut none, flags)
        })?);
    }
    let mut space = [MaybeUninit::uninit(); CONTROL_SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{} descriptors do not fit in one message: send at most {MAX_FDS_PER_MESSAGE}",
                fds.len()
            ),
        ));
    }
    Ok(rustix::io::retry_on_intr(|| rustix::net::sendmsg(socket.as_fd(), bufs, &mut control, flags))?)
}

/// Makes every further write to a socket fail with `BrokenPipe`, in all processes that hold it.
///
/// The peer sees the end of the stream behind what was written; what the peer writes still comes.
///
/// # Errors
///
/// The system's: the socket is not connected.
pub fn shutdown_write(socket: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::shutdown(socket, rustix::net::Shutdown::Write)?)
}

/// What [`recv_part`] took from a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// How many bytes came; 0 is the end of the stream.
    pub bytes: usize,
    /// Descriptors that came with these bytes were lost, since this process can have no more open.
    pub truncated: bool,
}

/// Reads up to `buf.len()` bytes from a socket; descriptors that came along are added to `fds`, closed on exec.
///
/// Returns how many bytes came; 0 is the end of the stream. Who goes on reading the stream after descriptors were
/// lost needs [`recv_part`], which tells how many bytes came with them.
///
/// # Errors
///
/// The system's; `WouldBlock` where `wait` is false and there is nothing; `InvalidData` where descriptors were
/// lost because this process can have no more open.
pub fn recv(socket: impl AsFd, buf: &mut [u8], fds: &mut Vec<OwnedFd>, wait: bool) -> io::Result<usize> {
    let Received { bytes, truncated } = recv_part(socket, buf, fds, wait)?;
    if truncated {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "descriptors were lost on arrival: raise the limit of open files (RLIMIT_NOFILE)",
        ));
    }
    Ok(bytes)
}

/// Reads as [`recv`] does, and tells of lost descriptors beside the bytes instead of losing their count.
///
/// # Errors
///
/// The system's; `WouldBlock` where `wait` is false and there is nothing.
pub fn recv_part(
    socket: impl AsFd,
    buf: &mut [u8],
    fds: &mut Vec<OwnedFd>,
    wait: bool,
) -> io::Result<Received> {
    let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    recv_with(socket, buf, fds, flags)
}

/// Copies the first packet, and duplicates of its descriptors, and leaves the packet where it is; never waits.
///
/// # Errors
///
/// The system's; `WouldBlock` where there is none.
pub fn peek_packet(socket: impl AsFd, buf: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<Received> {
    recv_with(socket, buf, fds, RecvFlags::PEEK | RecvFlags::DONTWAIT)
}

/// Takes the first packet and drops its descriptors; never waits. Tells how many bytes fitted into `buf`.
///
/// # Errors
///
/// The system's; `WouldBlock` where there is none.
pub fn drop_packet(socket: impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    let flags = RecvFlags::DONTWAIT;
    let received = rustix::io::retry_on_intr(|| rustix::net::recv(socket.as_fd(), &mut *buf, flags));
    Ok(received.map(|(bytes, _)| bytes)?)
}

fn recv_with(
    socket: impl AsFd,
    buf: &mut [u8],
    fds: &mut Vec<OwnedFd>,
    flags: RecvFlags,
) -> io::Result<Received> {
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let mut space = [MaybeUninit::uninit(); CONTROL_SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(socket.as_fd(), &mut [IoSliceMut::new(buf)], &mut control, flags)
    })?;
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            fds.extend(received);
        }
    }
    Ok(Received { bytes: message.bytes, truncated: message.flags.contains(ReturnFlags::CTRUNC) })
}

/// Reads from a file, a pipe or a socket.
///
/// # Errors
///
/// The system's.
pub fn read(fd: impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::retry_on_intr(|| rustix::io::read(fd.as_fd(), &mut *buf))?)
}

/// Opens `/dev/null` for reading and writing, closed on exec.
///
/// # Errors
///
/// The system's: there is no such file here, or no descriptor is left.
pub fn open_null() -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a directory for nothing but to go there, closed on exec.
///
/// # Errors
///
/// The system's: it does not exist, is no directory, or may not be searched.
pub fn open_directory(path: &std::path::Path) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Gives the memory of a part of a file back to the system: it is zeros from now on, and the file as long as before.
///
/// # Errors
///
/// The system's: the file system cannot.
pub fn punch_hole(fd: impl AsFd, start: u64, len: u64) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(fd.as_fd(), flags, start, len))?)
}

/// Raises the soft limit of open descriptors to the hard one; tells whether that gave room.
pub fn raise_descriptor_limit() -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return false;
    }
    let raised =
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_ok();
    if let (true, Some(soft)) = (raised, limit.current) {
        BEFORE_RAISE.get_or_init(|| soft);
    }
    raised
}

/// The soft limit before [`raise_descriptor_limit`] first changed it.
static BEFORE_RAISE: OnceLock<u64> = OnceLock::new();

/// The soft limit that this process began with, if [`raise_descriptor_limit`] has changed it since.
///
/// Children should get this one: a program that uses `select` breaks above 1,024.
pub fn descriptor_limit_before_raise() -> Option<u64> {
    BEFORE_RAISE.get().copied()
}

/// The soft limit of open descriptors, `None` where there is none.
pub fn descriptor_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// Sets the soft limit of open descriptors.
///
/// # Errors
///
/// The system's: above the hard limit.
pub fn set_descriptor_limit(soft: Option<u64>) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: soft, maximum })?)
}

/// Tells whether two descriptors refer to one open file, pipe or socket.
pub fn is_same(a: impl AsFd, b: impl AsFd) -> bool {
    matches!((identity(a), identity(b)), (Ok(a), Ok(b)) if a == b)
}

/// Tells whether `error` says that no more descriptors can be had.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE, Errno::TOOMANYREFS]
        .iter()
        .any(|e| error.raw_os_error() == Some(e.raw_os_error()))
}

/// Runs `f`, and once more with the limit of open descriptors raised if it failed for want of them.
///
/// # Errors
///
/// Those of `f`; one for want of descriptors says what to do.
pub fn with_descriptors<T>(mut f: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match f() {
        Err(error) if is_out_of_descriptors(&error) => {
            // Again also where there was nothing to raise: another thread may just have done it.
            raise_descriptor_limit();
            match f() {
                Err(again) if is_out_of_descriptors(&again) => {}
                other => return other,
            }
            let limit = descriptor_limit().map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
            Err(io::Error::new(
                error.kind(),
                format!(
                    "no descriptor left ({error}): the limit of this process is {limit}; raise the hard limit (ulimit -Hn) or keep fewer objects open"
                ),
            ))
        }
        other => other,
    }
}

/// The inode that `fd` refers to: (device, number).
///
/// # Errors
///
/// The system's.
pub fn identity(fd: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// The number behind a descriptor, for messages to people.
pub fn number(fd: impl AsFd) -> i32 {
    fd.as_fd().as_raw_fd()
}
