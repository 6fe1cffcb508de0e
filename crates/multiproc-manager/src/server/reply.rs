//! Who made a call, and how it is answered.

use super::lane::Lane;
use super::session::UnderWay;
use super::{Entry, Server, Session};
use crate::operation::{Reason, Turn};
use crate::wire::Answer;
use multiproc_core::Deadline;
use multiproc_core::codec::Encoded;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;

/// Who made a call.
pub(crate) enum Origin {
    /// A client, on this lane.
    Lane(Arc<Lane>, #[expect(dead_code, reason = "its end says that the call has ended")] UnderWay),
    /// Code in the server itself.
    Local(Arc<LocalCall>),
}

/// A call of a thread of the server, which waits for its end.
#[derive(Default)]
pub(crate) struct LocalCall {
    answer: Mutex<Option<LocalAnswer>>,
    answered: Condvar,
}

/// The end of a [`LocalCall`].
pub(crate) struct LocalAnswer {
    pub(crate) answer: Answer,
    pub(crate) encoded: Encoded,
    /// Keeps what the result refers to until it has been decoded.
    pub(crate) granted: Vec<Arc<Entry>>,
}

impl LocalCall {
    /// Waits for the end; `None` where the time is up before it.
    pub(crate) fn wait(&self, deadline: Deadline) -> Option<LocalAnswer> {
        let mut answer = self.answer.lock();
        loop {
            if let Some(answer) = answer.take() {
                return Some(answer);
            }
            match deadline.instant() {
                None => self.answered.wait(&mut answer),
                Some(at) if self.answered.wait_until(&mut answer, at).timed_out() => return answer.take(),
                Some(_) => {}
            }
        }
    }
}

impl Origin {
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        match self {
            Origin::Lane(lane, _) => Some(Arc::clone(&lane.session)),
            Origin::Local(_) => None,
        }
    }

    pub(crate) fn turn(&self, reason: Reason) -> Turn {
        let client = match self {
            Origin::Lane(lane, _) => lane.session.id,
            Origin::Local(_) => 0,
        };
        Turn { client, reason, holds: false }
    }

    pub(crate) fn reply(&self, server: &Server, answer: Answer, encoded: Encoded, granted: Vec<Arc<Entry>>) {
        match self {
            Origin::Lane(lane, _) => lane.answer(server, answer, encoded, granted),
            Origin::Local(call) => {
                *call.answer.lock() = Some(LocalAnswer { answer, encoded, granted });
                call.answered.notify_one();
            }
        }
    }
}
