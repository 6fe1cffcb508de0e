//! One object, and the calls on it: in their order, on whatever thread has time.

use super::exec::{self, Outcome};
use super::{Server, reply};
use crate::operation::{Plain, Reason, Stored, Turn, Waiter};
use crate::wire::{Answer, Arrived, Id};
use multiproc_core::codec::Encoded;
use multiproc_process::Remote;
use parking_lot::Mutex;
use std::any::{TypeId, type_name};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// An object. It goes with its last reference: a client's, a token's, a name's, or a proxy in the server.
pub(crate) struct Entry {
    pub(crate) id: Id,
    pub(crate) type_id: TypeId,
    pub(crate) type_name: &'static str,
    cell: Mutex<Cell>,
    pub(crate) calls: AtomicU64,
}

struct Cell {
    /// `None` while a thread works on it.
    body: Option<Body>,
    queue: VecDeque<Job>,
}

/// What a thread works on.
struct Body {
    stored: Box<dyn Stored>,
    waiting: Vec<Waiting>,
}

/// A call that has begun, and cannot go on for now.
struct Waiting {
    number: u64,
    origin: reply::Origin,
    waiter: Box<dyn Waiter>,
    timer: Option<Instant>,
}

/// What is to be done with an object.
pub(crate) enum Job {
    Call(Call),
    /// The time of that call is up.
    Expire(u64),
    /// Who has made that call is gone.
    Cancel(u64),
    /// That client is gone.
    ClientGone(Id),
}

/// A call on its way.
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) remote: Remote,
    pub(crate) message: Arrived,
    pub(crate) origin: reply::Origin,
    pub(crate) deadline: Option<Instant>,
}

impl Entry {
    pub(crate) fn plain<T: Send + 'static>(id: Id, value: T) -> Entry {
        Entry::new::<T>(id, Box::new(Plain(value)))
    }

    /// Keeps what is, or wraps, a `T`.
    pub(crate) fn new<T: 'static>(id: Id, stored: Box<dyn Stored>) -> Entry {
        let body = Body { stored, waiting: Vec::new() };
        Entry {
            id,
            type_id: TypeId::of::<T>(),
            type_name: type_name::<T>(),
            cell: Mutex::new(Cell { body: Some(body), queue: VecDeque::new() }),
            calls: AtomicU64::new(0),
        }
    }

    /// Has it done: at once where nobody is at it, else by who is.
    pub(crate) fn submit(self: &Arc<Self>, server: &Server, job: Job) {
        let mut cell = self.cell.lock();
        let unqueued = match job {
            Job::Expire(number) | Job::Cancel(number) => cell.unqueue(number),
            _ => None,
        };
        if let Some(call) = unqueued {
            drop(cell);
            server.timers.remove(call.deadline, call.number);
            // To a lane that is gone it is not told.
            return call.origin.reply(server, Answer::Expired, Encoded::default(), Vec::new());
        }
        let Some(body) = cell.body.take() else {
            if let Job::Call(call) = &job {
                server.timers.add(server, call.deadline, call.number, self);
            }
            cell.queue.push_back(job);
            return;
        };
        drop(cell);
        self.drive(server, body, job);
    }

    /// Works until there is nothing left to do.
    fn drive(self: &Arc<Self>, server: &Server, mut body: Body, mut job: Job) {
        loop {
            body = self.work(server, body, job);
            let mut cell = self.cell.lock();
            match cell.queue.pop_front() {
                Some(next) => job = next,
                None => {
                    cell.body = Some(body);
                    return;
                }
            }
        }
    }

    fn work(self: &Arc<Self>, server: &Server, body: Body, job: Job) -> Body {
        let body = match job {
            Job::Call(call) => self.call(server, body, call),
            Job::Expire(number) => self.turn_of(server, body, number, Reason::Expired),
            Job::Cancel(number) => self.turn_of(server, body, number, Reason::Cancelled),
            Job::ClientGone(client) => self.client_gone(server, body, client),
        };
        if body.waiting.is_empty() { body } else { self.settle(server, body) }
    }

    fn call(self: &Arc<Self>, server: &Server, mut body: Body, call: Call) -> Body {
        let Call { number, remote, mut message, origin, deadline } = call;
        self.calls.fetch_add(1, Ordering::Relaxed);
        if deadline.is_some_and(|at| Instant::now() >= at) {
            server.timers.remove(deadline, number);
            origin.reply(server, Answer::Expired, Encoded::default(), Vec::new());
            return body;
        }
        let fds = message.take_fds();
        let turn = origin.turn(Reason::First);
        let session = origin.session();
        let ran = exec::run(self, body.stored, turn, session, None, |_| remote.call(message.body(), fds));
        body.stored = ran.stored;
        drop(message);
        self.note_held(server, ran.turn.holds, &origin, &mut body);
        match ran.outcome {
            Outcome::Answer(answer, encoded, granted) => {
                server.timers.remove(deadline, number);
                origin.reply(server, answer, encoded, granted);
            }
            Outcome::Wait(waiter) => {
                server.timers.add(server, deadline, number, self);
                body.waiting.push(Waiting { number, origin, waiter, timer: deadline });
            }
        }
        body
    }

    /// Gives a waiting call its turn; `Err` has it back where it still waits.
    fn again(
        self: &Arc<Self>,
        server: &Server,
        mut body: Body,
        waiting: Waiting,
        reason: Reason,
    ) -> (Body, Option<Waiting>) {
        let Waiting { number, origin, waiter, timer } = waiting;
        let turn = origin.turn(reason);
        let session = origin.session();
        let ran = exec::run(self, body.stored, turn, session, Some(waiter), |server| {
            server.again.call(&[], vec![])
        });
        body.stored = ran.stored;
        if reason == Reason::Cancelled {
            server.timers.remove(timer, number);
            return (body, None);
        }
        self.note_held(server, ran.turn.holds, &origin, &mut body);
        match ran.outcome {
            Outcome::Answer(answer, encoded, granted) => {
                server.timers.remove(timer, number);
                origin.reply(server, answer, encoded, granted);
                (body, None)
            }
            Outcome::Wait(waiter) => (body, Some(Waiting { number, origin, waiter, timer })),
        }
    }

    fn turn_of(self: &Arc<Self>, server: &Server, mut body: Body, number: u64, reason: Reason) -> Body {
        let Some(place) = body.waiting.iter().position(|waiting| waiting.number == number) else {
            return body;
        };
        let waiting = body.waiting.remove(place);
        let (mut body, waiting) = self.again(server, body, waiting, reason);
        if let Some(waiting) = waiting {
            body.waiting.insert(place.min(body.waiting.len()), waiting);
        }
        body
    }

    /// Lets those go on who can, until nobody can.
    fn settle(self: &Arc<Self>, server: &Server, mut body: Body) -> Body {
        loop {
            let (mut progress, mut blocked) = (false, 0u64);
            let mut place = 0;
            while place < body.waiting.len() {
                let class = body.waiting[place].waiter.class().map_or(0, |class| 1 << (class % 64));
                if blocked & class != 0 {
                    place += 1;
                    continue;
                }
                let waiting = body.waiting.remove(place);
                let (after, left) = self.again(server, body, waiting, Reason::Again);
                body = after;
                match left {
                    None => progress = true,
                    Some(waiting) => {
                        body.waiting.insert(place, waiting);
                        blocked |= class;
                        place += 1;
                    }
                }
            }
            if !progress {
                return body;
            }
        }
    }

    /// Takes note that a client holds something of the object, so that it comes back with the client's end.
    fn note_held(self: &Arc<Self>, server: &Server, holds: bool, origin: &reply::Origin, body: &mut Body) {
        if holds
            && let Some(session) = origin.session()
            && !session.note_held(self)
        {
            // It is gone already.
            let client = session.id;
            take(body, |stored| self.gone(server, stored, client));
        }
    }

    fn client_gone(self: &Arc<Self>, server: &Server, mut body: Body, client: Id) -> Body {
        while let Some(place) =
            body.waiting.iter().position(|w| w.origin.session().is_some_and(|session| session.id == client))
        {
            let waiting = body.waiting.remove(place);
            body = self.again(server, body, waiting, Reason::Cancelled).0;
        }
        take(&mut body, |stored| self.gone(server, stored, client));
        body
    }

    fn gone(self: &Arc<Self>, _: &Server, stored: Box<dyn Stored>, client: Id) -> Box<dyn Stored> {
        let turn = Turn { client, reason: Reason::First, holds: false };
        exec::run(self, stored, turn, None, None, |server| server.client_gone.call(&[], vec![])).stored
    }

    /// How many calls wait for their turn, and how many have begun and wait for something; `None` where a thread is
    /// at it, and who waits is not to be seen.
    pub(crate) fn load(&self) -> (usize, Option<usize>) {
        let cell = self.cell.lock();
        (cell.queue.len(), cell.body.as_ref().map(|body| body.waiting.len()))
    }
}

/// A place-holder while an object is elsewhere.
struct Nothing;

impl Stored for Nothing {
    fn value(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

fn take(body: &mut Body, work: impl FnOnce(Box<dyn Stored>) -> Box<dyn Stored>) {
    let stored = std::mem::replace(&mut body.stored, Box::new(Nothing));
    body.stored = work(stored);
}

impl Cell {
    /// Takes a call out that has not begun.
    fn unqueue(&mut self, number: u64) -> Option<Call> {
        let is_it = |job: &Job| matches!(job, Job::Call(call) if call.number == number);
        let place = self.queue.iter().position(is_it)?;
        match self.queue.remove(place) {
            Some(Job::Call(call)) => Some(call),
            _ => None,
        }
    }
}

thread_local! {
    /// Values whose turn it is to be dropped, where one is being dropped already: a value may hold the last proxy of
    /// another object, and so on, for as long as memory goes.
    static FALLING: RefCell<Option<VecDeque<Box<dyn Stored>>>> = const { RefCell::new(None) };
}

impl Drop for Entry {
    fn drop(&mut self) {
        super::forget(self.id);
        let Some(body) = self.cell.get_mut().body.take() else { return };
        fall(body.stored);
    }
}

/// Drops a value; what it drops in turn is dropped after it, not within it.
fn fall(stored: Box<dyn Stored>) {
    let queue = |stored: Box<dyn Stored>| {
        FALLING.with(|cell| match &mut *cell.borrow_mut() {
            Some(queue) => {
                queue.push_back(stored);
                None
            }
            none => {
                *none = Some(VecDeque::new());
                Some(stored)
            }
        })
    };
    let mut next = queue(stored);
    while let Some(stored) = next {
        // A destructor that panics is its own affair; what its panic carries may panic again.
        if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| drop(stored))) {
            std::mem::forget(payload);
        }
        next = FALLING.with(|cell| {
            let mut falling = cell.borrow_mut();
            let next = falling.as_mut().and_then(VecDeque::pop_front);
            if next.is_none() {
                *falling = None;
            }
            next
        });
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("type", &self.type_name).finish_non_exhaustive()
    }
}
