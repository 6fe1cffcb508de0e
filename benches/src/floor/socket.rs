use crate::Result;
use crate::link::{Link, Tried};
use crate::payload::Payload;
use multiproc_pipe::Fd;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// The longest message of numbers, with its header.
const ROOM: usize = 4 + 1024;

/// One end of a Unix socket pair, with CPython's frames written by hand: a length before each message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Socket(Fd<OwnedFd>);

impl Socket {
    pub(crate) fn pair() -> Result<[Socket; 2]> {
        let (a, b) = UnixStream::pair()?;
        Ok([a, b].map(|end| Socket(Fd::new(end.into()))))
    }

    pub(crate) fn stream(self) -> UnixStream {
        UnixStream::from(self.0.into_inner())
    }
}

impl<P: Payload> Link<P> for Socket {
    fn halves(_: u64) -> Result<Vec<[Self; 2]>> {
        Ok(vec![Socket::pair()?])
    }

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>> {
        let mut stream = self.stream();
        Ok(move |message: P| send(&mut stream, &message).map_err(|error| error.to_string()))
    }

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>> {
        let mut stream = self.stream();
        Ok(move || receive(&mut stream).map_err(|error| error.to_string()))
    }
}

/// Writes a message in one go.
pub(crate) fn send<P: Payload>(stream: &mut impl Write, message: &P) -> io::Result<()> {
    let mut room = [0; ROOM];
    let words = message.words();
    let len = 4 + 8 * words.len();
    room[..4].copy_from_slice(&(len as u32 - 4).to_be_bytes());
    for (to, word) in room[4..len].as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    stream.write_all(&room[..len])
}

/// Reads a message: its length, then the rest.
pub(crate) fn receive<P: Payload>(stream: &mut impl Read) -> io::Result<P> {
    let mut room = [0; ROOM];
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let len = u32::from_be_bytes(header) as usize;
    let body = room.get_mut(..len).ok_or(io::ErrorKind::InvalidData)?;
    stream.read_exact(body)?;
    let mut message = P::ZERO;
    for (word, from) in message.words_mut().iter_mut().zip(body.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*from);
    }
    Ok(message)
}
