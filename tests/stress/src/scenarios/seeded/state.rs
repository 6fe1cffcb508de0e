//! State that a death leaves behind, and that nobody puts right.

use multiproc_core::Deadline;
use multiproc_core::sync::{futex, thread};
use multiproc_sync::raw::Lock;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::super::lock::{Locking, Shape, Subject};
use super::super::trial::Trial;
use crate::control::Bracket;
use crate::scenario::{Found, Scenario, Stage, Tally};

/// A semaphore that does not know who has its permits.
struct Unlisted(AtomicU32);

impl Subject for Unlisted {
    const NAME: &'static str = "wrong semaphore: no ledger";
    const IS_CONTROL: bool = true;
    const TELLS: bool = false;

    fn new() -> Self {
        Unlisted(AtomicU32::new(1))
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        while self.0.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed).is_err() {
            futex::wait((&self.0).into(), 0, None);
        }
        body(Found::Clean);
        self.0.store(1, Ordering::Release);
        futex::wake((&self.0).into(), u32::MAX);
    }
}

/// A semaphore that notes who has its permit in a step of its own.
struct ListedLate {
    permits: AtomicU32,
    holder: AtomicU64,
}

impl Subject for ListedLate {
    const NAME: &'static str = "wrong semaphore: listed late";
    const IS_CONTROL: bool = true;
    const TELLS: bool = false;

    fn new() -> Self {
        ListedLate { permits: AtomicU32::new(1), holder: AtomicU64::new(0) }
    }

    fn with(&self, body: &mut dyn FnMut(Found)) {
        let me = thread::process_id();
        while self.permits.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed).is_err() {
            let holder = self.holder.load(Ordering::Acquire);
            let is_dead = holder != 0 && !thread::process_is_alive(holder);
            if is_dead && self.holder.compare_exchange(holder, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                break;
            }
            futex::wait((&self.permits).into(), 0, Some(Duration::from_millis(2)));
        }
        self.holder.store(me, Ordering::Release);
        body(Found::Clean);
        self.holder.store(0, Ordering::Release);
        self.permits.store(1, Ordering::Release);
        futex::wake((&self.permits).into(), u32::MAX);
    }
}

/// A count of readers: nobody knows who they are.
struct WrongReaders(AtomicU32);

fn readers() -> Trial<WrongReaders> {
    Trial::new(
        "wrong rwlock: readers unlisted",
        || WrongReaders(AtomicU32::new(0)),
        |lock, bracket| {
            bracket.begin();
            lock.0.fetch_add(1, Ordering::Acquire);
            lock.0.fetch_sub(1, Ordering::Release);
            futex::wake((&lock.0).into(), u32::MAX);
            bracket.end();
        },
        |lock, _| {
            // There is one writer.
            loop {
                match lock.0.load(Ordering::Acquire) {
                    0 => return Found::Clean,
                    readers => futex::wait((&lock.0).into(), readers, None),
                };
            }
        },
    )
    .control()
}

/// A number in two words that are changed one after the other, and nobody asks about the dead.
struct WrongPair {
    lock: Lock,
    words: [AtomicU64; 2],
}

impl WrongPair {
    fn add_one(&self) -> Found {
        let Some(locked) = self.lock.lock(Deadline::NEVER) else { return Found::Clean };
        for word in &self.words {
            word.store(word.load(Ordering::Relaxed) + 1, Ordering::Release);
        }
        self.lock.unlock(locked);
        Found::Clean
    }
}

fn pair() -> Trial<WrongPair> {
    Trial::new(
        "wrong pair: no recovery",
        || WrongPair { lock: Lock::new(), words: [const { AtomicU64::new(0) }; 2] },
        |pair, bracket| {
            bracket.begin();
            pair.add_one();
            bracket.end();
        },
        |pair, _| pair.add_one(),
    )
    .check(|pair, _| {
        let [first, second] = [0, 1].map(|at| pair.words[at].load(Ordering::Relaxed));
        if first == second { Ok(()) } else { Err(format!("{first} and {second}")) }
    })
    .control()
}

/// An object that has its name before it has its content.
struct WrongName;

/// What the object contains when it is whole.
const WHOLE: &str = "whole";

impl Scenario for WrongName {
    fn name(&self) -> String {
        "wrong name: linked before it is written".to_owned()
    }

    fn is_control(&self) -> bool {
        true
    }

    fn stage(&self) -> Box<dyn Stage> {
        let name = format!("multiproc-stress-{}", std::process::id());
        Box::new(Wrong { path: std::env::temp_dir().join(name) })
    }
}

struct Wrong {
    path: PathBuf,
}

impl Stage for Wrong {
    fn victim(&self, bracket: &Bracket<'_>) {
        bracket.begin();
        // Creates it, and then writes.
        let _ = fs::write(&self.path, WHOLE);
        bracket.end();
    }

    fn operate(&self, _who: usize) -> Found {
        if let Ok(content) = fs::read_to_string(&self.path) {
            assert_eq!(content, WHOLE, "an object that is half-made");
        }
        Found::Clean
    }

    fn check(&self, _tally: &Tally) -> Result<(), String> {
        Ok(())
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        // It is there only if the victim came so far.
        let _ = fs::remove_file(&self.path);
    }
}

/// All of this file.
pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    vec![
        Box::new(Locking::<Unlisted>::new(Shape::Free)),
        Box::new(Locking::<ListedLate>::new(Shape::Free)),
        Box::new(readers()),
        Box::new(pair()),
        Box::new(WrongName),
    ]
}
