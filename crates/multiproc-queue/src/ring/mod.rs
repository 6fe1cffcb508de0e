//! The queue of byte records that everything here is made of.
//!
//! # How it works
//!
//! Records lie one behind the other in *chunks*, which are linked in the order of their use: producers append at the
//! tail under the tail's lock, consumers take at the head under the head's lock, and the two never wait for each
//! other but when the queue is full or empty. Head and tail are each a [`Position`] in a wait cell: the number of
//! records before it, the chunk, and the place in the chunk. **Only what lies between head and tail has a meaning.**
//!
//! A producer writes whole records behind the tail, links new chunks if it needs some, and then publishes the new tail:
//! that one step is the commit, and wakes whoever waits. A consumer copies records out and then publishes the new
//! head. Killed before the step, it did nothing; after it, all.
//!
//! # Chunks
//!
//! Every chunk has a number of its turn, one more than that of the chunk before it. A chunk whose turn is before the
//! head's or behind the tail's is free: there is no list of free chunks that a death could damage, and none is lost by
//! one. Who holds the tail's lock may take any free chunk, or one that was never used, of which the memory is really
//! allocated first. What a dead producer had linked behind the tail is made free again by the next one, which learns of
//! the death from the lock.
//!
//! A chunk is not free either while a record in it is leased, see `lease.rs`.
//!
//! When a queue that has become long is empty again, the memory of most chunks is given back, see `trim.rs`.
//!
//! # Handles
//!
//! What cannot lie in memory waits elsewhere, in packets that are taken in the order in which they were sent, under a
//! number that only grows and that the record names. A producer sends the packet before the commit: killed in between,
//! it leaves a packet with a number that no record has, which the next consumer that needs one drops on its way. A
//! consumer copies the packet, publishes the head, and then takes the packet away.
//!
//! # Who is trusted
//!
//! Nobody: every word of the memory is read once, checked, and then used, and what does not fit is [`Broken`]. There is
//! no reference to the records' bytes, which are copied word by word.
//!
//! This file's neighbours are run by the model of kills as they stand, over a memory of a few words.

mod control;
mod lease;
mod memory;
mod peers;
mod position;
mod put;
mod sight;
mod spin;
mod take;
mod trim;

use std::sync::atomic::AtomicBool;

pub use control::{Control, Shape};
pub use lease::{LEASES, Leased};
pub use memory::{Broken, Memory, OutOfMemory};
pub use peers::{Anyone, End, Peers};
pub use position::Position;
pub use put::{Fault, NoDeposit, Parcel, PutFault, Record, Seen};
pub use sight::{Census, Sight};
pub use spin::Spin;
pub use take::{Batch, Sink};

/// A queue of byte records over some memory.
#[derive(Debug)]
pub struct Ring<M> {
    memory: M,
    shape: Shape,
    /// Whether what a predecessor may have linked behind the tail was freed, where no lock tells of its death.
    is_tidy: AtomicBool,
    /// For messages and for room, as this process has learned.
    spin: [spin::Spin; 2],
}

impl<M: Memory> Ring<M> {
    /// A ring over memory that [`prepare`](Self::prepare) has filled in, here or elsewhere.
    pub fn attach(memory: M, shape: Shape) -> Ring<M> {
        Ring { memory, shape, is_tidy: AtomicBool::new(false), spin: [const { spin::Spin::new() }; 2] }
    }

    /// Fills in zeroed memory, before anybody else can see it.
    ///
    /// # Errors
    ///
    /// There is no memory for the first chunk.
    pub fn prepare(&self) -> Result<(), OutOfMemory> {
        let backed = self.memory.allocate(0)?;
        let control = self.memory.control();
        control.tail.backed.store(u64::from(backed), multiproc_core::sync::atomic::Ordering::Relaxed);
        control.tail.chunks.store(1, multiproc_core::sync::atomic::Ordering::Relaxed);
        if let Ok(chunk) = self.memory.chunk(0) {
            memory::set_turn(chunk, memory::FIRST_TURN);
        }
        let start = Position::START.pack();
        control.tail.cell.publish_quietly(start);
        control.head.cell.publish_quietly(start);
        Ok(())
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// What cannot change.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// How many records it holds, between none and its capacity.
    pub fn len(&self) -> u32 {
        let control = self.memory.control();
        loop {
            let head = control.head.cell.read();
            let tail = control.tail.cell.read();
            // Both at one moment, or one could have overtaken what was read of the other.
            if control.head.cell.read() == head {
                let count = Position::unpack(tail).count.wrapping_sub(Position::unpack(head).count);
                return count.min(self.shape.capacity);
            }
        }
    }

    /// The tail and the head, each for who alone changes it.
    pub fn ends(&self) -> (u64, u64) {
        let control = self.memory.control();
        (control.tail.cell.read_as_writer(), control.head.cell.read_as_writer())
    }

    /// Tells whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.memory.control().bell.is_closed()
    }

    /// How many records wait to be taken: those between head and tail, and those to be delivered again.
    pub fn waiting(&self) -> usize {
        let returned =
            self.memory.control().head.returned.load(multiproc_core::sync::atomic::Ordering::Relaxed);
        self.len() as usize + lease::Leases::count_returned(returned)
    }

    /// Waits until every record has been taken and is done, and tells whether it was so before the deadline.
    pub fn wait_done(&self, deadline: multiproc_core::Deadline) -> bool {
        let control = self.memory.control();
        control.head.cell.wait(&control.bell, deadline, || self.is_done(), || self.return_of_the_dead())
    }

    /// Lets no record in any more, and wakes everybody who waits.
    pub fn close(&self) {
        let control = self.memory.control();
        // Under the tail's lock: who finds it closed and empty finds all that will ever have been put.
        let locked = loop {
            if let Some(locked) = self.lock_tail(multiproc_core::Deadline::NEVER) {
                break locked;
            }
        };
        control.bell.close();
        control.tail.lock.unlock(locked);
    }
}
