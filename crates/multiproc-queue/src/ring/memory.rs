use super::{Control, Position, Ring};
use multiproc_core::sync::atomic::{AtomicU64, Ordering};

/// Memory that a queue lives in: the shared one, or a model's.
pub trait Memory {
    /// The words that processes work on.
    fn control(&self) -> &Control;

    /// The words of a chunk that has memory.
    ///
    /// # Errors
    ///
    /// There is no such chunk.
    fn chunk(&self, index: u32) -> Result<&[AtomicU64], Broken>;

    /// Makes sure that a chunk has memory, and perhaps some behind it; tells where what has memory ends. What is in
    /// them plays no role.
    ///
    /// # Errors
    ///
    /// There is none left.
    fn allocate(&self, index: u32) -> Result<u32, OutOfMemory>;

    /// Gives back the memory of all chunks from one on, but for one.
    fn release(&self, but: u32, from: u32) {
        let _ = (but, from);
    }
}

/// The memory does not hold what a queue can have written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// There is no memory for more records.
#[derive(Debug)]
pub struct OutOfMemory(pub std::io::Error);

/// The words at the beginning of each chunk: its turn, and the chunk after it.
pub(super) const LINKS: u32 = 2;
const TURN: usize = 0;
const NEXT: usize = 1;
/// The turn of the first chunk; 0 is that of one that was never used.
pub(super) const FIRST_TURN: u64 = 1;

/// Which turn a chunk has; only the owner of the tail's lock changes it.
#[inline]
pub(super) fn turn(chunk: &[AtomicU64]) -> u64 {
    // RING: Relaxed, since a consumer has seen the tail that says the chunk is in use.
    chunk.get(TURN).map_or(0, |turn| turn.load(Ordering::Relaxed))
}

#[inline]
pub(super) fn set_turn(chunk: &[AtomicU64], turn: u64) {
    if let Some(word) = chunk.get(TURN) {
        word.store(turn, Ordering::Relaxed);
    }
}

/// The chunk after this one, if it has one.
#[inline]
pub(super) fn next(chunk: &[AtomicU64]) -> Option<u32> {
    let next = chunk.get(NEXT)?.load(Ordering::Relaxed);
    u32::try_from(next.checked_sub(1)?).ok()
}

pub(super) fn set_next(chunk: &[AtomicU64], next: Option<u32>) {
    if let Some(word) = chunk.get(NEXT) {
        word.store(next.map_or(0, |next| u64::from(next) + 1), Ordering::Relaxed);
    }
}

/// A place to read or write words at, which goes on from chunk to chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    pub(super) words: &'a [AtomicU64],
    pub(super) turn: u64,
    pub(super) chunk: u32,
    pub(super) offset: u32,
}

impl Cursor<'_> {
    /// Its place, with so many records before it.
    pub(super) fn position(&self, count: u32) -> Position {
        Position { count, chunk: self.chunk, offset: self.offset }
    }

    /// The words left in its chunk.
    pub(super) fn left(&self) -> usize {
        self.words.len() - self.offset as usize
    }
}

impl<M: Memory> Ring<M> {
    /// A cursor at a position, if there is such a place.
    #[inline]
    pub(super) fn cursor(&self, position: Position) -> Result<Cursor<'_>, Broken> {
        let words = self.chunk(position.chunk)?;
        if !(LINKS..=self.shape.chunk_words).contains(&position.offset) {
            return Err(Broken("an end of the queue lies outside of its chunk"));
        }
        Ok(Cursor { words, turn: turn(words), chunk: position.chunk, offset: position.offset })
    }

    /// The words of a chunk, as many as each has.
    #[inline]
    pub(super) fn chunk(&self, index: u32) -> Result<&[AtomicU64], Broken> {
        if index >= self.shape.max_chunks {
            return Err(Broken("a link leads out of the queue"));
        }
        let words = self.memory.chunk(index)?;
        words.get(..self.shape.chunk_words as usize).ok_or(Broken("a chunk is too short"))
    }

    /// The cursor at the first word of the next chunk.
    pub(super) fn follow(&self, cursor: &Cursor<'_>) -> Result<Cursor<'_>, Broken> {
        let chunk = next(cursor.words).ok_or(Broken("a chunk has no successor"))?;
        let words = self.chunk(chunk)?;
        let turn = turn(words);
        if turn.checked_sub(1) != Some(cursor.turn) {
            return Err(Broken("the chunks are out of turn"));
        }
        Ok(Cursor { words, turn, chunk, offset: LINKS })
    }
}
