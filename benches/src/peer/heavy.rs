//! iceoryx2 and ipc-channel, which take long to build.

use crate::Result;
use crate::cargo::{COPIED, look, mark};
use crate::ends::{Crew, Gate, Told};
use crate::link::{CAPACITY, Link, Tried, clones, in_processes};
use crate::measure::{Round, check, trivial};
use crate::payload::Payload;
use crate::place::Placement;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use ipc_channel::ipc::{
    IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcReceiver, IpcSender, bytes_channel, channel,
};
use multiproc_queue::Queue;
use multiproc_shm::Shared;
use multiproc_sync::Event;
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Where Linux has shared memory by its names.
const MEMORY: &str = "/dev/shm";
/// How many processes may publish at once, where they are killed.
const PUBLISHERS: usize = 3;
/// How many large messages may be under way.
const LARGE_CAPACITY: usize = 8;

pub(crate) fn told(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// The name of a service of iceoryx2: a publisher and a subscriber of words, and an event for each message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Iceoryx {
    name: String,
    capacity: usize,
    /// Its files are its own, so that they can be taken away when their users were killed.
    is_apart: bool,
    /// The receiver is done: what a publisher has sent goes with it.
    done: Shared<Event>,
}

/// Keeps a publisher until the receiver is done.
pub(crate) struct Until(Shared<Event>);

impl Drop for Until {
    fn drop(&mut self) {
        // A receiver that has failed says so itself.
        self.0.wait_timeout(Duration::from_secs(10));
    }
}

/// Tells that the receiver is done.
pub(crate) struct Then(Shared<Event>);

impl Drop for Then {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// One end: what passes messages, what wakes, and the node, which has to outlive both.
pub(crate) type Ports<D, E> = (D, E, Node<ipc::Service>);
/// In the order in which they are dropped.
pub(crate) type Sending = (Until, Ports<Publisher<ipc::Service, [u64], ()>, Notifier<ipc::Service>>);
pub(crate) type Receiving = (Ports<Subscriber<ipc::Service, [u64], ()>, Listener<ipc::Service>>, Then);

impl Iceoryx {
    pub(crate) fn new(capacity: usize) -> Result<Iceoryx> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("multiproc-bench-{}-{number}", std::process::id());
        Ok(Iceoryx { name, capacity, is_apart: false, done: Shared::new(Event::new())? })
    }

    /// As [`new`](Iceoryx::new), for ends that are killed.
    pub(crate) fn apart(capacity: usize) -> Result<Iceoryx> {
        Ok(Iceoryx { is_apart: true, ..Iceoryx::new(capacity)? })
    }

    fn root(&self) -> PathBuf {
        std::env::temp_dir().join(&self.name)
    }

    fn config(&self) -> Tried<Config> {
        let mut config = Config::default();
        if self.is_apart {
            let root = Path::new(self.root().as_os_str().as_bytes()).map_err(told)?;
            config.global.set_root_path(&root);
            config.global.prefix = FileName::new(self.name.as_bytes()).map_err(told)?;
        }
        Ok(config)
    }

    /// Takes away what ends that were killed have left.
    pub(crate) fn clean(&self) -> Result {
        fs::remove_dir_all(self.root())?;
        for entry in fs::read_dir(MEMORY)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            if name.is_some_and(|name| name.starts_with(&self.name)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Opens one end's ports.
    fn open<D, E>(
        &self,
        data: impl FnOnce(
            &iceoryx2::service::port_factory::publish_subscribe::PortFactory<ipc::Service, [u64], ()>,
        ) -> Tried<D>,
        event: impl FnOnce(&iceoryx2::service::port_factory::event::PortFactory<ipc::Service>) -> Tried<E>,
    ) -> Tried<Ports<D, E>> {
        let node = NodeBuilder::new().config(&self.config()?).create::<ipc::Service>().map_err(told)?;
        let name: ServiceName = self.name.as_str().try_into().map_err(told)?;
        let messages = node
            .service_builder(&name)
            .publish_subscribe::<[u64]>()
            .enable_safe_overflow(false)
            .max_publishers(PUBLISHERS)
            .subscriber_max_buffer_size(self.capacity)
            .open_or_create()
            .map_err(told)?;
        let wakes = node.service_builder(&name).event().open_or_create().map_err(told)?;
        Ok((data(&messages)?, event(&wakes)?, node))
    }

    pub(crate) fn sending(&self, words: usize) -> Tried<Sending> {
        let ports = self.open(
            |messages| {
                messages
                    .publisher_builder()
                    .initial_max_slice_len(words)
                    .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
                    .create()
                    .map_err(told)
            },
            |wakes| wakes.notifier_builder().create().map_err(told),
        )?;
        Ok((Until(self.done.clone()), ports))
    }

    pub(crate) fn receiving(&self) -> Tried<Receiving> {
        let ports = self.open(
            |messages| messages.subscriber_builder().create().map_err(told),
            |wakes| wakes.listener_builder().create().map_err(told),
        )?;
        Ok((ports, Then(self.done.clone())))
    }
}

pub(crate) fn publish((_, (publisher, ..)): &Sending, words: &[u64]) -> Tried<()> {
    let sample = publisher.loan_slice_uninit(words.len()).map_err(told)?;
    sample.write_from_slice(words).send().map_err(told)?;
    Ok(())
}

/// Reads a message if there is one.
pub(crate) fn poll<R>(((subscriber, ..), _): &Receiving, read: impl FnOnce(&[u64]) -> R) -> Tried<Option<R>> {
    Ok(subscriber.receive().map_err(told)?.map(|sample| read(&sample)))
}

/// Waits for a message in a way of the caller's.
fn receive<R>(
    ports: &Receiving,
    mut read: impl FnMut(&[u64]) -> R,
    wait: impl Fn(&Listener<ipc::Service>) -> Tried<()>,
) -> Tried<R> {
    loop {
        if let Some(message) = poll(ports, &mut read)? {
            return Ok(message);
        }
        let ((_, listener, _), _) = ports;
        wait(listener)?;
    }
}

/// Sleeps until it is notified.
///
/// Not where messages may follow each other before the last is read: a notifier of 0.10 sends a datagram, and then
/// notes that it has. Of two in a row the listener may read both datagrams in between, and sleep; the note then keeps
/// every later notifier from sending, and nobody wakes it.
fn asleep(listener: &Listener<ipc::Service>) -> Tried<()> {
    listener.blocking_wait(|_| ()).map_err(told)?;
    Ok(())
}

/// Lets another process run, and looks again.
fn polling(_: &Listener<ipc::Service>) -> Tried<()> {
    std::thread::yield_now();
    Ok(())
}

impl<P: Payload> Link<P> for Iceoryx {
    fn halves(pairs: u64) -> Result<Vec<[Self; 2]>> {
        Ok(clones(Iceoryx::new(CAPACITY)?, pairs))
    }

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>> {
        let ports = self.sending(P::ZERO.words().len())?;
        Ok(move |message: P| {
            publish(&ports, message.words())?;
            let (_, (_, notifier, _)) = &ports;
            notifier.notify().map_err(told)?;
            Ok(())
        })
    }

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>> {
        let ports = self.receiving()?;
        Ok(move || {
            let mut message = P::ZERO;
            receive(&ports, |words| message.words_mut().copy_from_slice(words), asleep)?;
            Ok(message)
        })
    }
}

/// The same without its event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Polled(Iceoryx);

impl<P: Payload> Link<P> for Polled {
    fn halves(pairs: u64) -> Result<Vec<[Self; 2]>> {
        Ok(clones(Polled(Iceoryx::new(CAPACITY)?), pairs))
    }

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>> {
        let ports = self.0.sending(P::ZERO.words().len())?;
        Ok(move |message: P| publish(&ports, message.words()))
    }

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>> {
        let ports = self.0.receiving()?;
        Ok(move || {
            let mut message = P::ZERO;
            receive(&ports, |words| message.words_mut().copy_from_slice(words), polling)?;
            Ok(message)
        })
    }
}

/// 1 MiB by iceoryx2 without its event; the cost of one, in microseconds.
pub(crate) fn iceoryx_bulk(placement: Placement) -> Round {
    Box::new(move |count| {
        let link = Iceoryx::new(LARGE_CAPACITY)?;
        let ends: Crew<Iceoryx> = vec![(link.clone(), publish_bulk), (link, receive_bulk)];
        let outcome = in_processes(placement, count, ends)?;
        check(outcome.sum, (0..count).map(trivial).sum())?;
        Ok(outcome.each(count) / 1e3)
    })
}

fn publish_bulk((link, gate): (Iceoryx, Gate)) -> Told {
    let mut words = vec![7_u64; COPIED / 8];
    let ports = link.sending(words.len())?;
    gate.pass(|count| {
        for number in 0..count {
            words.chunks_exact_mut(crate::cargo::PAGE / 8).for_each(|page| page[0] = number);
            publish(&ports, &words)?;
        }
        Ok((0, 0.0))
    })
}

fn receive_bulk((link, gate): (Iceoryx, Gate)) -> Told {
    let ports = link.receiving()?;
    gate.pass(|count| {
        let mut sum = 0;
        for _ in 0..count {
            let look = |words: &[u64]| {
                let is_whole = words.chunks_exact(crate::cargo::PAGE / 8).all(|page| page[0] == words[0]);
                if is_whole { Ok(trivial(words[0])) } else { Err("a message was torn".to_owned()) }
            };
            sum += receive(&ports, look, polling)??;
        }
        Ok((sum, 0.0))
    })
}

/// How the ends of an ipc-channel find each other: by the name of a server of the sender's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IpcChannel {
    names: Queue<String>,
}

impl IpcChannel {
    pub(crate) fn new() -> Result<IpcChannel> {
        Ok(IpcChannel { names: Queue::bounded(1)? })
    }

    /// Waits for the receiver, which sends its sender.
    pub(crate) fn meet<S: Serialize + for<'de> Deserialize<'de>>(&self) -> Tried<S> {
        let (server, name) = IpcOneShotServer::<S>::new().map_err(told)?;
        self.names.put(name).map_err(told)?;
        let (_, sender): (IpcReceiver<S>, S) = server.accept().map_err(told)?;
        Ok(sender)
    }

    pub(crate) fn come<S: Serialize + for<'de> Deserialize<'de>>(&self, sender: S) -> Tried<()> {
        let name = self.names.get().map_err(told)?;
        IpcSender::connect(name).map_err(told)?.send(sender).map_err(told)
    }
}

impl<P: Payload> Link<P> for IpcChannel {
    fn halves(pairs: u64) -> Result<Vec<[Self; 2]>> {
        Ok(clones(IpcChannel::new()?, pairs))
    }

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>> {
        let sender: IpcSender<P> = self.meet()?;
        Ok(move |message| sender.send(message).map_err(told))
    }

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>> {
        let (sender, receiver) = channel::<P>().map_err(told)?;
        self.come(sender)?;
        Ok(move || receiver.recv().map_err(told))
    }
}

/// 1 MiB by ipc-channel, as bytes without a type; the cost of one, in microseconds.
pub(crate) fn ipc_channel_bulk(placement: Placement) -> Round {
    Box::new(move |count| {
        let link = IpcChannel::new()?;
        let ends: Crew<IpcChannel> = vec![(link.clone(), send_bytes), (link, receive_bytes)];
        let outcome = in_processes(placement, count, ends)?;
        check(outcome.sum, (0..count).map(trivial).sum())?;
        Ok(outcome.each(count) / 1e3)
    })
}

fn send_bytes((link, gate): (IpcChannel, Gate)) -> Told {
    let sender: IpcBytesSender = link.meet()?;
    let mut bytes = vec![7; COPIED];
    gate.pass(|count| {
        for number in 0..count {
            mark(&mut bytes, number);
            sender.send(&bytes).map_err(told)?;
        }
        Ok((0, 0.0))
    })
}

fn receive_bytes((link, gate): (IpcChannel, Gate)) -> Told {
    let (sender, receiver): (IpcBytesSender, IpcBytesReceiver) = bytes_channel().map_err(told)?;
    link.come(sender)?;
    gate.pass(|count| {
        let mut sum = 0;
        for _ in 0..count {
            sum += trivial(look(&receiver.recv().map_err(told)?, COPIED)?);
        }
        Ok((sum, 0.0))
    })
}
