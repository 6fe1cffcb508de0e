//! Who has a lock, and how it is taken: what the ready-made locks have in common.

use crate::CallError;
use crate::operation::{Operation, Reason, Step, Turn};
use crate::proxy::{Proxy, or_expired};
use crate::wire::Id;
use multiproc_core::Deadline;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// A thread of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) client: Id,
    pub(crate) thread: u64,
}

/// Whether somebody has it, and who.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    owner: Option<(Owner, u32)>,
    /// Who had it last died with it.
    inherited: bool,
}

/// How it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Taken {
    No,
    Yes,
    /// From one who died with it.
    FromTheDead,
}

impl Hold {
    /// Takes it if nobody has it, or, with `again`, if this owner has it.
    pub(crate) fn take(&mut self, owner: Owner, again: bool) -> Taken {
        match &mut self.owner {
            None => {
                self.owner = Some((owner, 1));
                if std::mem::take(&mut self.inherited) { Taken::FromTheDead } else { Taken::Yes }
            }
            Some((found, depth)) if again && *found == owner => {
                *depth += 1;
                Taken::Yes
            }
            Some(_) => Taken::No,
        }
    }

    /// Gives it back once; false where it is not had, or by somebody else than `owner`.
    pub(crate) fn give(&mut self, owner: Option<Owner>) -> bool {
        match &mut self.owner {
            Some((found, _)) if owner.is_some_and(|owner| owner != *found) => false,
            Some((_, depth)) => {
                *depth -= 1;
                if *depth == 0 {
                    self.owner = None;
                }
                true
            }
            None => false,
        }
    }

    /// Gives it back however often it was taken; tells how often.
    pub(crate) fn give_all(&mut self, owner: Owner) -> Option<u32> {
        let (_, depth) = self.owner.take_if(|(found, _)| *found == owner)?;
        Some(depth)
    }

    /// Takes it as often as it was had before, if nobody has it.
    pub(crate) fn take_all(&mut self, owner: Owner, depth: u32) -> bool {
        let is_free = self.owner.is_none();
        if is_free {
            self.owner = Some((owner, depth));
        }
        is_free
    }

    pub(crate) fn is_held(&self) -> bool {
        self.owner.is_some()
    }

    /// A client is gone, and what it had is free.
    pub(crate) fn client_gone(&mut self, client: Id) {
        if self.owner.take_if(|(owner, _)| owner.client == client).is_some() {
            self.inherited = true;
        }
    }
}

/// An object that is a lock, or has one.
pub(crate) trait Holds: 'static {
    /// Whether who has it may take it again, and alone may give it back.
    const IS_REENTRANT: bool;

    fn hold(&mut self) -> &mut Hold;
}

/// Takes the lock.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Acquire {
    waits: bool,
    thread: u64,
}

impl<T: Holds> Operation<T> for Acquire {
    type Output = Taken;

    fn run(self, object: &mut T, turn: &mut Turn) -> Step<Self, Taken> {
        if turn.reason == Reason::Cancelled {
            return Step::Done(Taken::No);
        }
        let owner = Owner { client: turn.client, thread: self.thread };
        match object.hold().take(owner, T::IS_REENTRANT) {
            Taken::No if self.waits && turn.reason != Reason::Expired => Step::Wait(self),
            taken => {
                turn.holds = taken != Taken::No;
                Step::Done(taken)
            }
        }
    }

    fn class(&self) -> Option<u8> {
        Some(0)
    }
}

/// Gives the lock back, once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Release {
    pub(crate) thread: u64,
}

impl<T: Holds> Operation<T> for Release {
    type Output = bool;

    fn run(self, object: &mut T, turn: &mut Turn) -> Step<Self, bool> {
        let owner = Owner { client: turn.client, thread: self.thread };
        Step::Done(object.hold().give(T::IS_REENTRANT.then_some(owner)))
    }
}

/// Takes the lock for the calling thread, whose number is `thread`.
pub(crate) fn acquire<T: Holds>(
    lock: &Proxy<T>,
    thread: u64,
    waits: bool,
    deadline: Deadline,
) -> Result<Taken, CallError> {
    let own = lock.clone();
    let undo = move |taken| {
        if taken != Taken::No {
            // Who wanted it has given up.
            give_back(&own, thread);
        }
    };
    let taken = lock.operate(Acquire { waits, thread }, deadline, Some(Box::new(undo)));
    or_expired(taken, || Taken::No)
}

/// Gives the lock back where nobody could be told that it did not work.
pub(crate) fn give_back<T: Holds>(lock: &Proxy<T>, thread: u64) {
    // A server that is gone has no locks.
    let _ = lock.operate(Release { thread }, Deadline::NEVER, None);
}

/// A number of the calling thread, which no other of the process has or had.
pub(crate) fn thread() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static NUMBER: u64 = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Owner = Owner { client: 1, thread: 1 };
    const B: Owner = Owner { client: 2, thread: 1 };

    #[test]
    fn it_is_had_once_and_by_one() {
        let mut hold = Hold::default();
        assert_eq!(hold.take(A, false), Taken::Yes);
        assert_eq!(hold.take(A, false), Taken::No);
        assert_eq!(hold.take(A, true), Taken::Yes);
        assert_eq!(hold.take(B, true), Taken::No);
        assert!(!hold.give(Some(B)));
        assert!(hold.give(Some(A)) && hold.is_held() && hold.give(None) && !hold.give(None));
    }

    #[test]
    fn the_dead_leave_it() {
        let mut hold = Hold::default();
        hold.take(A, false);
        hold.client_gone(B.client);
        assert_eq!(hold.take(B, false), Taken::No);
        hold.client_gone(A.client);
        assert_eq!(hold.take(B, false), Taken::FromTheDead);
        assert!(hold.give(Some(B)));
        assert_eq!(hold.take(A, false), Taken::Yes);
    }
}
