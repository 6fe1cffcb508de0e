use super::lease::Leases;
use super::{End, Memory, Position, Ring, Shape, memory};
use multiproc_core::sync::atomic::Ordering;

/// A queue's words at one moment, with those of them that are counted already counted.
///
/// Who has the queue reads them where they are, and a watcher in a copy; what they mean stands here alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sight {
    pub(super) tail: Seat,
    pub(super) head: Seat,
    /// The word that counts the records that were leased and came back.
    pub(super) returned: u64,
    /// How many are leased.
    pub(super) leased: usize,
    pub(super) is_closed: bool,
}

/// What was seen of one end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seat {
    /// Its position, packed.
    pub(super) at: u64,
    /// The turn of its chunk.
    pub(super) turn: u64,
    /// Whether somebody sleeps until it changes.
    pub(super) is_waited_for: bool,
}

/// What becomes of a [`Sight`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// How many records wait to be taken, those to be delivered again among them.
    pub waiting: usize,
    /// How many there can be.
    pub capacity: usize,
    /// How many of the waiting ones had been leased.
    pub returned: usize,
    /// How many are leased.
    pub leased: usize,
    /// How many were ever put, modulo 2^32.
    pub put: u32,
    /// How many were ever taken, modulo 2^32.
    pub taken: u32,
    /// How many bytes were ever put, heads of records among them, rounded up to words.
    pub bytes_put: u64,
    /// How many were ever taken.
    pub bytes_taken: u64,
    /// Whether somebody waits for room, and for records.
    pub are_waiting: [bool; 2],
    /// Whether it was closed.
    pub is_closed: bool,
}

impl Seat {
    /// How many bytes lie before it, since the beginning.
    fn bytes(self, shape: &Shape) -> u64 {
        let offset = Position::unpack(self.at).offset.saturating_sub(memory::LINKS).min(shape.room());
        let chunks = self.turn.saturating_sub(memory::FIRST_TURN);
        chunks.saturating_mul(shape.room().into()).saturating_add(offset.into()).saturating_mul(8)
    }
}

impl Sight {
    /// What it means in a queue of that shape; whatever was seen, the numbers fit together.
    pub fn census(&self, shape: &Shape) -> Census {
        let (put, taken) = (Position::unpack(self.tail.at).count, Position::unpack(self.head.at).count);
        // A copy may show the head of a moment after the tail's, which had gone on by then: there was about nothing.
        let between = Some(put.wrapping_sub(taken)).filter(|between| *between <= shape.capacity).unwrap_or(0);
        let returned = Leases::count_returned(self.returned);
        let bytes_taken = self.head.bytes(shape);
        Census {
            waiting: between as usize + returned,
            capacity: shape.capacity as usize,
            returned,
            leased: self.leased,
            put,
            taken,
            bytes_put: self.tail.bytes(shape).max(bytes_taken),
            bytes_taken,
            are_waiting: [self.head.is_waited_for, self.tail.is_waited_for],
            is_closed: self.is_closed,
        }
    }
}

impl<M: Memory> Ring<M> {
    /// Looks at all of it, without a lock.
    pub fn sight(&self) -> Sight {
        let control = self.memory.control();
        loop {
            let [head, tail] = [End::Head, End::Tail].map(|end| self.seat(end));
            // Both at one moment, or one could have overtaken what was seen of the other.
            if control.head.cell.read() == head.at {
                return Sight {
                    tail,
                    head,
                    returned: control.head.returned.load(Ordering::Relaxed),
                    leased: control.leases.open(),
                    is_closed: control.bell.is_closed(),
                };
            }
        }
    }

    fn seat(&self, end: End) -> Seat {
        let control = self.memory.control();
        let cell = if end == End::Tail { &control.tail.cell } else { &control.head.cell };
        loop {
            let at = cell.read();
            let turn = self.chunk(Position::unpack(at).chunk).map_or(0, memory::turn);
            // The chunk may have been taken for another turn meanwhile.
            if cell.read() == at {
                return Seat { at, turn, is_waited_for: cell.is_waited_for() };
            }
        }
    }
}

impl Leases {
    /// How many are open.
    fn open(&self) -> usize {
        (0..super::LEASES).filter(|place| Leases::is_open(self.owner(*place))).count()
    }
}

#[cfg(not(any(loom, multiproc_model)))]
mod copy {
    //! The same in a copy of the words, for watchers.

    use super::super::control::{Control, Side};
    use super::super::lease::Leases;
    use super::super::{End, LEASES, Position};
    use super::{Seat, Sight};
    use multiproc_shm::peek::word;
    use multiproc_sync::raw::{DeathBell, WaitCell};
    use std::io;
    use std::mem::offset_of;

    impl Sight {
        /// Looks at a copy of the control words; `turn` reads the turn of a chunk.
        pub(crate) fn of_copy(control: &[u8], turn: impl Fn(u32) -> io::Result<u64>) -> io::Result<Sight> {
            let seat = |side: usize| {
                let (at, is_waited_for) = WaitCell::seen(from(control, side + offset_of!(Side, cell)));
                io::Result::Ok(Seat { at, turn: turn(Position::unpack(at).chunk)?, is_waited_for })
            };
            let owner =
                |place: usize| word(control, offset_of!(Control, leases) + Leases::place_of_owner(place));
            Ok(Sight {
                tail: seat(offset_of!(Control, tail))?,
                head: seat(offset_of!(Control, head))?,
                returned: word(control, offset_of!(Control, head) + offset_of!(Side, returned)),
                leased: (0..LEASES).filter(|place| Leases::is_open(owner(*place))).count(),
                is_closed: DeathBell::was_closed(from(control, offset_of!(Control, bell))),
            })
        }

        /// Tells whether both ends are in the same chunks as in the sight before, and in the same turn of them: the turn,
        /// which is read after the place and only ever grows, was that of the place.
        pub(crate) fn is_near(&self, before: &Sight) -> bool {
            let chunk = |seat: &Seat| (Position::unpack(seat.at).chunk, seat.turn);
            chunk(&self.tail) == chunk(&before.tail) && chunk(&self.head) == chunk(&before.head)
        }
    }

    impl Control {
        /// Who waits that sleeps on the word at an offset: for the head to move, or for the tail, or for a lock.
        pub(crate) fn sleeps_for(offset: usize) -> Option<End> {
            let cell = |side: usize| side + offset_of!(Side, cell)..side + offset_of!(Side, cell) + 8;
            if cell(offset_of!(Control, head)).contains(&offset) {
                Some(End::Head)
            } else if cell(offset_of!(Control, tail)).contains(&offset) {
                Some(End::Tail)
            } else {
                None
            }
        }
    }

    fn from(control: &[u8], at: usize) -> &[u8] {
        control.get(at..).unwrap_or_default()
    }
}
