use super::Watch;
use multiproc_core::Deadline;
use multiproc_core::sync::Patience;
use multiproc_core::sync::futex::{Futex, Wake};
use multiproc_core::sys::{futex, process};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How many things one watcher serves: the kernel lets a thread sleep on 128 words, and each has two.
const MOST: usize = 63;

/// Something that is waited for, and what is done when it is ready.
pub(super) struct Entry {
    what: Box<dyn Watch>,
    tell: Box<dyn Fn() + Send + Sync>,
    /// Whether somebody is to be told; once told it is not.
    is_armed: AtomicBool,
}

impl Entry {
    pub(super) fn new(what: impl Watch + 'static, tell: impl Fn() + Send + Sync + 'static) -> Entry {
        Entry { what: Box::new(what), tell: Box::new(tell), is_armed: AtomicBool::new(false) }
    }
}

/// An entry in its watcher's list, until it is dropped.
pub(super) struct Registered {
    entry: Arc<Entry>,
    watcher: Arc<Watcher>,
}

impl Registered {
    pub(super) fn is_ready(&self) -> bool {
        self.entry.what.is_ready()
    }

    /// Has its owner told when it is ready, even if it is so already.
    pub(super) fn arm(&self) {
        // WATCH: AcqRel, partner of the one in `watch`: what was prepared for being told is seen there.
        if !self.entry.is_armed.swap(true, Ordering::AcqRel) {
            self.watcher.stir();
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.watcher.entries().retain(|entry| !Arc::ptr_eq(entry, &self.entry));
        // It may sleep on this one's words, and hold them.
        self.watcher.stir();
    }
}

/// What a watcher's thread and the others share.
#[derive(Default)]
struct Watcher {
    /// Counts what the thread has to look at besides the words of others.
    changes: AtomicU32,
    entries: Mutex<Vec<Arc<Entry>>>,
}

impl Watcher {
    fn entries(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stir(&self) {
        // WATCH: Release, partner of the Acquire in `watch`.
        self.changes.fetch_add(1, Ordering::Release);
        futex::wake((&self.changes).into(), 1);
    }
}

/// The watchers of this process; a forked child has those of its parent, but not their threads.
struct Watchers {
    process: u32,
    list: Vec<Arc<Watcher>>,
}

static WATCHERS: Mutex<Watchers> = Mutex::new(Watchers { process: 0, list: Vec::new() });

fn watchers() -> MutexGuard<'static, Watchers> {
    WATCHERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the entry to a watcher that has room, or to a new one.
pub(super) fn register(entry: Entry) -> io::Result<Registered> {
    let entry = Arc::new(entry);
    let mut watchers = watchers();
    if watchers.process != process::id() {
        *watchers = Watchers { process: process::id(), list: Vec::new() };
    }
    for watcher in &watchers.list {
        let mut entries = watcher.entries();
        // One without entries is about to end.
        if (1..MOST).contains(&entries.len()) {
            entries.push(Arc::clone(&entry));
            return Ok(Registered { entry, watcher: Arc::clone(watcher) });
        }
    }
    let watcher = Arc::new(Watcher::default());
    watcher.entries().push(Arc::clone(&entry));
    let body = Arc::clone(&watcher);
    thread::Builder::new().name("multiproc-watcher".to_owned()).spawn(move || {
        // The program's handlers run in its own threads.
        process::block_signals();
        watch(&body);
        self::watchers().list.retain(|watcher| !Arc::ptr_eq(watcher, &body));
    })?;
    watchers.list.push(Arc::clone(&watcher));
    Ok(Registered { entry, watcher })
}

/// Sleeps on the words of all that are to be told, until no entry is left.
fn watch(watcher: &Watcher) {
    let mut patience = Patience::until(Deadline::NEVER);
    loop {
        // WATCH: Acquire, partner of the Release in `stir`: what has changed before is seen below.
        let changes = watcher.changes.load(Ordering::Acquire);
        let entries = watcher.entries().clone();
        if entries.is_empty() {
            return;
        }
        let mut words: Vec<(Futex<'_>, u32)> = vec![((&watcher.changes).into(), changes)];
        // Of each word: whose it is, and whether it is a bell.
        let mut owners = vec![None];
        // WATCH: Acquire, partner of the AcqRel in `arm`.
        for entry in entries.iter().filter(|entry| entry.is_armed.load(Ordering::Acquire)) {
            let parts = entry.what.begin();
            if entry.what.is_ready() {
                // WATCH: AcqRel, partner of the one in `arm`. Before it is told: being told, it is armed again.
                if entry.is_armed.swap(false, Ordering::AcqRel) {
                    (entry.tell)();
                }
                continue;
            }
            for (part, is_bell) in parts.into_iter().zip([false, true]) {
                words.extend(part);
                owners.extend(part.map(|_| Some((entry, is_bell))));
            }
        }
        // An endless patience has always a next sleep.
        let bound = patience.next_sleep().unwrap_or_default();
        // Where the kernel cannot sleep on several, all are looked at after each short sleep on the first.
        let wake = futex::wait_any(&words, bound)
            .unwrap_or_else(|| futex::wait(words[0].0, changes, Some(WITHOUT_WAITV)));
        match wake {
            Wake::TimedOut => owners.iter().flatten().for_each(|(entry, _)| entry.what.look()),
            Wake::Changed => {}
            Wake::Woken(at) => {
                if let Some(Some((entry, is_bell))) = owners.get(at) {
                    patience = Patience::until(Deadline::NEVER);
                    if *is_bell {
                        // As every sleeper does who is woken by a bell.
                        futex::wake(words[at].0, u32::MAX);
                        entry.what.look();
                    }
                }
            }
        }
    }
}

/// How soon a change is seen where the kernel cannot sleep on several words.
const WITHOUT_WAITV: std::time::Duration = std::time::Duration::from_millis(1);
