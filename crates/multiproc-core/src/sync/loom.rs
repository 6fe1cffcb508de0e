//! Sleeping and threads where loom runs, which has no kernel: a sleeper waits until the word changes.
//!
//! loom is asked for the orders of memory accesses. Whether a wake-up can be lost to a kill is the other model's
//! question.

pub(crate) mod futex {
    use crate::sys::futex::{Change, Wake};
    use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    use std::time::Duration;

    #[derive(Clone, Copy, Debug)]
    pub enum Futex<'a> {
        Whole(&'a AtomicU32),
        Low(&'a AtomicU64),
    }

    impl<'a> From<&'a AtomicU32> for Futex<'a> {
        fn from(word: &'a AtomicU32) -> Self {
            Futex::Whole(word)
        }
    }

    impl<'a> From<&'a AtomicU64> for Futex<'a> {
        fn from(word: &'a AtomicU64) -> Self {
            Futex::Low(word)
        }
    }

    impl Futex<'_> {
        /// The kernel's own reads and writes are sequentially consistent among themselves; towards memory they are
        /// no fences.
        fn value(&self) -> u32 {
            match self {
                Futex::Whole(word) => word.load(Ordering::Relaxed),
                Futex::Low(word) => word.load(Ordering::Relaxed) as u32,
            }
        }
    }

    pub fn wait(word: Futex<'_>, expected: u32, _: Option<Duration>) -> Wake {
        wait_any(&[(word, expected)], None).unwrap_or(Wake::Changed)
    }

    pub fn wait_any(words: &[(Futex<'_>, u32)], _: Option<Duration>) -> Option<Wake> {
        loop {
            if let Some(at) = words.iter().position(|(word, expected)| word.value() != *expected) {
                return Some(Wake::Woken(at));
            }
            loom::thread::yield_now();
        }
    }

    pub fn wake(_: Futex<'_>, _: u32) -> usize {
        0
    }

    pub fn wake_op(word: Futex<'_>, _: u32, change: Change) -> Option<usize> {
        match word {
            Futex::Whole(word) => {
                let _ =
                    word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(change.apply(old)));
            }
            Futex::Low(word) => {
                let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
                    Some(old & !u64::from(u32::MAX) | u64::from(change.apply(old as u32)))
                });
            }
        }
        // As if somebody had slept: what follows when nobody did is the other model's to try.
        Some(1)
    }
}

pub(crate) mod thread {
    use super::futex::Futex;

    pub fn id() -> u64 {
        loom::thread_local! {
            static ID: u64 = {
                // The same in every run of a model, so that what depends on it is, too; loom tells it as text.
                let text = format!("{:?}", loom::thread::current().id());
                let digits = text.bytes().filter(u8::is_ascii_digit);
                digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')) + 1
            };
        }
        ID.with(|id| *id)
    }

    pub fn is_alive(_: u64) -> bool {
        true
    }

    pub fn process_id() -> u64 {
        id()
    }

    pub fn process_is_alive(_: u64) -> bool {
        true
    }

    pub fn watch(_: Futex<'_>) -> usize {
        0
    }

    pub fn begin(word: Futex<'_>) -> (u64, usize) {
        (id(), watch(word))
    }

    pub fn watch_again(_: usize) {}

    pub fn hold(_: Futex<'_>) {}

    pub fn let_go(_: Futex<'_>) {}
}
