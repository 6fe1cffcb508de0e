//! One-to-one links of byte records, for crates that encode by themselves, as the pool does. An implementation detail.
//!
//! A link is the ring of [`spsc`](crate::spsc()) without a type: one process puts, another one takes, and neither needs
//! a lock. Nobody is told when the other end goes: who uses it watches the process.

use crate::builder::attach;
use crate::depot::Depot;
use crate::error::Kind;
use crate::message::{Arrival, Outgoing, separate};
use crate::ring::{Batch, Control, Fault, Peers, Position, Record, Ring};
use crate::{arena::CHUNK, ring};
use multiproc_core::sys::fd::with_descriptors;
use multiproc_core::{Deadline, codec};
use multiproc_shm::arena::Arena;
use multiproc_shm::layout;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

pub use crate::ring::Spin;

/// What tells links from queues.
fn fingerprint() -> u64 {
    layout::start("multiproc link")
}

/// One at each end; whether the other one is there is known otherwise.
#[derive(Clone, Copy, Debug)]
struct Known;

impl Peers for Known {
    const ALONE: bool = true;

    fn are_gone(&self) -> bool {
        false
    }
}

/// A link; both ends have the same, and each uses its own half.
#[derive(Debug)]
pub struct Link {
    ring: Ring<Arena<Control>>,
    depot: Depot,
}

/// Why a record was not put or taken.
#[derive(Debug)]
pub enum LinkError {
    /// There is no room, now, or nothing to take.
    Busy,
    /// It was closed, and nothing is left in it.
    Closed,
    /// It cannot be put, now or ever.
    Failed(io::Error),
    /// The memory holds what no link writes.
    Corrupt(&'static str),
}

/// Records that were taken together, and the descriptors of the last one.
#[derive(Debug, Default)]
pub struct Taken {
    batch: Batch,
    fds: Option<io::Result<Vec<OwnedFd>>>,
}

impl Taken {
    /// The bytes of the first record, where no more than one was taken.
    pub fn first(&self) -> &[u8] {
        match self.batch.iter().next() {
            Some((bytes, None)) => bytes,
            Some((bytes, Some(_))) => separate(bytes).unwrap_or_default(),
            None => &[],
        }
    }

    /// The descriptors of that record.
    ///
    /// # Errors
    ///
    /// They are lost.
    pub fn take_fds(&mut self) -> io::Result<Vec<OwnedFd>> {
        self.fds.take().unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Forgets what was taken.
    pub fn clear(&mut self) {
        self.batch.clear();
        self.fds = None;
    }

    /// Gives each record: its bytes, and the descriptors of one that has any.
    pub fn for_each(&mut self, mut f: impl FnMut(&[u8], io::Result<Vec<OwnedFd>>)) {
        let mut fds = self.fds.take();
        for (bytes, token) in self.batch.iter() {
            if token.is_none() {
                f(bytes, Ok(Vec::new()));
                continue;
            }
            // One that has handles is the last; what stands behind its bytes tells of them.
            match separate(bytes) {
                Some(bytes) => f(bytes, fds.take().unwrap_or_else(|| Ok(Vec::new()))),
                None => f(&[], Err(io::Error::new(io::ErrorKind::InvalidData, "a record has wrong handles"))),
            }
        }
        self.batch.clear();
    }
}

impl Link {
    /// Creates a link for up to `capacity` records of any size.
    ///
    /// # Errors
    ///
    /// No memory or no descriptor left.
    pub fn new(capacity: u32) -> io::Result<Link> {
        let numbers = [CHUNK, u64::from(capacity), u64::from(Position::CHUNKS), u64::MAX, 0, 0];
        let ring = attach(Arena::anonymous(fingerprint(), numbers, "link\n")?)?;
        ring.prepare().map_err(|error| error.0)?;
        Ok(Link { ring, depot: Depot::new()? })
    }

    /// Another handle to the same link, with mappings of its own.
    ///
    /// # Errors
    ///
    /// No memory or no descriptor left.
    pub fn another(&self) -> io::Result<Link> {
        let fds = codec::encode(self).map_err(io::Error::other)?;
        let copies: io::Result<Vec<OwnedFd>> =
            fds.fds.iter().map(|fd| with_descriptors(|| fd.try_clone())).collect();
        codec::decode(&fds.bytes, copies?).map_err(io::Error::other)
    }

    /// Puts a record, waiting for room until the deadline; wakes who waits for it.
    ///
    /// With descriptors, what tells of them is put behind the bytes.
    ///
    /// # Errors
    ///
    /// See [`LinkError`]; nothing was put.
    pub fn put(
        &self,
        bytes: &mut Vec<u8>,
        fds: Vec<Arc<OwnedFd>>,
        deadline: Deadline,
    ) -> Result<(), LinkError> {
        let failed = |kind: Kind| match kind {
            Kind::Handles(error) => LinkError::Failed(error),
            kind => LinkError::Failed(io::Error::other(format!("{kind:?}"))),
        };
        let message = Outgoing::of(bytes, fds, self.ring.memory().fd(), &self.depot).map_err(failed)?;
        self.put_record(message.record(bytes), deadline)
    }

    /// Puts a record that lies in two places and has no descriptors, as [`put`](Self::put) does.
    ///
    /// What makes the first part whole words is added to it.
    ///
    /// # Errors
    ///
    /// See [`LinkError`]; nothing was put.
    pub fn put_both(&self, bytes: &mut Vec<u8>, rest: &[u8], deadline: Deadline) -> Result<(), LinkError> {
        let missing = bytes.len().wrapping_neg() % 8;
        let (first, rest) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
        bytes.extend_from_slice(first);
        self.put_record(Record { bytes, rest, parcel: None }, deadline)
    }

    fn put_record(&self, record: Record<'_>, deadline: Deadline) -> Result<(), LinkError> {
        self.ring.put_among(&[record], deadline, &Known).map_err(|error| match error.fault {
            Fault::TimedOut | Fault::DepotFull => LinkError::Busy,
            Fault::Closed => LinkError::Closed,
            Fault::TooLarge => LinkError::Failed(io::Error::other("it is longer than a link can carry")),
            Fault::OutOfMemory(error) => LinkError::Failed(error.0),
            Fault::Handles(error) => LinkError::Failed(error),
            Fault::Broken(ring::Broken(what)) => LinkError::Corrupt(what),
        })
    }

    /// Takes what there is, waiting until the deadline for the first record.
    ///
    /// # Errors
    ///
    /// See [`LinkError`].
    pub fn take(&self, max: usize, deadline: Deadline, taken: &mut Taken) -> Result<(), LinkError> {
        let mut arrival = Arrival::new(&mut taken.batch, Some(&self.depot));
        match self.ring.take_among(max, deadline, &Known, &mut arrival) {
            Ok(()) => {}
            Err(Fault::Closed) => return Err(LinkError::Closed),
            Err(Fault::Broken(ring::Broken(what))) => return Err(LinkError::Corrupt(what)),
            Err(_) => return Err(LinkError::Busy),
        }
        taken.fds = arrival.into_fetched().map(|fetched| fetched.and_then(|bundle| bundle.open()));
        Ok(())
    }

    /// How far it has been put to, and taken from, in numbers that change with every step.
    ///
    /// Who puts, or takes, alone changes the one or the other: it can tell whether somebody else has.
    pub fn ends(&self) -> (u64, u64) {
        self.ring.ends()
    }

    /// How many records wait in it.
    #[inline]
    pub fn len(&self) -> u32 {
        self.ring.len()
    }

    /// Tells whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Lets no record in any more; what is in it can be taken.
    pub fn close(&self) {
        self.ring.close();
    }
}

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (Memory(self), &self.depot).serialize(serializer)
    }
}

struct Memory<'a>(&'a Link);

impl Serialize for Memory<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.ring.memory().serialize(serializer)
    }
}

struct Received(Ring<Arena<Control>>);

impl<'de> Deserialize<'de> for Received {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Received, D::Error> {
        let arena = Arena::deserialize(deserializer, fingerprint())?;
        Ok(Received(attach(arena).map_err(de::Error::custom)?))
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Link, D::Error> {
        let (received, depot): (Received, Depot) = Deserialize::deserialize(deserializer)?;
        Ok(Link { ring: received.0, depot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_in_their_order_with_their_descriptors() {
        let link = Link::new(4).unwrap();
        let put = |byte: u8, fds: Vec<Arc<OwnedFd>>| link.put(&mut vec![byte], fds, Deadline::now());
        let file = Arc::new(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        put(0, vec![]).unwrap();
        put(1, vec![Arc::clone(&file), file]).unwrap();
        put(2, vec![]).unwrap();
        assert_eq!(link.len(), 3);
        let (mut taken, mut seen) = (Taken::default(), Vec::new());
        while !link.is_empty() {
            link.take(8, Deadline::now(), &mut taken).unwrap();
            taken.for_each(|bytes, fds| seen.push((bytes.to_vec(), fds.unwrap().len())));
        }
        assert_eq!(seen, [(vec![0], 0), (vec![1], 2), (vec![2], 0)]);
        assert!(matches!(link.take(8, Deadline::now(), &mut taken), Err(LinkError::Busy)));
        // One that lies in two places, over several chunks.
        let long: Vec<u8> = (0..200_003u32).map(|n| n as u8).collect();
        for (first, rest) in [0, 3, 24, 199_992, 199_999, 200_003].map(|at| long.split_at(at)) {
            link.put_both(&mut first.to_vec(), rest, Deadline::now()).unwrap();
            taken.clear();
            link.take(8, Deadline::now(), &mut taken).unwrap();
            assert!(taken.first() == long, "{}", first.len());
        }
        link.close();
        assert!(matches!(link.take(8, Deadline::now(), &mut taken), Err(LinkError::Closed)));
        assert!(matches!(put(3, vec![]), Err(LinkError::Closed)));
    }
}
