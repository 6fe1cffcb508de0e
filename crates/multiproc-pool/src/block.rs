//! The results of calls that were handed in together, each for its own [`AsyncResult`](crate::AsyncResult).

use crate::TaskError;
use crate::engine::{After, Given, Sink};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::os::fd::OwnedFd;
use std::task::Waker;
use std::time::Instant;

/// The longest result that lies in its slot.
const SHORT: usize = 22;

/// What is long enough not to be copied.
const LONG: usize = 16 << 10;

/// An encoded result.
#[derive(Debug)]
pub(crate) enum Payload {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
    /// All of a record but its first four bytes.
    Whole(Vec<u8>),
    Carried(Box<(Vec<u8>, Vec<OwnedFd>)>),
    /// Its handles are lost.
    Lost,
}

impl Payload {
    pub(crate) fn new(bytes: &[u8]) -> Payload {
        match bytes.len() {
            0..=SHORT => {
                let mut short = [0; SHORT];
                short[..bytes.len()].copy_from_slice(bytes);
                Payload::Short(bytes.len() as u8, short)
            }
            _ => Payload::Long(bytes.into()),
        }
    }
}

/// What has become of a call.
#[derive(Debug, Default)]
enum Slot {
    #[default]
    Pending,
    Ready(Payload),
    Failed(Box<TaskError>),
    /// The result was given, or nobody wants it.
    Taken,
}

/// What is called when a result is there.
type Callback = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    callbacks: Vec<(u32, Callback)>,
    wakers: Vec<(u32, Waker)>,
    /// How many sleep for one of them.
    waiting: u32,
}

/// Results of calls that were handed in together.
#[derive(Default)]
pub(crate) struct Block {
    slots: Mutex<Slots>,
    came: Condvar,
}

impl Slots {
    fn slot(&mut self, index: u32) -> &mut Slot {
        let index = index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        &mut self.slots[index]
    }

    /// Puts what came of a call, unless that is known already.
    fn put(&mut self, index: u32, came: Slot) {
        let slot = self.slot(index);
        if matches!(slot, Slot::Pending) {
            *slot = came;
        }
    }

    fn is_ready(&self, index: u32) -> bool {
        self.slots.get(index as usize).is_some_and(|slot| !matches!(slot, Slot::Pending))
    }

    /// Wakes those who wait for one of these.
    fn tell(&mut self, from: u32, to: u32, after: &mut After) {
        if !self.callbacks.is_empty() {
            let due = self.callbacks.extract_if(.., |(index, _)| (from..to).contains(index));
            after.callbacks.extend(due.map(|(_, callback)| callback));
        }
        if !self.wakers.is_empty() {
            let due = self.wakers.extract_if(.., |(index, _)| (from..to).contains(index));
            after.wakers.extend(due.map(|(_, waker)| waker));
        }
    }
}

impl Sink for Block {
    fn results(&self, given: Given, after: &mut After) {
        let Given { first, count, bytes, fds, .. } = given;
        let first = first as u32;
        let mut slots = self.slots.lock();
        if count == 1 && bytes.len() > LONG && matches!(&fds, Ok(fds) if fds.is_empty()) {
            // One that is long is not copied.
            slots.put(first, Slot::Ready(Payload::Whole(bytes)));
            slots.tell(first, first + 1, after);
            self.wake(slots);
            return;
        }
        let mut rest = &bytes[..];
        let mut fds = Some(fds);
        for index in first..first + count {
            // The worker's word: what is not there is no result.
            let one = rest
                .split_first_chunk::<4>()
                .and_then(|(len, behind)| behind.split_at_checked(u32::from_le_bytes(*len) as usize));
            let came = match (one, fds.take()) {
                (None, _) => Slot::Failed(Box::new(TaskError::Decode)),
                (Some((bytes, behind)), fds) => {
                    rest = behind;
                    Slot::Ready(match fds {
                        Some(Ok(fds)) if !fds.is_empty() => Payload::Carried(Box::new((bytes.to_vec(), fds))),
                        Some(Err(error)) => {
                            tracing::error!(target: "multiproc::pool", %error, "the handles of a result are lost");
                            Payload::Lost
                        }
                        _ => Payload::new(bytes),
                    })
                }
            };
            slots.put(index, came);
        }
        slots.tell(first, first + count, after);
        self.wake(slots);
    }

    fn failed(&self, element: u64, error: TaskError, after: &mut After) {
        let index = element as u32;
        let mut slots = self.slots.lock();
        slots.put(index, Slot::Failed(Box::new(error)));
        slots.tell(index, index + 1, after);
        self.wake(slots);
    }
}

impl Block {
    fn wake(&self, slots: MutexGuard<'_, Slots>) {
        let is_awaited = slots.waiting > 0;
        drop(slots);
        if is_awaited {
            self.came.notify_all();
        }
    }

    pub(crate) fn is_ready(&self, index: u32) -> bool {
        self.slots.lock().is_ready(index)
    }

    /// Waits until somebody has brought the result, at most until then.
    pub(crate) fn park(&self, index: u32, until: Instant) {
        let mut slots = self.slots.lock();
        slots.waiting += 1;
        while !slots.is_ready(index) {
            if self.came.wait_until(&mut slots, until).timed_out() {
                break;
            }
        }
        slots.waiting -= 1;
    }

    /// Takes the result; `None` while there is none.
    pub(crate) fn take(&self, index: u32) -> Option<Result<Payload, TaskError>> {
        let mut slots = self.slots.lock();
        let slot = slots.slots.get_mut(index as usize)?;
        match std::mem::take(slot) {
            Slot::Pending => None,
            Slot::Ready(payload) => {
                *slot = Slot::Taken;
                Some(Ok(payload))
            }
            Slot::Failed(error) => {
                *slot = Slot::Taken;
                Some(Err(*error))
            }
            Slot::Taken => {
                *slot = Slot::Taken;
                Some(Err(TaskError::Taken))
            }
        }
    }

    /// Nobody wants the result any more.
    pub(crate) fn forget(&self, index: u32) {
        let mut slots = self.slots.lock();
        let slot = slots.slot(index);
        if matches!(slot, Slot::Taken) {
            return;
        }
        let left = std::mem::replace(slot, Slot::Taken);
        drop(slots);
        drop(left);
    }

    /// Has `callback` called once the result is there; gives it back if it is.
    pub(crate) fn when_ready(&self, index: u32, callback: Callback) -> Option<Callback> {
        let mut slots = self.slots.lock();
        if slots.is_ready(index) {
            return Some(callback);
        }
        slots.callbacks.push((index, callback));
        None
    }

    /// Has `waker` woken once the result is there; tells whether it is.
    pub(crate) fn wake_when_ready(&self, index: u32, waker: &Waker) -> bool {
        let mut slots = self.slots.lock();
        if slots.is_ready(index) {
            return true;
        }
        slots.wakers.retain(|(other, _)| *other != index);
        slots.wakers.push((index, waker.clone()));
        false
    }
}
