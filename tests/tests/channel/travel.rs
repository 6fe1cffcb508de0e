use crate::{assert_soon, with_children};
use multiproc_pipe::pipe;
use multiproc_process::Process;
use multiproc_queue::{Receiver, Sender, SpscReceiver, SpscSender, channel, spsc};
use multiproc_tests::isolated;

#[test]
fn an_end_comes_back_as_a_result() {
    with_children(|| {
        let (sender, receiver) = spsc::<u32>(4).unwrap();
        let child = Process::spawn((sender, 1), |(sender, number)| {
            sender.send(number).unwrap();
            sender
        });
        let sender: SpscSender<u32> = child.unwrap().join().unwrap();
        sender.send(2).unwrap();
        let child = Process::spawn(receiver, |receiver: SpscReceiver<u32>| {
            let first = receiver.recv().unwrap();
            (first, receiver)
        });
        let (first, receiver) = child.unwrap().join().unwrap();
        assert_eq!((first, receiver.recv().unwrap()), (1, 2));
        assert!(receiver.try_recv().unwrap_err().is_empty());
        drop(sender);
        assert!(receiver.recv().unwrap_err().is_disconnected());
    });
}

#[test]
fn an_end_on_its_way_counts() {
    isolated(|| {
        let (there, here) = pipe::<Sender<u8>, Sender<u8>>().unwrap();
        let (sender, receiver) = channel(1).unwrap();
        there.send(sender).unwrap();
        assert!(receiver.try_recv().unwrap_err().is_empty(), "a message holds a sender");
        let arrived = here.recv().unwrap();
        arrived.send(5).unwrap();
        assert_eq!(receiver.recv().unwrap(), 5);
        there.send(arrived).unwrap();
        drop((there, here));
        assert_soon("noticing", || assert!(receiver.recv().unwrap_err().is_disconnected()));
    });
}

#[test]
fn a_channel_inside_a_message_answers() {
    with_children(|| {
        let (requests, inbox) = pipe::<(u32, Sender<u32>), (u32, Sender<u32>)>().unwrap();
        let server = Process::spawn(inbox, |inbox| {
            while let Ok((number, answer)) = inbox.recv() {
                answer.send(number + 1).unwrap();
            }
        });
        for number in 0..50 {
            let (answer, receiver) = channel(1).unwrap();
            requests.send((number, answer)).unwrap();
            assert_eq!(receiver.recv().unwrap(), number + 1);
            assert!(receiver.recv().unwrap_err().is_disconnected());
        }
        drop(requests);
        server.unwrap().join().unwrap();
    });
}

/// Keeps both an end and a copy of it, as `Rc` with serde's feature `rc` would.
#[test]
fn an_end_that_was_sent_away_is_no_end_any_more() {
    isolated(|| {
        let (sender, receiver) = spsc::<u32>(4).unwrap();
        let (first, second) = pipe::<Lent, ()>().unwrap();
        sender.send(1).unwrap();
        LENT.with(|lent| lent.set(Some(sender)));
        first.send(Lent(None)).unwrap();
        let left_behind = LENT.with(std::cell::Cell::take).unwrap();
        let arrived = second.recv().unwrap().0.unwrap();
        let error = left_behind.send(2).unwrap_err();
        assert!(error.is_elsewhere() && !error.is_disconnected(), "{error}");
        assert_eq!(error.into_inner(), 2);
        drop(left_behind);
        arrived.send(3).unwrap();
        assert_eq!(receiver.recv_many(9).unwrap(), [1, 3]);
        drop(arrived);
        assert!(receiver.recv().unwrap_err().is_disconnected());
    });
}

thread_local! {
    static LENT: std::cell::Cell<Option<SpscSender<u32>>> = const { std::cell::Cell::new(None) };
}

/// Serializes the end that is lent, and leaves it where it is; holds the one that has arrived.
struct Lent(Option<SpscSender<u32>>);

impl serde::Serialize for Lent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sender = LENT.with(std::cell::Cell::take).unwrap();
        let result = sender.serialize(serializer);
        LENT.with(|lent| lent.set(Some(sender)));
        result
    }
}

impl<'de> serde::Deserialize<'de> for Lent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Lent, D::Error> {
        SpscSender::deserialize(deserializer).map(|sender| Lent(Some(sender)))
    }
}

#[test]
fn outside_of_a_message_an_end_is_no_data() {
    isolated(|| {
        let (sender, receiver) = channel::<u8>(1).unwrap();
        assert!(serde_json::to_string(&sender).is_err() && serde_json::to_string(&receiver).is_err());
        let _: (Sender<u8>, Receiver<u8>) = (sender, receiver);
    });
}

#[test]
fn ends_travel_through_channels() {
    with_children(|| {
        let (requests, inbox) = channel::<(u32, Sender<u32>)>(4).unwrap();
        let server = Process::spawn(inbox, |inbox: Receiver<(u32, Sender<u32>)>| {
            for (number, answer) in inbox {
                answer.send(number + 1).unwrap();
            }
        });
        let server = server.unwrap();
        for number in 0..50 {
            let (answer, receiver) = channel(1).unwrap();
            requests.send((number, answer)).unwrap();
            assert_eq!(receiver.recv().unwrap(), number + 1);
            assert_soon("the end", || assert!(receiver.recv().unwrap_err().is_disconnected()));
        }
        drop(requests);
        server.join().unwrap();
    });
}

#[test]
fn one_to_one_channels_carry_ends_too() {
    isolated(|| {
        let (sender, receiver) = spsc::<SpscReceiver<u32>>(4).unwrap();
        let (inner, arriving) = spsc(4).unwrap();
        inner.send(5).unwrap();
        sender.send(arriving).unwrap();
        let arrived = receiver.recv().unwrap();
        inner.send(6).unwrap();
        assert_eq!(arrived.recv_many(9).unwrap(), [5, 6]);
        let (lost, unread) = spsc(4).unwrap();
        sender.send(unread).unwrap();
        drop((sender, receiver));
        // The message that nobody received took the receiver with it.
        let failed = || lost.send(1).is_err_and(|error| error.is_disconnected());
        multiproc_tests::eventually(crate::SOON, "the end", failed);
    });
}
