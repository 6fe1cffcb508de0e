//! Large messages that are handed over through a pipe, and what is written into them and read of them.
//!
//! # Safety
//!
//! Unsafe is needed to map the memory that is made by hand. It is as long as the mapping, and nobody makes it shorter.
//! Its writer is done before its reader has it.
#![expect(unsafe_code, reason = "mapping a file has no safe form")]

use crate::ends::{Crew, Gate, Told};
use crate::link::{Tried, in_processes};
use crate::measure::{Round, check, trivial};
use crate::place::Placement;
use crate::sys;
use memmap2::{Mmap, MmapMut};
use multiproc_core::Message;
use multiproc_pipe::{Fd, PipeReader, PipeWriter, one_way};
use multiproc_shm::{BytesPool, PooledBytes, SharedBytes, SharedBytesMut};
use std::fs::File;
use std::marker::PhantomData;

pub(crate) const PAGE: usize = 4096;
/// How long a message is that is copied.
pub(crate) const COPIED: usize = 1 << 20;
/// How long a message is that is handed over.
pub(crate) const HANDED: usize = 64 << 20;
/// How many segments a pool has.
const SEGMENTS: usize = 4;

/// A kind of large message.
pub(crate) trait Cargo: 'static {
    type Message: Message;

    /// What makes the message of a number.
    fn maker() -> Tried<impl FnMut(u64) -> Tried<Self::Message>>;

    /// Reads a message and gives its number.
    fn read(message: &Self::Message) -> Tried<u64>;
}

type Ends<M> = (Option<PipeWriter<M>>, Option<PipeReader<M>>);

/// From one process to another; the cost of one, in microseconds.
pub(crate) fn handed<C: Cargo>(placement: Placement) -> Round {
    Box::new(move |count| {
        let (reader, writer) = one_way::<C::Message>()?;
        let ends: Crew<Ends<C::Message>> =
            vec![((Some(writer), None), send::<C>), ((None, Some(reader)), receive::<C>)];
        let outcome = in_processes(placement, count, ends)?;
        check(outcome.sum, (0..count).map(trivial).sum())?;
        Ok(outcome.each(count) / 1e3)
    })
}

fn send<C: Cargo>(((writer, _), gate): (Ends<C::Message>, Gate)) -> Told {
    let writer = writer.ok_or("a sender without a pipe")?;
    let mut make = C::maker()?;
    gate.pass(|count| {
        for number in 0..count {
            writer.send(make(number)?).map_err(|error| error.to_string())?;
        }
        Ok((0, 0.0))
    })
}

fn receive<C: Cargo>(((_, reader), gate): (Ends<C::Message>, Gate)) -> Told {
    let reader = reader.ok_or("a receiver without a pipe")?;
    gate.pass(|count| {
        let mut sum = 0;
        for _ in 0..count {
            let message = reader.recv().map_err(|error| error.to_string())?;
            sum += trivial(C::read(&message)?);
        }
        Ok((sum, 0.0))
    })
}

/// What is done with the bytes of a message.
pub(crate) trait Content: 'static {
    const LEN: usize;

    /// What writes a message's bytes.
    fn writer() -> impl FnMut(u64, &mut [u8]);

    fn read(bytes: &[u8]) -> Tried<u64>;
}

/// Bytes that the sender has elsewhere, and of which the receiver looks at each page.
pub(crate) struct Copied;

/// Bytes that are written in place, and all of which are read.
pub(crate) struct Filled;

impl Content for Copied {
    const LEN: usize = COPIED;

    fn writer() -> impl FnMut(u64, &mut [u8]) {
        let mut source = vec![7; Self::LEN];
        move |number, bytes| {
            mark(&mut source, number);
            bytes.copy_from_slice(&source);
        }
    }

    fn read(bytes: &[u8]) -> Tried<u64> {
        look(bytes, Self::LEN)
    }
}

impl Content for Filled {
    const LEN: usize = HANDED;

    fn writer() -> impl FnMut(u64, &mut [u8]) {
        |number, bytes| {
            for word in bytes.as_chunks_mut::<8>().0 {
                *word = number.to_le_bytes();
            }
        }
    }

    fn read(bytes: &[u8]) -> Tried<u64> {
        let words = bytes.as_chunks::<8>().0;
        // Wrapping, or the checks would be what is measured.
        let sum = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
        let number = sum / words.len().max(1) as u64;
        if bytes.len() == Self::LEN && number * words.len() as u64 == sum {
            Ok(number)
        } else {
            Err("a message was torn".to_owned())
        }
    }
}

/// Writes a message's number into each of its pages.
pub(crate) fn mark(bytes: &mut [u8], number: u64) {
    for page in bytes.chunks_exact_mut(PAGE) {
        page[..8].copy_from_slice(&number.to_le_bytes());
    }
}

/// Reads the number out of each page.
pub(crate) fn look(bytes: &[u8], len: usize) -> Tried<u64> {
    let number = |page: &[u8]| page.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
    let first = number(bytes);
    if bytes.len() == len && bytes.chunks_exact(PAGE).all(|page| number(page) == first) {
        Ok(first)
    } else {
        Err("a message was torn".to_owned())
    }
}

/// Ours, of a pool.
pub(crate) struct Pooled<C>(PhantomData<C>);

impl<C: Content> Cargo for Pooled<C> {
    type Message = PooledBytes;

    fn maker() -> Tried<impl FnMut(u64) -> Tried<PooledBytes>> {
        let pool = BytesPool::new(C::LEN, SEGMENTS).map_err(|error| error.to_string())?;
        let mut write = C::writer();
        let warm: Result<Vec<_>, _> = (0..SEGMENTS).map(|_| pool.take()).collect();
        for mut bytes in warm.map_err(|error| error.to_string())? {
            write(0, &mut bytes);
        }
        Ok(move |number| {
            let mut bytes = pool.take().map_err(|error| error.to_string())?;
            write(number, &mut bytes);
            Ok(bytes.freeze())
        })
    }

    fn read(message: &PooledBytes) -> Tried<u64> {
        C::read(message)
    }
}

/// Ours, fresh for each message.
pub(crate) struct Fresh<C>(PhantomData<C>);

impl<C: Content> Cargo for Fresh<C> {
    type Message = SharedBytes;

    fn maker() -> Tried<impl FnMut(u64) -> Tried<SharedBytes>> {
        let mut write = C::writer();
        Ok(move |number| {
            let mut bytes = SharedBytesMut::zeroed(C::LEN).map_err(|error| error.to_string())?;
            write(number, &mut bytes);
            bytes.freeze().map_err(|error| error.to_string())
        })
    }

    fn read(message: &SharedBytes) -> Tried<u64> {
        C::read(message)
    }
}

/// The floor: fresh memory without a check or a seal.
pub(crate) struct ByHand<C>(PhantomData<C>);

impl<C: Content> Cargo for ByHand<C> {
    type Message = Fd<File>;

    fn maker() -> Tried<impl FnMut(u64) -> Tried<Fd<File>>> {
        let mut write = C::writer();
        Ok(move |number| {
            let file = sys::memfd(C::LEN as u64).map_err(|error| error.to_string())?;
            // SAFETY: it has this length, and the mapping is gone before anybody else has the file.
            let mut bytes = unsafe { MmapMut::map_mut(&file) }.map_err(|error| error.to_string())?;
            write(number, &mut bytes);
            Ok(Fd::new(file))
        })
    }

    fn read(message: &Fd<File>) -> Tried<u64> {
        let file: &File = message;
        // SAFETY: it has the length that it was made with, and its writer is done.
        let bytes = unsafe { Mmap::map(file) }.map_err(|error| error.to_string())?;
        C::read(&bytes)
    }
}

/// Ours, the same bytes for each message.
pub(crate) struct Passed<const LEN: usize>;

impl<const LEN: usize> Cargo for Passed<LEN> {
    /// The number is beside the bytes.
    type Message = (SharedBytes, u64);

    fn maker() -> Tried<impl FnMut(u64) -> Tried<Self::Message>> {
        let mut bytes = SharedBytesMut::zeroed(LEN).map_err(|error| error.to_string())?;
        bytes.fill(7);
        let bytes = bytes.freeze().map_err(|error| error.to_string())?;
        Ok(move |number| Ok((bytes.clone(), number)))
    }

    fn read((bytes, number): &Self::Message) -> Tried<u64> {
        if bytes.len() == LEN && bytes.first() == Some(&7) {
            Ok(*number)
        } else {
            Err("other bytes".to_owned())
        }
    }
}
