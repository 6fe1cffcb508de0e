use multiproc_core::Message;

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

impl Payload for [u64; 8] {
    const ZERO: Self = [0; 8];

    fn words(&self) -> &[u64] {
        self
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self
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
