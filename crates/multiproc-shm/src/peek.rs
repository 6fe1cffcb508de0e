//! What a watcher may learn of a segment that it was given no handle to. An implementation detail.
//!
//! It reads copies, by a descriptor that cannot write, and maps nothing: a file that is cut meanwhile is an error, and
//! no signal; nothing is written, locked, or kept from being freed. All that is read is input, from whoever made a file
//! of that name.

pub use crate::named::is_unheld;

use crate::header::Header;
use crate::{ShmSafe, arena, kind, layout};
use multiproc_core::sys::memory::read_exact_at;
use std::io;
use std::os::fd::AsFd;

/// What a segment says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What it is.
    pub kind: Kind,
    /// What tells its type from others.
    pub fingerprint: u64,
    /// Whether threads' numbers in it mean something here.
    pub is_of_this_namespace: bool,
    /// Where the payload begins.
    pub offset: u64,
    /// How long it is.
    pub len: u64,
    /// What stands there for watchers: lines of text.
    pub about: String,
}

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value, see [`Shared`](crate::Shared).
    Shared,
    /// What queues live in.
    Arena,
    /// Elements, see [`SharedSlice`](crate::SharedSlice).
    Slice,
    /// Made by another version of this library.
    OtherVersion,
    /// Something else.
    Unknown,
}

/// Reads what a file says that it is; nothing if it says nothing.
///
/// # Errors
///
/// The system's.
pub fn segment(file: impl AsFd) -> io::Result<Option<Segment>> {
    let Some(header) = Header::read(&file)? else { return Ok(None) };
    let (offset, len) = (header.offset, header.len);
    let is_of_this_namespace = header.is_of_this_namespace();
    let kind = match header.kind {
        _ if !header.is_of_this_version() => Kind::OtherVersion,
        kind::SHARED => Kind::Shared,
        kind::ARENA => Kind::Arena,
        kind::SLICE => Kind::Slice,
        _ => Kind::Unknown,
    };
    let about = match kind {
        Kind::Shared => text(&copy(&file, header.end(), header.about.min(layout::MAX_ABOUT) as usize)?),
        Kind::Arena => text(&copy(&file, arena::ABOUT as u64, arena::BEGIN as usize - arena::ABOUT)?),
        _ => String::new(),
    };
    Ok(Some(Segment { kind, fingerprint: header.fingerprint, is_of_this_namespace, offset, len, about }))
}

/// The fingerprint of segments with a value of that type.
#[must_use]
pub fn fingerprint<T: ShmSafe>() -> u64 {
    Header::of::<T>(kind::SHARED).fingerprint
}

/// Text as somebody left it: what is no character, or one that a terminal would obey, is replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let is_plain = |c: char| c == '\n' || !c.is_control();
    String::from_utf8_lossy(&bytes[..end]).chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect()
}

/// Something that a description of a value tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: String,
    /// Where it begins in the payload.
    pub offset: u64,
    /// The fields that lead to it.
    pub path: String,
}

/// Reads a line of a description; nothing if that is none.
#[must_use]
pub fn part(line: &str) -> Option<Part> {
    // The kind may have blanks in it, the path has none.
    let (front, path) = line.rsplit_once(' ')?;
    let (kind, offset) = front.rsplit_once(' ')?;
    Some(Part { kind: kind.to_owned(), offset: offset.parse().ok()?, path: path.to_owned() })
}

/// Copies bytes out of a file; fewer, down to none, if it ends before.
///
/// # Errors
///
/// The system's.
pub fn copy(file: impl AsFd, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    match read_exact_at(&file, &mut bytes, offset) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        // Beyond what an offset can be.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The 64-bit word at an offset of a copy; 0 where there is none.
#[must_use]
pub fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
    word.map_or(0, |word| u64::from_ne_bytes(*word))
}

/// The 32-bit word at an offset of a copy; 0 where there is none.
#[must_use]
pub fn half(bytes: &[u8], at: usize) -> u32 {
    let half = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    half.map_or(0, |half| u32::from_ne_bytes(*half))
}

/// Where the control words of an arena begin.
pub const CONTROL: usize = arena::CONTROL;

/// What an arena's first page has: the numbers that never change, and a copy of the control words.
///
/// # Errors
///
/// The system's.
pub fn arena(file: impl AsFd) -> io::Result<(arena::Numbers, Vec<u8>)> {
    let page = copy(&file, 0, arena::ABOUT)?;
    let numbers = std::array::from_fn(|index| word(&page, arena::NUMBERS as usize + 8 * index));
    Ok((numbers, page.get(arena::CONTROL..).unwrap_or_default().to_vec()))
}

/// The first words of a chunk of an arena whose chunks have that length.
///
/// # Errors
///
/// The system's.
pub fn chunk(file: impl AsFd, chunk_len: u64, index: u32, words: usize) -> io::Result<Vec<u8>> {
    copy(file, arena::BEGIN.saturating_add(chunk_len.saturating_mul(index.into())), 8 * words)
}
