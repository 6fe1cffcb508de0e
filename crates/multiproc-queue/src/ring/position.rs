const CHUNK_BITS: u32 = 18;
const OFFSET_BITS: u32 = 14;

/// A place in the queue: between two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// How many records lie before it, modulo 2^32.
    pub count: u32,
    /// The chunk that it is in.
    pub chunk: u32,
    /// The word of the chunk; the chunk's length stands for the first word of the next one.
    pub offset: u32,
}

impl Position {
    /// The most chunks that there can be.
    pub const CHUNKS: u32 = 1 << CHUNK_BITS;
    /// The most words that a chunk can have.
    pub const WORDS: u32 = (1 << OFFSET_BITS) - 1;
    /// Where a new queue begins.
    pub const START: Position = Position { count: 0, chunk: 0, offset: super::memory::LINKS };

    /// As one number.
    #[inline]
    pub fn pack(self) -> u64 {
        u64::from(self.count) << 32 | u64::from(self.chunk) << OFFSET_BITS | u64::from(self.offset)
    }

    /// Of one number; any is a position, though perhaps of a chunk that there is not.
    #[inline]
    pub fn unpack(packed: u64) -> Position {
        Position {
            count: (packed >> 32) as u32,
            chunk: (packed as u32) >> OFFSET_BITS,
            offset: packed as u32 & Position::WORDS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_one_number() {
        let extremes = [0, 1, 77, u32::MAX];
        for count in extremes {
            for chunk in extremes.map(|value| value % Position::CHUNKS) {
                for offset in extremes.map(|value| value.min(Position::WORDS)) {
                    let position = Position { count, chunk, offset };
                    assert_eq!(Position::unpack(position.pack()), position);
                }
            }
        }
    }
}
