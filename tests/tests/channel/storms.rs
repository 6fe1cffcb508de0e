use crate::{assert_soon, with_children};
use multiproc_process::Process;
use multiproc_queue::{Receiver, Sender, SpscReceiver, SpscSender, channel, spsc};
use multiproc_tests::Bytes;
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: u64 = 60;

/// Sizes that stay in a chunk, fill it, and need many.
fn message(number: u32) -> (u32, Bytes) {
    (number, Bytes::patterned([0, 50, 5_000, 200_000][number as usize % 4]))
}

fn is_message(number: u32, message: &(u32, Bytes)) -> bool {
    message.0 == number && message.1.is_patterned([0, 50, 5_000, 200_000][number as usize % 4])
}

fn wait_until(at: Instant) {
    while Instant::now() < at {
        thread::yield_now();
    }
}

/// Kills a child after some microseconds while `f` runs.
fn killed_during<R: Send>(child: &Process<()>, round: u64, f: impl FnOnce() -> R) -> R {
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_until(Instant::now() + Duration::from_micros(300 + round * 7919 % 4000));
            child.kill().unwrap();
        });
        f()
    })
}

#[test]
fn a_sender_killed_anywhere_leaves_whole_messages_and_then_the_end() {
    with_children(|| {
        let mut whole = 0;
        for round in 0..ROUNDS {
            let (sender, receiver) = channel(3).unwrap();
            let (single, only) = spsc(3).unwrap();
            let child = Process::builder().daemon(true).spawn(
                (sender, single),
                |(sender, single): (Sender<_>, SpscSender<_>)| {
                    for number in 0.. {
                        sender.send(message(number)).unwrap();
                        single.send(message(number)).unwrap();
                    }
                },
            );
            let child = child.unwrap();
            let ends = killed_during(&child, round, || {
                let mut number = 0;
                loop {
                    // In turns, as they are sent.
                    match receiver.recv() {
                        Ok(got) => assert!(is_message(number, &got)),
                        Err(end) => break (end, only.recv().err()),
                    }
                    match only.recv() {
                        Ok(got) => assert!(is_message(number, &got)),
                        Err(end) => break (receiver.recv().unwrap_err(), Some(end)),
                    }
                    number += 1;
                    whole += 2;
                }
            });
            assert!(ends.0.is_disconnected(), "{}", ends.0);
            assert!(ends.1.is_some_and(|end| end.is_disconnected()));
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        println!("figures: {ROUNDS} kills in senders of channels, {whole} messages came whole");
        assert!(whole > 0, "no message came: the test tests nothing");
    });
}

#[test]
fn a_receiver_killed_anywhere_is_an_error_for_the_sender() {
    with_children(|| {
        for round in 0..ROUNDS {
            let (sender, receiver) = channel(3).unwrap();
            let child =
                Process::builder().daemon(true).spawn(receiver, |receiver: Receiver<(u32, Bytes)>| {
                    for (number, got) in (0..).zip(receiver) {
                        assert!(is_message(number, &got));
                    }
                });
            let child = child.unwrap();
            let error = killed_during(&child, round, || {
                let mut number = 0;
                loop {
                    match sender.send(message(number)) {
                        Ok(()) => number += 1,
                        Err(error) => break error,
                    }
                }
            });
            assert!(error.is_disconnected(), "{error}");
            assert_eq!(child.wait().unwrap().signal(), Some(9));

            let (sender, receiver) = spsc(3).unwrap();
            let child =
                Process::builder().daemon(true).spawn(receiver, |receiver: SpscReceiver<(u32, Bytes)>| {
                    for (number, got) in (0..).zip(&receiver) {
                        assert!(is_message(number, &got));
                    }
                });
            let child = child.unwrap();
            let error = {
                thread::scope(|scope| {
                    scope.spawn(|| {
                        wait_until(Instant::now() + Duration::from_micros(300 + round * 7919 % 4000));
                        child.kill().unwrap();
                    });
                    let mut number = 0;
                    loop {
                        match sender.send(message(number)) {
                            Ok(()) => number += 1,
                            Err(error) => break error,
                        }
                    }
                })
            };
            assert!(error.is_disconnected(), "{error}");
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        println!("figures: {} kills in receivers of channels", 2 * ROUNDS);
    });
}

/// One receiver after another is killed; what each had not taken goes to the others, in order.
#[test]
fn those_who_are_left_get_the_rest() {
    with_children(|| {
        const COUNT: u32 = 4_000;
        let (sender, receiver) = channel::<u32>(64).unwrap();
        let victims: Vec<_> = (0..6)
            .map(|_| {
                Process::builder()
                    .daemon(true)
                    .spawn(receiver.clone(), |receiver: Receiver<u32>| -> () {
                        for _ in receiver.iter() {}
                        crate::stay()
                    })
                    .unwrap()
            })
            .collect();
        let last =
            Process::spawn(receiver, |receiver: Receiver<u32>| receiver.into_iter().collect::<Vec<u32>>());
        let last = last.unwrap();
        for number in 0..COUNT {
            if number % (COUNT / 8) == COUNT / 16
                && let Some(victim) = victims.get((number / (COUNT / 8)) as usize)
            {
                victim.kill().unwrap();
            }
            sender.send(number).unwrap();
        }
        println!("figures: {} kills in receivers of one channel", victims.len());
        // All victims are dead but for what `kill` leaves to the kernel.
        for victim in victims {
            victim.kill().unwrap();
            victim.wait().unwrap();
        }
        sender.send(COUNT).unwrap();
        drop(sender);
        let got = assert_soon("the rest", || last.join().unwrap());
        assert!(got.is_sorted() && got.last() == Some(&COUNT), "in order, and to the end");
    });
}
