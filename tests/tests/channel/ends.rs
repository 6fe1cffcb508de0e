use crate::{assert_soon, kill, stay, with_children};
use multiproc_core::sync::sleep_without_bound;
use multiproc_process::Process;
use multiproc_queue::{Receiver, Sender, SpscReceiver, SpscSender, channel, spsc};
use multiproc_tests::{eventually, isolated};
use std::thread;
use std::time::Duration;

#[test]
fn what_is_left_is_received_first() {
    isolated(|| {
        let (sender, receiver) = channel(3).unwrap();
        let copy = sender.clone();
        copy.send(1).unwrap();
        drop(sender);
        copy.send(2).unwrap();
        assert!(receiver.recv().is_ok() && receiver.recv().is_ok());
        assert!(receiver.try_recv().unwrap_err().is_empty(), "a clone is left");
        copy.send(3).unwrap();
        drop(copy);
        assert_eq!(receiver.recv().unwrap(), 3);
        for _ in 0..2 {
            let end = receiver.recv().unwrap_err();
            assert!(end.is_disconnected() && !end.is_empty() && !end.is_timeout(), "{end}");
        }
        assert!(receiver.try_recv().unwrap_err().is_disconnected());

        let (sender, receiver) = spsc(3).unwrap();
        sender.send(1).unwrap();
        drop(sender);
        assert_eq!(receiver.recv().unwrap(), 1);
        assert!(receiver.recv().unwrap_err().is_disconnected());
        assert!(receiver.recv_many(5).unwrap_err().is_disconnected());
        assert!(receiver.recv_timeout(Duration::from_secs(9)).unwrap_err().is_disconnected());
    });
}

#[test]
fn what_cannot_arrive_comes_back() {
    isolated(|| {
        let (sender, receiver) = channel(3).unwrap();
        let copy = receiver.clone();
        sender.send("a".to_owned()).unwrap();
        drop(receiver);
        sender.send("b".to_owned()).unwrap();
        drop(copy);
        let error = sender.send("c".to_owned()).unwrap_err();
        assert!(error.is_disconnected() && !error.is_full(), "{error}");
        assert_eq!(error.into_inner(), "c");
        let error = sender.send_many(["d", "e"].map(str::to_owned)).unwrap_err();
        assert!(error.is_disconnected());
        assert_eq!(error.into_rest(), ["d", "e"]);
        assert!(sender.try_send("f".to_owned()).unwrap_err().is_disconnected());

        let (sender, receiver) = spsc(3).unwrap();
        sender.send(1).unwrap();
        drop(receiver);
        assert!(sender.send(2).unwrap_err().is_disconnected());
    });
}

/// Without bounded sleeps: a drop that wakes nobody would hang.
#[test]
fn a_drop_wakes_who_sleeps() {
    isolated(|| {
        sleep_without_bound(true);
        for round in 0..200 {
            let (sender, receiver) = channel::<u8>(1).unwrap();
            let (single, only) = spsc::<u8>(1).unwrap();
            if round % 2 == 0 {
                let threads = [
                    thread::spawn(move || assert!(receiver.recv().unwrap_err().is_disconnected())),
                    thread::spawn(move || assert!(only.recv().unwrap_err().is_disconnected())),
                ];
                drop((sender, single));
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            } else {
                sender.send(1).unwrap();
                single.send(1).unwrap();
                let threads = [
                    thread::spawn(move || assert!(sender.send(2).unwrap_err().is_disconnected())),
                    thread::spawn(move || assert!(single.send(2).unwrap_err().is_disconnected())),
                ];
                drop((receiver, only));
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            }
        }
    });
}

#[test]
fn dead_senders_are_noticed_by_who_sleeps() {
    with_children(|| {
        let (sender, receiver) = channel(8).unwrap();
        let (single, only) = spsc(8).unwrap();
        let both = |(sender, single): (Sender<u8>, SpscSender<u8>)| -> () {
            sender.send(1).unwrap();
            single.send(1).unwrap();
            stay()
        };
        let first = Process::spawn((sender, single), both).unwrap();
        assert_eq!((receiver.recv().unwrap(), only.recv().unwrap()), (1, 1));
        let asleep = thread::spawn(move || {
            assert!(receiver.recv().unwrap_err().is_disconnected());
            assert!(only.recv().unwrap_err().is_disconnected());
        });
        kill(first);
        assert_soon("noticing", || asleep.join().unwrap());
    });
}

#[test]
fn dead_receivers_are_noticed_with_and_without_room() {
    with_children(|| {
        for capacity in [1, 1_000_000] {
            let (sender, receiver) = channel(capacity).unwrap();
            let (single, only) = spsc(capacity).unwrap();
            let (ready, is_ready) = channel::<()>(1).unwrap();
            let all = (receiver, only, ready);
            let wait = |(receiver, only, ready): (Receiver<u8>, SpscReceiver<u8>, Sender<()>)| -> () {
                assert!(receiver.is_empty() && only.is_empty());
                ready.send(()).unwrap();
                stay()
            };
            let child = Process::spawn(all, wait).unwrap();
            is_ready.recv().unwrap();
            sender.send(1).unwrap();
            single.send(1).unwrap();
            kill(child);
            assert_soon("noticing", || {
                eventually(Duration::from_secs(9), "the channel fails", || {
                    sender.send_timeout(2, Duration::from_secs(9)).is_err_and(|error| error.is_disconnected())
                });
                eventually(Duration::from_secs(9), "the single one fails", || {
                    single.send_timeout(2, Duration::from_secs(9)).is_err_and(|error| error.is_disconnected())
                });
            });
        }
    });
}

#[test]
fn one_of_several_may_die() {
    with_children(|| {
        let (sender, receiver) = channel::<u32>(4).unwrap();
        let dying = Process::spawn(sender.clone(), |sender: Sender<u32>| -> () {
            sender.send(0).unwrap();
            stay()
        });
        assert_eq!(receiver.recv().unwrap(), 0);
        kill(dying.unwrap());
        assert!(receiver.recv_timeout(Duration::from_millis(200)).unwrap_err().is_timeout());
        let living = Process::spawn(sender, |sender: Sender<u32>| sender.send(1).unwrap());
        assert_eq!(receiver.recv().unwrap(), 1);
        assert!(receiver.recv().unwrap_err().is_disconnected());
        living.unwrap().join().unwrap();
    });
}
