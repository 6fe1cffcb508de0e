use multiproc::{Process, Shared, SharedBytes, SharedBytesMut};
use multiproc_tests::{Limit, on_both};
use std::sync::atomic::{AtomicU64, Ordering};

fn filled(len: usize, byte: u8) -> SharedBytes {
    let mut bytes = SharedBytesMut::zeroed(len).unwrap();
    bytes.fill(byte);
    bytes.freeze().unwrap()
}

#[test]
fn bytes_travel_without_a_copy() {
    on_both(Limit::default(), |_| {
        let bytes = filled(64 << 20, 3);
        let child = Process::spawn((bytes.clone(), Some(bytes.clone())), |(bytes, again)| {
            let sum: u64 = bytes.iter().step_by(4096).map(|byte| u64::from(*byte)).sum();
            (sum, again, filled(1 << 20, 9))
        });
        let (sum, back, made) = child.unwrap().join().unwrap();
        assert_eq!(sum, (64 << 20) / 4096 * 3);
        assert!(back.unwrap() == bytes && made.len() == 1 << 20 && made[77] == 9);
        drop((bytes, made));
    });
}

#[test]
fn values_are_shared_and_not_copied() {
    on_both(Limit::default(), |_| {
        let hits = Shared::new(AtomicU64::new(0)).unwrap();
        let children: Vec<_> = (0..4)
            .map(|_| {
                Process::spawn(hits.clone(), |hits| {
                    for _ in 0..1000 {
                        // Relaxed: the parent joins before it looks.
                        hits.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for child in children {
            child.unwrap().join().unwrap();
        }
        assert_eq!(hits.load(Ordering::Relaxed), 4000);
        drop(hits);
    });
}

#[test]
fn what_a_killed_child_wrote_stays_and_its_memory_goes() {
    on_both(Limit::default(), |_| {
        let hits = Shared::new(AtomicU64::new(0)).unwrap();
        let child = Process::spawn(hits.clone(), |hits| -> () {
            hits.store(7, Ordering::Relaxed);
            std::process::abort()
        });
        assert_eq!(child.unwrap().wait().unwrap().signal(), Some(6));
        assert_eq!(hits.load(Ordering::Relaxed), 7);
        drop(hits);
    });
}
