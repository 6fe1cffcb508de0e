use multiproc_core::Message;
use multiproc_core::codec;
use multiproc_shm::arena::Arena;
use multiproc_shm::{BytesPool, PooledBytes, Shared, SharedBytes, SharedBytesMut, SharedSlice};
use multiproc_threads::{Plain, together};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

const THREADS: usize = 4;

/// Sends a value to this very process, which then has two handles to the same memory.
fn transfer<T: Message>(value: &T) -> T {
    let message = codec::encode(value).unwrap();
    let fds = message.fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
    codec::decode(&message.bytes, fds).unwrap()
}

#[test]
fn a_shared_value_and_what_its_atomics_order() {
    let shared = Shared::new([const { AtomicU64::new(0) }; 2]).unwrap();
    let place = Plain::new(0);
    together(2, |number| {
        let shared = shared.clone();
        for round in 1..=3_000 {
            if number == 0 {
                place.set(round);
                // Release, partner of the Acquire below; and the other way round.
                shared[0].store(round, Ordering::Release);
                while shared[1].load(Ordering::Acquire) != round {
                    std::thread::yield_now();
                }
            } else {
                while shared[0].load(Ordering::Acquire) != round {
                    std::thread::yield_now();
                }
                assert_eq!(place.get(), round);
                shared[1].store(round, Ordering::Release);
            }
        }
    });
}

#[test]
fn handles_that_come_and_go() {
    let shared = Shared::new(AtomicU64::new(0)).unwrap();
    together(THREADS, |_| {
        for _ in 0..200 {
            let other = transfer(&shared);
            assert!(Shared::ptr_eq(&other, &shared));
            other.fetch_add(1, Ordering::Relaxed);
            drop(other.clone());
            shared.clone().fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_eq!(shared.load(Ordering::Relaxed), 400 * THREADS as u64);
}

#[test]
fn a_slice_that_all_write() {
    let words = SharedSlice::<u64>::new(100).unwrap();
    let bytes = SharedSlice::<[u8; 3]>::new(100).unwrap();
    together(THREADS, |number| {
        let value = number as u64 + 1;
        for _ in 0..300 {
            words.copy_from(number * 10, &[value; 60]);
            bytes.copy_from(number * 10, &[[value as u8; 3]; 60]);
            let mut copy = [0; 100];
            words.copy_to(0, &mut copy);
            assert!(copy.iter().all(|word| *word <= THREADS as u64));
            assert!(bytes.to_vec().concat().iter().all(|byte| *byte <= THREADS as u8));
            let _ = (words.get(100), words.load(99));
        }
    });
}

#[test]
fn bytes_that_are_frozen_and_given_away() {
    let (give, take) = mpsc::channel::<SharedBytes>();
    let (give, take) = (std::sync::Mutex::new(Some(give)), std::sync::Mutex::new(take));
    together(2, |number| {
        if number == 0 {
            let give = give.lock().unwrap().take().unwrap();
            for round in 0..200usize {
                let mut bytes = SharedBytesMut::zeroed(round * 50).unwrap();
                bytes.fill(round as u8);
                let bytes = bytes.freeze().unwrap();
                give.send(if round % 2 == 0 { transfer(&bytes) } else { bytes.clone() }).unwrap();
            }
        } else {
            for (round, bytes) in take.lock().unwrap().iter().enumerate() {
                assert_eq!(bytes.len(), round * 50);
                assert!(bytes.iter().all(|byte| *byte == round as u8));
            }
        }
    });
}

#[test]
fn segments_that_come_back_to_their_pool() {
    let pool = BytesPool::new(4096, 2).unwrap();
    let (give, take) = mpsc::channel::<PooledBytes>();
    let (give, take) = (std::sync::Mutex::new(Some(give)), std::sync::Mutex::new(take));
    together(2, |number| {
        if number == 0 {
            let give = give.lock().unwrap().take().unwrap();
            for round in 0..500 {
                let mut bytes = pool.take_timeout(Duration::MAX).unwrap();
                bytes.fill(round as u8);
                // As a message goes: the sender's own handle is gone when the receiver reads.
                let message = bytes.freeze();
                give.send(transfer(&message)).unwrap();
            }
        } else {
            for (round, bytes) in take.lock().unwrap().iter().enumerate() {
                assert!(bytes.iter().all(|byte| *byte == round as u8));
            }
        }
    });
}

#[test]
fn memory_that_grows_while_others_look() {
    const CHUNKS: u32 = 80;
    let arena = Arena::<AtomicU64>::anonymous(7, [4096, 0, 0, 0, 0, 9], "test").unwrap();
    let told = AtomicU32::new(0);
    together(THREADS, |number| {
        if number == 0 {
            for index in 0..CHUNKS {
                arena.allocate(index).unwrap();
                arena.chunk(index).unwrap()[3].store(u64::from(index) + 1, Ordering::Relaxed);
                // Release, partner of the Acquire below.
                told.store(index + 1, Ordering::Release);
            }
            return;
        }
        loop {
            let now = told.load(Ordering::Acquire);
            for index in 0..now {
                let word = arena.chunk(index).unwrap()[3].load(Ordering::Relaxed);
                assert_eq!(word, u64::from(index) + 1);
            }
            if now == CHUNKS {
                break;
            }
        }
    });
}
