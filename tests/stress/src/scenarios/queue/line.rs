//! A way in use: messages that can be told apart, and the books of all who put and take.

use multiproc_core::codec::Carried;
use multiproc_core::sys::fd::identity;
use multiproc_core::sys::memory::{count_pipe, hung_up};
use multiproc_shm::Shared;
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::history::{Account, CHECKER, Forgiven, History};
use super::way::{Given, Handle, Leasing, Taken, Tried, Way};
use crate::memory::{Plain, shared};

/// Of larger ones it is not tried whether they can be filled.
const FILLED: usize = 64;

/// A way, and what is put into it.
pub(crate) struct Line<W> {
    pub(crate) way: W,
    pub(crate) history: Shared<Plain<History>>,
    /// How long the messages are.
    body: usize,
    /// Each taker gets those of one producer in their order: none is delivered again.
    is_ordered: bool,
    /// What those may have done who were killed and replaced.
    forgiven: RefCell<Forgiven>,
    /// Where messages have handles, two that they have in turn.
    handles: RefCell<Option<[Counted; 2]>>,
}

/// A descriptor of which the kernel counts the copies.
struct Counted {
    handle: Handle,
    reader: OwnedFd,
    identity: (u64, u64),
}

impl Counted {
    fn new() -> Counted {
        let made = count_pipe().and_then(|(reader, writer)| Ok((identity(&writer)?, reader, writer)));
        match made {
            Ok((identity, reader, writer)) => Counted { handle: Carried(Arc::new(writer)), reader, identity },
            Err(error) => panic!("no pipe: {error}"),
        }
    }
}

impl<W: Way> Line<W> {
    /// Nothing was put yet.
    pub(crate) fn new(way: W, body: usize, with_handles: bool, is_ordered: bool) -> Line<W> {
        let handles = RefCell::new(with_handles.then(|| [Counted::new(), Counted::new()]));
        let forgiven = RefCell::default();
        Line { way, history: shared(History::new()), body, is_ordered, forgiven, handles }
    }

    fn history(&self) -> &History {
        &self.history.0
    }

    /// Messages that somebody is about to put.
    pub(crate) fn given(&self, who: usize, count: usize) -> Vec<Given> {
        self.given_of(who, count, self.body)
    }

    /// The same of a length of their own.
    pub(crate) fn given_of(&self, who: usize, count: usize, body: usize) -> Vec<Given> {
        let handles = self.handles.borrow();
        let handle =
            |number: u64| handles.as_ref().map(|handles| handles[number as usize % 2].handle.clone());
        let numbers = self.history().begin(who, count);
        numbers.map(|number| Given { number, body: text(number, body), handle: handle(number) }).collect()
    }

    /// Puts so many messages, waiting for room.
    pub(crate) fn put(&self, who: usize, count: usize) {
        self.put_given(who, self.given(who, count));
    }

    /// Puts what was made by [`given`](Self::given).
    pub(crate) fn put_given(&self, who: usize, given: Vec<Given>) {
        let count = given.len();
        if self.way.put(given) {
            self.history().done(who);
        } else {
            self.history().refused(who, count);
        }
    }

    /// Puts a message if there is room.
    pub(crate) fn try_put(&self, who: usize) -> Tried {
        let mut given = self.given(who, 1);
        let tried = given.pop().map_or(Tried::Full, |given| self.way.try_put(given));
        if tried == Tried::Done {
            self.history().done(who);
        } else {
            self.history().refused(who, 1);
        }
        tried
    }

    /// Takes up to so many messages, waiting for one; tells how many.
    pub(crate) fn get(&self, who: usize, most: usize) -> usize {
        self.history().taking(who, most);
        let taken = self.way.get(most);
        self.note(who, taken)
    }

    /// Takes a message if there is one; tells how many.
    pub(crate) fn try_get(&self, who: usize) -> usize {
        self.history().taking(who, 1);
        let taken = self.way.try_get();
        self.note(who, taken)
    }

    /// Notes what was taken, after [`History::taking`]; tells how much.
    pub(crate) fn note(&self, who: usize, taken: impl IntoIterator<Item = Taken>) -> usize {
        let mut count = 0;
        for taken in taken {
            self.look_at(&taken);
            self.history().took(who, taken.number, !self.is_ordered);
            count += 1;
        }
        self.history().taken(who);
        count
    }

    /// Notes that somebody was killed, whose place another takes.
    pub(crate) fn forgive(&self, who: usize) {
        self.history().forgive(who, &mut self.forgiven.borrow_mut());
    }

    /// Makes sure that a message is what was put.
    ///
    /// # Panics
    ///
    /// It is not.
    pub(crate) fn look_at(&self, taken: &Taken) {
        assert!(
            taken.body == text(taken.number, taken.body.len()),
            "message {:#x} holds something else: {:x?}",
            taken.number,
            &taken.body[..taken.body.len().min(32)]
        );
        if let Some(handles) = &*self.handles.borrow() {
            let expected = handles[taken.number as usize % 2].identity;
            let is_right = taken.handle.is_some_and(|handle| W::is_handle(handle, taken.number, expected));
            assert!(is_right, "message {:#x} has lost its handle, or has another's", taken.number);
        }
    }

    /// What survivors do: a message in and one out, so that nobody waits for ever whoever does what when.
    pub(crate) fn turn_over(&self, who: usize) {
        // One that contends with a slow victim for long rests.
        while !self.history().is_nearly_full(who) {
            match self.try_put(who) {
                Tried::Done => {
                    self.get(who, 1);
                    return;
                }
                Tried::Full => {
                    if self.try_get(who) > 0 {
                        self.put(who, 1);
                        return;
                    }
                }
                Tried::Closed => {
                    self.try_get(who);
                    return;
                }
            }
        }
    }

    /// Takes all that is left, and what comes back.
    pub(crate) fn drain_as(&self, who: usize) -> u64 {
        self.way.settle();
        let mut count = 0;
        while self.try_get(who) > 0 {
            count += 1;
        }
        count
    }

    fn drain(&self) -> u64 {
        self.drain_as(CHECKER)
    }

    /// Takes all that is left when everybody has ended, and looks whether all is in order.
    ///
    /// # Errors
    ///
    /// Says what is lost.
    pub(crate) fn finish(&self) -> Result<Account, String> {
        self.way.settle();
        let len = self.way.len() as u64;
        let drained = self.drain();
        // What the dead had leased is not in it before somebody looks.
        if len > drained || len < drained && self.is_ordered {
            return Err(format!("it had {drained} messages, and said {len}"));
        }
        let account = self.history().verify(&self.forgiven.borrow())?;
        self.way.check_empty()?;
        self.check_capacity()?;
        self.check_handles()?;
        Ok(account)
    }

    fn check_capacity(&self) -> Result<(), String> {
        let capacity = self.way.capacity();
        if capacity > FILLED {
            return Ok(());
        }
        for count in 0..=capacity {
            match self.try_put(CHECKER) {
                Tried::Done if count < capacity => {}
                Tried::Full if count == capacity => {}
                Tried::Closed => return Ok(()),
                tried => return Err(format!("message {} of {capacity}: {tried:?}", count + 1)),
            }
        }
        let len = self.way.len();
        let drained = self.drain();
        if len != capacity || drained != capacity as u64 {
            return Err(format!("of {capacity} messages it said {len} and gave {drained}"));
        }
        self.history().verify(&self.forgiven.borrow())?;
        self.way.check_empty()
    }

    /// Nothing keeps a handle but a message that nobody has taken, and of the dead only until the next one.
    fn check_handles(&self) -> Result<(), String> {
        let Some(old) = self.handles.take() else { return Ok(()) };
        self.handles.replace(Some([Counted::new(), Counted::new()]));
        if self.try_put(CHECKER) == Tried::Done && self.drain() != 1 {
            return Err("a last message with a handle did not come".to_owned());
        }
        let readers = old.map(|counted| counted.reader);
        let ends = [readers[0].as_fd(), readers[1].as_fd()];
        match hung_up(&ends, Some(Duration::ZERO)) {
            Ok(ends) if ends.len() == 2 => Ok(()),
            Ok(_) => Err("a handle is left somewhere".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl<W: Leasing> Line<W> {
    /// Leases a message, waiting for one.
    pub(crate) fn lease(&self) -> Option<(W::Lease, Taken)> {
        let (lease, taken) = self.way.lease()?;
        self.look_at(&taken);
        Some((lease, taken))
    }

    /// Notes that a leased message is done.
    pub(crate) fn note_done(&self, who: usize, taken: &Taken) {
        self.history().took(who, taken.number, true);
        self.history().taken(who);
    }

    /// As [`turn_over`](Self::turn_over), and what comes out is leased; every second time it is given back once.
    pub(crate) fn lease_over(&self, who: usize) {
        if self.history().is_nearly_full(who) {
            return;
        }
        while self.try_put(who) == Tried::Full {
            if self.try_get(who) > 0 {
                self.put(who, 1);
                return;
            }
        }
        let Some((lease, taken)) = self.lease() else { return };
        if who.is_multiple_of(2) && !W::is_redelivered(&lease) {
            self.way.end(lease, false);
            self.get(who, 1);
            return;
        }
        self.history().taking(who, 1);
        self.way.end(lease, true);
        self.note_done(who, &taken);
    }
}

/// What is in a message of that number.
fn text(number: u64, len: usize) -> Vec<u8> {
    number.to_le_bytes().iter().copied().cycle().take(len).collect()
}
