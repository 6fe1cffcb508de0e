//! One descriptor that stands for many: readable when any of them is, or when its timer has run out.

use crate::Deadline;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What the timer is called; descriptors have lower numbers.
const TIMER: u64 = u64::MAX;
/// How many are told of at once.
const BATCH: usize = 64;

/// A set of descriptors to be read from, and a timer.
///
/// It has a descriptor itself, so that one can wait for it beside other objects.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
}

/// What [`Poller::ready`] found.
#[derive(Debug, Default)]
pub struct Ready {
    /// The tokens of the descriptors that can be read, or whose other side is gone; at most 64 at once.
    pub tokens: Vec<u64>,
    /// The timer has run out.
    pub timer: bool,
}

/// What [`Poller::wait`] waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The descriptor of that token can be read, or its other side is gone.
    Token(u64),
    /// The timer has run out.
    Timer,
    /// Nothing has come before the deadline.
    TimedOut,
}

impl Poller {
    /// Makes an empty set whose timer is off.
    ///
    /// # Errors
    ///
    /// The system's: no descriptor or no memory left.
    pub fn new() -> io::Result<Poller> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Poller { epoll, timer })
    }

    /// Adds a descriptor under a token, which is any number but the largest.
    ///
    /// # Errors
    ///
    /// The system's: it is in the set already, cannot be waited for, or there is no memory left.
    pub fn add(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), EventFlags::IN)?)
    }

    /// Adds a descriptor that is told of once each time something comes, or its other side goes.
    ///
    /// For sets that many threads wait for by [`wait`](Poller::wait): one of them is told. Who is told reads until
    /// there is less than it asked for.
    ///
    /// # Errors
    ///
    /// As [`add`](Poller::add).
    pub fn add_edge(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), Self::edge(false))?)
    }

    /// Says whether a descriptor of [`add_edge`](Poller::add_edge) is told of when it has room to be written to.
    ///
    /// One that can be read or written to at the moment is told of again.
    ///
    /// # Errors
    ///
    /// The system's: it is not in the set.
    pub fn set_edge(&self, fd: impl AsFd, token: u64, write: bool) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token), Self::edge(write))?)
    }

    fn edge(write: bool) -> EventFlags {
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        if write { flags | EventFlags::OUT } else { flags }
    }

    /// Waits for one descriptor that is ready; of many threads that wait one is told.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn wait(&self, deadline: Deadline) -> io::Result<Event> {
        loop {
            let left = deadline.remaining().and_then(|left| Timespec::try_from(left).ok());
            let mut events = [MaybeUninit::uninit()];
            match epoll::wait(&self.epoll, &mut events, left.as_ref()) {
                Ok((events, _)) => match events.first().map(|event| event.data.u64()) {
                    Some(TIMER) if super::fd::read(&self.timer, &mut [0; 8]).is_ok() => {
                        return Ok(Event::Timer);
                    }
                    // Somebody else has just seen it.
                    Some(TIMER) => {}
                    Some(token) => return Ok(Event::Token(token)),
                    None if deadline.has_passed() => return Ok(Event::TimedOut),
                    None => {}
                },
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes a descriptor out again.
    ///
    /// # Errors
    ///
    /// The system's: it is not in the set.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Sets the timer to run out after that time, or turns it off.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_timer(&self, after: Option<Duration>) -> io::Result<()> {
        // Zero would turn it off.
        let after = after.map(|after| after.max(Duration::from_nanos(1)));
        let value = after.and_then(|after| Timespec::try_from(after).ok());
        let off = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: off, it_value: value.unwrap_or(off) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    /// Looks who is ready, without waiting; wait for the set's own descriptor.
    ///
    /// Who is ready stays so until it was read from. The timer is told of once.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn ready(&self) -> io::Result<Ready> {
        let mut events = Vec::with_capacity(BATCH);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::io::retry_on_intr(|| {
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&now))
        })?;
        let mut ready = Ready::default();
        for event in events {
            match event.data.u64() {
                TIMER => {
                    // Nothing to read: somebody else has just seen it, or it was set anew.
                    ready.timer = super::fd::read(&self.timer, &mut [0; 8]).is_ok();
                }
                token => ready.tokens.push(token),
            }
        }
        Ok(ready)
    }
}

impl AsFd for Poller {
    /// Readable when [`Poller::ready`] has something to tell.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fd::{self, Interest};
    use super::*;

    #[test]
    fn it_tells_who_is_ready_until_it_was_read() {
        let poller = Poller::new().unwrap();
        let (a, b) = (fd::eventfd().unwrap(), fd::eventfd().unwrap());
        poller.add(&a, 1).unwrap();
        poller.add(&b, 2).unwrap();
        assert!(!fd::poll_one(&poller, Interest::Read, Deadline::now()).unwrap());
        fd::eventfd_signal(&b);
        assert!(fd::poll_one(&poller, Interest::Read, Deadline::NEVER).unwrap());
        assert_eq!(poller.ready().unwrap().tokens, [2]);
        assert_eq!(poller.ready().unwrap().tokens, [2]);
        fd::eventfd_drain(&b);
        assert!(poller.ready().unwrap().tokens.is_empty());
        fd::eventfd_signal(&a);
        poller.remove(&a).unwrap();
        assert!(poller.ready().unwrap().tokens.is_empty());
    }

    #[test]
    fn its_timer_is_told_of_once() {
        let poller = Poller::new().unwrap();
        poller.set_timer(Some(Duration::ZERO)).unwrap();
        assert!(fd::poll_one(&poller, Interest::Read, Deadline::NEVER).unwrap());
        assert!(poller.ready().unwrap().timer);
        assert!(!poller.ready().unwrap().timer);
        poller.set_timer(Some(Duration::ZERO)).unwrap();
        poller.set_timer(None).unwrap();
        assert!(!poller.ready().unwrap().timer);
    }

    #[test]
    fn an_edge_is_told_of_once_each_time() {
        let poller = Poller::new().unwrap();
        let (ours, theirs) = fd::socket_pair().unwrap();
        poller.add_edge(&ours, 5).unwrap();
        assert_eq!(poller.wait(Deadline::now()).unwrap(), Event::TimedOut);
        for _ in 0..2 {
            fd::send(&theirs, &[io::IoSlice::new(b"x")], &[], false).unwrap();
            assert_eq!(poller.wait(Deadline::NEVER).unwrap(), Event::Token(5));
            assert_eq!(poller.wait(Deadline::now()).unwrap(), Event::TimedOut);
        }
        poller.set_edge(&ours, 5, true).unwrap();
        assert_eq!(poller.wait(Deadline::NEVER).unwrap(), Event::Token(5));
        poller.set_edge(&ours, 5, false).unwrap();
        assert_eq!(poller.wait(Deadline::NEVER).unwrap(), Event::Token(5), "it can still be read");
        drop(theirs);
        assert_eq!(poller.wait(Deadline::NEVER).unwrap(), Event::Token(5));
        poller.set_timer(Some(Duration::ZERO)).unwrap();
        assert_eq!(poller.wait(Deadline::NEVER).unwrap(), Event::Timer);
    }
}
