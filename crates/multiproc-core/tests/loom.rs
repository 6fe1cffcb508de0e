//! Models of what synchronises through memory, every order tried:
//! `RUSTFLAGS="--cfg loom" cargo test -p multiproc-core --test loom --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use multiproc_core::sys::fd::{Interest, poll_one};
use multiproc_core::{Bell, Deadline};

fn is_ringing(bell: &Bell) -> bool {
    poll_one(bell, Interest::Read, Deadline::now()).unwrap()
}

#[test]
fn a_bell_loses_no_reason() {
    loom::model(|| {
        let bell = Arc::new(Bell::new().unwrap());
        let reasons: Arc<[AtomicU32; 2]> = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let ringers: Vec<_> = (0..2)
            .map(|place| {
                let (bell, reasons) = (Arc::clone(&bell), Arc::clone(&reasons));
                thread::spawn(move || {
                    reasons[place].store(1, Ordering::Relaxed);
                    bell.ring();
                })
            })
            .collect();

        // The sleeper wakes once at any time.
        bell.hear();
        let seen = [0, 1].map(|place| reasons[place].load(Ordering::Relaxed) == 1);
        for ringer in ringers {
            ringer.join().unwrap();
        }
        assert!(
            seen == [true, true] || is_ringing(&bell),
            "a reason is there, nobody saw it, and the bell is silent"
        );
    });
}
