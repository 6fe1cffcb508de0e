//! What `/proc` tells about processes.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Waits until `condition` holds.
///
/// For states of the system that nothing announces: an entry of `/proc` that goes, a thread that begins to wait.
///
/// # Panics
///
/// It does not hold within `limit`; `what` says which condition that was.
pub fn eventually(limit: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, condition), "not within {limit:?}: {what}");
}

/// Waits until `condition` holds; tells whether it does within `limit`.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        // tidy: sleep because nothing tells of the change that is looked for
        thread::sleep(Duration::from_millis(1));
    }
}

/// One process, as its line in `/proc/<id>/stat` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: u32,
    /// Its program's name.
    pub name: String,
    /// `R`, `S`, `T`, `Z`, …
    pub state: char,
    /// Its parent's number.
    pub parent: u32,
}

/// Reads the entry of one process, `None` where there is none.
pub fn entry(id: u32) -> Option<Entry> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (before, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace();
    Some(Entry {
        id,
        name: before.split_once('(')?.1.to_owned(),
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
    })
}

/// Reads the entries of all processes.
pub fn all() -> Vec<Entry> {
    let names = fs::read_dir("/proc").unwrap().filter_map(|file| file.ok()?.file_name().into_string().ok());
    names.filter_map(|name| entry(name.parse().ok()?)).collect()
}

/// The children of a process, zombies included.
pub fn children(parent: u32) -> Vec<Entry> {
    all().into_iter().filter(|entry| entry.parent == parent).collect()
}

/// The children of this process, zombies included.
pub fn own_children() -> Vec<Entry> {
    children(std::process::id())
}

/// Finds new children of this process quickly: whoever was seen once is not looked at again.
#[derive(Debug, Default)]
pub struct Newcomers {
    seen: HashSet<u32>,
}

impl Newcomers {
    /// Makes a finder that has seen all there is now.
    pub fn from_now_on() -> Newcomers {
        let mut newcomers = Newcomers::default();
        newcomers.arrivals();
        newcomers
    }

    /// The children that came since the last call.
    pub fn arrivals(&mut self) -> Vec<u32> {
        let own = std::process::id();
        let names =
            fs::read_dir("/proc").unwrap().filter_map(|file| file.ok()?.file_name().into_string().ok());
        let fresh = names.filter_map(|name| name.parse().ok()).filter(|id| self.seen.insert(*id));
        fresh.filter_map(entry).filter(|entry| entry.parent == own).map(|entry| entry.id).collect()
    }
}

/// Tells whether the process is there and no zombie.
pub fn is_alive(id: u32) -> bool {
    entry(id).is_some_and(|entry| !matches!(entry.state, 'Z' | 'X'))
}

/// The processes whose environment at their start held `variable` (`NAME=value`), and their descendants.
pub fn marked(variable: &str) -> Vec<Entry> {
    let everybody = all();
    let own = std::process::id();
    let is_marked = |id: u32| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    let mut found: BTreeSet<u32> =
        everybody.iter().map(|entry| entry.id).filter(|id| *id != own && is_marked(*id)).collect();
    // One without that environment, by `env_clear`, is known by its parent. A zombie has none at all.
    loop {
        let more = everybody.iter().filter(|entry| found.contains(&entry.parent)).map(|entry| entry.id);
        let more: Vec<u32> = more.filter(|id| !found.contains(id)).collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    everybody.into_iter().filter(|entry| found.contains(&entry.id)).collect()
}

/// The open descriptors of this process, with what they lead to; the one that reads the list is left out.
pub fn own_descriptors() -> Vec<(i32, String)> {
    let listed = fs::read_dir("/proc/self/fd").unwrap().filter_map(|file| {
        let file = file.ok()?;
        let number: i32 = file.file_name().to_str()?.parse().ok()?;
        let target =
            fs::read_link(file.path()).map_or_else(|_| String::new(), |path| path.display().to_string());
        Some((number, target))
    });
    let listing = format!("/proc/{}/fd", std::process::id());
    let mut descriptors: Vec<(i32, String)> = listed.filter(|(_, target)| *target != listing).collect();
    descriptors.sort_unstable();
    descriptors
}

/// The names in `/dev/shm` that are of the library.
pub fn shared_names() -> BTreeSet<String> {
    fn walk(folder: &std::path::Path, names: &mut BTreeSet<String>) {
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = file.path();
            if path.is_dir() {
                walk(&path, names);
            } else {
                names.insert(path.display().to_string());
            }
        }
    }
    let mut names = BTreeSet::new();
    walk("/dev/shm".as_ref(), &mut names);
    names.retain(|name| name.contains("multiproc"));
    names
}

/// The environment of this process as the system has it now, not as it was at its start.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
