use crate::util::{transfer, transfer_as};
use multiproc_core::codec::Limits;
use multiproc_shm::{BytesPool, PooledBytes};
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn segments_come_back() {
    let pool = BytesPool::new(4096, 2).unwrap();
    let mut addresses = std::collections::HashSet::new();
    for round in 0..100u8 {
        let mut bytes = pool.try_take().unwrap();
        bytes.fill(round);
        addresses.insert(bytes.as_ptr().addr());
        let message = bytes.freeze();
        let received = transfer(&message);
        drop(message);
        assert!(received.iter().all(|byte| *byte == round));
    }
    assert!(addresses.len() <= 2, "{}", addresses.len());
}

#[test]
fn a_received_message_keeps_its_segment() {
    let pool = BytesPool::new(100, 1).unwrap();
    let mut bytes = pool.take().unwrap();
    bytes[..3].copy_from_slice(b"abc");
    let message = bytes.freeze_to(3);
    let received = transfer(&message);
    let forwarded = transfer(&received);
    drop(message);
    assert!(pool.try_take().unwrap_err().is_exhausted());
    drop(received);
    assert!(pool.take_timeout(Duration::from_millis(1)).unwrap_err().is_exhausted());
    assert_eq!(&*forwarded, b"abc");
    drop(forwarded);
    pool.try_take().unwrap();
}

#[test]
fn a_message_in_flight_keeps_its_segment() {
    let pool = BytesPool::new(100, 1).unwrap();
    let message = multiproc_core::codec::encode(&pool.take().unwrap().freeze()).unwrap();
    assert!(pool.try_take().unwrap_err().is_exhausted());
    drop(message);
    pool.try_take().unwrap();
}

#[test]
fn the_mapping_is_found_again() {
    let pool = BytesPool::new(4096, 1).unwrap();
    let first = transfer(&pool.take().unwrap().freeze());
    let address = first.as_ptr();
    drop(first);
    let second = transfer(&pool.take().unwrap().freeze());
    assert_eq!(second.as_ptr(), address);
}

#[test]
fn a_message_outlives_its_pool() {
    let pool = BytesPool::new(4096, 1).unwrap();
    let mut bytes = pool.take().unwrap();
    bytes.fill(7);
    drop(pool);
    let message = bytes.freeze();
    let received = transfer(&message);
    drop(message);
    assert!(received.iter().all(|byte| *byte == 7));
    // The next of another pool makes this process forget the first, and must not disturb what is held.
    let other = BytesPool::new(4096, 1).unwrap();
    let _ = transfer(&other.take().unwrap().freeze());
    assert_eq!(received[4095], 7);
}

#[test]
fn taking_waits_for_a_drop() {
    let pool = BytesPool::new(16, 1).unwrap();
    let held = pool.take().unwrap();
    let (started, start) = mpsc::channel();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            started.send(()).unwrap();
            pool.take().unwrap().len()
        });
        start.recv().unwrap();
        drop(held);
        assert_eq!(waiter.join().unwrap(), 16);
    });
}

#[test]
fn strangers_bytes_are_refused() {
    let pool = BytesPool::new(16, 1).unwrap();
    let message = pool.take().unwrap().freeze();
    let error = transfer_as::<_, PooledBytes>(&message, &Limits::untrusted()).unwrap_err();
    assert!(error.to_string().contains("family"), "{error}");
}

#[test]
fn no_segments_and_no_bytes() {
    assert_eq!(BytesPool::new(16, 0).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    let pool = BytesPool::new(0, 1).unwrap();
    assert!(transfer(&pool.take().unwrap().freeze()).is_empty());
    let error = BytesPool::new(1 << 40, 1 << 10).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
}
