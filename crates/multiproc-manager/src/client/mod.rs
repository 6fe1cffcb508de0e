//! The client's side: how a call gets to the server and its result comes back.

mod lane;
mod link;

pub(crate) use link::{CONNECT, Link, Way};

use crate::error::CallError;
use crate::mode::{Entered, Mode};
use crate::wire::{Answer, Id, Packet, Request};
use lane::{Answered, Lane, Unanswered};
use multiproc_core::codec;
use multiproc_core::{Deadline, Message};
use multiproc_process::Remote;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How many threads wait for late answers at most; beyond that, what they would undo stays done.
const LATE: usize = 64;

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// What the server is told: after that the call does not begin, and what waits ends.
    pub(crate) limit: Option<Duration>,
    /// When the caller gives up.
    pub(crate) deadline: Deadline,
}

impl From<Deadline> for Patience {
    fn from(deadline: Deadline) -> Patience {
        Patience { limit: deadline.remaining(), deadline }
    }
}

/// Takes back what a call has done whose caller had given up before its result came.
pub(crate) type Undo<R> = Box<dyn FnOnce(R) + Send>;

/// Calls a function in the server and gives its result.
///
/// `undo` gets a result that comes after the caller has given up.
pub(crate) fn call<A: Message, R: Message>(
    link: &Arc<Link>,
    object: Option<Id>,
    remote: Remote,
    args: &A,
    Patience { limit, deadline }: Patience,
    undo: Option<Undo<R>>,
) -> Result<R, CallError> {
    let _span =
        tracing::debug_span!(target: "multiproc::manager", "call", arguments = std::any::type_name::<A>())
            .entered();
    let timeout = limit.map(|left| u64::try_from(left.as_micros()).unwrap_or(u64::MAX));
    let packet = {
        let _mode = Entered::new(Mode::Asking(Arc::clone(link)));
        Packet::new(&Request { object, timeout, remote }, args).map_err(CallError::encode)?
    };
    if packet.bytes.len() > link.max_message {
        let (len, max) = (packet.bytes.len(), link.max_message);
        return Err(CallError::limited(format!(
            "the call has {len} bytes, and the manager takes {max}: send it in parts, or raise `max_message`"
        )));
    }
    if matches!(link.way, Way::Inet(..)) && !packet.fds.is_empty() {
        return Err(CallError::misuse("handles do not travel over TCP: send what they hold"));
    }
    let mut lane = link.lane(deadline)?;
    match lane.ask(packet, deadline) {
        Ok(answered) => {
            link.give_back(lane);
            result(link, answered)
        }
        Err(Unanswered::NotSent(error) | Unanswered::Lost(error)) => Err(error),
        Err(Unanswered::Late) => {
            match undo {
                Some(undo) => undo_later(link, lane, undo),
                None => link.give_up(lane),
            }
            Err(CallError::timed_out())
        }
    }
}

/// Makes a result of an answer.
fn result<R: Message>(link: &Arc<Link>, answered: Answered) -> Result<R, CallError> {
    let Answered { reply, mut message } = answered;
    let entered = Entered::new(Mode::Answered(Arc::clone(link), reply.granted));
    let decoded = match reply.answer {
        Answer::Done => {
            let fds = message.take_fds();
            codec::decode(message.body(), fds).map_err(CallError::decode)
        }
        answer => Err(CallError::of(answer)),
    };
    if let Mode::Answered(_, left) = entered.leave() {
        // What was granted and is in no proxy, because the result could not be decoded.
        left.into_iter().for_each(|id| link.release(id));
    }
    decoded
}

/// Waits for a late answer, and takes it back.
fn undo_later<R: Message>(link: &Arc<Link>, mut lane: Lane, undo: Undo<R>) {
    static WAITING: AtomicUsize = AtomicUsize::new(0);

    if WAITING.fetch_add(1, Ordering::Relaxed) >= LATE {
        WAITING.fetch_sub(1, Ordering::Relaxed);
        return link.give_up(lane);
    }
    let link = Arc::clone(link);
    let wait = move || {
        if let Ok(answered) = lane.answer(Deadline::NEVER) {
            link.give_back(lane);
            if let Ok(result) = result(&link, answered) {
                undo(result);
            }
        }
        WAITING.fetch_sub(1, Ordering::Relaxed);
    };
    if thread::Builder::new().name("manager-late".to_owned()).spawn(wait).is_err() {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}
