use multiproc_core::codec::{self, Carried};
use multiproc_core::sys::fd::{Interest, poll_one};
use multiproc_core::{Bell, Deadline};
use multiproc_threads::{Plain, together};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum Shape {
    Nothing,
    Text(String, Vec<u8>),
    Map(BTreeMap<u16, Option<Box<Shape>>>),
    Floats { some: [f64; 3], name: char },
}

fn shapes(number: u64) -> Vec<Shape> {
    let floats = || Shape::Floats { some: [0.5, number as f64, -1.0], name: 'ß' };
    let map = (0..number as u16 % 9).map(|key| (key, (key % 2 == 0).then(|| Box::new(floats())))).collect();
    vec![
        Shape::Nothing,
        Shape::Text("text".repeat(number as usize % 50), vec![number as u8; 99]),
        Shape::Map(map),
    ]
}

#[test]
fn messages_on_many_threads() {
    let null = Arc::new(multiproc_core::sys::fd::open_null().unwrap());
    together(4, |number| {
        for round in 0..500 {
            let value = shapes(round + number as u64);
            let encoded = codec::encode_message(&value).unwrap();
            assert_eq!(codec::decode::<Vec<Shape>>(&encoded.bytes, Vec::new()).unwrap(), value);
            // One byte less is none, and is not read beyond.
            assert!(
                codec::decode::<Vec<Shape>>(&encoded.bytes[..encoded.bytes.len() - 1], Vec::new()).is_err()
            );

            let handle = codec::encode(&(round, Carried::<7>(Arc::clone(&null)))).unwrap();
            let fds = handle.fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
            assert_eq!(codec::decode::<(u64, Carried<7>)>(&handle.bytes, fds).unwrap().0, round);
        }
    });
}

#[test]
fn who_hears_a_bell_sees_its_reason() {
    let (bell, heard, reason) = (Bell::new().unwrap(), AtomicU64::new(0), Plain::new(0));
    together(2, |number| {
        for round in 1..=2_000 {
            if number == 0 {
                reason.set(round);
                bell.ring();
                // Acquire, partner of the Release below: the reason is read before it is written again.
                while heard.load(Ordering::Acquire) != round {
                    std::thread::yield_now();
                }
            } else {
                assert!(poll_one(&bell, Interest::Read, Deadline::NEVER).unwrap());
                bell.hear();
                assert_eq!(reason.get(), round);
                heard.store(round, Ordering::Release);
            }
        }
    });
}
