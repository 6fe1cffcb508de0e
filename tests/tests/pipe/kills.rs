//! Kills at random while large messages flow: the survivor is told soon, and never of what was not sent.
//! `MULTIPROC_KILLS=n` says how many of each kind, 150 if nobody says.

use multiproc_pipe::{Connection, PipeReader, PipeWriter, one_way, pipe};
use multiproc_process::Process;
use multiproc_tests::{Bytes, Limit, on_fork_server};
use std::thread;
use std::time::{Duration, Instant};

const LARGE: usize = 8 << 20;
/// How soon the survivor must know.
const SOON: Duration = Duration::from_secs(1);

fn kills() -> u64 {
    let asked = std::env::var("MULTIPROC_KILLS").ok().and_then(|count| count.parse().ok());
    asked.unwrap_or(150)
}

/// Some two seconds on an idle machine for 100 kills.
fn limit() -> Limit {
    Limit(Duration::from_secs(60 + kills() / 4))
}

/// Every message ends in its own number, and begins with it.
fn message(number: u64) -> Vec<u8> {
    let mut bytes = vec![number as u8; LARGE];
    let ends = [0..8, LARGE - 8..LARGE];
    ends.into_iter().for_each(|end| bytes[end].copy_from_slice(&number.to_le_bytes()));
    bytes
}

fn is_message(bytes: &[u8], number: u64) -> bool {
    let word = number.to_le_bytes();
    let is_inside = |place: usize| bytes[place] == number as u8;
    bytes.len() == LARGE && bytes.starts_with(&word) && bytes.ends_with(&word) && {
        let mut inside = (4096..LARGE - 4096).step_by(4096);
        inside.all(is_inside)
    }
}

fn flood(writer: PipeWriter<Bytes>) {
    let mut bytes = message(0);
    for number in 0.. {
        let word = number as u8;
        bytes.iter_mut().step_by(4096).for_each(|byte| *byte = word);
        bytes[..8].copy_from_slice(&u64::to_le_bytes(number));
        bytes[LARGE - 8..].copy_from_slice(&u64::to_le_bytes(number));
        if writer.send_bytes(&bytes).is_err() {
            return;
        }
    }
}

fn drain(reader: PipeReader<Bytes>) {
    let mut bytes = vec![0; LARGE];
    while reader.recv_bytes_into(&mut bytes).is_ok() {}
}

/// Waits for a moment that differs from round to round, kills, and gives the moment of the end.
fn kill(child: &Process, round: u64) -> Instant {
    let at = Instant::now() + Duration::from_micros(200 + round * 7919 % 6000);
    while Instant::now() < at {
        thread::yield_now();
    }
    child.kill().unwrap();
    // Where much else is going on, dying takes its time.
    child.wait().unwrap();
    Instant::now()
}

#[test]
fn of_a_sender() {
    on_fork_server(limit(), || {
        let kills = kills();
        let (mut torn, mut whole, mut slowest) = (0, 0, Duration::ZERO);
        for round in 0..kills {
            let (reader, writer) = one_way().unwrap();
            let child = Process::builder().daemon(true).spawn(writer, flood).unwrap();
            thread::scope(|scope| {
                let killer = scope.spawn(|| kill(&child, round));
                let mut bytes = vec![0; LARGE];
                let mut number = 0;
                let end = loop {
                    match reader.recv_bytes_into(&mut bytes) {
                        Ok(len) => assert!(is_message(&bytes[..len], number), "round {round}: {number}"),
                        Err(end) => break end,
                    }
                    number += 1;
                };
                let told = Instant::now();
                assert!(end.is_eof() || end.is_torn(), "round {round}: {end}");
                torn += u32::from(end.is_torn());
                whole += number;
                slowest = slowest.max(told.saturating_duration_since(killer.join().unwrap()));
            });
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        println!(
            "figures: {kills} kills in senders of large messages, {torn} ends were torn, {whole} messages were whole; \
             told within {slowest:?}"
        );
        assert!(torn > kills as u32 / 10, "few kills hit a message: the test tests little");
        assert!(slowest < SOON, "{slowest:?}");
    });
}

#[test]
fn of_a_receiver() {
    on_fork_server(limit(), || {
        let kills = kills();
        let bytes = message(1);
        let mut slowest = Duration::ZERO;
        for round in 0..kills {
            // Both directions of one connection: the survivor sends and receives.
            let (ours, theirs) = pipe::<Bytes, Bytes>().unwrap();
            let builder = Process::builder().daemon(true);
            let child = builder.spawn(theirs, |theirs: Connection<Bytes, Bytes>| drain(theirs.split().1));
            let child = child.unwrap();
            thread::scope(|scope| {
                let killer = scope.spawn(|| kill(&child, round));
                let error = loop {
                    if let Err(error) = ours.send_bytes(&bytes) {
                        break error;
                    }
                };
                let told = Instant::now();
                assert!(
                    matches!(
                        error.kind(),
                        std::io::ErrorKind::BrokenPipe
                            | std::io::ErrorKind::ConnectionReset
                            | std::io::ErrorKind::WriteZero
                    ),
                    "round {round}: {error}"
                );
                assert!(ours.recv().unwrap_err().is_eof());
                slowest = slowest.max(told.saturating_duration_since(killer.join().unwrap()));
            });
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        println!("figures: {kills} kills in receivers of large messages; told within {slowest:?}");
        assert!(slowest < SOON, "{slowest:?}");
    });
}
