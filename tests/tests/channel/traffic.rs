use crate::with_children;
use multiproc_process::Process;
use multiproc_queue::{Receiver, Sender, SpscReceiver, SpscSender, channel, spsc};
use multiproc_tests::{Bytes, isolated};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn what_is_sent_arrives_in_order() {
    with_children(|| {
        for capacity in [1, 2, 100] {
            let (sender, receiver) = channel(capacity).unwrap();
            let child = Process::spawn(sender, |sender: Sender<u32>| {
                for number in 0..5_000 {
                    sender.send(number).unwrap();
                }
            });
            assert!(receiver.iter().eq(0..5_000));
            child.unwrap().join().unwrap();

            let (sender, receiver) = spsc(capacity).unwrap();
            let child = Process::spawn(receiver, |receiver: SpscReceiver<u32>| receiver.iter().eq(0..5_000));
            let child = child.unwrap();
            for number in 0..5_000 {
                sender.send(number).unwrap();
            }
            drop(sender);
            assert!(child.join().unwrap());
        }
    });
}

#[test]
fn there_and_back() {
    with_children(|| {
        let (there, child_in) = channel::<u64>(4).unwrap();
        let (child_out, back) = spsc::<u64>(4).unwrap();
        let child =
            Process::spawn((child_in, child_out), |(input, output): (Receiver<u64>, SpscSender<u64>)| {
                for number in input {
                    output.send(number * 2).unwrap();
                }
            });
        let child = child.unwrap();
        for number in 0..2_000 {
            there.send(number).unwrap();
            assert_eq!(back.recv().unwrap(), number * 2);
        }
        drop(there);
        assert!(back.recv().unwrap_err().is_disconnected());
        child.join().unwrap();
    });
}

#[test]
fn many_senders_and_receivers_share_what_there_is() {
    with_children(|| {
        let (sender, receiver) = channel::<(usize, u32)>(16).unwrap();
        let (counts, results) = channel::<Vec<(usize, u32)>>(4).unwrap();
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                let arguments = (receiver.clone(), counts.clone());
                Process::spawn(arguments, |(receiver, counts)| {
                    counts.send(receiver.into_iter().collect()).unwrap();
                })
                .unwrap()
            })
            .collect();
        let senders: Vec<_> = (0..3usize)
            .map(|who| {
                Process::spawn((who, sender.clone()), |(who, sender)| {
                    for number in 0..1_000u32 {
                        sender.send((who, number)).unwrap();
                    }
                })
                .unwrap()
            })
            .collect();
        drop((sender, receiver, counts));
        let mut all: Vec<(usize, u32)> = Vec::new();
        for got in results {
            for who in 0..3 {
                let from: Vec<u32> =
                    got.iter().filter(|(from, _)| *from == who).map(|(_, number)| *number).collect();
                assert!(from.is_sorted(), "those of one sender are in their order");
            }
            all.extend(got);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq((0..3).flat_map(|who| (0..1_000).map(move |number| (who, number)))));
        for child in senders.into_iter().chain(receivers) {
            child.join().unwrap();
        }
    });
}

#[test]
fn messages_of_all_sizes() {
    isolated(|| {
        const SIZES: [usize; 7] = [0, 1, 7, 4_096, 65_536, 1 << 20, 20 << 20];
        let (sender, receiver) = channel(2).unwrap();
        let (single, only) = spsc(2).unwrap();
        let thread = thread::spawn(move || {
            for size in SIZES {
                sender.send(Bytes::patterned(size)).unwrap();
                single.send(Bytes::patterned(size)).unwrap();
            }
        });
        for size in SIZES {
            assert!(receiver.recv().unwrap().is_patterned(size));
            assert!(only.recv().unwrap().is_patterned(size));
        }
        thread.join().unwrap();
    });
}

#[test]
fn batches() {
    with_children(|| {
        let (sender, receiver) = channel(10).unwrap();
        let (single, only) = spsc(10).unwrap();
        let child =
            Process::spawn((receiver, only), |(receiver, only): (Receiver<u32>, SpscReceiver<u32>)| {
                let mut got = (Vec::new(), Vec::new());
                while let Ok(some) = receiver.recv_many(7) {
                    assert!((1..=7).contains(&some.len()));
                    got.0.extend(some);
                }
                while let Ok(some) = only.recv_many(7) {
                    assert!((1..=7).contains(&some.len()));
                    got.1.extend(some);
                }
                got
            });
        let child = child.unwrap();
        sender.send_many(0..1_000).unwrap();
        drop(sender);
        single.send_many(0..1_000).unwrap();
        drop(single);
        let got = child.join().unwrap();
        assert!(got.0.into_iter().eq(0..1_000) && got.1.into_iter().eq(0..1_000));
    });
}

#[test]
fn timeouts_bound_the_whole_call() {
    isolated(|| {
        const LONG: Duration = Duration::from_millis(30);
        let bounded = |what: &str, f: &dyn Fn()| {
            let begin = Instant::now();
            f();
            let took = begin.elapsed();
            assert!(took >= LONG && took < LONG + Duration::from_secs(1), "{what}: {took:?}");
        };
        let (sender, receiver) = channel(1).unwrap();
        let (single, only) = spsc(1).unwrap();
        bounded("recv_timeout", &|| assert!(receiver.recv_timeout(LONG).unwrap_err().is_timeout()));
        bounded("recv_timeout alone", &|| assert!(only.recv_timeout(LONG).unwrap_err().is_timeout()));
        let at = || Instant::now() + LONG;
        bounded("recv_deadline", &|| assert!(receiver.recv_deadline(at()).unwrap_err().is_timeout()));
        bounded("recv_deadline alone", &|| assert!(only.recv_deadline(at()).unwrap_err().is_timeout()));
        assert!(receiver.try_recv().unwrap_err().is_empty() && only.try_recv().unwrap_err().is_empty());
        sender.send(7).unwrap();
        single.send(7).unwrap();
        assert!(sender.is_full() && single.is_full() && receiver.len() == 1 && !only.is_empty());
        bounded("send_timeout", &|| assert!(sender.send_timeout(8, LONG).unwrap_err().is_timeout()));
        bounded("send_timeout alone", &|| assert!(single.send_timeout(8, LONG).unwrap_err().is_timeout()));
        bounded("send_deadline", &|| assert_eq!(sender.send_deadline(8, at()).unwrap_err().into_inner(), 8));
        bounded("send_deadline alone", &|| assert!(single.send_deadline(8, at()).unwrap_err().is_full()));
        let refused = sender.try_send(9).unwrap_err();
        assert!(refused.is_full() && !refused.is_timeout() && !refused.is_disconnected());
        assert!(single.try_send(9).unwrap_err().is_full());
        assert_eq!((receiver.recv().unwrap(), only.recv().unwrap()), (7, 7));
    });
}

#[test]
fn a_channel_for_nothing_is_refused() {
    isolated(|| {
        for capacity in [0, (1 << 31) + 1] {
            assert_eq!(channel::<u8>(capacity).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
            assert_eq!(spsc::<u8>(capacity).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
        }
    });
}
