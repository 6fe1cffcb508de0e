/// The deepest nesting that is encoded, and decoded from a peer of the same program.
///
/// The same number on both sides: what could be encoded can be decoded.
pub(super) const MAX_DEPTH: usize = 512;

/// The most handles in one message: an index fits 16 bits, and a process seldom may open more files anyway.
pub(super) const MAX_HANDLES: usize = 65_536;

/// How often a message's own length its value may take in memory, before [`Limits::max_memory`] is touched.
///
/// A one-byte varint becomes a `u64`, and is counted once as an element and once as a field of its struct: 16
/// times. Twice that leaves room for one more wrapper.
pub(super) const MEMORY_PER_BYTE: usize = 32;

/// The most elements that room is made for on the sender's word; serde itself makes no more than 1 MiB for each
/// sequence.
pub(super) const HINTED: usize = 1 << 20;

/// How many levels may make that much room at the same time. Without a bound 512 levels would make 512 MiB of a few
/// kilobytes.
pub(super) const HINTED_LEVELS: usize = 8;

/// What one decode may cost; everything beyond is an error, never an abort.
///
/// # Examples
///
/// ```
/// use multiproc_core::codec::{Limits, decode_with};
///
/// let mut limits = Limits::untrusted();
/// limits.max_bytes = 3;
/// assert!(decode_with::<String>(b"\x04four", Vec::new(), &limits).unwrap_err().is_limit());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest message in bytes.
    pub max_bytes: usize,
    /// Deepest nesting of values.
    pub max_depth: usize,
    /// Bytes of memory that the decoded value may take beyond 32 times the message's own length.
    pub max_memory: usize,
    /// Sequence elements and map entries that take no byte of the message.
    pub max_zero_sized: usize,
    /// Whether the sender is a process of the same program started by this family (a parent, a child, a pool
    /// worker), so that handles which are safe only by protocol are let in.
    pub trusted: bool,
}

impl Limits {
    /// Makes the limits for a process of the same family: any length, 1 GiB of memory and more with the length.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(multiproc_core::codec::Limits::trusted().trusted);
    /// ```
    pub const fn trusted() -> Limits {
        Limits {
            max_bytes: isize::MAX as usize,
            max_depth: MAX_DEPTH,
            max_memory: 1 << 30,
            max_zero_sized: 1 << 24,
            trusted: true,
        }
    }

    /// Makes the limits for a peer that may be anybody: 64 MiB of message, 64 MiB of memory and more with the length.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!multiproc_core::codec::Limits::untrusted().trusted);
    /// ```
    pub const fn untrusted() -> Limits {
        Limits { max_bytes: 64 << 20, max_memory: 64 << 20, trusted: false, ..Limits::trusted() }
    }
}

impl Default for Limits {
    /// The limits of [`Limits::trusted`].
    fn default() -> Limits {
        Limits::trusted()
    }
}
