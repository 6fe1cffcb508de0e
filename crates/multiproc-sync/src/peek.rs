//! What a watcher sees of a lock in a copy of its bytes. An implementation detail.
//!
//! What the words mean is said where they are worked on; here is what comes of it. The bytes are input: whatever they
//! are, there is an answer.

use crate::poison::Poison;
use crate::raw::{Lock, Permits};
use crate::{Barrier, BoundedSemaphore, Condvar, Event, Mutex, ReentrantMutex, RwLock, Semaphore};
use multiproc_core::sys::thread;
use std::fmt;

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// How it is.
    pub state: State,
    /// Who has it, or some of it.
    pub holders: Vec<Holder>,
    /// The threads that wait, where there is a list of them.
    pub waiters: Vec<Id>,
    /// Whether somebody sleeps, or has slept until its time was up.
    pub is_waited_for: bool,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has it.
    Free,
    /// Somebody has it; so many times.
    Held(u32),
    /// So many read.
    Reading(u32),
    /// A writer waits until so many have read.
    Draining(u32),
    /// Somebody writes.
    Writing,
    /// Its last owner died.
    OwnerDied,
    /// Its last owner panicked.
    Panicked,
    /// So many permits are left, of so many at the beginning.
    Permits(i64, u32),
    /// An event is set, or not.
    Set(bool),
    /// So many wait.
    Waiting(u32),
    /// So many parties wait of so many.
    Parties(u32, u32),
    /// A barrier is broken.
    Broken,
}

/// A thread or a process, as shared memory knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(pub u64);

/// Somebody who has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// A thread; of what is counted by process, the process.
    pub id: Id,
    /// How many it has.
    pub count: u64,
}

impl Id {
    /// Its number, as the system counts threads.
    #[must_use]
    pub fn number(self) -> u32 {
        (self.0 & thread::NUMBER) as u32
    }

    /// Tells whether it still runs; in doubt, that it does.
    #[must_use]
    pub fn is_alive(self) -> bool {
        thread::process_is_alive(self.0)
    }
}

impl Look {
    pub(crate) fn new(state: State) -> Look {
        Look { state, holders: Vec::new(), waiters: Vec::new(), is_waited_for: false }
    }
}

/// Looks at something of that kind, as [`ShmSafe::PARTS`](multiproc_shm::ShmSafe::PARTS) calls it; nothing if there is
/// no such kind.
#[must_use]
pub fn look(kind: &str, bytes: &[u8]) -> Option<Look> {
    Some(match kind {
        "mutex" => Mutex::<()>::look(bytes),
        "reentrant mutex" => ReentrantMutex::<()>::look(bytes),
        "rwlock" => RwLock::<()>::look(bytes),
        "semaphore" | "bounded semaphore" => Semaphore::look(bytes),
        "event" => Event::look(bytes),
        "condvar" => Condvar::look(bytes),
        "barrier" => Barrier::look(bytes),
        _ => return None,
    })
}

/// How many bytes something of that kind has, without a value that it guards.
#[must_use]
pub fn len(kind: &str) -> Option<usize> {
    Some(match kind {
        "mutex" => size_of::<Mutex<()>>(),
        "reentrant mutex" => size_of::<ReentrantMutex<()>>(),
        "rwlock" => size_of::<RwLock<()>>(),
        "semaphore" => size_of::<Semaphore>(),
        "bounded semaphore" => size_of::<BoundedSemaphore>(),
        "event" => size_of::<Event>(),
        "condvar" => size_of::<Condvar>(),
        "barrier" => size_of::<Barrier>(),
        _ => return None,
    })
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Free => f.write_str("free"),
            State::Held(1) => f.write_str("held"),
            State::Held(times) => write!(f, "held {times} times"),
            State::Reading(count) => write!(f, "{count} read"),
            State::Draining(count) => write!(f, "{count} read, a writer waits"),
            State::Writing => f.write_str("written"),
            State::OwnerDied => f.write_str("owner died"),
            State::Panicked => f.write_str("owner panicked"),
            State::Permits(left, of) => write!(f, "{left} of {of} left"),
            State::Set(true) => f.write_str("set"),
            State::Set(false) => f.write_str("not set"),
            State::Waiting(count) => write!(f, "{count} wait"),
            State::Parties(here, of) => write!(f, "{here} of {of} here"),
            State::Broken => f.write_str("broken"),
        }
    }
}

/// Looks at a lock's word, and at what says whether what it guards may be half-changed.
pub(crate) fn owned(word: u64, poison: u32, held: State) -> Look {
    let (owner, is_waited_for, has_died) = Lock::seen(word);
    let state = match owner {
        Some(_) => held,
        None if has_died => State::OwnerDied,
        None => Poison::seen(poison).unwrap_or(State::Free),
    };
    let holders = owner.map(|owner| Holder { id: Id(owner), count: 1 });
    Look { holders: holders.into_iter().collect(), is_waited_for, ..Look::new(state) }
}

impl Permits {
    /// Puts what a ledger says beside a state that its sum has.
    pub(crate) fn look(bytes: &[u8], state: impl FnOnce(i32) -> State) -> Look {
        let (taken, holders, is_waited_for) = Permits::seen(bytes);
        let holders = holders.into_iter().map(|(id, count)| Holder { id: Id(id), count }).collect();
        Look { holders, is_waited_for, ..Look::new(state(taken)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use multiproc_shm::Shared;
    use multiproc_shm::peek;
    use std::time::Duration;

    /// Looks at a value where it is.
    fn of<T: multiproc_shm::ShmSafe>(value: &Shared<T>) -> Vec<(String, Look)> {
        let file = value.descriptor();
        let segment = peek::segment(file).unwrap().unwrap();
        let lines = segment.about.lines().skip(1);
        let parts = lines.map(|line| peek::part(line).unwrap());
        let looks = parts.map(|part| {
            let bytes = peek::copy(file, segment.offset + part.offset, len(&part.kind).unwrap()).unwrap();
            (part.path, look(&part.kind, &bytes).unwrap())
        });
        looks.collect()
    }

    fn only<T: multiproc_shm::ShmSafe>(value: &Shared<T>) -> Look {
        let [(_, look)] = <[_; 1]>::try_from(of(value)).unwrap();
        look
    }

    fn me() -> Id {
        Id(thread::id())
    }

    #[test]
    fn a_mutex_names_its_holder() {
        let mutex = Shared::new(Mutex::new(7u64)).unwrap();
        assert_eq!(only(&mutex).state, State::Free);
        let guard = mutex.lock().unwrap();
        let look = only(&mutex);
        assert_eq!((look.state, look.holders[0].id), (State::Held(1), me()));
        assert!(look.holders[0].id.is_alive() && !look.is_waited_for);
        drop(guard);
        let panics = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let _guard = mutex.lock().unwrap();
                    panic!("on purpose");
                })
                .join()
        });
        assert!(panics.is_err());
        assert_eq!(only(&mutex).state, State::Panicked);
    }

    #[test]
    fn every_kind_is_seen() {
        let reentrant = Shared::new(ReentrantMutex::new(0u64)).unwrap();
        let guards = [reentrant.lock().unwrap(), reentrant.lock().unwrap()];
        assert_eq!(only(&reentrant).state, State::Held(2));
        drop(guards);
        let rwlock = Shared::new(RwLock::new(0u64)).unwrap();
        let readers = [rwlock.read().unwrap(), rwlock.read().unwrap()];
        let look = only(&rwlock);
        assert_eq!((look.state, look.holders[0].count), (State::Reading(2), 2));
        drop(readers);
        let writer = rwlock.write().unwrap();
        let look = only(&rwlock);
        assert_eq!((look.state, look.holders[0].id), (State::Writing, me()));
        drop(writer);
        assert_eq!(only(&rwlock).state, State::Free);
        let semaphore = Shared::new(BoundedSemaphore::new(3)).unwrap();
        let permit = semaphore.acquire();
        let look = only(&semaphore);
        assert_eq!((look.state, look.holders[0].id), (State::Permits(2, 3), Id(thread::process_id())));
        drop(permit);
        let event = Shared::new(Event::new()).unwrap();
        assert_eq!(only(&event).state, State::Set(false));
        event.set();
        assert_eq!(only(&event).state, State::Set(true));
        let barrier = Shared::new(Barrier::new(2)).unwrap();
        assert_eq!(only(&barrier).state, State::Parties(0, 2));
        barrier.wait_timeout(Duration::ZERO).unwrap_err();
        assert_eq!(only(&barrier).state, State::Broken);
    }

    #[test]
    fn who_waits_is_listed() {
        #[derive(multiproc_shm::ShmSafe)]
        #[repr(C)]
        struct Stock {
            count: Mutex<u64>,
            came: Condvar,
            start: Barrier,
        }
        let stock = Stock { count: Mutex::new(0), came: Condvar::new(), start: Barrier::new(2) };
        let stock = Shared::new(stock).unwrap();
        let names: Vec<String> = of(&stock).into_iter().map(|(path, _)| path).collect();
        assert_eq!(names, ["count", "came", "start"]);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let id = thread::id();
                drop(stock.came.wait_while(stock.count.lock().unwrap(), |count| *count == 0));
                stock.start.wait().unwrap();
                Id(id)
            });
            while of(&stock)[1].1.state != State::Waiting(1) {
                std::thread::yield_now();
            }
            let waiting = of(&stock)[1].1.waiters.clone();
            *stock.count.lock().unwrap() = 1;
            stock.came.notify_one();
            while of(&stock)[2].1.state != State::Parties(1, 2) {
                std::thread::yield_now();
            }
            let meeting = of(&stock)[2].1.waiters.clone();
            stock.start.wait().unwrap();
            let id = waiter.join().unwrap();
            assert_eq!((waiting, meeting), (vec![id], vec![id]));
        });
    }

    #[test]
    fn any_bytes_are_looked_at() {
        for kind in [
            "mutex",
            "reentrant mutex",
            "rwlock",
            "semaphore",
            "bounded semaphore",
            "event",
            "condvar",
            "barrier",
        ] {
            for byte in [0x00, 0x55, 0xff] {
                let len = len(kind).unwrap();
                for len in [0, 1, len / 2, len, len + 100] {
                    let look = look(kind, &vec![byte; len]).unwrap();
                    assert!(!look.state.to_string().is_empty());
                }
            }
        }
        assert_eq!((look("spoon", &[]), len("spoon")), (None, None));
    }
}
