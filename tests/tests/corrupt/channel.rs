use crate::image::{LIMIT, Memory, Tally, try_all};
use crate::queue::{BELL, HEAD, HEADER, Item, NUMBERS, RECORDS, TAIL, item};
use multiproc_core::{Message, codec};
use multiproc_queue::{ChannelRecvError, ChannelSendError, channel, spsc};
use multiproc_tests::isolated_for;
use std::time::Duration;

const SOON: Duration = Duration::from_micros(200);

/// Handles that were lost have no question of their own here, only words.
fn send_error(error: &ChannelSendError<Item>) -> bool {
    error.is_full()
        || error.is_disconnected()
        || error.is_out_of_memory()
        || error.is_elsewhere()
        || error.is_corrupt()
        || error.to_string().contains("handles")
        || error.to_string().contains("more than")
}

fn recv_error(error: &ChannelRecvError) -> bool {
    error.is_empty()
        || error.is_disconnected()
        || error.is_decode()
        || error.is_elsewhere()
        || error.is_corrupt()
        || error.to_string().contains("handles")
}

/// Uses both ends of either kind, which have the same names.
macro_rules! use_both {
    ($sender:expr, $receiver:expr, $tally:expr) => {{
        let (sender, receiver, tally) = ($sender, $receiver, $tally);
        tally.count(receiver.try_recv(), recv_error);
        tally.count(sender.try_send(item(7)), send_error);
        tally.count(sender.send_timeout(item(8), SOON), send_error);
        tally.count(receiver.recv_timeout(SOON), recv_error);
        assert!(sender.len() <= sender.capacity() + 80 && receiver.len() <= receiver.capacity() + 80);
        tally.answer((sender.is_empty(), receiver.is_full()));
        for _ in 0..6 {
            tally.count(receiver.try_recv(), recv_error);
        }
    }};
}

/// Sends an end to this very process.
fn transfer<T: Message>(end: &T, tally: &mut Tally) -> Option<T> {
    let message = codec::encode(end).unwrap();
    let fds = message.fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
    let result = codec::decode(&message.bytes, fds);
    if result.is_err() {
        tally.refused += 1;
    }
    result.ok()
}

#[test]
fn with_locks() {
    isolated_for(LIMIT, || {
        try_all("channel", 1, |random, tally| {
            let (sender, receiver) = channel(5).unwrap();
            (0..3).for_each(|number| sender.send(item(number)).unwrap());
            Memory::of(&sender).damage(random, &[BELL, BELL, TAIL, HEAD, RECORDS], &[]);
            tally.watch(|tally| {
                use_both!(&sender, &receiver, &mut *tally);
                // One of many goes, and then all of one side: the other is to see it, or an error.
                drop(sender.clone());
                drop(sender);
                tally.count(receiver.recv_timeout(SOON), recv_error);
            });
        });
    });
}

#[test]
fn with_locks_attached_to() {
    isolated_for(LIMIT, || {
        try_all("channel attached to", 2, |random, tally| {
            let (sender, receiver) = channel(5).unwrap();
            (0..3).for_each(|number| sender.send(item(number)).unwrap());
            Memory::of(&sender).damage(random, &[HEADER, NUMBERS, BELL, TAIL, HEAD, RECORDS], &[]);
            tally.watch(|tally| {
                if let (Some(sender), Some(receiver)) = (transfer(&sender, tally), transfer(&receiver, tally))
                {
                    use_both!(&sender, &receiver, &mut *tally);
                }
            });
        });
    });
}

#[test]
fn without_locks() {
    isolated_for(LIMIT, || {
        try_all("spsc", 1, |random, tally| {
            let (sender, receiver) = spsc(5).unwrap();
            (0..3).for_each(|number| sender.send(item(number)).unwrap());
            Memory::of(&sender).damage(random, &[BELL, TAIL, HEAD, RECORDS], &[]);
            // Encoding it has made it one that was sent away; it is the same one that is used now.
            tally.watch(|tally| {
                use_both!(&sender, &receiver, &mut *tally);
                drop(sender);
                tally.count(receiver.recv_timeout(SOON), recv_error);
            });
        });
    });
}

#[test]
fn without_locks_attached_to() {
    isolated_for(LIMIT, || {
        try_all("spsc attached to", 2, |random, tally| {
            let (sender, receiver) = spsc(5).unwrap();
            (0..3).for_each(|number| sender.send(item(number)).unwrap());
            Memory::of(&sender).damage(random, &[HEADER, NUMBERS, BELL, TAIL, HEAD, RECORDS], &[]);
            tally.watch(|tally| {
                if let (Some(sender), Some(receiver)) = (transfer(&sender, tally), transfer(&receiver, tally))
                {
                    use_both!(&sender, &receiver, &mut *tally);
                }
            });
        });
    });
}
