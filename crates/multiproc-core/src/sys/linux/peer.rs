//! Who is at the other end of a Unix socket.
//!
//! # Safety
//!
//! Unsafe is needed for one call of `getsockopt`, which writes at most as many bytes as it is told into a local. rustix
//! has a form of it whose process number is never 0; but it is 0 where the peer's is not visible from here, as from
//! inside a container.
#![expect(unsafe_code, reason = "getsockopt for a peer whose process number may be 0")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Who connected, or was listening: as it was at that moment, told by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// The process, `None` where its number is not visible from here. It may have ended since.
    pub process: Option<u32>,
    /// The effective user.
    pub user: u32,
    /// The effective group.
    pub group: u32,
}

/// Tells who is at the other end of a Unix socket.
///
/// # Errors
///
/// The system's: it is no Unix socket, or not connected.
pub fn peer_credentials(socket: impl AsFd) -> io::Result<PeerCredentials> {
    let mut found = libc::ucred { pid: 0, uid: libc::uid_t::MAX, gid: libc::gid_t::MAX };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed and so open; the pointer leads to a local of the size that `len` says, every
    // bit pattern of which is a value, and `len` outlives the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // A socket that is not connected, or is none of this kind, has nobody at the other end.
    if found.uid == libc::uid_t::MAX || len as usize != size_of::<libc::ucred>() {
        return Err(io::Error::from(io::ErrorKind::NotConnected));
    }
    Ok(PeerCredentials {
        process: u32::try_from(found.pid).ok().filter(|pid| *pid > 0),
        user: found.uid,
        group: found.gid,
    })
}

/// The user by whose rights this process acts.
pub fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_pair_has_ourselves_at_both_ends() {
        let (a, _b) = super::super::fd::socket_pair().unwrap();
        let peer = peer_credentials(&a).unwrap();
        assert_eq!((peer.process, peer.user), (Some(std::process::id()), effective_user()));
    }

    #[test]
    fn another_socket_has_nobody() {
        assert!(peer_credentials(UdpSocket::bind("127.0.0.1:0").unwrap()).is_err());
        assert!(peer_credentials(std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}
