use super::Watch;
use multiproc_core::Deadline;
use multiproc_core::sync::Patience;
use multiproc_core::sync::futex::{Futex, Wake};
use multiproc_core::sys::{futex, process};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many things one watcher serves: the kernel lets a thread sleep on 128 words, and each has two.
const MOST: usize = 63;
/// How long a watcher stays that nobody needs: starting one takes longer than most waits.
const LINGER: Duration = Duration::from_secs(1);
/// The least time between two looks for the dead, however often something begins to wait.
const APART: Duration = Duration::from_millis(20);
/// How soon a change is seen where the kernel cannot sleep on several words.
const WITHOUT_WAITV: Duration = Duration::from_millis(1);

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
        self.watcher.entries().list.retain(|entry| !Arc::ptr_eq(entry, &self.entry));
        // It may sleep on this one's words, and hold them.
        self.watcher.stir();
    }
}

/// What a watcher's thread and the others share.
#[derive(Default)]
struct Watcher {
    /// Counts what the thread has to look at besides the words of others.
    changes: AtomicU32,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    list: Vec<Arc<Entry>>,
    /// The thread has gone, or is about to.
    has_ended: bool,
}

impl Watcher {
    fn entries(&self) -> MutexGuard<'_, Entries> {
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
        if !entries.has_ended && entries.list.len() < MOST {
            entries.list.push(Arc::clone(&entry));
            return Ok(Registered { entry, watcher: Arc::clone(watcher) });
        }
    }
    let watcher = Arc::new(Watcher::default());
    watcher.entries().list.push(Arc::clone(&entry));
    let body = Arc::clone(&watcher);
    thread::Builder::new().name("multiproc-watcher".to_owned()).spawn(move || {
        // The program's handlers run in its own threads.
        process::block_signals();
        // A waker, or what is dropped here, may panic: the others are served on.
        while catch_unwind(AssertUnwindSafe(|| watch(&body))).is_err() {}
        self::watchers().list.retain(|watcher| !Arc::ptr_eq(watcher, &body));
    })?;
    watchers.list.push(Arc::clone(&watcher));
    Ok(Registered { entry, watcher })
}

/// When all that wait are looked at, however busy some of them are.
struct Looks {
    patience: Patience,
    last: Instant,
    /// `None` where tests want none.
    due: Option<Instant>,
}

impl Looks {
    fn new() -> Looks {
        let mut looks = Looks { patience: Patience::until(Deadline::NEVER), last: Instant::now(), due: None };
        looks.plan();
        looks
    }

    fn plan(&mut self) {
        // An endless patience has always a next sleep.
        self.due = self.patience.next_sleep().unwrap_or_default().map(|bound| Instant::now() + bound);
    }

    /// Something began to wait, perhaps just after a death, or changed: looks soon.
    fn hurry(&mut self) {
        self.patience = Patience::until(Deadline::NEVER);
        let bound = self.patience.next_sleep().unwrap_or_default();
        let soon = bound.map(|bound| (Instant::now() + bound).max(self.last + APART));
        self.due = self.due.zip(soon).map(|(due, soon)| due.min(soon));
    }

    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.last = now;
        }
        if is_due || self.due.is_none() {
            self.plan();
        }
        is_due
    }
}

/// Sleeps on the words of all that are to be told, until no entry has been left for a while.
fn watch(watcher: &Watcher) {
    let mut looks = Looks::new();
    loop {
        // WATCH: Acquire, partner of the Release in `stir`: what has changed before is seen below.
        let changes = watcher.changes.load(Ordering::Acquire);
        let entries = watcher.entries().list.clone();
        if entries.is_empty() {
            let wake = futex::wait((&watcher.changes).into(), changes, Some(LINGER));
            let mut entries = watcher.entries();
            if wake == Wake::TimedOut && entries.list.is_empty() {
                entries.has_ended = true;
                return;
            }
            continue;
        }
        let mut words: Vec<(Futex<'_>, u32)> = vec![((&watcher.changes).into(), changes)];
        // Behind all others: of several words that were woken the kernel tells the last.
        let mut bells = Vec::new();
        let mut waiting = Vec::new();
        // WATCH: Acquire, partner of the AcqRel in `arm`.
        for entry in entries.iter().filter(|entry| entry.is_armed.load(Ordering::Acquire)) {
            let [word, bell] = entry.what.begin();
            if entry.what.is_ready() {
                // WATCH: AcqRel, partner of the one in `arm`. Before it is told: being told, it is armed again.
                if entry.is_armed.swap(false, Ordering::AcqRel) {
                    (entry.tell)();
                }
                continue;
            }
            words.extend(word);
            bells.extend(bell);
            waiting.push(entry);
        }
        let first_bell = words.len();
        words.extend(&bells);
        let bound = looks.due.map(|due| due.saturating_duration_since(Instant::now()));
        // Where the kernel cannot sleep on several, all are asked again after each short sleep on the first.
        let wake = futex::wait_any(&words, bound)
            .unwrap_or_else(|| futex::wait(words[0].0, changes, Some(WITHOUT_WAITV)));
        let has_heard = matches!(wake, Wake::Woken(at) if at >= first_bell);
        if has_heard {
            // As every sleeper does who is woken by a bell; others may have been rung at the same time.
            bells.iter().for_each(|(bell, _)| {
                futex::wake(*bell, u32::MAX);
            });
        }
        if matches!(wake, Wake::Woken(_) | Wake::Changed) {
            looks.hurry();
        }
        if looks.is_due() || has_heard {
            waiting.iter().for_each(|entry| entry.what.look());
        }
    }
}
