//! Models of the words that a worker and its pool share, every order tried that the memory model of C11 allows:
//! `RUSTFLAGS="--cfg loom" cargo test -p multiproc-pool --test loom --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use marks::Marks;
use std::sync::atomic::Ordering::Relaxed;

#[allow(dead_code, reason = "what needs no order is not tried")]
#[path = "../src/backend/marks.rs"]
mod marks;

/// The worker writes a result into the journal, as the first of its chunk or behind another.
fn write(marks: &Marks, at: usize, result: u64) {
    marks.journal[at].store(result, Relaxed);
    let written = at as u32 + 1;
    marks.tell_journal(written, written * 8);
}

#[test]
fn a_journal_of_one_at_work_tells_results_of_no_other_chunk() {
    loom::model(|| {
        let marks = Arc::new(Marks::new());
        let worker = {
            let marks = Arc::clone(&marks);
            thread::spawn(move || {
                marks.open_journal(1, 0);
                write(&marks, 0, 10);
                write(&marks, 1, 11);
                marks.empty_journal();
                marks.open_journal(2, 0);
                write(&marks, 0, 20);
            })
        };
        if let Some(found) = marks.journal() {
            let results: Vec<u64> =
                found.bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
            let written: &[u64] = if found.place == 1 { &[10, 11] } else { &[20] };
            assert_eq!(Some(&results[..]), written.get(..found.count as usize), "of chunk {}", found.place);
        }
        worker.join().unwrap();
    });
}

#[test]
fn what_is_taken_back_was_not_begun() {
    loom::model(|| {
        let marks = Arc::new(Marks::new());
        let worker = {
            let marks = Arc::clone(&marks);
            thread::spawn(move || (0..3).take_while(|element| marks.begin(1, *element, false)).count())
        };
        // Without barriers of the kernel.
        marks.take_back(1, || false);
        let (place, begun) = marks.begun();
        let ran = worker.join().unwrap() as u32;
        assert!(if place == 1 { ran <= begun } else { ran == 0 }, "{ran} ran, and {begun} had been begun");
    });
}
