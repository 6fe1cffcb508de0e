//! One turn of a call, with the object in the thread's hand.

use super::{Entry, Server, Session, server};
use crate::mode::{Entered, Mode};
use crate::operation::{self, Running, Stored, Turn, Waiter};
use crate::wire::{Answer, Id};
use multiproc_core::codec::Encoded;
use multiproc_process::{CallError, Returned};
use std::cell::RefCell;
use std::sync::Arc;

/// What came of a turn.
pub(crate) struct Ran {
    pub(crate) stored: Box<dyn Stored>,
    pub(crate) turn: Turn,
    pub(crate) outcome: Outcome,
}

pub(crate) enum Outcome {
    /// It is over; what the result holds is to be granted.
    Answer(Answer, Encoded, Vec<Arc<Entry>>),
    Wait(Box<dyn Waiter>),
}

thread_local! {
    /// The objects that this thread is at, the innermost last.
    static WITHIN: RefCell<Vec<Id>> = const { RefCell::new(Vec::new()) };
}

/// Tells whether this thread is in the middle of a call on the object.
pub(crate) fn is_within(id: Id) -> bool {
    WITHIN.with(|within| within.borrow().contains(&id))
}

/// Runs one of the functions of `operation.rs` with the object in its place.
pub(crate) fn run(
    entry: &Entry,
    stored: Box<dyn Stored>,
    turn: Turn,
    session: Option<Arc<Session>>,
    waiter: Option<Box<dyn Waiter>>,
    call: impl FnOnce(&Server) -> Result<Returned, CallError>,
) -> Ran {
    let is_again = waiter.is_some();
    let running = Running { stored, turn, waiter, encoded: None, other_type: None };
    let before = operation::replace(Some(running));
    WITHIN.with(|within| within.borrow_mut().push(entry.id));
    let entered = Entered::new(Mode::Serving(session));
    let result = {
        let _span =
            tracing::debug_span!(target: "multiproc::manager", "serve", object = %entry.type_name).entered();
        call(server())
    };
    let mode = entered.leave();
    WITHIN.with(|within| within.borrow_mut().pop());
    let Some(running) = operation::replace(before) else {
        unreachable!("what a call takes out of its place it puts back")
    };
    let Running { stored, turn, waiter, encoded, other_type } = running;
    let outcome = match result {
        Ok(returned) => match (waiter, encoded, other_type) {
            (_, _, Some(wanted)) => {
                let text = format!("it is a `{}`, and the call is for a `{wanted}`", entry.type_name);
                answer(Answer::OtherType(text))
            }
            (Some(waiter), ..) => Outcome::Wait(waiter),
            (None, Some(Ok(encoded)), _) => Outcome::Answer(Answer::Done, encoded, granted(mode)),
            (None, Some(Err(error)), _) => answer(Answer::NotEncoded(error.to_string())),
            (None, None, _) if is_again => answer(Answer::Gone),
            (None, None, _) => return Ran { stored, turn, outcome: done(returned, mode) },
        },
        Err(error) => answer(failure(error)),
    };
    Ran { stored, turn, outcome }
}

/// Runs what is asked of the server itself.
pub(crate) fn serve(
    session: Option<Arc<Session>>,
    call: impl FnOnce() -> Result<Returned, CallError>,
) -> (Answer, Encoded, Vec<Arc<Entry>>) {
    let before = operation::replace(None);
    let entered = Entered::new(Mode::Serving(session));
    let result = call();
    let mode = entered.leave();
    operation::replace(before);
    let outcome = match result {
        Ok(returned) => done(returned, mode),
        Err(error) => answer(failure(error)),
    };
    match outcome {
        Outcome::Answer(answer, encoded, granted) => (answer, encoded, granted),
        Outcome::Wait(_) => unreachable!("only objects are waited for"),
    }
}

fn done(mut returned: Returned, mode: Mode) -> Outcome {
    let encoded = std::mem::take(&mut returned.encoded);
    // A destructor that panics is its own affair.
    returned.discard();
    Outcome::Answer(Answer::Done, encoded, granted(mode))
}

fn answer(answer: Answer) -> Outcome {
    Outcome::Answer(answer, Encoded::default(), Vec::new())
}

fn granted(mode: Mode) -> Vec<Arc<Entry>> {
    match mode {
        Mode::Granting(granted) => granted,
        _ => Vec::new(),
    }
}

fn failure(error: CallError) -> Answer {
    match error {
        CallError::NoFunction => Answer::NoFunction,
        CallError::Decode(error) => Answer::NotDecoded(error.to_string()),
        CallError::Panicked(panic) => Answer::Panicked(panic),
        CallError::Encode(error) => Answer::NotEncoded(error.to_string()),
        other => Answer::NotDecoded(other.to_string()),
    }
}
