//! What runs in the server: the code that knows the types on both sides of a call.
//!
//! A call travels as a [`Remote`](multiproc_process::Remote): one of the functions here, made for the call's types, and
//! its encoded argument. The object that it is about lies in a place of the thread's ([`Running`]) meanwhile.

use crate::mode::Outside;
use crate::wire::Id;
use multiproc_core::Message;
use multiproc_core::codec::{self, EncodeError, Encoded};
use multiproc_process::FuncWith;
use serde::{Deserialize, Serialize};
use std::any::{Any, type_name};
use std::cell::RefCell;
use std::marker::PhantomData;

/// What the server keeps: a user's value, or one of the ready-made kinds.
pub(crate) trait Stored: Send {
    /// The value itself.
    fn value(&mut self) -> &mut dyn Any;

    /// A client is gone, and with it what it held.
    fn client_gone(&mut self, _client: Id) {}
}

/// A user's own value.
pub(crate) struct Plain<T>(pub(crate) T);

impl<T: Send + 'static> Stored for Plain<T> {
    fn value(&mut self) -> &mut dyn Any {
        &mut self.0
    }
}

/// A ready-made value of which clients hold parts: locks, permits, places at a barrier.
pub(crate) trait Held: Send + 'static {
    /// Gives back what that client held.
    fn client_gone(&mut self, client: Id);
}

/// One of those.
pub(crate) struct Lent<T>(pub(crate) T);

impl<T: Held> Stored for Lent<T> {
    fn value(&mut self) -> &mut dyn Any {
        &mut self.0
    }

    fn client_gone(&mut self, client: Id) {
        self.0.client_gone(client);
    }
}

/// Why an operation gets its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is new.
    First,
    /// Something has happened to the object.
    Again,
    /// Its time is up; it may say so, or go on waiting without a limit.
    Expired,
    /// Whoever asked is gone: what it gives is thrown away.
    Cancelled,
}

/// One turn of an operation.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Which client asks; 0 for the server itself.
    pub(crate) client: Id,
    pub(crate) reason: Reason,
    /// Set by an operation that leaves something with the client, which is to come back when the client goes.
    pub(crate) holds: bool,
}

/// What came of a turn.
pub(crate) enum Step<O, R> {
    Done(R),
    /// Nothing can be done until something happens to the object.
    Wait(O),
}

/// An operation on a `T` that may have to wait, as data: its waiting costs no thread.
pub(crate) trait Operation<T>: Message + Send + Sized {
    type Output: Message;

    /// Does it, or says that it cannot be done yet.
    fn run(self, object: &mut T, turn: &mut Turn) -> Step<Self, Self::Output>;

    /// Operations of one class wait for the same: where one of them cannot go on, those behind it cannot either.
    fn class(&self) -> Option<u8> {
        None
    }
}

/// What waits for its turn.
pub(crate) trait Waiter: Send {
    fn again(self: Box<Self>, object: &mut dyn Any, turn: &mut Turn) -> Again;
    fn class(&self) -> Option<u8>;
}

/// What came of the turn of a [`Waiter`].
pub(crate) enum Again {
    Done(Result<Encoded, EncodeError>),
    Wait(Box<dyn Waiter>),
}

struct Waiting<T, O>(O, PhantomData<fn(&mut T)>);

impl<T: 'static, O: Operation<T>> Waiter for Waiting<T, O> {
    fn again(self: Box<Self>, object: &mut dyn Any, turn: &mut Turn) -> Again {
        let Some(object) = object.downcast_mut::<T>() else {
            unreachable!("an operation waits only for an object of its type")
        };
        let outside = Outside::enter();
        let step = self.0.run(object, turn);
        drop(outside);
        match step {
            Step::Done(output) => Again::Done(codec::encode_message(&Some(output))),
            Step::Wait(operation) => Again::Wait(Box::new(Waiting(operation, PhantomData))),
        }
    }

    fn class(&self) -> Option<u8> {
        self.0.class()
    }
}

/// What the thread is at.
pub(crate) struct Running {
    pub(crate) stored: Box<dyn Stored>,
    pub(crate) turn: Turn,
    /// What has to wait: put here before its next turn, and found here after one that came to nothing.
    pub(crate) waiter: Option<Box<dyn Waiter>>,
    /// What the turn of a waiter gave.
    pub(crate) encoded: Option<Result<Encoded, EncodeError>>,
    /// The object is of another type than the call is for.
    pub(crate) other_type: Option<String>,
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// Says what the thread is at; gives what it was at before.
pub(crate) fn replace(running: Option<Running>) -> Option<Running> {
    RUNNING.with(|cell| cell.replace(running))
}

/// Taken out of its place, so that calls within the call have theirs; put back when the call is left, by a panic too.
struct Taken(Option<Running>);

impl Taken {
    fn take() -> Taken {
        Taken(replace(None))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            replace(Some(running));
        }
    }
}

/// A user's function and its argument.
#[derive(Serialize, Deserialize)]
#[serde(bound = "A: Message")]
pub(crate) struct Call<T: 'static, A, R: 'static> {
    pub(crate) f: FuncWith<T, A, R>,
    pub(crate) args: A,
}

/// The object, if it is a `T`; else it is noted what it was to be.
fn object<'a, T: 'static>(stored: &'a mut dyn Stored, other_type: &mut Option<String>) -> Option<&'a mut T> {
    let object = stored.value().downcast_mut();
    if object.is_none() {
        *other_type = Some(type_name::<T>().to_owned());
    }
    object
}

/// Calls a user's function on the object.
pub(crate) fn call<T: 'static, A: Message, R: Message>(call: Call<T, A, R>) -> Option<R> {
    let mut taken = Taken::take();
    let running = taken.0.as_mut()?;
    let object = object::<T>(&mut *running.stored, &mut running.other_type)?;
    let _outside = Outside::enter();
    Some(call.f.call(object, call.args))
}

/// Gives an operation its first turn.
pub(crate) fn operate<T: 'static, O: Operation<T>>(operation: O) -> Option<O::Output> {
    let mut taken = Taken::take();
    let running = taken.0.as_mut()?;
    let object = object::<T>(&mut *running.stored, &mut running.other_type)?;
    let _outside = Outside::enter();
    match operation.run(object, &mut running.turn) {
        Step::Done(output) => Some(output),
        Step::Wait(operation) => {
            running.waiter = Some(Box::new(Waiting::<T, O>(operation, PhantomData)));
            None
        }
    }
}

/// Gives what waits another turn.
pub(crate) fn again((): ()) {
    let mut taken = Taken::take();
    let Some(running) = taken.0.as_mut() else { return };
    let Some(waiter) = running.waiter.take() else { return };
    match waiter.again(running.stored.value(), &mut running.turn) {
        Again::Done(encoded) => running.encoded = Some(encoded),
        Again::Wait(waiter) => running.waiter = Some(waiter),
    }
}

/// Has an object take back what a client held.
pub(crate) fn client_gone((): ()) {
    let mut taken = Taken::take();
    let Some(running) = taken.0.as_mut() else { return };
    running.stored.client_gone(running.turn.client);
}

/// A user's function that says by its result whether it could be done; if not it gives its argument back.
#[derive(Serialize, Deserialize)]
#[serde(bound = "A: Message, R: Message")]
pub(crate) struct When<T: 'static, A: 'static, R: 'static> {
    pub(crate) f: FuncWith<T, A, Result<R, A>>,
    pub(crate) args: A,
}

impl<T: 'static, A: Message + Send, R: Message> Operation<T> for When<T, A, R> {
    type Output = Option<R>;

    fn run(self, object: &mut T, turn: &mut Turn) -> Step<Self, Option<R>> {
        if turn.reason == Reason::Cancelled {
            return Step::Done(None);
        }
        match self.f.call(object, self.args) {
            Ok(result) => Step::Done(Some(result)),
            Err(_) if turn.reason == Reason::Expired => Step::Done(None),
            Err(args) => Step::Wait(When { f: self.f, args }),
        }
    }
}
