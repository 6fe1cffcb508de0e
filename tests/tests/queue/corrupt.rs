use multiproc_core::codec;
use multiproc_core::sys::memory::{read_exact_at, write_all_at};
use multiproc_queue::{GetError, Lease, PutError, Queue};
use multiproc_tests::{Limit, isolated_for};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The header, the control words, the leases, and the records of the first chunk.
const PAGE: usize = 4096;
const IMAGE: usize = 2 * PAGE;

/// How many images: a few on every run, `MULTIPROC_IMAGES` for more.
fn images() -> u64 {
    std::env::var("MULTIPROC_IMAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(3000)
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// A word as broken programs write them.
    fn word(&mut self, old: u64) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => old ^ 1 << self.below(64),
            3 => old.wrapping_add(1),
            4 => old.wrapping_sub(1),
            5 => self.next() % 1000,
            6 => u64::from(self.next() as u32) << 32 | old & 0xffff_ffff,
            _ => self.next(),
        }
    }
}

type Item = (u32, Vec<u8>, Option<multiproc_pipe::Fd<std::fs::File>>);

fn item(number: u32) -> Item {
    let file = std::fs::File::open("/dev/null").unwrap();
    (number, vec![number as u8; 100], number.is_multiple_of(2).then(|| multiproc_pipe::Fd::new(file)))
}

/// A queue with some history, and the memory that it lies in.
fn prepared() -> (Queue<Item>, OwnedFd) {
    let queue = Queue::bounded(5).unwrap();
    for number in 0..4 {
        queue.put(item(number)).unwrap();
    }
    queue.get().unwrap();
    let memory = codec::encode(&queue).unwrap().fds[0].try_clone().unwrap();
    (queue, memory)
}

fn check_put(result: Result<(), PutError<Item>>) {
    if let Err(error) = result {
        let is_documented = error.is_full()
            || error.is_closed()
            || error.is_corrupt()
            || error.is_too_large()
            || error.is_out_of_memory()
            || error.is_handles();
        assert!(is_documented, "{error}");
    }
}

fn check_get<V>(result: Result<V, GetError>) {
    if let Err(error) = result {
        let is_documented = error.is_empty()
            || error.is_closed()
            || error.is_corrupt()
            || error.is_decode()
            || error.is_handles();
        assert!(is_documented, "{error}");
    }
}

fn use_all(queue: &Queue<Item>) {
    let soon = Duration::from_micros(200);
    check_get(queue.try_get());
    check_put(queue.try_put(item(7)));
    check_get(queue.try_lease().map(drop));
    check_get(queue.get_timeout(soon));
    check_put(queue.put_timeout(item(8), soon));
    check_get(queue.lease_timeout(soon).map(Lease::done));
    queue.join_timeout(soon);
    assert!(queue.len() <= queue.capacity() + 80 && queue.capacity() == 5);
    let _ = (queue.is_empty(), queue.is_full(), queue.is_closed());
    for _ in 0..6 {
        check_get(queue.try_get());
    }
}

#[test]
fn used_while_it_is_overwritten() {
    isolated_for(Limit(Duration::from_secs(1200)), || {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (queue, memory) = prepared();
        drop(queue);
        let mut image = vec![0; IMAGE];
        read_exact_at(&memory, &mut image, 0).unwrap();
        let mut slowest = Duration::ZERO;
        for _ in 0..images() {
            let (queue, memory) = prepared();
            for _ in 0..=random.below(3) {
                // Where something is, more often than where nothing is.
                let at = loop {
                    let at = random.below(IMAGE / 8) * 8;
                    if at >= 128 && (image[at..at + 8] != [0; 8] || random.below(20) == 0) {
                        break at;
                    }
                };
                let mut old = [0; 8];
                read_exact_at(&memory, &mut old, at as u64).unwrap();
                let new = random.word(u64::from_ne_bytes(old));
                write_all_at(&memory, &new.to_ne_bytes(), at as u64).unwrap();
            }
            let start = Instant::now();
            use_all(&queue);
            slowest = slowest.max(start.elapsed());
        }
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    });
}

#[test]
fn attached_when_it_is_overwritten() {
    isolated_for(Limit(Duration::from_secs(1200)), || {
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        for _ in 0..images() {
            let (queue, memory) = prepared();
            let at = random.below(512 / 8) * 8;
            let mut old = [0; 8];
            read_exact_at(&memory, &mut old, at as u64).unwrap();
            let new = random.word(u64::from_ne_bytes(old));
            write_all_at(&memory, &new.to_ne_bytes(), at as u64).unwrap();
            let message = codec::encode(&queue).unwrap();
            let fds = message.fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
            if let Ok(other) = codec::decode::<Queue<Item>>(&message.bytes, fds)
                && other.capacity() == 5
            {
                use_all(&other);
            }
        }
    });
}
