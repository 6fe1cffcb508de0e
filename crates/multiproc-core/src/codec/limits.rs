/// What one decode may cost; everything beyond is an error, never an abort.
#[derive(Clone, Copy, Debug)]
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
