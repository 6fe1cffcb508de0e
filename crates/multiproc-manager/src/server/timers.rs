//! When the time of calls is up: one timer for all of them.

use super::Server;
use super::entry::{Entry, Job};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// The calls that have a time, soonest first.
#[derive(Debug, Default)]
pub(crate) struct Timers(Mutex<BTreeMap<(Instant, u64), Weak<Entry>>>);

impl Timers {
    /// Has the object told when the call's time is up.
    pub(crate) fn add(&self, server: &Server, at: Option<Instant>, number: u64, entry: &Arc<Entry>) {
        let Some(at) = at else { return };
        let mut calls = self.0.lock();
        calls.insert((at, number), Arc::downgrade(entry));
        if calls.first_key_value().is_some_and(|(first, _)| *first == (at, number)) {
            Timers::set(server, Some(at));
        }
    }

    /// Forgets a call that is over.
    pub(crate) fn remove(&self, at: Option<Instant>, number: u64) {
        if let Some(at) = at {
            self.0.lock().remove(&(at, number));
        }
    }

    /// Tells those whose time is up.
    pub(crate) fn expire(&self, server: &Server) {
        let now = Instant::now();
        let mut due = Vec::new();
        {
            let mut calls = self.0.lock();
            while let Some(first) = calls.first_entry() {
                if first.key().0 > now {
                    break;
                }
                let ((_, number), entry) = first.remove_entry();
                due.extend(entry.upgrade().map(|entry| (entry, number)));
            }
            Timers::set(server, calls.first_key_value().map(|((at, _), _)| *at));
        }
        for (entry, number) in due {
            entry.submit(server, Job::Expire(number));
        }
    }

    fn set(server: &Server, at: Option<Instant>) {
        let left = at.map(|at| at.saturating_duration_since(Instant::now()));
        // It fails only for a descriptor that is no timer.
        let _ = server.poller.set_timer(left);
    }
}
