//! Models of memory that grows while others look, every order tried that the memory model of C11 allows:
//! `RUSTFLAGS="--cfg loom" cargo test -p multiproc-shm --test loom --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use multiproc_shm::arena::Arena;
use std::sync::atomic::AtomicU64;

type Words = Arena<AtomicU64>;

/// An arena, and how many of its chunks others were told of.
struct Growing {
    arena: Words,
    told: AtomicU32,
}

impl Growing {
    fn new() -> Arc<Growing> {
        let arena = Words::anonymous(7, [4096, 0, 0, 0, 0, 0], "test").unwrap();
        Arc::new(Growing { arena, told: AtomicU32::new(0) })
    }

    /// Grows by a chunk, writes its number into it, and tells of it.
    fn grow(&self, index: u32) {
        self.arena.allocate(index).unwrap();
        self.word(index).store(u64::from(index) + 1, Ordering::Relaxed);
        // Release, partner of the Acquire in `look`.
        self.told.store(index + 1, Ordering::Release);
    }

    /// Finds every chunk that it was told of, and in it what was written there.
    fn look(&self) -> u32 {
        let told = self.told.load(Ordering::Acquire);
        for index in 0..told {
            let found = self.word(index).load(Ordering::Relaxed);
            assert_eq!(found, u64::from(index) + 1, "chunk {index} was found elsewhere");
        }
        told
    }

    fn word(&self, index: u32) -> &AtomicU64 {
        &self.arena.chunk(index).expect("a chunk that was told of is not found")[0]
    }
}

#[test]
fn who_is_told_of_a_chunk_finds_it() {
    // The fifth is in a mapping of its own.
    loom::model(|| {
        let growing = Growing::new();
        (0..3).for_each(|index| growing.grow(index));
        let grower = {
            let growing = Arc::clone(&growing);
            thread::spawn(move || (3..5).for_each(|index| growing.grow(index)))
        };
        growing.look();
        growing.look();
        grower.join().unwrap();
        assert_eq!(growing.look(), 5);
    });
}

#[test]
fn two_find_a_chunk_at_once() {
    loom::model(|| {
        let growing = Growing::new();
        growing.arena.allocate(0).unwrap();
        growing.arena.allocate(4).unwrap();
        let other = {
            let growing = Arc::clone(&growing);
            thread::spawn(move || {
                growing.word(4).fetch_add(1, Ordering::Relaxed);
                growing.word(4).fetch_add(1, Ordering::Relaxed);
            })
        };
        growing.word(4).fetch_add(1, Ordering::Relaxed);
        growing.word(0).fetch_add(1, Ordering::Relaxed);
        other.join().unwrap();
        assert_eq!([0, 4].map(|index| growing.word(index).load(Ordering::Relaxed)), [1, 3]);
    });
}
