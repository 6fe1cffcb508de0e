use crate::image::{LIMIT, Memory, Random, Tally, try_all};
use multiproc::{BytesPool, PooledBytes, Shared, SharedBytes, SharedMemory, SharedSlice};
use multiproc_core::Message;
use multiproc_core::codec;
use multiproc_core::sys::memory::{Seals, add_seals, allocate, create_memfd, read_exact_at, write_all_at};
use multiproc_tests::isolated_for;
use std::fs::File;
use std::os::fd::OwnedFd;

/// A copy of a segment, with damage, of another length now and then, and sealed as its kind is, or not.
fn copy(memory: &Memory, seals: Seals, random: &mut Random) -> OwnedFd {
    let mut bytes = vec![0; memory.len() as usize];
    read_exact_at(&memory.0, &mut bytes, 0).unwrap();
    let copy = create_memfd("copy").unwrap();
    let len = match random.below(6) {
        0 => random.below(3 * bytes.len() as u64 + 2),
        1 => bytes.len() as u64 + random.below(3) - 1,
        _ => bytes.len() as u64,
    };
    bytes.resize(len as usize, 0);
    if len > 0 {
        allocate(&copy, len).unwrap();
    }
    write_all_at(&copy, &bytes, 0).unwrap();
    let copy = Memory(copy);
    if len >= 72 && !random.one_in(6) {
        copy.damage(random, &[0..64, 0..len / 8 * 8], &[]);
    }
    if random.one_in(10) {
        // With holes, or shorter than it says.
        File::from(copy.0.try_clone().unwrap()).set_len(random.below(2 * len + 2)).unwrap();
    }
    let chosen = [seals, seals, seals, seals, seals, Seals::SHRINK, Seals::FIXED, Seals::IMMUTABLE];
    let chosen = chosen[random.below(8) as usize];
    if !random.one_in(10) {
        add_seals(&copy.0, chosen).unwrap();
    }
    copy.0
}

/// Sends a value with one of its descriptors replaced and its bytes damaged now and then, and uses what arrives.
fn try_message<T: Message>(
    value: &T,
    replaced: Option<OwnedFd>,
    random: &mut Random,
    tally: &mut Tally,
    act: impl FnOnce(T),
) {
    let message = codec::encode(value).unwrap();
    let mut bytes = message.bytes;
    let mut fds: Vec<OwnedFd> = message.fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
    if let Some(replaced) = replaced {
        fds[0] = replaced;
    }
    if random.one_in(4) || fds.len() > 1 {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] = random.next() as u8;
    }
    if random.one_in(12) {
        bytes.truncate(random.below(bytes.len() as u64) as usize);
    }
    if random.one_in(12) {
        let (one, other) = (random.below(fds.len() as u64) as usize, random.below(fds.len() as u64) as usize);
        fds.swap(one, other);
    }
    tally.watch(|tally| match codec::decode::<T>(&bytes, fds) {
        Ok(arrived) => {
            tally.answers += 1;
            act(arrived);
        }
        Err(_) => tally.refused += 1,
    });
}

#[test]
fn shared_values() {
    isolated_for(LIMIT, || {
        let value = Shared::new([5u64; 9]).unwrap();
        let memory = Memory::of(&value);
        try_all("shared value", 2, |random, tally| {
            let copy = copy(&memory, Seals::FIXED, random);
            try_message(&value, Some(copy), random, tally, |arrived: Shared<[u64; 9]>| {
                std::hint::black_box(arrived.iter().fold(0, |sum, word| sum ^ word));
            });
        });
    });
}

#[test]
fn shared_slices() {
    isolated_for(LIMIT, || {
        let value = SharedSlice::from_slice(&[[5u16; 3]; 100]).unwrap();
        let memory = Memory::of(&value);
        try_all("shared slice", 2, |random, tally| {
            let copy = copy(&memory, Seals::FIXED, random);
            try_message(&value, Some(copy), random, tally, |arrived: SharedSlice<[u16; 3]>| {
                let len = arrived.len();
                assert_eq!((arrived.to_vec().len(), arrived.get(len)), (len, None));
                if len > 0 {
                    arrived.set(len - 1, [1; 3]);
                    assert_eq!(arrived.load(len - 1), [1; 3]);
                }
            });
        });
    });
}

#[test]
fn shared_bytes() {
    isolated_for(LIMIT, || {
        let value = SharedBytes::copy_from(&[5; 5000]).unwrap();
        let memory = Memory::of(&value);
        try_all("shared bytes", 2, |random, tally| {
            let copy = copy(&memory, Seals::IMMUTABLE, random);
            try_message(&value, Some(copy), random, tally, |arrived: SharedBytes| {
                std::hint::black_box(arrived.iter().fold(0, |sum, byte| sum ^ byte));
            });
        });
    });
}

#[test]
fn pooled_bytes() {
    isolated_for(LIMIT, || {
        let mut pool = BytesPool::new(3000, 2).unwrap();
        try_all("pooled bytes", 2, |random, tally| {
            // A message that takes one descriptor for another may keep a segment: nobody can tell that from a reader.
            let segment = pool.try_take().unwrap_or_else(|_| {
                pool = BytesPool::new(3000, 2).unwrap();
                pool.try_take().unwrap()
            });
            let value = segment.freeze_to(2500);
            // Its segment is the pool's own; what tells of it travels in the message.
            try_message(&value, None, random, tally, |arrived: PooledBytes| {
                std::hint::black_box(arrived.iter().fold(0, |sum, byte| sum ^ byte));
                drop(arrived.clone());
            });
        });
    });
}

#[test]
fn blocks() {
    isolated_for(LIMIT, || {
        let name = format!("corrupt-block-{}", std::process::id());
        let value = SharedMemory::create(&name, 5000).unwrap();
        let memory = Memory::of(&value);
        try_all("shared block", 2, |random, tally| {
            let copy = copy(&memory, Seals::FIXED, random);
            try_message(&value, Some(copy), random, tally, |arrived: SharedMemory| {
                let mut bytes = vec![0; arrived.len()];
                arrived.read_at(0, &mut bytes).unwrap();
                arrived.write_at(arrived.len() - 1, &[1]).unwrap();
            });
        });
        SharedMemory::unlink(&name).unwrap();
    });
}
