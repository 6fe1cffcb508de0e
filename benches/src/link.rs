//! Ways for messages from one end to another, and what is done with them.

use crate::Result;
use crate::ends::{self, Crew, Gate, Told};
use crate::floor::FloorRing;
use crate::measure::{Round, check, trivial};
use crate::payload::Payload;
use crate::place::Placement;
use crate::{stats, sys};
use multiproc_core::Message;
use multiproc_process::Func;
use multiproc_queue::{Queue, SpscReceiver, SpscSender, spsc};
use multiproc_shm::Shared;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How many messages a link holds, where it can be told.
pub(crate) const CAPACITY: usize = 1024;
/// How many messages go together, where they do.
pub(crate) const BATCH: usize = 32;

/// What went wrong, from another process.
pub(crate) type Tried<T> = std::result::Result<T, String>;

/// A way for messages; an end becomes a sender or a receiver before it is timed.
pub(crate) trait Link<P>: Sized + 'static {
    /// A new link's halves for so many senders and receivers.
    fn halves(pairs: u64) -> Result<Vec<[Self; 2]>>;

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>>;

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>>;
}

/// The halves of a link that are all the same.
pub(crate) fn clones<L: Clone>(link: L, pairs: u64) -> Vec<[L; 2]> {
    (0..pairs).map(|_| [link.clone(), link.clone()]).collect()
}

/// The halves for one sender and one receiver.
fn one_pair<P, L: Link<P>>() -> Result<[L; 2]> {
    L::halves(1)?.pop().ok_or_else(|| "a link without halves".into())
}

/// How ends of that link are run: in processes or in threads.
pub(crate) type Runner<A> = fn(Placement, u64, Crew<A>) -> Result<ends::Outcome>;

/// Runs ends in processes.
pub(crate) fn in_processes<A: Message>(
    placement: Placement,
    count: u64,
    ends: Crew<A>,
) -> Result<ends::Outcome> {
    let ends = ends.into_iter().map(|(with, work)| (with, Func::new(work))).collect();
    ends::processes(placement, count, ends)
}

/// An end of a stream: the link, its first message's number, and the step to the next one's.
pub(crate) type StreamEnd<L> = (L, u64, u64);

/// So many senders and as many receivers; the cost of a message.
pub(crate) fn stream<P: Payload, L: Link<P>>(
    placement: Placement,
    pairs: u64,
    run: Runner<StreamEnd<L>>,
) -> Round {
    crowd(placement, [pairs; 2], run)
}

/// So many senders and so many receivers; different numbers are for links whose halves are all the same.
pub(crate) fn crowd<P: Payload, L: Link<P>>(
    placement: Placement,
    numbers: [u64; 2],
    run: Runner<StreamEnd<L>>,
) -> Round {
    flow(placement, numbers, run, send::<P, L>, receive::<P, L>)
}

/// As [`crowd`], with other ends.
pub(crate) fn flow<P: Payload, L: Link<P>>(
    placement: Placement,
    [senders, receivers]: [u64; 2],
    run: Runner<StreamEnd<L>>,
    sender: fn((StreamEnd<L>, Gate)) -> Told,
    receiver: fn((StreamEnd<L>, Gate)) -> Told,
) -> Round {
    Box::new(move |count| {
        let mut ends: Crew<StreamEnd<L>> = Vec::new();
        for (at, [first, second]) in (0..).zip(L::halves(senders.max(receivers))?) {
            if at < senders {
                ends.push(((first, at, senders), sender));
            }
            if at < receivers {
                ends.push(((second, at, receivers), receiver));
            }
        }
        let outcome = run(placement, count, ends)?;
        check(outcome.sum, (0..count).map(trivial).sum())?;
        Ok(outcome.each(count))
    })
}

fn send<P: Payload, L: Link<P>>(((link, first, step), gate): (StreamEnd<L>, Gate)) -> Told {
    let mut put = link.sender()?;
    gate.pass(|count| {
        for number in (first..count).step_by(step as usize) {
            put(P::of(number))?;
        }
        Ok((0, 0.0))
    })
}

fn receive<P: Payload, L: Link<P>>(((link, first, step), gate): (StreamEnd<L>, Gate)) -> Told {
    let mut get = link.receiver()?;
    gate.pass(|count| {
        let mut sum = 0;
        for _ in (first..count).step_by(step as usize) {
            sum += trivial(get()?.number()?);
        }
        Ok((sum, 0.0))
    })
}

/// Puts many at once into our queue.
pub(crate) fn send_batches<P: Payload>(((queue, ..), gate): (StreamEnd<Queue<P>>, Gate)) -> Told {
    gate.pass(|count| {
        for first in (0..count).step_by(BATCH) {
            let batch = (first..count.min(first + BATCH as u64)).map(P::of);
            queue.put_many(batch).map_err(|error| error.to_string())?;
        }
        Ok((0, 0.0))
    })
}

/// Gets many at once from our queue.
pub(crate) fn receive_batches<P: Payload>(((queue, ..), gate): (StreamEnd<Queue<P>>, Gate)) -> Told {
    gate.pass(|count| {
        let (mut sum, mut seen) = (0, 0);
        while seen < count {
            for message in queue.get_many(BATCH).map_err(|error| error.to_string())? {
                sum += trivial(message.number()?);
                seen += 1;
            }
        }
        Ok((sum, 0.0))
    })
}

/// A message there and one back, as fast as they come; the cost of both, in microseconds.
pub(crate) fn ping<P: Payload, L: Link<P>>(placement: Placement, run: Runner<(L, L)>) -> Round {
    Box::new(move |count| {
        let ([to, there], [back, from]) = (one_pair::<P, L>()?, one_pair::<P, L>()?);
        let ends: Crew<(L, L)> = vec![((to, from), ping_first::<P, L>), ((there, back), ping_second::<P, L>)];
        let outcome = run(placement, count, ends)?;
        check(outcome.sum, (0..count).map(trivial).sum())?;
        Ok(outcome.each(count) / 1e3)
    })
}

fn ping_first<P: Payload, L: Link<P>>(((there, back), gate): ((L, L), Gate)) -> Told {
    let (mut put, mut get) = (there.sender()?, back.receiver()?);
    gate.pass(|count| {
        for number in 0..count {
            put(P::of(number))?;
            answers(&get()?, number)?;
        }
        Ok((0, 0.0))
    })
}

fn ping_second<P: Payload, L: Link<P>>(((there, back), gate): ((L, L), Gate)) -> Told {
    let (mut get, mut put) = (there.receiver()?, back.sender()?);
    gate.pass(|count| {
        let mut sum = 0;
        for _ in 0..count {
            let message = get()?;
            sum += trivial(message.number()?);
            put(message)?;
        }
        Ok((sum, 0.0))
    })
}

/// Whether that is the message of that number.
fn answers<P: Payload>(message: &P, number: u64) -> Tried<()> {
    check(message.number()?, number).map_err(|error| error.to_string())
}

/// A message there and one back, each to one who has slept for a while: the medians of both ways, in microseconds.
pub(crate) fn asleep<P: Payload, L: Link<P>>(placement: Placement, run: Runner<(L, L)>) -> Round {
    Box::new(move |count| {
        let ([to, there], [back, from]) = (one_pair::<P, L>()?, one_pair::<P, L>()?);
        let ends: Crew<(L, L)> = vec![((to, from), wake_first::<P, L>), ((there, back), wake_second::<P, L>)];
        let outcome = run(placement, count, ends)?;
        check(outcome.sum, (0..count).map(trivial).sum())?;
        Ok(outcome.figure / 1e3)
    })
}

fn wake_first<P: Payload, L: Link<P>>(((there, back), gate): ((L, L), Gate)) -> Told {
    let (mut put, mut get) = (there.sender()?, back.receiver()?);
    gate.pass(|count| {
        let mut times = Vec::new();
        for number in 0..count {
            pause();
            put(stamped(number))?;
            let message = get()?;
            times.push(since(moment(&message)));
            answers(&message, number)?;
        }
        Ok((0, stats::median(&times)))
    })
}

fn wake_second<P: Payload, L: Link<P>>(((there, back), gate): ((L, L), Gate)) -> Told {
    let (mut get, mut put) = (there.receiver()?, back.sender()?);
    gate.pass(|count| {
        let (mut sum, mut times) = (0, Vec::new());
        for _ in 0..count {
            let message = get()?;
            times.push(since(moment(&message)));
            let number = message.number()?;
            sum += trivial(number);
            pause();
            put(stamped(number))?;
        }
        Ok((sum, stats::median(&times)))
    })
}

/// The message of that number, with this moment in it.
fn stamped<P: Payload>(number: u64) -> P {
    let mut message = P::of(number);
    if let Some(word) = message.words_mut().get_mut(1) {
        *word = sys::now();
    }
    message
}

/// When it was made.
fn moment<P: Payload>(message: &P) -> u64 {
    message.words().get(1).copied().unwrap_or(0)
}

/// Nanoseconds since a moment of [`sys::now`].
pub(crate) fn since(moment: u64) -> f64 {
    sys::now().saturating_sub(moment) as f64
}

/// Lets the other end go to sleep, on the same processor too, and is awake itself at its end.
pub(crate) fn pause() {
    thread::sleep(Duration::from_micros(60));
    let awake = Instant::now();
    while awake.elapsed() < Duration::from_micros(20) {
        std::hint::spin_loop();
    }
}

impl<P: Payload> Link<P> for Queue<P> {
    fn halves(pairs: u64) -> Result<Vec<[Self; 2]>> {
        Ok(clones(Queue::bounded(CAPACITY)?, pairs))
    }

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>> {
        Ok(move |message| self.put(message).map_err(|error| error.to_string()))
    }

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>> {
        Ok(move || self.get().map_err(|error| error.to_string()))
    }
}

/// Our channel without locks: one end of it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum Spsc<P: Message> {
    Sender(SpscSender<P>),
    Receiver(SpscReceiver<P>),
}

impl<P: Payload> Link<P> for Spsc<P> {
    fn halves(_: u64) -> Result<Vec<[Self; 2]>> {
        let (sender, receiver) = spsc(CAPACITY)?;
        Ok(vec![[Spsc::Sender(sender), Spsc::Receiver(receiver)]])
    }

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>> {
        let Spsc::Sender(sender) = self else { return Err("this is the receiver".to_owned()) };
        Ok(move |message| sender.send(message).map_err(|error| error.to_string()))
    }

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>> {
        let Spsc::Receiver(receiver) = self else { return Err("this is the sender".to_owned()) };
        Ok(move || receiver.recv().map_err(|error| error.to_string()))
    }
}

impl<P: Payload> Link<P> for Shared<FloorRing> {
    fn halves(pairs: u64) -> Result<Vec<[Self; 2]>> {
        Ok(clones(Shared::new(FloorRing::new())?, pairs))
    }

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>> {
        Ok(move |message: P| {
            self.put(message.words());
            Ok(())
        })
    }

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>> {
        Ok(move || {
            let mut message = P::ZERO;
            self.get(message.words_mut());
            Ok(message)
        })
    }
}

/// crossbeam's channel, for threads.
pub(crate) type Crossbeam<P> = (crossbeam_channel::Sender<P>, crossbeam_channel::Receiver<P>);

impl<P: Payload> Link<P> for Crossbeam<P> {
    fn halves(pairs: u64) -> Result<Vec<[Self; 2]>> {
        Ok(clones(crossbeam_channel::bounded(CAPACITY), pairs))
    }

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>> {
        Ok(move |message| self.0.send(message).map_err(|error| error.to_string()))
    }

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>> {
        Ok(move || self.1.recv().map_err(|error| error.to_string()))
    }
}

/// rtrb's ring, for threads: who finds nothing lets another thread run and looks again. Each end is for whoever takes it
/// first.
#[derive(Clone)]
pub(crate) struct Rtrb<P> {
    producer: Taken<rtrb::Producer<P>>,
    consumer: Taken<rtrb::Consumer<P>>,
}

impl<P: Payload> Link<P> for Rtrb<P> {
    fn halves(pairs: u64) -> Result<Vec<[Self; 2]>> {
        let (producer, consumer) = rtrb::RingBuffer::new(CAPACITY);
        Ok(clones(Rtrb { producer: to_take(producer), consumer: to_take(consumer) }, pairs))
    }

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>> {
        let mut producer = take(&self.producer)?;
        Ok(move |message| {
            while producer.is_full() {
                thread::yield_now();
            }
            producer.push(message).map_err(|error| error.to_string())
        })
    }

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>> {
        let mut consumer = take(&self.consumer)?;
        Ok(move || {
            while consumer.is_empty() {
                thread::yield_now();
            }
            consumer.pop().map_err(|error| error.to_string())
        })
    }
}

/// An end for one thread.
type Taken<E> = Arc<Mutex<Option<E>>>;

fn to_take<E>(end: E) -> Taken<E> {
    Arc::new(Mutex::new(Some(end)))
}

fn take<E>(end: &Taken<E>) -> Tried<E> {
    let end = end.lock().map_err(|error| error.to_string())?.take();
    end.ok_or_else(|| "the end is taken".to_owned())
}

/// The standard library's channel, for threads.
#[derive(Clone)]
pub(crate) struct Std<P> {
    sender: mpsc::SyncSender<P>,
    receiver: Taken<mpsc::Receiver<P>>,
}

impl<P: Payload> Link<P> for Std<P> {
    fn halves(pairs: u64) -> Result<Vec<[Self; 2]>> {
        let (sender, receiver) = mpsc::sync_channel(CAPACITY);
        Ok(clones(Std { sender, receiver: to_take(receiver) }, pairs))
    }

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>> {
        Ok(move |message| self.sender.send(message).map_err(|error| error.to_string()))
    }

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>> {
        let receiver = take(&self.receiver)?;
        Ok(move || receiver.recv().map_err(|error| error.to_string()))
    }
}
