//! Spans around starts, tasks and calls, for a program that has a subscriber.

use multiproc::{Manager, Pool, Process};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_global_default;
use tracing::{Event, Metadata, Subscriber};

/// Which spans there were, as `target name`, in this process.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Notes;

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("multiproc")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let metadata = span.metadata();
        let text = format!("{} {}", metadata.target(), metadata.name());
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        Id::from_u64(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn seen() -> Vec<String> {
    std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner))
}

#[test]
fn starts_tasks_and_calls_have_spans() {
    // In a process of its own: a subscriber is for good.
    let child = Process::builder().daemon(true).spawn((), |()| {
        set_global_default(Notes).unwrap();
        Process::spawn((), |()| ()).unwrap().join().unwrap();
        assert_eq!(seen(), ["multiproc::process start"]);
        let pool = Pool::threads(1).unwrap();
        pool.map([1, 2, 3], |number: u32| number).unwrap();
        assert_eq!(seen(), ["multiproc::pool task"; 3]);
        let manager = Manager::start().unwrap();
        seen();
        manager.value(1u32).unwrap().set(2).unwrap();
        let calls = seen();
        assert!(!calls.is_empty() && calls.iter().all(|span| span == "multiproc::manager call"), "{calls:?}");
    });
    child.unwrap().join().unwrap();
}
