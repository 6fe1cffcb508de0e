use multiproc_core::Message;
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, transmute_mut, transmute_ref};

/// A typed message of a fixed size that tells its number, and whether it is whole.
pub(crate) trait Payload: Message + Copy + Send {
    /// One of all zeros.
    const ZERO: Self;

    fn words(&self) -> &[u64];

    fn words_mut(&mut self) -> &mut [u64];

    /// The message of that number. Its numbers are large, so that they are about as long when they are encoded.
    fn of(number: u64) -> Self {
        const LARGE: u64 = 1 << 55;
        let mut message = Self::ZERO;
        if let [first, middle @ .., last] = message.words_mut() {
            *first = number;
            middle.fill(LARGE | number);
            *last = !number;
        }
        message
    }

    /// Its number, if it is whole.
    fn number(&self) -> Result<u64, String> {
        match self.words() {
            [first, .., last] if *first == !*last => Ok(*first),
            _ => Err("a message was torn".to_owned()),
        }
    }
}

impl Payload for [u64; 2] {
    const ZERO: Self = [0; 2];

    fn words(&self) -> &[u64] {
        self
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self
    }
}

/// Large integers alone, 72 B when they are encoded: what our encoding takes longest for.
impl Payload for [u64; 8] {
    const ZERO: Self = [0; 8];

    fn words(&self) -> &[u64] {
        self
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self
    }
}

/// A record of 64 B such as many are: numbers of both kinds, and about as long when it is encoded.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub(crate) struct Sample {
    number: u64,
    values: [f64; 6],
    check: u64,
}

impl Payload for Sample {
    const ZERO: Self = Sample { number: 0, values: [0.0; 6], check: 0 };

    fn words(&self) -> &[u64] {
        let words: &[u64; 8] = transmute_ref!(self);
        words
    }

    fn words_mut(&mut self) -> &mut [u64] {
        let words: &mut [u64; 8] = transmute_mut!(self);
        words
    }
}

/// 1 KiB; serde has no longer arrays than of 32.
impl Payload for [[u64; 16]; 8] {
    const ZERO: Self = [[0; 16]; 8];

    fn words(&self) -> &[u64] {
        self.as_flattened()
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self.as_flattened_mut()
    }
}
