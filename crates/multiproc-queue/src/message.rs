//! Messages as they go into a queue and come out of it.
//!
//! Behind the bytes of a message with handles lies one byte for each descriptor, which tells where it comes from, and
//! then their number: from the depot, in their order, or from the queue itself. A queue's own descriptors never lie
//! in its own depot, which would keep them open when nobody has the queue any more.

use crate::depot::{Cargo, Depot, Fetched};
use crate::error::{GetError, Kind};
use crate::ring::{Batch, NoDeposit, Parcel, Record, Sink};
use multiproc_core::Message;
use multiproc_core::codec::{self, Encoder, Limits};
use multiproc_core::sys::fd::{is_same, with_descriptors};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A descriptor lies in the depot; other bytes are places of the queue's own, counted from 1.
const CARRIED: u8 = 0;

/// What goes with a message on its way in.
pub(crate) struct Outgoing<'a> {
    /// Where it ends in the encoder's bytes.
    pub(crate) end: usize,
    load: Option<Load<'a>>,
}

#[derive(Debug)]
struct Load<'a> {
    cargo: Cargo,
    depot: &'a Depot,
}

impl Parcel for Load<'_> {
    fn send(&self, token: u64) -> Result<(), NoDeposit> {
        self.depot.send(&self.cargo, token)
    }

    fn sweep(&self, token: u64) {
        self.depot.sweep(token);
    }
}

impl<'a> Outgoing<'a> {
    /// Looks at the message that was encoded last.
    #[inline]
    pub(crate) fn new(
        encoder: &mut Encoder,
        memory: &Arc<OwnedFd>,
        depot: Option<&'a Depot>,
    ) -> Result<Outgoing<'a>, Kind> {
        let load = if encoder.has_handles() { Some(Self::load(encoder, memory, depot)?) } else { None };
        Ok(Outgoing { end: encoder.bytes().len(), load })
    }

    /// Looks at a message that was encoded elsewhere.
    pub(crate) fn of(
        bytes: &mut Vec<u8>,
        fds: Vec<Arc<OwnedFd>>,
        memory: &Arc<OwnedFd>,
        depot: &'a Depot,
    ) -> Result<Outgoing<'a>, Kind> {
        let load = if fds.is_empty() { None } else { Some(Self::stow(bytes, fds, memory, Some(depot))?) };
        Ok(Outgoing { end: bytes.len(), load })
    }

    #[cold]
    fn load(
        encoder: &mut Encoder,
        memory: &Arc<OwnedFd>,
        depot: Option<&'a Depot>,
    ) -> Result<Load<'a>, Kind> {
        let fds = encoder.take_fds();
        Self::stow(encoder.bytes(), fds, memory, depot)
    }

    #[cold]
    fn stow(
        bytes: &mut Vec<u8>,
        fds: Vec<Arc<OwnedFd>>,
        memory: &Arc<OwnedFd>,
        depot: Option<&'a Depot>,
    ) -> Result<Load<'a>, Kind> {
        let depot = depot.ok_or(Kind::NamedHandles)?;
        let [left, right] = depot.ends();
        let own = [memory, left, right];
        let mut carried = Vec::new();
        let count = fds.len() as u32;
        for fd in fds {
            let place = own.iter().position(|own| Arc::ptr_eq(own, &fd) || is_same(own, &fd));
            match place {
                Some(place) => bytes.push(place as u8 + 1),
                None => {
                    bytes.push(CARRIED);
                    carried.push(fd);
                }
            }
        }
        bytes.extend(count.to_le_bytes());
        let cargo = Cargo::new(carried).map_err(Kind::Handles)?;
        Ok(Load { cargo, depot })
    }

    #[inline]
    pub(crate) fn record<'b>(&'b self, bytes: &'b [u8]) -> Record<'b> {
        Record { bytes, rest: &[], parcel: self.load.as_ref().map(|load| load as &dyn Parcel) }
    }
}

/// Where messages come out.
pub(crate) struct Arrival<'a> {
    batch: &'a mut Batch,
    depot: Option<&'a Depot>,
    /// The handles of the last one.
    fetched: Option<Fetched>,
}

impl<'a> Arrival<'a> {
    #[inline]
    pub(crate) fn new(batch: &'a mut Batch, depot: Option<&'a Depot>) -> Arrival<'a> {
        Arrival { batch, depot, fetched: None }
    }

    #[inline]
    pub(crate) fn into_fetched(self) -> Option<Fetched> {
        self.fetched
    }

    fn depot(&self) -> io::Result<&'a Depot> {
        self.depot.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "they cannot have come through a named queue")
        })
    }
}

impl Sink for Arrival<'_> {
    #[inline]
    fn begin(&mut self, len: usize, token: Option<u64>) {
        self.batch.begin(len, token);
    }

    #[inline]
    fn words(&mut self, words: &[AtomicU64]) {
        self.batch.words(words);
    }

    fn forget(&mut self) {
        self.batch.forget();
        self.fetched = None;
    }

    fn fetch(&mut self, token: u64) {
        self.fetched = Some(self.depot().and_then(|depot| depot.fetch(token)));
    }

    fn release(&mut self, token: u64) {
        if let Some(depot) = self.depot {
            depot.release(token);
        }
    }

    fn keep(&mut self, token: u64) -> io::Result<()> {
        match (&self.fetched, self.depot) {
            (Some(Ok(bundle)), Some(depot)) => depot.keep(bundle, token),
            // They are lost, and who takes the message learns that.
            _ => Ok(()),
        }
    }

    fn fetch_kept(&mut self, token: u64) {
        self.fetched = Some(self.depot().and_then(|depot| depot.fetch_kept(token)));
    }

    fn forget_kept(&mut self, is_open: &dyn Fn(u64) -> bool) {
        if let Some(depot) = self.depot {
            depot.forget_kept(is_open);
        }
    }
}

/// Makes a message of a record, in `place`; `own` are the queue's own descriptors.
#[inline]
pub(crate) fn decode<T: Message>(
    bytes: &[u8],
    fetched: Option<Fetched>,
    own: impl FnOnce() -> Option<[Arc<OwnedFd>; 3]>,
    place: &mut Option<T>,
) -> Result<(), GetError> {
    let (bytes, fds) = match fetched {
        None => (bytes, Vec::new()),
        Some(fetched) => collect(bytes, fetched, own())?,
    };
    codec::decode_into(bytes, fds, &Limits::trusted(), place).map_err(|error| not_decoded(error, bytes))
}

#[cold]
fn not_decoded(error: codec::DecodeError, bytes: &[u8]) -> GetError {
    GetError::new(Kind::Decode { error, bytes: bytes.into() })
}

/// The bytes of a record without what tells of its handles, of which none is the queue's own.
pub(crate) fn separate(bytes: &[u8]) -> Option<&[u8]> {
    let (rest, count) = bytes.split_last_chunk::<4>()?;
    rest.get(..rest.len().checked_sub(u32::from_le_bytes(*count) as usize)?)
}

/// The message's own bytes, and its descriptors.
#[cold]
fn collect(
    bytes: &[u8],
    fetched: Fetched,
    own: Option<[Arc<OwnedFd>; 3]>,
) -> Result<(&[u8], Vec<OwnedFd>), GetError> {
    const WRONG: &str = "a message has wrong handles";
    let wrong = || GetError::new(Kind::Corrupt(WRONG));
    let (rest, count) = bytes.split_last_chunk::<4>().ok_or_else(wrong)?;
    let places = rest.len().checked_sub(u32::from_le_bytes(*count) as usize).ok_or_else(wrong)?;
    let (message, places) = rest.split_at(places);
    let lost = |error| GetError::new(Kind::HandlesLost { error, bytes: message.into() });
    let mut carried = fetched.and_then(|bundle| bundle.open()).map_err(lost)?.into_iter();
    let mut fds = Vec::with_capacity(places.len());
    for place in places {
        fds.push(match place.checked_sub(1) {
            None => carried.next().ok_or_else(wrong)?,
            Some(place) => {
                let own = own.as_ref().and_then(|own| own.get(usize::from(place))).ok_or_else(wrong)?;
                with_descriptors(|| own.try_clone()).map_err(lost)?
            }
        });
    }
    if carried.next().is_some() {
        return Err(wrong());
    }
    Ok((message, fds))
}
