//! Where the handles in messages wait for their taker.
//!
//! A pair of sockets that keeps packets apart and that belongs to the queue: every process that has the queue has both
//! ends. What was sent stays there whatever becomes of its sender. One direction has the handles of messages that
//! wait, in their order; the other one those of messages that are leased. A packet is a number, which the message's
//! record names, and the descriptors. Who sends in the first direction owns the tail's lock; who receives anywhere, or
//! sends in the second, owns the head's. Nothing here ever waits.
//!
//! Whatever there is to a message, its packet is one: more descriptors than a packet can hold are put into a pair of
//! their own, whose ends travel instead. Who takes them out puts them in again, so that a leased message still has
//! them when it is delivered again.

use crate::ring::NoDeposit;
use multiproc_core::codec::Carried;
use multiproc_core::sys::fd::{
    MAX_FDS_PER_MESSAGE, drop_packet, is_out_of_descriptors, packet_pair, peek_packet,
    raise_descriptor_limit, send, with_descriptors,
};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

const LEFT: u32 = u32::from_le_bytes(*b"qlft");
const RIGHT: u32 = u32::from_le_bytes(*b"qrgt");

/// The most packets that one direction can have, and then some.
const PACKETS: usize = 4096;
/// The most descriptors that one message has: what a packet says is not believed beyond.
const HANDLES: usize = 1 << 16;

/// The sockets.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Depot {
    /// What is sent here waits.
    left: Carried<LEFT>,
    /// What is sent here is kept.
    right: Carried<RIGHT>,
}

/// Descriptors that came, or why they are lost.
pub(crate) type Fetched = io::Result<Bundle>;

/// The descriptors of one packet.
#[derive(Debug)]
pub(crate) struct Bundle {
    fds: Vec<OwnedFd>,
    /// How many there are to be, and whether they are in a pair of their own.
    count: usize,
    is_stowed: bool,
}

/// The first bytes of a packet.
struct Head {
    token: u64,
    count: u32,
    is_stowed: bool,
}

impl Head {
    const LEN: usize = 16;

    fn bytes(&self) -> [u8; Head::LEN] {
        let mut bytes = [0; Head::LEN];
        bytes[..8].copy_from_slice(&self.token.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.count.to_ne_bytes());
        bytes[12..].copy_from_slice(&u32::from(self.is_stowed).to_ne_bytes());
        bytes
    }

    fn of(bytes: [u8; Head::LEN]) -> Head {
        let ([token, rest], []) = bytes.as_chunks::<8>() else { unreachable!("16 are two times 8") };
        let rest = u64::from_ne_bytes(*rest).to_ne_bytes();
        let ([count, is_stowed], []) = rest.as_chunks::<4>() else { unreachable!("8 are two times 4") };
        Head {
            token: u64::from_ne_bytes(*token),
            count: u32::from_ne_bytes(*count),
            is_stowed: u32::from_ne_bytes(*is_stowed) != 0,
        }
    }
}

/// What is to be sent.
#[derive(Debug)]
pub(crate) enum Cargo {
    Plain(Vec<Arc<OwnedFd>>),
    /// The ends to receive from and to send to, and how many there are.
    Stowed([OwnedFd; 2], usize),
}

impl Cargo {
    /// Makes one packet of any number of descriptors.
    pub(crate) fn new(fds: Vec<Arc<OwnedFd>>) -> io::Result<Cargo> {
        if fds.len() <= MAX_FDS_PER_MESSAGE {
            return Ok(Cargo::Plain(fds));
        }
        let (far, near) = with_descriptors(packet_pair)?;
        for (index, part) in fds.chunks(MAX_FDS_PER_MESSAGE).enumerate() {
            let part: Vec<BorrowedFd<'_>> = part.iter().map(|fd| fd.as_fd()).collect();
            let head = Head { token: index as u64, count: part.len() as u32, is_stowed: false };
            with_descriptors(|| send_packet(&near, &head, &part))?;
        }
        Ok(Cargo::Stowed([far, near], fds.len()))
    }

    fn send(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        match self {
            Cargo::Plain(fds) => {
                let head = Head { token, count: fds.len() as u32, is_stowed: false };
                let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
                send_packet(socket, &head, &fds)
            }
            Cargo::Stowed([far, near], count) => {
                let head = Head { token, count: *count as u32, is_stowed: true };
                send_packet(socket, &head, &[far.as_fd(), near.as_fd()])
            }
        }
    }
}

fn send_packet(socket: impl AsFd, head: &Head, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send(socket, &[IoSlice::new(&head.bytes())], fds, false)?;
    Ok(())
}

impl Bundle {
    /// The descriptors, also those of a pair of their own.
    pub(crate) fn open(self) -> io::Result<Vec<OwnedFd>> {
        if !self.is_stowed {
            return Ok(self.fds);
        }
        let [far, near] = self.fds.as_slice() else { return Err(lost()) };
        let mut parts: Vec<Option<Vec<OwnedFd>>> = Vec::new();
        parts.resize_with(self.count.div_ceil(MAX_FDS_PER_MESSAGE), || None);
        // Twice, since one that died with the lease may have left them out of order, and one of them there twice.
        for _ in 0..2 * parts.len() {
            if parts.iter().all(Option::is_some) {
                break;
            }
            let Some((index, fetched)) = peek(far)? else { return Err(lost()) };
            let bundle = fetched?;
            bundle.send(near, index)?;
            pop(far)?;
            if let Some(part) = usize::try_from(index).ok().and_then(|index| parts.get_mut(index)) {
                *part = Some(bundle.fds);
            }
        }
        let fds: Vec<OwnedFd> = parts.into_iter().flatten().flatten().collect();
        if fds.len() == self.count { Ok(fds) } else { Err(lost()) }
    }

    /// What can be sent again.
    fn send(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        let head = Head { token, count: self.count as u32, is_stowed: self.is_stowed };
        let fds: Vec<BorrowedFd<'_>> = self.fds.iter().map(AsFd::as_fd).collect();
        send_packet(socket, &head, &fds)
    }
}

impl Depot {
    pub(crate) fn new() -> io::Result<Depot> {
        let (left, right) = with_descriptors(packet_pair)?;
        Ok(Depot { left: Carried(Arc::new(left)), right: Carried(Arc::new(right)) })
    }

    /// Its ends.
    pub(crate) fn ends(&self) -> [&Arc<OwnedFd>; 2] {
        [&self.left.0, &self.right.0]
    }

    /// Sends what belongs to a message that is put next.
    pub(crate) fn send(&self, cargo: &Cargo, token: u64) -> Result<(), NoDeposit> {
        with_descriptors(|| cargo.send(&*self.left.0, token)).map_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock || is_out_of_descriptors(&error) {
                NoDeposit::Full(error)
            } else {
                NoDeposit::Failed(error)
            }
        })
    }

    /// Drops what waits under numbers up to this one.
    pub(crate) fn sweep(&self, token: u64) {
        let _ = self.skip(token.saturating_add(1));
    }

    /// Drops what waits under smaller numbers; gives the first that is left.
    fn skip(&self, token: u64) -> io::Result<Option<(u64, Fetched)>> {
        loop {
            match peek(&*self.right.0)? {
                Some((found, _)) if found < token => pop(&*self.right.0)?,
                first => return Ok(first),
            }
        }
    }

    /// Copies what waits under that number.
    pub(crate) fn fetch(&self, token: u64) -> Fetched {
        match self.skip(token)? {
            Some((found, fetched)) if found == token => fetched,
            _ => Err(lost()),
        }
    }

    /// Takes away what waits under that number.
    pub(crate) fn release(&self, token: u64) {
        self.sweep(token);
    }

    /// Keeps a copy under that number.
    pub(crate) fn keep(&self, bundle: &Bundle, token: u64) -> io::Result<()> {
        with_descriptors(|| bundle.send(&*self.right.0, token))
    }

    /// Copies what is kept under that number.
    pub(crate) fn fetch_kept(&self, token: u64) -> Fetched {
        let mut result = Err(lost());
        self.turn_round(|found, fetched| {
            if found == token
                && result.is_err()
                && let Some(fetched) = fetched.take()
            {
                result = fetched;
                return Next::Stop;
            }
            Next::Again
        });
        result
    }

    /// Takes away what is kept under numbers that are not open.
    pub(crate) fn forget_kept(&self, is_open: &dyn Fn(u64) -> bool) {
        let mut seen = Vec::new();
        self.turn_round(|found, _| {
            // After a death one may be there twice.
            if !is_open(found) {
                return Next::Drop;
            }
            if seen.contains(&found) {
                return Next::Stop;
            }
            seen.push(found);
            Next::Again
        });
    }

    /// Goes through what is kept: each is sent again behind the others and then taken away.
    fn turn_round(&self, mut visit: impl FnMut(u64, &mut Option<Fetched>) -> Next) {
        let kept = &*self.left.0;
        for _ in 0..PACKETS {
            let Ok(Some((token, fetched))) = peek(kept) else { return };
            let mut fetched = Some(fetched);
            match visit(token, &mut fetched) {
                Next::Stop => return,
                Next::Drop => {}
                Next::Again => match fetched {
                    Some(Ok(bundle)) if bundle.send(&*self.right.0, token).is_ok() => {}
                    // It cannot be moved, so that nothing behind it can be reached.
                    _ => return,
                },
            }
            if pop(kept).is_err() {
                return;
            }
        }
    }
}

enum Next {
    Stop,
    Drop,
    Again,
}

/// Copies the first packet.
fn peek(socket: impl AsFd) -> io::Result<Option<(u64, Fetched)>> {
    let mut has_raised = false;
    loop {
        let mut bytes = [0; Head::LEN];
        let mut fds = Vec::new();
        let received = match peek_packet(&socket, &mut bytes, &mut fds) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        if received.bytes == 0 && fds.is_empty() {
            // The other end is gone, or something else wrote here.
            return Err(lost());
        }
        let head = Head::of(bytes);
        if received.truncated && !has_raised {
            has_raised = true;
            raise_descriptor_limit();
            continue;
        }
        let expected = if head.is_stowed { 2 } else { head.count as usize };
        let fetched = if received.truncated {
            Err(no_room())
        } else if fds.len() == expected && head.count as usize <= HANDLES {
            Ok(Bundle { fds, count: head.count as usize, is_stowed: head.is_stowed })
        } else {
            Err(lost())
        };
        return Ok(Some((head.token, fetched)));
    }
}

fn pop(socket: impl AsFd) -> io::Result<()> {
    drop_packet(socket, &mut [0; Head::LEN]).map(|_| ())
}

fn lost() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "they are not where the message says: something else took them, make another queue",
    )
}

fn no_room() -> io::Error {
    io::Error::other(
        "they were lost on arrival: raise the limit of open files (RLIMIT_NOFILE), or keep fewer objects open",
    )
}
