use std::cell::Cell;

/// How much stack one encode or decode may use, nested ones included.
///
/// A test thread has 2 MiB, and debug builds take over a kilobyte per level; what is left over is the caller's.
const STACK: usize = 768 << 10;

/// What the encodes and decodes under way on this thread share.
#[derive(Clone, Copy)]
struct Call {
    /// The lowest stack address that they may reach; `None` while there are none.
    floor: Option<usize>,
    /// Whether the innermost decode is of a trusted peer; `None` while there is none.
    trusted: Option<bool>,
}

thread_local! {
    static CALL: Cell<Call> = const { Cell::new(Call { floor: None, trusted: None }) };
}

/// One encode or decode under way; dropping it, by a panic too, restores what was before.
pub(super) struct Entered {
    before: Call,
    pub(super) floor: usize,
}

impl Entered {
    /// Begins an encode.
    #[inline]
    pub(super) fn encode() -> Entered {
        Entered::enter(|trusted| trusted)
    }

    /// Begins a decode. One inside an untrusted decode is untrusted, whatever it says itself: the bytes that a
    /// `Deserialize` implementation hands on came from the same peer.
    #[inline]
    pub(super) fn decode(trusted: bool) -> Entered {
        Entered::enter(|outer| Some(trusted && outer.unwrap_or(true)))
    }

    #[inline]
    fn enter(trust: impl FnOnce(Option<bool>) -> Option<bool>) -> Entered {
        let before = CALL.get();
        // A nested call inherits the floor, or a chain of them would have no bound.
        let floor = before.floor.unwrap_or_else(|| stack_address().saturating_sub(STACK));
        CALL.set(Call { floor: Some(floor), trusted: trust(before.trusted) });
        Entered { before, floor }
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        CALL.set(self.before);
    }
}

/// Tells about the innermost decode on this thread; `None` if there is none.
pub(super) fn trusted() -> Option<bool> {
    CALL.get().trusted
}

/// An address in the current stack frame: every target grows its stack downwards.
#[inline]
pub(super) fn stack_address() -> usize {
    let here = 0u8;
    std::ptr::from_ref(&here).addr()
}
