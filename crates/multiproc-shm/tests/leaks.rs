//! Descriptors and mappings are the same in number before and after: a binary with one test, since they are
//! counted for the whole process.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use multiproc_core::Message;
use multiproc_core::codec;
use multiproc_shm::{BytesPool, Shared, SharedBytes, SharedBytesMut, SharedMemory, SharedSlice};

fn transfer<T: Message>(value: &T) -> T {
    let message = codec::encode(value).unwrap();
    let fds = message.fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
    codec::decode(&message.bytes, fds).unwrap()
}

/// The number of open descriptors and of mappings of shared memory.
fn held() -> (usize, usize) {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let maps = maps.lines().filter(|line| line.contains("memfd:") || line.contains("/dev/shm")).count();
    (fds, maps)
}

fn everything_once(round: u32) {
    let name = format!("leaks-{}", std::process::id());

    let shared = Shared::new(round).unwrap();
    assert_eq!(*transfer(&shared.clone()), round);
    let named = Shared::create_named(&name, round).unwrap();
    assert!(Shared::create_named(&name, round).is_err());
    assert!(Shared::<i64>::open_named(&name).is_err());
    assert_eq!(*transfer(&Shared::<u32>::open_named(&name).unwrap()), round);
    Shared::<u32>::unlink(&name).unwrap();
    assert!(Shared::<u32>::open_named(&name).is_err());
    drop(named);

    let mut bytes = SharedBytesMut::zeroed(10_000).unwrap();
    bytes[0] = 1;
    assert_eq!(transfer(&bytes.freeze().unwrap())[0], 1);
    drop(SharedBytesMut::zeroed(10).unwrap());
    assert!(SharedBytesMut::zeroed(1 << 50).is_err());
    assert!(transfer(&SharedBytes::copy_from(b"").unwrap()).is_empty());

    transfer(&SharedSlice::from_slice(&[1u8, 2]).unwrap()).set(0, 3);

    let block = SharedMemory::create(&name, 10).unwrap();
    assert!(SharedMemory::create(&name, 10).is_err());
    transfer(&SharedMemory::open(&name).unwrap()).write_at(0, b"x").unwrap();
    SharedMemory::unlink(&name).unwrap();
    drop(block);

    let pool = BytesPool::new(4096, 2).unwrap();
    let message = pool.take().unwrap().freeze();
    let copies = [transfer(&message), transfer(&message)];
    drop(pool.take().unwrap());
    // The pool goes first: what was received lets go of its mappings when the last message is dropped.
    drop(pool);
    drop(message);
    drop(copies);

    // A message that is encoded and never arrives.
    drop(codec::encode(&(shared, SharedBytes::copy_from(b"abc").unwrap())).unwrap());
}

#[test]
fn nothing_stays_open_or_mapped() {
    // What is made once for the whole process.
    everything_once(0);
    let before = held();
    for round in 1..50 {
        everything_once(round);
    }
    assert_eq!(held(), before);
}
