//! What is asked of the server itself: functions that run there.

use crate::error::CallError;
use crate::mode::{self, Mode, Outside};
use crate::operation::{Held, Lent};
use crate::proxy::Proxy;
use crate::reference::Reference;
use crate::server::{self, Entry, Session};
use crate::stats::{ManagerStats, ObjectStats};
use crate::wire::Id;
use multiproc_core::Message;
use multiproc_process::Func;
use serde::{Deserialize, Serialize};
use std::any::{TypeId, type_name};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The longest name.
const NAME: usize = 256;

/// Why the server does not do it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Refusal {
    Limited(String),
    NoName(String),
    NameTaken(String),
    OtherType(String),
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> CallError {
        match refusal {
            Refusal::Limited(text) => CallError::limited(text),
            Refusal::NoName(name) => CallError::no_name(&name),
            Refusal::NameTaken(name) => CallError::name_taken(&name),
            Refusal::OtherType(text) => CallError::other_type(text),
        }
    }
}

/// Makes an object.
pub(crate) fn create<A: Message, T: Send + 'static>((f, args): (Func<A, T>, A)) -> Result<Proxy<T>, Refusal> {
    insert(|| f.call(args), Entry::plain)
}

/// Makes one of which clients may hold parts.
pub(crate) fn create_lent<A: Message, T: Held>((f, args): (Func<A, T>, A)) -> Result<Proxy<T>, Refusal> {
    insert(|| f.call(args), |id, value| Entry::new::<T>(id, Box::new(Lent(value))))
}

fn insert<T: 'static>(
    make: impl FnOnce() -> T,
    keep: impl FnOnce(Id, T) -> Entry,
) -> Result<Proxy<T>, Refusal> {
    let session = mode::with(|mode| match mode {
        Mode::Serving(session) => session.clone(),
        _ => None,
    });
    let _outside = Outside::enter();
    let server = server::server();
    let most = server.limits.objects;
    let is_full = |session: &Arc<Session>| session.objects() >= most;
    if let Some(session) = session.as_ref().filter(|session| is_full(session)) {
        // What it has given back before this call may not have been read yet.
        session.ready(server);
    }
    if session.as_ref().is_some_and(is_full) {
        return Err(Refusal::Limited(format!(
            "the client holds {most} objects, the most it may: drop some, or raise `max_objects`"
        )));
    }
    let value = make();
    match server.insert(|id| keep(id, value)) {
        Ok(entry) => Ok(Proxy::here(entry)),
        Err(error) => Err(Refusal::Limited(format!("the server has no random number for it: {error}"))),
    }
}

/// Gives an object a name.
pub(crate) fn publish((name, reference): (String, Reference)) -> Result<(), Refusal> {
    let _outside = Outside::enter();
    let server = server::server();
    let Reference::Here(entry) = reference else {
        return Err(Refusal::OtherType("it is another manager's: publish it there".to_owned()));
    };
    if name.len() > NAME {
        return Err(Refusal::Limited(format!(
            "the name has {} bytes, and may have {NAME}: use a shorter one",
            name.len()
        )));
    }
    let mut names = server.names.lock();
    if names.contains_key(&name) {
        return Err(Refusal::NameTaken(name));
    }
    if names.len() >= server.limits.objects {
        return Err(Refusal::Limited(format!(
            "{} names are taken, the most there may be: take some back",
            names.len()
        )));
    }
    names.insert(name, entry);
    Ok(())
}

/// Takes a name back.
pub(crate) fn unpublish(name: String) -> bool {
    // Not with the lock: the object may go now.
    let removed = server::server().names.lock().remove(&name);
    removed.is_some()
}

/// All names.
pub(crate) fn names((): ()) -> Vec<String> {
    server::server().names.lock().keys().cloned().collect()
}

/// Finds the object of a name.
pub(crate) fn get<T: 'static>(name: String) -> Result<Proxy<T>, Refusal> {
    let _outside = Outside::enter();
    let found: Option<Arc<Entry>> = server::server().names.lock().get(&name).cloned();
    match found {
        None => Err(Refusal::NoName(name)),
        Some(entry) if entry.type_id != TypeId::of::<T>() => Err(Refusal::OtherType(format!(
            "{name:?} is a `{}`, and a `{}` was asked for",
            entry.type_name,
            type_name::<T>()
        ))),
        Some(entry) => Ok(Proxy::here(entry)),
    }
}

/// What the server is at.
pub(crate) fn stats((): ()) -> ManagerStats {
    let server = server::server();
    let entries = server.entries();
    let mut stats = ManagerStats {
        clients: server.sessions.lock().len(),
        clients_ever: server.counters.clients.load(Ordering::Relaxed),
        objects: entries.len(),
        names: server.names.lock().len(),
        threads: server.threads(),
        calls: server.counters.calls.load(Ordering::Relaxed),
        bytes: server.counters.bytes.load(Ordering::Relaxed),
        panics: server.counters.panics.load(Ordering::Relaxed),
        ..ManagerStats::default()
    };
    for entry in entries {
        let (queued, waiting) = entry.load();
        stats.queued += queued;
        stats.waiting += waiting.unwrap_or(0);
        stats.running += usize::from(waiting.is_none());
        let place = stats.by_type.iter().position(|of| of.type_name == entry.type_name);
        let place = place.unwrap_or_else(|| {
            stats.by_type.push(ObjectStats { type_name: entry.type_name.to_owned(), objects: 0, calls: 0 });
            stats.by_type.len() - 1
        });
        stats.by_type[place].objects += 1;
        stats.by_type[place].calls += entry.calls.load(Ordering::Relaxed);
    }
    stats.by_type.sort_by_key(|of| std::cmp::Reverse(of.calls));
    stats
}
