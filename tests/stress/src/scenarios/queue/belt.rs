//! The ring below the queues as it stands, over chunks of a few words: so messages cross chunks, are chained and run
//! out of chunks within a few instructions. The same over copies of the ring that are wrong.

use multiproc_shm::Shared;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::{Plain, shared};

/// How many words a chunk has; two of them are links.
pub(crate) const WORDS: usize = 8;
/// How many words of messages are in a chunk.
pub(crate) const ROOM: usize = WORDS - 2;

/// A ring's memory, with control words of type `C`.
pub(crate) struct Words<C, const CHUNKS: usize> {
    pub(crate) control: C,
    pub(crate) chunks: [[AtomicU64; WORDS]; CHUNKS],
    /// How often memory was given back.
    pub(crate) releases: AtomicU64,
}

/// Where it lies.
pub(crate) struct Place<C: Send + Sync + 'static, const CHUNKS: usize>(
    pub(crate) Shared<Plain<Words<C, CHUNKS>>>,
);

impl<C: Default + Send + Sync + 'static, const CHUNKS: usize> Place<C, CHUNKS> {
    pub(crate) fn new() -> Self {
        let chunks = [const { [const { AtomicU64::new(0) }; WORDS] }; CHUNKS];
        Place(shared(Words { control: C::default(), chunks, releases: AtomicU64::new(0) }))
    }

    /// Gives back the memory of a range, in which are zeros then; a few stand for all.
    pub(crate) fn release(&self, but: u32, from: u32) {
        const FEW: usize = 4;
        let chunks = self.0.0.chunks.iter().enumerate().skip(from as usize);
        for (_, chunk) in chunks.filter(|(index, _)| *index != but as usize).take(FEW) {
            chunk.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        self.0.0.releases.fetch_add(1, Ordering::Relaxed);
    }
}

/// Defines `Belt`, a way over the ring of a module.
macro_rules! belt {
    ($name:literal, $is_control:literal, [$($ring:tt)+]) => {
        use $($ring)+::{
            Batch, Broken, Control, Fault, Leased, Memory, NoDeposit, OutOfMemory, Parcel, Record, Ring, Shape, Sink,
        };
        use multiproc_core::Deadline;
        use std::sync::atomic::AtomicU64;

        use $crate::scenarios::queue::belt::{Place, ROOM, WORDS};
        use $crate::scenarios::queue::depot::{Depot, Flaw};
        use $crate::scenarios::queue::way::{Given, Leasing, Taken, Tried, Way};

        impl<const CHUNKS: usize> Memory for Place<Control, CHUNKS> {
            fn control(&self) -> &Control {
                &self.0.0.control
            }

            fn chunk(&self, index: u32) -> Result<&[AtomicU64], Broken> {
                self.0.0.chunks.get(index as usize).map(|chunk| &chunk[..]).ok_or(Broken("no such chunk"))
            }

            fn allocate(&self, index: u32) -> Result<u32, OutOfMemory> {
                Ok(index + 1)
            }

            fn release(&self, but: u32, from: u32) {
                Place::release(self, but, from);
            }
        }

        /// A ring over short chunks, and a depot.
        pub(crate) struct Belt<const CHUNKS: usize> {
            pub(crate) ring: Ring<Place<Control, CHUNKS>>,
            pub(crate) depot: Depot,
        }

        impl<const CHUNKS: usize> Belt<CHUNKS> {
            /// An empty one for so many messages.
            pub(crate) fn new(capacity: usize, flaw: Flaw) -> Self {
                let shape =
                    Shape { capacity: capacity as u32, max_chunks: CHUNKS as u32, chunk_words: WORDS as u32 };
                let ring = Ring::attach(Place::new(), shape);
                if let Err(error) = ring.prepare() {
                    panic!("{error:?}");
                }
                Belt { ring, depot: Depot::new(flaw) }
            }

            fn put_all(&self, messages: &[Given], deadline: Deadline) -> Result<(), Fault> {
                let bytes: Vec<Vec<u8>> = messages
                    .iter()
                    .map(|message| [&message.number.to_le_bytes(), &message.body[..]].concat())
                    .collect();
                let cargos: Vec<Option<Cargo<'_>>> = messages
                    .iter()
                    .map(|message| message.handle.as_ref().map(|_| Cargo(&self.depot, message.number)))
                    .collect();
                let records: Vec<Record<'_>> = bytes
                    .iter()
                    .zip(&cargos)
                    .map(|(bytes, cargo)| Record {
                        bytes,
                        rest: &[],
                        parcel: cargo.as_ref().map(|cargo| cargo as &dyn Parcel),
                    })
                    .collect();
                self.ring.put(&records, deadline).map_err(|fault| fault.fault)
            }

            fn take(&self, most: usize, deadline: Deadline) -> Result<Vec<Taken>, Fault> {
                let mut taking = Taking { batch: Batch::default(), handle: None, depot: &self.depot };
                self.ring.take(most, deadline, &mut taking)?;
                Ok(taking.into_taken())
            }

            /// A record that needs all chunks but the one that is begun goes in and comes out.
            fn check_chunks(&self) -> Result<(), String> {
                let body = vec![0; ((CHUNKS - 1) * ROOM - 1) * 8];
                let record = Record { bytes: &body, rest: &[], parcel: None };
                match self.ring.put(&[record], Deadline::now()) {
                    Ok(()) => {}
                    Err(fault) if matches!(fault.fault, Fault::Closed) => return Ok(()),
                    Err(fault) => return Err(format!("chunks are lost: {:?}", fault.fault)),
                }
                let mut batch = Batch::default();
                match self.ring.take(1, Deadline::now(), &mut batch) {
                    Ok(()) if batch.iter().next().is_some_and(|(bytes, _)| bytes == body) => Ok(()),
                    other => Err(format!("the largest record did not come: {other:?}")),
                }
            }
        }

        #[derive(Clone, Copy)]
        struct Cargo<'a>(&'a Depot, u64);

        impl std::fmt::Debug for Cargo<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple("Cargo").field(&self.1).finish()
            }
        }

        impl Parcel for Cargo<'_> {
            fn send(&self, token: u64) -> Result<(), NoDeposit> {
                self.0.send(token, self.1).map_err(NoDeposit::Full)
            }

            fn sweep(&self, token: u64) {
                self.0.sweep(token);
            }
        }

        struct Taking<'a> {
            batch: Batch,
            handle: Option<u64>,
            depot: &'a Depot,
        }

        impl Taking<'_> {
            fn into_taken(self) -> Vec<Taken> {
                let taken = self.batch.iter().map(|(bytes, token)| {
                    let (number, body) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
                    let handle = token.and(self.handle).map(|handle| (handle, 0));
                    Taken { number: u64::from_le_bytes(*number), body: body.to_vec(), handle }
                });
                taken.collect()
            }
        }

        impl Sink for Taking<'_> {
            fn begin(&mut self, len: usize, token: Option<u64>) {
                self.batch.begin(len, token);
            }

            fn words(&mut self, words: &[AtomicU64]) {
                self.batch.words(words);
            }

            fn fetch(&mut self, token: u64) {
                self.handle = self.depot.fetch(token);
            }

            fn release(&mut self, token: u64) {
                self.depot.release(token);
            }

            fn forget(&mut self) {
                self.batch.forget();
                self.handle = None;
            }
        }

        impl<const CHUNKS: usize> Way for Belt<CHUNKS> {
            const NAME: &'static str = $name;
            const IS_CONTROL: bool = $is_control;

            fn bounded(capacity: usize) -> Self {
                Belt::new(capacity, Flaw::None)
            }

            fn put(&self, messages: Vec<Given>) -> bool {
                match self.put_all(&messages, Deadline::NEVER) {
                    Ok(()) => true,
                    Err(Fault::Closed) => false,
                    Err(fault) => panic!("{fault:?}"),
                }
            }

            fn try_put(&self, message: Given) -> Tried {
                match self.put_all(&[message], Deadline::now()) {
                    Ok(()) => Tried::Done,
                    Err(Fault::Closed) => Tried::Closed,
                    Err(Fault::TimedOut | Fault::DepotFull) => Tried::Full,
                    Err(fault) => panic!("{fault:?}"),
                }
            }

            fn get(&self, most: usize) -> Vec<Taken> {
                match self.take(most, Deadline::NEVER) {
                    Ok(taken) => taken,
                    Err(Fault::Closed) => Vec::new(),
                    Err(fault) => panic!("{fault:?}"),
                }
            }

            fn try_get(&self) -> Option<Taken> {
                match self.take(1, Deadline::now()) {
                    Ok(taken) => taken.into_iter().next(),
                    Err(Fault::TimedOut | Fault::Closed) => None,
                    Err(fault) => panic!("{fault:?}"),
                }
            }

            fn len(&self) -> usize {
                self.ring.waiting()
            }

            fn capacity(&self) -> usize {
                self.ring.shape().capacity as usize
            }

            fn is_handle(handle: (u64, u64), number: u64, _given: (u64, u64)) -> bool {
                handle.0 == number
            }

            fn settle(&self) {
                self.ring.return_of_the_dead();
            }

            fn check_empty(&self) -> Result<(), String> {
                if self.ring.waiting() > 0 || !self.ring.is_empty() || !self.ring.is_done() {
                    return Err(format!("it is empty, and says {}", self.ring.waiting()));
                }
                self.check_chunks()
            }
        }

        impl<const CHUNKS: usize> Leasing for Belt<CHUNKS> {
            type Lease = Leased;

            fn lease(&self) -> Option<(Leased, Taken)> {
                let mut taking = Taking { batch: Batch::default(), handle: None, depot: &self.depot };
                match self.ring.lease(Deadline::NEVER, &mut taking) {
                    Ok(leased) => Some((leased, taking.into_taken().pop()?)),
                    Err(Fault::Closed) => None,
                    Err(fault) => panic!("{fault:?}"),
                }
            }

            fn is_redelivered(lease: &Leased) -> bool {
                lease.is_redelivered
            }

            fn end(&self, lease: Leased, is_done: bool) {
                self.ring.end(&lease, is_done, |_| {});
            }

            fn close(&self) {
                self.ring.close();
            }

            fn is_closed(&self) -> bool {
                self.ring.is_closed()
            }

            fn join(&self) {
                self.ring.wait_done(Deadline::NEVER);
            }

            fn is_done(&self) -> bool {
                self.ring.is_done()
            }
        }
    };
}

pub(crate) use belt;

/// The ring that ships.
pub(crate) mod sound {
    super::belt!("ring of short chunks", false, [multiproc_queue::ring]);
}
