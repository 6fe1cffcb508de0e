//! Stream sockets that have an address: listening, accepting, connecting; and reading bytes alone.

use super::fd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::net::addr::SocketAddrArg;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, sockopt,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// The address of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketName<'a> {
    /// A file.
    Path(&'a Path),
    /// A name in the abstract namespace, without the leading NUL.
    Abstract(&'a [u8]),
    /// A TCP port.
    Inet(SocketAddr),
}

/// The two kinds of stream sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A Unix socket, which carries descriptors.
    Unix,
    /// TCP.
    Inet,
}

/// Whether a connection is there already.
#[derive(Debug)]
pub enum Connecting {
    /// It is; the socket waits as sockets do.
    Done(OwnedFd),
    /// It will be when the socket can be written to; then call [`finish_connecting`].
    Pending(OwnedFd),
}

/// Makes a socket that listens at this address, never blocks, and is closed on exec.
///
/// A file is of mode 0600 from its first moment on.
///
/// # Errors
///
/// The system's: the address is in use or too long, no descriptor is left.
pub fn listen(name: SocketName<'_>, backlog: u16) -> io::Result<OwnedFd> {
    let socket = new_socket(name)?;
    match name {
        // The kernel takes the mode of the file from that of the socket.
        SocketName::Path(_) => rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?,
        SocketName::Abstract(_) => {}
        // Or nobody could bind the port for a minute after its last connection.
        SocketName::Inet(_) => sockopt::set_socket_reuseaddr(&socket, true)?,
    }
    with_address(name, Bind(&socket))?;
    rustix::net::listen(&socket, i32::from(backlog))?;
    Ok(socket)
}

/// Takes the next connection from a listening socket; never waits.
///
/// # Errors
///
/// `WouldBlock` where there is none; the system's: no descriptor is left.
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    loop {
        match rustix::net::accept_with(listener.as_fd(), SocketFlags::CLOEXEC) {
            // A client that has gone already; a signal.
            Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Begins to connect; never waits.
///
/// # Errors
///
/// `WouldBlock` where a Unix listener has too many waiting already, so that one may try again; the system's: nobody
/// listens there, the address is too long, no descriptor is left.
pub fn connect(name: SocketName<'_>) -> io::Result<Connecting> {
    let socket = new_socket(name)?;
    match with_address(name, Connect(&socket)) {
        Ok(()) => Ok(Connecting::Done(blocking(socket)?)),
        Err(rustix::io::Errno::INPROGRESS | rustix::io::Errno::INTR) => Ok(Connecting::Pending(socket)),
        Err(error) => Err(error.into()),
    }
}

/// Makes a socket whose connection was pending wait as sockets do, or tells why there is none.
///
/// # Errors
///
/// The system's: nobody listens there, no way leads there.
pub fn finish_connecting(socket: OwnedFd) -> io::Result<OwnedFd> {
    sockopt::socket_error(&socket)??;
    blocking(socket)
}

fn blocking(socket: OwnedFd) -> io::Result<OwnedFd> {
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(socket)
}

fn new_socket(name: SocketName<'_>) -> io::Result<OwnedFd> {
    let family = match name {
        SocketName::Path(_) | SocketName::Abstract(_) => AddressFamily::UNIX,
        SocketName::Inet(SocketAddr::V4(_)) => AddressFamily::INET,
        SocketName::Inet(SocketAddr::V6(_)) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    fd::with_descriptors(|| Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?))
}

/// What is done with an address, whichever type it has.
trait WithAddress {
    fn run(self, address: &impl SocketAddrArg) -> rustix::io::Result<()>;
}

struct Bind<'a>(&'a OwnedFd);
struct Connect<'a>(&'a OwnedFd);

impl WithAddress for Bind<'_> {
    fn run(self, address: &impl SocketAddrArg) -> rustix::io::Result<()> {
        rustix::net::bind(self.0, address)
    }
}

impl WithAddress for Connect<'_> {
    fn run(self, address: &impl SocketAddrArg) -> rustix::io::Result<()> {
        rustix::net::connect(self.0, address)
    }
}

fn with_address(name: SocketName<'_>, then: impl WithAddress) -> rustix::io::Result<()> {
    match name {
        SocketName::Path(path) => then.run(&SocketAddrUnix::new(path)?),
        SocketName::Abstract(name) => then.run(&SocketAddrUnix::new_abstract_name(name)?),
        SocketName::Inet(address) => then.run(&address),
    }
}

/// The address at this end of a TCP socket.
///
/// # Errors
///
/// The system's: it is none.
pub fn local_address(socket: impl AsFd) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(rustix::net::getsockname(socket)?)?)
}

/// The address at the other end of a TCP socket.
///
/// # Errors
///
/// The system's: it is none, or not connected.
pub fn remote_address(socket: impl AsFd) -> io::Result<SocketAddr> {
    let address = rustix::net::getpeername(socket)?;
    Ok(SocketAddr::try_from(address.ok_or(rustix::io::Errno::NOTCONN)?)?)
}

/// Tells which kind of stream socket it is.
///
/// # Errors
///
/// `InvalidInput` for anything that is no stream socket of these two kinds.
pub fn family(socket: impl AsFd) -> io::Result<Family> {
    let family = sockopt::socket_domain(socket.as_fd()).ok();
    let is_stream = sockopt::socket_type(socket).is_ok_and(|found| found == SocketType::STREAM);
    match family {
        Some(AddressFamily::UNIX) if is_stream => Ok(Family::Unix),
        Some(AddressFamily::INET | AddressFamily::INET6) if is_stream => Ok(Family::Inet),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the descriptor is no stream socket: pass one that is",
        )),
    }
}

/// Has a TCP socket send small messages at once, and notice after a while that the other machine is gone.
///
/// # Errors
///
/// The system's: it is no TCP socket.
pub fn tune_inet(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket.as_fd(), true)?;
    Ok(sockopt::set_socket_keepalive(socket, true)?)
}

/// Bounds each read of a socket that waits: after that time it fails with `WouldBlock`.
///
/// # Errors
///
/// The system's: it is no socket, or the time is zero.
pub fn set_receive_timeout(socket: impl AsFd, timeout: Duration) -> io::Result<()> {
    Ok(sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, Some(timeout))?)
}

/// What [`shutdown`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What comes: the peer can send no more.
    Read,
    /// What goes: the peer sees the end of the stream.
    Write,
    /// Both.
    Both,
}

/// Ends a connection, in all processes that hold it.
///
/// # Errors
///
/// The system's: it is not connected any more.
pub fn shutdown(socket: impl AsFd, direction: Direction) -> io::Result<()> {
    let how = match direction {
        Direction::Read => Shutdown::Read,
        Direction::Write => Shutdown::Write,
        Direction::Both => Shutdown::Both,
    };
    Ok(rustix::net::shutdown(socket, how)?)
}

/// Writes bytes to a socket, at least one, and waits for room; tells how many went.
///
/// # Errors
///
/// `BrokenPipe` where the peer is gone, never a signal; `WouldBlock` where the socket never waits and has no room; the
/// system's.
pub fn send_bytes(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::retry_on_intr(|| rustix::net::send(socket.as_fd(), bytes, SendFlags::NOSIGNAL))?)
}

/// Reads bytes from a socket; descriptors that come along are closed by the kernel.
///
/// With `wait` it waits until `buf` is full, as far as nothing comes in between.
///
/// # Errors
///
/// The system's; `WouldBlock` where `wait` is false, or the socket never waits, and there is nothing.
pub fn recv_bytes(socket: impl AsFd, buf: &mut [u8], wait: bool) -> io::Result<usize> {
    let flags = recv_flags(wait);
    let received = rustix::io::retry_on_intr(|| rustix::net::recv(socket.as_fd(), &mut *buf, flags));
    Ok(received.map(|(bytes, _)| bytes)?)
}

/// Reads as [`recv_bytes`] does, behind what is in `buf`, until it has `end` bytes; tells how many bytes came.
///
/// # Errors
///
/// As [`recv_bytes`].
pub fn recv_append(socket: impl AsFd, buf: &mut Vec<u8>, end: usize, wait: bool) -> io::Result<usize> {
    let before = buf.len();
    buf.reserve_exact(end.saturating_sub(before));
    if buf.capacity() == end {
        // Memory that need not be zeroed first.
        let flags = recv_flags(wait);
        rustix::io::retry_on_intr(|| {
            rustix::net::recv(socket.as_fd(), rustix::buffer::spare_capacity(buf), flags)
        })?;
        return Ok(buf.len() - before);
    }
    // There is more room than asked for, and what comes behind `end` is not to be read.
    buf.resize(end, 0);
    let received = recv_bytes(socket, &mut buf[before..], wait);
    buf.truncate(before + received.as_ref().map_or(0, |bytes| *bytes));
    received
}

fn recv_flags(wait: bool) -> RecvFlags {
    if wait { RecvFlags::WAITALL } else { RecvFlags::DONTWAIT }
}

/// Tries to be the only one who holds a lock of this directory; it ends with the descriptor.
///
/// # Errors
///
/// `WouldBlock` where somebody else holds it; the system's: there is no such directory.
pub fn lock_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = fd::with_descriptors(|| Ok(rustix::fs::open(path, flags, Mode::empty())?))?;
    rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
    Ok(directory)
}

/// Tells whether `error` says that an address is in use.
pub fn is_address_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// Tells whether `error` says that a path is too long for a socket.
pub fn is_path_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NAMETOOLONG.raw_os_error())
}
